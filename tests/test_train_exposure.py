"""Patches are seen in other exposures, with counts drawn afresh, and always the same ones for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from braggfill.learning.gap.data import Batches, load
from braggfill.learning.gap.task import expose
from braggfill.runs import storage
from braggfill.settings.train import TrainSettings
from braggfill.stages.train import train
from patch_files import chosen
from pydantic import ValidationError

RATE = 7.0
OPTIONS = {"channels": (4, 8), "batch_size": 8, "threads": 1, "device": "cpu", "brightness_exponent": (-1.0, 2.0)}


def flat(number: int, value: float) -> torch.Tensor:
    return torch.full((number, 24, 24, 24), float(np.log1p(value)))


@pytest.fixture
def files(tmp_path):
    """Simulated patches, whose expectation is known, and measured ones, whose isn't."""
    rng = np.random.default_rng(3)
    found = []
    for name, known in (("simulated", True), ("measured", False)):
        rate = rng.uniform(1, 50, (12, 16, 16, 16)).astype(np.float32)
        found.append(tmp_path / f"{name}.h5")
        with storage.create(found[-1], source=name) as file:
            file["counts"] = rng.poisson(rate).astype(np.uint32)
            file["expectation"] = rate if known else np.full(rate.shape, np.nan, np.float32)
            file["split"] = (np.arange(12) % 4 == 3).astype(np.uint8)
    return found


@pytest.mark.parametrize("factor", [0.1, 1.0, 30.0])
def test_the_counts_are_poisson_around_the_brighter_expectation(factor):
    counted, truth = expose(flat(2, 0), flat(2, RATE), torch.full((2,), float(np.log(factor))), 5)
    drawn = torch.expm1(counted).double()
    assert torch.allclose(torch.expm1(truth), torch.tensor(RATE * factor), rtol=1e-5)
    number = drawn.numel()
    assert drawn.mean().item() == pytest.approx(RATE * factor, abs=5 * np.sqrt(RATE * factor / number))
    assert drawn.var().item() == pytest.approx(RATE * factor, rel=0.1)
    assert torch.allclose(drawn, drawn.round(), atol=1e-3)


def test_patches_of_unknown_expectation_stay_as_they_are():
    brightness = torch.tensor([float("nan"), 1.0])
    counted, truth = expose(flat(2, 4), flat(2, RATE), brightness, 5)
    assert torch.equal(counted[0], flat(1, 4)[0])
    assert torch.equal(truth[0], flat(1, RATE)[0])
    assert not torch.equal(truth[1], flat(1, RATE)[0])


def test_only_patches_of_known_expectation_are_relit(files):
    settings = chosen(**OPTIONS)
    learning, checking = load(files, settings)
    assert learning.known.sum() == 9
    batches = Batches(learning, settings, 1, 0)
    for k, item in enumerate(batches):
        known = learning.known[batches.order[k * 8 : (k + 1) * 8]]
        assert torch.equal(torch.isfinite(item["brightness"]), known)
        inside = item["brightness"][known] / np.log(10)
        assert ((inside >= -1) & (inside <= 2)).all()
    assert torch.isnan(next(iter(Batches(checking, settings, 1, None)))["brightness"]).all()


def test_each_epoch_and_batch_draws_its_own_counts_and_again_the_same(files):
    settings = chosen(**OPTIONS)
    learning, _ = load(files, settings)
    noise = [item["noise"] for epoch in (0, 1) for item in Batches(learning, settings, 1, epoch)]
    assert len(set(noise)) == len(noise)
    assert noise[:3] == [item["noise"] for item in Batches(learning, settings, 1, 0)]


def test_counts_as_they_are_when_the_target_is_the_counts(files):
    learning, _ = load(files, chosen(**OPTIONS, target="counts"))
    assert not learning.known.any()


def test_a_training_in_many_exposures_is_the_same_each_time(files, tmp_path):
    weights = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        options = TrainSettings(**OPTIONS, epochs=2)
        train(options, 1, files, folder / "model.safetensors", folder / "history.csv", folder / "work", code="c0de")
        weights.append((folder / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_the_smaller_exponent_comes_first():
    with pytest.raises(ValidationError, match="smaller one comes first"):
        TrainSettings(brightness_exponent=(2.0, -1.0))
