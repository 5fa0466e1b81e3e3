"""A training's step as one recording: the same step as without, on a GPU where there is one."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from braggfill.learning import replay
from braggfill.learning.gap import drawn, drawn_training
from braggfill.learning.gap.drawn_options import BufferOptions, DrawnOptions, TrainingOptions

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="a GPU is needed to record what one does")
DRAWING = DrawnOptions(side=32, box=20, size=16)
NOTHING = torch.zeros((1, 16, 16, 16), dtype=torch.int16)


def training(device: str, folder=None, **changes) -> drawn_training.Training:
    own = TrainingOptions(**{"batch": 4, "patches": 4000, "channels": (4, 8), "warm_up": 2} | changes)
    validation = drawn.Patches(NOTHING, NOTHING, torch.ones(1, dtype=torch.bool))
    return drawn_training.Training(folder, own, DRAWING, validation, device)


def batches(number: int, device: str, size: int = 4) -> list[drawn.DrawnBatch]:
    drawer = drawn.PatchDrawer(DRAWING, BufferOptions(objects=2, patterns=2), 1, device)
    objects = torch.rand((2, 20, 20, 20), generator=torch.Generator().manual_seed(1)).to(torch.complex64)
    drawer.put(objects, torch.full((2, 3), 3.0), torch.arange(2))
    drawer.make(2)
    return [drawer.batch(size) for _ in range(number)]


def weights(one: drawn_training.Training) -> torch.Tensor:
    return torch.cat([p.detach().flatten().cpu() for p in one.network.parameters()])


@GPU
@pytest.mark.parametrize("optimiser", ["muon", "adam"])
def test_a_recorded_step_is_the_step(optimiser):
    recorded, plain = (training("cuda", optimiser=optimiser) for _ in range(2))
    plain._step = plain._descend
    some = batches(9, "cuda") + batches(5, "cuda", 6)
    begun = weights(plain)
    for batch in some:
        one, other = recorded.learn(batch), plain.learn(batch)
        torch.testing.assert_close(one, other, rtol=0.02, atol=1e-3)
    moved = (weights(plain) - begun).norm()
    assert moved > 0
    assert (weights(recorded) - weights(plain)).norm() < 0.1 * moved


@GPU
def test_one_that_goes_on_or_back_is_recorded_anew(tmp_path):
    first = training("cuda", tmp_path)
    some = batches(6, "cuda")
    for batch in some:
        first.learn(batch)
    first.curve.append(dict.fromkeys(first.columns, 1.0))
    first.save()
    second = training("cuda", tmp_path)
    second.load()
    saved = weights(first)
    torch.testing.assert_close(weights(second), saved)
    for batch in some:
        first.learn(batch), second.learn(batch)
    moved = (weights(first) - saved).norm()
    assert moved > 0
    assert (weights(second) - weights(first)).norm() < 0.1 * moved
    first.back()
    begun = weights(first)
    for batch in some:
        assert torch.isfinite(first.learn(batch))
    assert (weights(first) - begun).norm() > 0


class Recording:
    """In the place of a CUDA graph: what was done while it was made, done again."""

    made = 0

    def __init__(self):
        type(self).made += 1

    def replay(self):
        self.again()


@pytest.fixture
def recordings(monkeypatch):
    @contextmanager
    def graph(one, capture_error_mode):
        assert capture_error_mode == "thread_local"
        yield

    @contextmanager
    def stream(_):
        yield

    class Stream:
        def wait_stream(self, other):
            assert other is not self

    for name, one in (("CUDAGraph", Recording), ("graph", graph), ("Stream", Stream), ("stream", stream)):
        monkeypatch.setattr(torch.cuda, name, one)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    Recording.made = 0
    return Recording


def test_what_is_recorded_hears_of_every_batch(recordings):
    """With a stand-in for the recording, which repeats what it saw on the tensors that it saw."""
    total, seen = torch.zeros(3), []

    def step(x):
        seen.append(x)
        total.add_(x)
        found = x.sum()
        recordings.again = lambda self: (total.add_(x), found.copy_(x.sum()))
        return found

    one = replay.Replay(step)
    values = [torch.full((3,), float(i)) for i in range(1, 9)]
    losses = [one(x) for x in values]
    # The stand-in's recording is a step itself, of the first batch that is recorded.
    assert total.tolist() == [sum(range(1, 9)) + replay.EAGER + 1] * 3
    assert [float(x) for x in losses] == [3.0 * i for i in range(1, 9)]
    assert recordings.made == 1
    assert len(seen) == replay.EAGER + 1
    assert all(a is b for a, b in zip(seen, values[: replay.EAGER], strict=False))


def test_another_shape_or_what_was_replaced_is_recorded_anew(recordings):
    recordings.again = lambda self: None
    one = replay.Replay(lambda x: x.sum())
    for made, shape in ((1, (3,)), (2, (2,)), (3, (2, 1))):
        for _ in range(replay.EAGER + 2):
            one(torch.ones(shape))
        assert recordings.made == made
    for _ in range(replay.EAGER):
        one.reset()
        one(torch.ones(2, 1))
    assert recordings.made == 3


def test_a_training_on_a_processor_records_nothing():
    one = training("cpu")
    assert not isinstance(one._step, replay.Replay)
    assert all(isinstance(g["lr"], float) for o in one.optimisers for g in o.param_groups)


def test_rates_may_be_tensors():
    """As they are where steps are recorded: the same step."""
    from braggfill.learning import muon

    generator = torch.Generator().manual_seed(1)
    start, gradient = torch.randn(5, 3, generator=generator), torch.randn(5, 3, generator=generator)
    found = []
    for rate in (0.1, torch.tensor(0.1)):
        weight = torch.nn.Parameter(start.clone())
        weight.grad = gradient.clone()
        muon.Muon([weight], rate, weight_decay=0.1).step()
        found.append(weight.detach())
    torch.testing.assert_close(*found)
    assert not torch.equal(found[0], start)


def test_each_optimiser_has_the_rate_that_is_its_own():
    one = training("cpu", rate=1e-3, warm_up=0)
    one.learn(batches(1, "cpu")[0])
    first, second = (o.param_groups[0]["lr"] for o in one.optimisers)
    assert first == pytest.approx(1e-3, rel=1e-3)
    assert second == pytest.approx(one.options.ends * first)
