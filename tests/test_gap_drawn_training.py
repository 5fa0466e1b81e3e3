"""Training the default network of gaps on drawn patches, and what becomes of it when it is disturbed."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import patch_files
import pytest
import torch
from braggfill.errors import BraggfillError
from braggfill.learning import ongoing, trainer
from braggfill.learning.gap import drawn, drawn_training, frames, particles
from braggfill.learning.gap.drawn_options import BufferOptions, DrawnOptions, TrainingOptions
from braggfill.learning.gap.options import of_card
from braggfill.learning.gap.task import GapTask
from braggfill.networks import build, card, load, save
from braggfill.networks.gap.widening import widened
from braggfill.patterns import gaps
from braggfill.weights import shipping
from relaxed_files import write
from torch.utils._python_dispatch import TorchDispatchMode

DRAWING = DrawnOptions(side=32, box=24, size=16, near_peak_radius_voxels=6)
HELD = BufferOptions(objects=8, patterns=8, least_objects=3, least_patterns=4, patches=4)


@pytest.fixture(scope="module")
def relaxed(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("relaxed") / "relax.h5")


def options(**more) -> TrainingOptions:
    return TrainingOptions(
        **({"batch": 4, "patches": 24, "channels": (4, 8), "warm_up": 2, "validation": 5, "least": 1} | more)
    )


def train(folder, relaxed, own=None, **more):
    return drawn_training.train(folder, [relaxed], own or options(), drawing=DRAWING, held=HELD, **more)


@pytest.fixture(scope="module", autouse=True)
def steady():
    """Checkpoints of one step of four patches differ by more than those of minutes do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ongoing, "DIVERGED", 100.0)
        yield


@pytest.fixture(scope="module")
def trained(relaxed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "train"
    train(folder, relaxed, options(minutes=0.0), steps=2)
    return folder, train(folder, relaxed, options(minutes=0.0))


def test_a_training_goes_on_where_it_was_interrupted(trained, relaxed):
    folder, training = trained
    assert training.step == 6
    assert [row["epoch"] for row in training.curve] == [1, 2, 3, 4, 5, 6]
    again = drawn_training.Training(folder, options(), DRAWING, training.validation)
    again.load()
    for name, one in training.tensors().items():
        torch.testing.assert_close(one, again.tensors()[name])
    assert (again.step, again.hours, again.share) == (6, training.hours, 1.0)
    assert train(folder, relaxed).step == 6  # there is nothing left to do


def test_the_folder_is_one_of_the_stage_train(trained):
    """With its history, and a card that names what the weights' own card tells."""
    folder, training = trained
    task = GapTask("braggfill", training.shown, 1, training.validation, training.validation)
    with open(folder / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == trainer.columns(task)
    told = card(folder / "model.safetensors")
    assert told["patches"] == {"train": 24, "validation": 5}
    assert told["patches_seen"] == 24
    assert told["metrics"]["epoch"] == 1
    assert told["metrics"]["val_loss"] == pytest.approx(float(rows[-1]["val_loss"]))
    assert told["uncertainty"] is True
    assert told["device"] == "cpu"
    assert {"torch", "numpy", "braggfill"} <= set(told["versions"])
    assert of_card("braggfill", told) == training.shown
    network = load(folder / "model.safetensors")
    tables = dict.fromkeys(("cases", "true_phase"), ())
    tables |= {"measured": _scores(), "simulated": _scores(), "learning": _table(folder / "history.csv")}
    lines = list(shipping._card("braggfill", network.card, network.card, 1, tables))
    assert "- trained on 24 patches, 24 seen;" in lines
    assert any(line.startswith("| 6 |") for line in lines)


def _table(path):
    import pandas

    return pandas.read_csv(path)


def _scores():
    import pandas

    return pandas.DataFrame(columns=["gap_axis", "selection", "against", "gap_px", "method", "pcc_mean"])


def test_a_checkpoint_is_of_enough_patches(relaxed, tmp_path):
    training = train(tmp_path, relaxed, options(minutes=0.0, patches=20, least=8))
    assert len(training.curve) == 3


def test_learning_lowers_the_loss(relaxed):
    found = particles.find([relaxed])
    validation = drawn.fixed(found, DRAWING, 4, 1)
    batch = next(drawn.stream(found, DRAWING, HELD, 8, 1))
    for optimiser in ("muon", "adam"):
        own = options(rate=5e-3, patches=10**6, optimiser=optimiser)
        training = drawn_training.Training(None, own, DRAWING, validation)
        losses = [float(training.learn(batch)) for _ in range(25)]
        assert losses[-1] < 0.9 * losses[0]


class Waits(TorchDispatchMode):
    """Notes what would wait for a GPU: numbers and places read from tensors, tensors and scalars sent to it."""

    def __init__(self):
        super().__init__()
        self.found, self.names = [], set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.names.add(name)
        sent = name == "where" and len({x.ndim == 0 for x in args}) > 1
        by_mask = name == "index" and any(x is not None and x.dtype == torch.bool for x in args[1])
        if sent or by_mask or name in {"_local_scalar_dense", "nonzero", "_unique2", "masked_select", "lift_fresh"}:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def test_a_step_waits_for_no_device(relaxed, monkeypatch):
    """Told by its operations on the processor."""
    found = particles.find([relaxed])
    drawer = drawn.PatchDrawer(DRAWING, HELD, 1)
    (item,) = islice(particles.Objects(found, DRAWING, 1), 1)
    monkeypatch.setattr(frames, "_done", lambda missing: False)
    training = drawn_training.Training(None, options(), DRAWING, trained_patches())
    training.optimisers = training.optimisers[:1]  # AdamW keeps its numbers of steps on the processor and reads them
    with Waits() as waits:
        drawer.put(*item)
        drawer.make(1)
        training.learn(drawer.batch(4))
    gaps_drawn = ["lift_fresh"] * 3  # begin on the processor, and are sent without waiting
    limits = ["lift_fresh", "_local_scalar_dense"] * 2  # the network's two, numbers of the processor
    clamped = ["where"] * 2  # in the gradient of what is clamped, with a zero that is made on the device
    assert waits.found == gaps_drawn + limits + clamped
    assert {"where", "index", "poisson", "convolution_backward", "_foreach_lerp_"} <= waits.names


def test_a_training_that_diverges_goes_back(relaxed, tmp_path, monkeypatch, capsys):
    learn, calls = drawn_training.Training.learn, []

    def upset(self, batch):
        found = learn(self, batch)
        calls.append(self.step)
        return found + float("nan") if len(calls) == 3 else found

    monkeypatch.setattr(drawn_training.Training, "learn", upset)
    training = train(tmp_path, relaxed, options(minutes=0.0, patches=16))
    assert calls == [1, 2, 3, 3, 4]
    assert training.share == 0.5
    assert "diverged, loss inf: back to step 2" in capsys.readouterr().out


@pytest.mark.parametrize("channels", [(4, 8), (4, 6, 8)])
def test_a_wider_network_computes_the_same(channels):
    torch.manual_seed(1)
    old = build("braggfill", channels=list(channels)).eval()
    with torch.no_grad():
        for weights in old.parameters():  # biases begin with zeros, the output with nearly nothing
            weights.add_(0.05 * torch.randn_like(weights))
    new = widened(old, 20).eval()
    assert new.options == old.options | {"channels": [*channels[:-1], 20]}
    mask = torch.from_numpy(gaps.draw(np.random.default_rng(1), 5).masks())
    values = torch.rand(5, 32, 32, 32) * 6
    with torch.no_grad():
        for one, other in zip(old.predict(values, mask), new.predict(values, mask), strict=True):
            torch.testing.assert_close(one, other)
    new.predict(values, mask)[0].square().mean().backward()
    assert float(new.trunk.narrow[-1].weight.grad[:, channels[-1] :].abs().max()) > 0
    with pytest.raises(BraggfillError, match="give more"):
        widened(old, 3)
    with pytest.raises(BraggfillError, match="cannot be widened"):
        widened(build("braggfill", channels=[4, 8], design="residual"), 20)


def test_a_training_begins_with_a_network_that_was_trained(trained, relaxed, tmp_path, capsys):
    network = trained[0] / "model.safetensors"
    validation = trained[1].validation
    for channels in ((4, 8), (4, 12)):
        training = drawn_training.Training(tmp_path / "new", options(channels=channels), DRAWING, validation)
        training.begin_with(network)
        assert training.before == 24
        values, mask = torch.rand(1, 32, 32, 32), torch.zeros(1, 32, 32, 32, dtype=torch.bool)
        mask[..., 12:15] = True
        with torch.no_grad():
            wanted = load(network).predict(values, mask)
            for one in (training.network, training.average):
                torch.testing.assert_close(one.predict(values, mask), wanted)
    save(tmp_path / "theirs.safetensors", build("braggfill", channels=[4, 8]), {"patches_seen": "many"})
    training.begin_with(tmp_path / "theirs.safetensors")
    assert training.before == 0
    for start in (network, tmp_path / "none.safetensors"):
        given = [str(tmp_path / "new"), "--particles", str(relaxed), "--start", str(start), "--channels", "6,12"]
        validation = patch_files.write(tmp_path / "patches.h5", 8, 1)
        assert drawn_training.main([*given, "--validation", str(validation)]) == 2
        told = capsys.readouterr().err
        assert len(told.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_validation_is_that_of_the_stage_train(trained, relaxed, tmp_path):
    """Patches of the files' validation split, scored by the trainer's own task."""
    file = patch_files.write(tmp_path / "patches.h5", 12, 1)
    training = train(tmp_path / "new", relaxed, validation=[file], steps=1)
    assert len(training.validation) == 3
    task = GapTask("braggfill", training.shown, 1, training.validation, training.validation)
    (batch,) = (task.validation()[i] for i in range(len(task.validation())))
    with torch.no_grad():
        step = task.loss(load(tmp_path / "new" / "model.safetensors"), batch, {})
    row = training.curve[-1]
    assert row["val_loss"] == pytest.approx(float(step.loss), rel=1e-4)
    assert {name: pytest.approx(float(mean), rel=1e-4) for name, mean, _ in step.scores()}.items() <= row.items()
    with pytest.raises(BraggfillError, match=r"no validation patch in .*train\.h5"):
        train(tmp_path / "other", relaxed, validation=[patch_files.write(tmp_path / "train.h5", 4, 1, split=0)])
    drawing = replace(DRAWING, size=32)
    with pytest.raises(BraggfillError, match=r"patches\.h5: patches of \(16, 16, 16\)"):
        drawn_training.train(tmp_path / "other", [relaxed], options(), drawing=drawing, held=HELD, validation=[file])


def test_particles_for_the_test_are_never_trained_on(tmp_path, monkeypatch):
    path = write(tmp_path / "many.h5", 40, 1)
    used = []

    def stop(found, *_, **__):
        used.extend(found)
        raise BraggfillError("enough")

    monkeypatch.setattr(drawn, "fixed", lambda found, *_: used.append(found) or trained_patches())
    monkeypatch.setattr(drawn, "stream", stop)
    with pytest.raises(BraggfillError, match="enough"):
        train(tmp_path / "new", path)
    validation, *training = used
    assert {one.split for one in training} == {0}
    assert {one.split for one in validation} == {1}
    none = (0.5, 0.0, 0.5)
    held = [one.name for one in particles.find([path], none) if one.split == 2]
    assert len(held) == 20


def trained_patches():
    nothing = torch.zeros((1, 16, 16, 16), dtype=torch.int16)
    return drawn.Patches(nothing, nothing, torch.ones(1, dtype=torch.bool))


@pytest.mark.parametrize(
    "wrong",
    [
        ["--batch", "0"], ["--patches", "3"], ["--rate", "nan"], ["--realistic", "1.5"], ["--seconds", "0"],
        ["--average", "1"], ["--minutes", "-1"], ["--workers", "0"], ["--threads", "0"], ["--device", "banana"],
        ["--optimiser", "best"], ["--channels", "3;4"], ["--split-train", "0.2"], ["--seed", "-1"], ["--warm-up", "-1"],
        ["--particles", "none.h5"], ["--validation", "none.h5"], ["--device", "cuda:99"],
    ],
)  # fmt: skip
def test_options_out_of_bounds_are_told(wrong, relaxed, tmp_path, capsys):
    assert drawn_training.main([str(tmp_path / "new"), "--particles", str(relaxed), *wrong]) == 2
    told = capsys.readouterr().err
    assert wrong[1] if "h5" in wrong[1] else wrong[0] in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_damaged_state_is_told(trained, relaxed, tmp_path):
    (tmp_path / "state.safetensors").write_bytes(b"nothing")
    with pytest.raises(BraggfillError, match=r"state\.safetensors: damaged"):
        train(tmp_path, relaxed)
    (tmp_path / "state.safetensors").write_bytes((trained[0] / "state.safetensors").read_bytes())
    with pytest.raises(BraggfillError, match="damaged, or of another network"):
        train(tmp_path, relaxed, options(channels=(4, 10)))
