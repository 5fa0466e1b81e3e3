"""Fine-tuning on the scan: what it may see, that it learns, and that it is kept only if it helps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from braggfill import networks
from braggfill.cli import main
from braggfill.errors import BraggfillError
from braggfill.filling import finetune, partition
from braggfill.learning import trainer
from braggfill.patterns import gaps, patching
from braggfill.runs.seeds import generator

SHAPE = (64, 64, 128)
GRID = np.ix_(*(np.arange(n) for n in SHAPE))
# Fringes so fine that a straight line across a gap misses them, in the whole scan alike.
COUNTS = generator(1, "test/finetune").poisson(400 * (1.05 + np.cos(0.9 * GRID[2] + 0.2 * GRID[1] + 0.1 * GRID[0])))
NOTHING = np.zeros(SHAPE, bool)
MASK = gaps.plane(SHAPE, 4, axis=1, start=20)
CARD = {"uncertainty": True, "settings": {"gap": {"width_px": [3, 6], "cross_fraction": 0, "dead_fraction": 0}}}


@pytest.fixture(autouse=True)
def _few_judges(monkeypatch):
    """Enough for these fringes, and quick."""
    monkeypatch.setattr(partition, "HELD", 10)
    monkeypatch.setattr(finetune, "HELD_GAPS", 2)


@pytest.fixture
def network(tmp_path):
    torch.manual_seed(1)
    path = tmp_path / "net.safetensors"
    networks.save(path, networks.build("braggfill", channels=[4, 8]), CARD)
    return networks.load(path)


@pytest.mark.parametrize("missing", [NOTHING, MASK])
def test_training_patches_share_no_voxel_with_what_judges_or_is_missing(missing):
    logs = np.log1p(np.where(missing, 0, COUNTS)).astype(np.float32)
    held, origins = partition.split(logs, missing, 16, 300, 0)
    assert len(held) == partition.HELD
    judging = np.zeros(SHAPE, bool)
    for cell in held:
        judging[patching.window(cell, 16)] = True
    assert not (judging & missing).any()
    for some in (held, origins):
        assert len(np.unique(some, axis=0)) == len(some)
    for origin in origins:
        window = patching.window(origin, 16)
        assert judging[window].shape == (16, 16, 16)
        assert not judging[window].any()
        assert not missing[window].any()


def test_fewer_places_give_fewer_patches_and_all_of_them_differ():
    logs = np.log1p(COUNTS[:33, :33, :100]).astype(np.float32)
    _, origins = partition.split(logs, NOTHING[:33, :33, :100], 16, 100_000, 0)
    assert 0 < len(origins) < 18 * 18 * 85
    assert len(np.unique(origins, axis=0)) == len(origins)


def test_brighter_places_are_drawn_more_often():
    logs = np.where(GRID[2] < 64, 6.0, 1.0) + np.zeros(SHAPE)
    _, origins = partition.split(logs.astype(np.float32), NOTHING, 16, 500, 0)
    assert (origins[:, 2] < 56).mean() > 0.6


def test_what_does_not_help_is_not_kept(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    same, report = finetune.finetune(network, COUNTS, NOTHING, epochs=1, patches=32, learning_rate=0.0)
    assert not report.kept
    assert report.after == pytest.approx(report.before, abs=1e-6)
    assert same is network
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert "finetuned" not in network.card


def test_the_same_call_gives_the_same_bits_and_another_seed_others(network):
    runs = [
        finetune.finetune(network, COUNTS, NOTHING, epochs=1, patches=32, learning_rate=4e-3, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert runs[0][1].after == runs[1][1].after
    assert runs[0][1].loss_after == runs[1][1].loss_after
    assert runs[0][1].loss_after != runs[2][1].loss_after
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_is_missing_is_not_looked_at(network):
    results = [
        finetune.finetune(network, np.where(MASK, bad, COUNTS), MASK, epochs=1, patches=32)[1].loss_after
        for bad in (0, 10**9)
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("intensity", "options", "part"),
    [
        (COUNTS[:20], {}, "does not hold a patch"),
        (COUNTS[:40, :40, :40], {}, "too little"),
        (COUNTS // 10**4, {}, "too little"),
        (COUNTS, {"epochs": 0}, "1 to 100 epochs"),
        (COUNTS, {"patches": 0}, "at least one"),
    ],
)
def test_what_cannot_be_learnt_from_is_told(network, intensity, options, part):
    with pytest.raises(BraggfillError) as caught:
        finetune.finetune(network, intensity, np.zeros(intensity.shape, bool), **options)
    assert part in str(caught.value)


# The command --------------------------------------------------------------------------------------------------------


def test_it_learns_and_the_command_keeps_the_network_for_other_scans(tmp_path, monkeypatch, capsys, network):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(finetune.finetune.__kwdefaults__, "learning_rate", 4e-3)  # this network has learnt nothing yet
    np.savez("scan.npz", data=COUNTS, mask=MASK)
    begin = ["inpaint", "scan.npz", "-o", "out.npz", "--network", "net.safetensors", "--device", "cpu"]
    assert main([*begin, "--finetune", "4", "--patches", "192", "--save-network", "own.safetensors"]) == 0
    said = capsys.readouterr().err
    assert "fine-tuned on 192 patches, 4 epochs" in said
    assert "95 % interval" in said
    assert "fine-tuned network: own.safetensors" in said
    card = networks.card("own.safetensors")
    assert card["finetuned_from"] == "net.safetensors"
    assert card["settings"] == CARD["settings"]
    report = card["finetuned"]
    assert report["kept"]
    assert report["gain_low"] > 0
    assert report["after"] > report["before"]
    assert report["loss_after"] < report["loss_before"]
    with np.load("out.npz") as file:
        own = file["data"]
    assert main(["inpaint", "scan.npz", "-o", "other.npz", "--network", "own.safetensors", "--device", "cpu"]) == 0
    with np.load("other.npz") as file:
        np.testing.assert_allclose(file["data"], own, rtol=1e-4)


def _learns_nothing(network, task, plan):
    return trainer.Trained(network.state_dict(), [], 1)


def test_a_network_that_was_not_helped_is_not_written(tmp_path, monkeypatch, capsys, network):
    monkeypatch.chdir(tmp_path)
    np.savez("scan.npz", data=COUNTS, mask=MASK)
    monkeypatch.setattr(finetune.trainer, "fit", _learns_nothing)
    begin = ["inpaint", "scan.npz", "-o", "out.npz", "--network", "net.safetensors", "--device", "cpu"]
    assert main([*begin, "--finetune", "--patches", "40", "--save-network", "own.safetensors"]) == 0
    said = capsys.readouterr().err
    assert "no significant improvement; network unchanged" in said
    assert "own.safetensors is not written" in said
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.safetensors", "out.npz", "scan.npz"]
