"""Training learns, can be killed at any moment, and depends on nothing but its settings, seed and patches."""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.learning.gap.data import load
from braggfill.learning.gap.options import options
from braggfill.learning.gap.task import GapTask
from braggfill.learning.schedule import cosine_rate, plateau_rate
from braggfill.patterns import gaps
from braggfill.runs import storage
from braggfill.settings.train import GapSettings, TrainSettings
from braggfill.stages.train import train
from patch_files import fringes, write
from pydantic import ValidationError

QUICK = {"channels": (4, 8), "batch_size": 8, "threads": 1, "device": "cpu"}


def run(settings: TrainSettings, files: list[Path], folder: Path, seed: int = 1, work: Path | None = None):
    """Train and return metadata, weights and history."""
    folder.mkdir(exist_ok=True)
    names = folder / "model.safetensors", folder / "history.csv"
    found = train(settings, seed, files, *names, work or folder / "work", code="c0de")
    with open(names[1], newline="") as file:
        return found, names[0].read_bytes(), list(csv.DictReader(file))


def test_it_learns_what_interpolation_cannot(tmp_path):
    files = [write(tmp_path / "a.h5", 160, 1, split=0), write(tmp_path / "b.h5", 32, 2, split=1)]
    settings = TrainSettings(
        channels=(16, 24), batch_size=8, epochs=7, threads=1, learning_rate=2e-3, device="cpu",
        gap=GapSettings(width_px=(4, 4), cross_fraction=0, dead_fraction=0),
    )  # fmt: skip
    found, _, rows = run(settings, files, tmp_path / "out")
    assert float(rows[-1]["val_pcc"]) > float(rows[-1]["linear_pcc"]) + 0.05
    assert float(rows[-1]["val_loss"]) < 0.8 * float(rows[0]["val_loss"])
    best = rows[int(found["metrics"]["epoch"]) - 1]
    assert found["metrics"]["val_pcc"] == pytest.approx(float(best["val_pcc"]), 1e-4)
    # The network as it is used, on a pattern that it has not seen: better than interpolation, and honest about it.
    network = networks.load(tmp_path / "out" / "model.safetensors")
    logs = torch.from_numpy(np.log1p(np.random.default_rng(5).poisson(fringes(16, 3)))).float()
    mask = torch.from_numpy(gaps.plane((16, 16, 16), 4))[None].expand(16, -1, -1, -1)
    with torch.inference_mode():
        mean, log_variance = network.predict(logs, mask)
    from braggfill.networks.gap.bridge import bridge

    error, plain = (mean - logs)[mask], (bridge(logs, mask) - logs)[mask]
    assert error.square().mean() < 0.85 * plain.square().mean()
    pull = error / torch.exp(0.5 * log_variance[mask])
    assert 0.5 < float(pull.square().mean().sqrt()) < 2


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_resumed_training_ends_with_the_same_bits(tmp_path, schedule):
    files = [write(tmp_path / "a.h5", 20, 1)]
    settings = TrainSettings(**QUICK, epochs=4, schedule=schedule)
    whole = run(settings, files, tmp_path / "whole")
    work = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        _interrupted(settings, files, work, after=2)
    assert len(list(work.glob("*.ckpt"))) == 1
    resumed = run(settings, files, tmp_path / "resumed", work=work)
    assert resumed[1] == whole[1]
    assert [{**row, "seconds": ""} for row in resumed[2]] == [{**row, "seconds": ""} for row in whole[2]]


def _interrupted(settings: TrainSettings, files: list[Path], work: Path, after: int) -> None:
    """Stop in the middle of the epoch that follows ``after`` whole ones."""
    from braggfill.learning.progress import Progress

    original, steps = Progress.on_train_batch_end, []

    def stop(self, *arguments):
        original(self, *arguments)
        steps.append(1)
        if len(self.rows) == after:
            raise KeyboardInterrupt

    Progress.on_train_batch_end = stop
    try:
        train(settings, 1, files, work / "never.safetensors", work / "never.csv", work, code="c0de")
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        Progress.on_train_batch_end = original
    raise KeyboardInterrupt  # Lightning ends an interrupted fit quietly in some versions


def test_a_training_that_was_killed_goes_on(tmp_path):
    """With SIGKILL, in a process of its own, at a moment that nobody chose."""
    write(tmp_path / "a.h5", 20, 1)
    script = (
        "import sys; from pathlib import Path; from braggfill.stages.train import train;"
        "from braggfill.settings.train import TrainSettings; p = Path(sys.argv[1]);"
        "train(TrainSettings.model_validate_json(sys.argv[2]), 1, [p / 'a.h5'], p / 'k.safetensors', p / 'k.csv',"
        " p / 'work', code='c0de')"
    )
    settings = TrainSettings(**QUICK, epochs=200)
    command = [sys.executable, "-c", script, str(tmp_path), settings.model_dump_json()]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        deadline = time.monotonic() + 300
        while not list((tmp_path / "work").glob("*.ckpt")) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    (checkpoint,) = (tmp_path / "work").glob("*.ckpt")
    state = torch.load(checkpoint, weights_only=True)
    assert state["callbacks"]["Progress"]["rows"]
    assert not (tmp_path / "k.safetensors").exists()


def test_the_seed_and_nothing_else_decides(tmp_path):
    files = [write(tmp_path / "a.h5", 12, 1)]
    settings = TrainSettings(**QUICK, epochs=1)
    one = run(settings, files, tmp_path / "one")[1]
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    assert run(settings, files, tmp_path / "two")[1] == one
    assert run(settings, files, tmp_path / "three", seed=2)[1] != one


@pytest.mark.parametrize("change", [{"seed": 2}, {"learning_rate": 5e-4}, {"patches": 13}])
def test_the_checkpoint_of_another_training_is_not_taken_up(tmp_path, change):
    number = change.pop("patches", 12)
    seed = change.pop("seed", 1)
    work = tmp_path / "work"
    run(TrainSettings(**QUICK, epochs=1), [write(tmp_path / "a.h5", 12, 1)], tmp_path / "one", work=work)
    (before,) = work.glob("*.ckpt")
    settings = TrainSettings(**{**QUICK, **change}, epochs=1)
    files = [write(tmp_path / "b.h5", number, 1)]
    shared = run(settings, files, tmp_path / "two", seed=seed, work=work)[1]
    assert shared == run(settings, files, tmp_path / "three", seed=seed)[1]
    (after,) = work.glob("*.ckpt")
    assert after != before


def test_a_damaged_checkpoint_is_passed_over(tmp_path, capsys):
    files = [write(tmp_path / "a.h5", 12, 1)]
    settings = TrainSettings(**QUICK, epochs=1)
    work = tmp_path / "work"
    one = run(settings, files, tmp_path / "one", work=work)[1]
    (checkpoint,) = work.glob("*.ckpt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert run(settings, files, tmp_path / "two", work=work)[1] == one
    assert "cannot be read" in capsys.readouterr().err


def test_a_finished_training_is_not_done_again(tmp_path):
    files = [write(tmp_path / "a.h5", 12, 1)]
    settings = TrainSettings(**QUICK, epochs=2)
    one = run(settings, files, tmp_path / "one", work=tmp_path / "work")
    again = run(settings, files, tmp_path / "two", work=tmp_path / "work")
    assert again[1] == one[1]
    assert again[2] == one[2]  # seconds, too


def test_the_published_network_trains_with_the_published_loss(tmp_path):
    expected = np.repeat(np.repeat(fringes(4, 1), 2, axis=1), 2, axis=2).repeat(2, axis=3)
    with storage.create(tmp_path / "a.h5") as file:
        file["counts"], file["expectation"] = expected.astype(np.uint32), expected
        file["split"] = np.array([0, 0, 0, 1], np.uint8)
    settings = TrainSettings(network="paper", epochs=1, batch_size=3, threads=1, device="cpu")
    found, _, rows = run(settings, [tmp_path / "a.h5"], tmp_path / "out")
    assert math.isfinite(float(rows[0]["train_loss"]))
    assert not found["uncertainty"]
    card = networks.card(tmp_path / "out" / "model.safetensors")
    assert card["network"] == "paper"


def test_the_presets():
    paper, own = (options(name, TrainSettings(network=name).model_dump()) for name in ("paper", "braggfill"))
    weights = paper.loss
    assert weights == {"mse": 0, "amplitude": 0, "nll": 0, "mae": 1, "ssim": 1, "gradient": 1}
    assert own.loss == {"mse": 1, "amplitude": 1, "nll": 0.1}
    assert paper.gap.style == "paper"
    assert paper.gap.cross_fraction == own.gap.cross_fraction == 0.2
    assert paper.gap.width_px[0] == paper.gap.width_px[1]
    assert own.gap.width_px == (1, 16)
    assert (paper.schedule, own.schedule) == ("plateau", "cosine")
    chosen = TrainSettings(network="paper", gap=GapSettings(style="paper", width_px=(9, 9)), loss={})
    chosen = options("paper", chosen.model_dump())
    assert chosen.gap.width_px == (9, 9)
    assert chosen.loss == own.loss
    assert options("paper", json.loads(json.dumps(asdict(paper)))) == paper
    assert TrainSettings(loss={"amplitude": 8, "ssim": 1}).loss == own.loss | {"amplitude": 8, "ssim": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"channels": (8,)},
        {"network": "unet"},
        {"learning_rate": 1.0},
        {"gap": {"width_px": (9, 3)}},
        {"loss": {"mse": 0, "amplitude": 0}},
        {"loss": {"psnr": 1}},
        {"loss": {"mse": -1}},
    ],
    ids=str,
)
def test_settings_out_of_bounds_are_told(wrong):
    with pytest.raises(ValidationError):
        TrainSettings(**wrong)


def test_the_metadata_say_what_made_the_model(tmp_path):
    files = [write(tmp_path / "a.h5", 16, 1)]
    settings = TrainSettings(**QUICK, epochs=2)
    found, _, rows = run(settings, files, tmp_path / "out", seed=7)
    card = networks.card(tmp_path / "out" / "model.safetensors")
    assert TrainSettings(**card["settings"]) == settings
    assert (card["seed"], card["code"]) == (7, "c0de")
    assert card["patches"] == {"train": 12, "validation": 4}
    assert card["patches_seen"] == 12 * card["metrics"]["epoch"]
    assert card["versions"]["torch"] == torch.__version__
    assert list(rows[0]) == ["epoch", "train_loss", "val_loss", "val_pcc", "linear_pcc", "learning_rate", "seconds"]
    assert json.dumps(found)
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert card["metrics"]["epoch"] == int(best["epoch"])


def test_a_shipped_network_can_be_trained_further(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "WEIGHTS", tmp_path / "weights")
    (tmp_path / "weights").mkdir()
    files = [write(tmp_path / "a.h5", 16, 1)]
    further = TrainSettings(**QUICK, epochs=1, first_weights="shipped", learning_rate=1e-9)
    with pytest.raises(BraggfillError, match=r"first_weights: no weights of braggfill"):
        run(further, files, tmp_path / "none")
    first, weights, _ = run(TrainSettings(**QUICK, epochs=1), files, tmp_path / "one")
    (tmp_path / "weights/braggfill.safetensors").write_bytes(weights)
    found, _, _ = run(further, files, tmp_path / "two")
    assert found["patches_seen"] == first["patches_seen"] + 12
    one, two = (networks.load(tmp_path / name / "model.safetensors").state_dict() for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-6, rtol=0)
    with pytest.raises(BraggfillError, match=r"first_weights: the shipped network is .* make them equal"):
        run(further.model_copy(update={"channels": (4, 12)}), files, tmp_path / "three")


def test_a_further_training_draws_no_epoch_again(tmp_path):
    from types import SimpleNamespace

    from braggfill.learning.progress import Loaders

    chosen = options("braggfill", TrainSettings(**QUICK).model_dump())
    task = GapTask("braggfill", chosen, 1, *load([write(tmp_path / "a.h5", 16, 1)], chosen))
    orders = []
    for earlier in (0, 2):
        loaders = Loaders(task, earlier)
        loaders.trainer = SimpleNamespace(current_epoch=2 - earlier, global_rank=0, world_size=1)
        orders.append(loaders.train_dataloader().dataset)
    assert np.array_equal(orders[0].order, orders[1].order)
    assert orders[0].noise == orders[1].noise
    loaders.trainer.current_epoch = 1
    assert loaders.train_dataloader().dataset.noise != orders[0].noise


def test_with_no_validation_patch_the_last_epoch_is_kept(tmp_path):
    files = [write(tmp_path / "a.h5", 12, 1, split=0)]
    found, _, rows = run(TrainSettings(**QUICK, epochs=2), files, tmp_path / "out")
    assert found["metrics"]["epoch"] == 2
    assert rows[0]["val_loss"] == rows[0]["val_pcc"] == ""


def test_the_cosine_rises_falls_and_ends_at_nothing():
    rates = [cosine_rate(1e-3, step, 1000) for step in range(1000)]
    assert max(rates) == pytest.approx(1e-3)
    assert rates[0] < 1e-4
    assert rates.index(max(rates)) < 40
    assert rates[-1] < 1e-8
    assert all(a >= b for a, b in itertools.pairwise(rates[40:]))
    assert cosine_rate(1e-3, 0, 1) > 0


def test_the_plateau_is_the_published_one():
    falling = list(np.linspace(1, 0.1, 20))
    assert plateau_rate(1e-3, falling) == 1e-3
    stuck = [0.5] * 4
    assert plateau_rate(1e-3, [0.5, *stuck[:3]]) == 1e-3
    assert plateau_rate(1e-3, [0.5, *stuck]) == pytest.approx(1.5e-4)
    assert plateau_rate(1e-3, [0.5, *stuck, 0.4, *[0.4] * 4]) == pytest.approx(2.25e-5)
    assert plateau_rate(1e-3, [0.5] * 100) == pytest.approx(1e-6)
