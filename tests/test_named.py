"""Starts that are not random: a network's objects beside random ones, judged by the same figure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.networks.phase.braggphase import Braggphase
from braggfill.phasing import named, predicted
from braggfill.phasing.context import Context
from braggfill.phasing.pattern import crop, prepare
from braggfill.phasing.phase import phase_pattern
from braggfill.phasing.recipe import Recipe, Schedule
from braggfill.phasing.score import accuracy
from braggfill.phasing.strategy import Search
from braggfill.physics import align, crystals, fourier
from phasing_objects import counted

SMALL = {"channels": (4, 6, 8), "blocks": 1, "heads": 2}
QUICK = Recipe(
    long=Schedule((("HIO", 60), ("RAAR", 40)), 10, (1.5, 0.6), 0.2),
    finer=Schedule((("RAAR", 40),), 20, (1.0, 0.6), 0.2),
    coarse=Schedule((("HIO", 60), ("RAAR", 40)), 10, (1.5, 0.6), 0.2),
    coarse_starts=2,
    kept=2,
    rounds=1,
)


class Made:
    """An object as a network's prediction is one."""

    def __init__(self, obj):
        self.obj = obj

    def amplitude(self, shape):
        return crop(fourier.forward(self.obj), shape)


class Knows:
    """A network that knows the phase of an amplitude in a pattern's middle, and is told how it is turned."""

    size = 32

    def __init__(self, amplitude, blurred=0.0):
        n = amplitude.shape[0]
        part = slice(n // 2 - 16, n // 2 + 17)
        self.wide = np.pad(amplitude, [(0, 1)] * 3, "wrap")[part, part, part]
        self.noise = blurred

    def predict(self, log_intensity, mask):
        kept = (slice(32),) * 3
        rng = np.random.default_rng(0)
        found = []
        turned = [
            np.flip(np.transpose(self.wide, axes), flips)[kept]
            for axes, flips in (predicted.ORIENTATIONS[(i * predicted.STRIDE) % 48] for i in range(predicted.TURNS))
        ]
        for one in log_intensity.numpy():  # how it is turned is told by what it looks like
            like = [np.corrcoef(one.ravel(), np.log1p(abs(seen) ** 2).ravel())[0, 1] for seen in turned]
            i = int(np.argmax(like))
            seen = turned[i]
            sign, constant = (-1) ** i, rng.uniform(0, 6)
            found.append(sign * np.angle(seen) + constant + self.noise * rng.normal(size=seen.shape))
        return torch.from_numpy(np.stack(found)), torch.full((len(found), 32, 32, 32), 30.0, dtype=torch.float64)


def test_what_a_network_expects_does_not_depend_on_threads(strained):
    """The convolutions of the whole network are summed in another order by each number of them."""
    network = networks.build("braggphase").eval()
    given = prepare(strained[1], seed=1).centred()
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(named.of_network(network, given, threads=threads))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(found[0]) == named.HYPOTHESES
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.source.obj, other.source.obj)


@pytest.fixture(scope="module")
def strained():
    made = crystals.draw_object(np.random.default_rng(5), (48, 48, 48), kind="gaussians", oversampling=2.6, range=9.0)
    return made, counted(made, 1e6)[0]


def test_turned_predictions_are_brought_together_whatever_their_signs_and_constants(strained):
    made, counts = strained
    amplitude = fourier.forward(made)
    one, many = (predicted.predict(Knows(amplitude, 1.0), counts, oversampling=(2.6,) * 3, turns=t) for t in (1, 8))
    clean = predicted.predict(Knows(amplitude), counts, oversampling=(2.6,) * 3, turns=8)
    assert accuracy(clean.obj, made) > 0.9
    assert accuracy(many.obj, made) > accuracy(one.obj, made) + 0.02
    assert np.abs(many.phasors).max() <= 1
    several = predicted.predictions(Knows(amplitude, 1.0), counts, oversampling=(2.6,) * 3, turns=4, number=3)
    assert len(several) == 3
    assert abs(np.vdot(several[1].phasors, several[2].phasors)) < abs(np.vdot(several[1].phasors, several[1].phasors))


def test_a_start_that_is_right_arrives_and_random_ones_do_not_displace_it(strained):
    made, counts = strained
    network = Knows(fourier.forward(made), 0.5)
    found = phase_pattern(counts, network=network, start="network", recipe=QUICK, threads=1)
    assert {run.origin for run in found.runs} == {"network"}
    assert accuracy(found.obj, made) > 0.9
    both = phase_pattern(counts, network=network, recipe=QUICK, threads=1)
    assert both.llk_free == min(run.llk_free for run in both.runs)
    assert "network" in {run.origin for run in both.runs}


def test_random_starts_are_the_same_with_a_network_beside_them(strained):
    """A network changes no random start: the same numbers are drawn."""
    _, counts = strained
    pattern = prepare(counts).centred()
    given = (named.Named("network", Made(counts + 0j)),)
    plain, beside = (Search(pattern, QUICK, Context(named=n)) for n in ((), given))
    for one, other in zip(plain.starts(plain.levels[0], 2), beside.starts(beside.levels[0], 2), strict=True):
        np.testing.assert_array_equal(one.obj, other.obj)
        assert one.number == other.number


def test_what_a_network_saw_comes_first_and_by_itself_where_nothing_else_is_wanted(strained):
    """On the finest array that is not too large: a coarse one loses the strain."""
    made, counts = strained
    pattern, given = prepare(counts).centred(), (named.Named("network", Made(made)),)
    search = Search(pattern, replace(QUICK, rounds=3), Context(named=given))
    assert search._kinds() == ["network", "further", "coarse", "further", "coarse"]
    (first,) = next(search.rounds())
    assert first.origin == "network"
    assert first.obj.shape == counts.shape
    assert accuracy(first.obj, made) > 0.98
    alone = Search(pattern, replace(QUICK, rounds=3), Context(named=given, random=False))
    assert alone._kinds() == ["network", "further", "further"]
    assert [len(runs) for runs in alone.rounds()] == [1, 1, 1]
    assert Search(pattern, QUICK, Context())._kinds() == ["coarse"]


def test_the_network_does_not_see_what_judges_it(strained):
    _, counts = strained
    pattern = prepare(counts).centred()

    class Watches(Braggphase):
        seen = ()

        def predict(self, log_intensity, mask):
            self.seen = (*self.seen, *mask.numpy())
            return super().predict(log_intensity, mask)

    network = Watches(**SMALL)
    named.of_network(network, pattern, 1)
    part = (slice(24 - 16, 24 + 16),) * 3
    assert len(network.seen) == predicted.TURNS
    assert (network.seen[0] | ~pattern.free[part]).all()


def test_what_is_asked_for_is_checked(tmp_path):
    file = tmp_path / "gap.safetensors"
    networks.save(file, networks.build("braggfill", channels=(2, 2)))
    for given in ((file, "auto"), (file, "random")):
        with pytest.raises(BraggfillError, match="predicts no phases"):
            named.file(*given)
    with pytest.raises(BraggfillError, match="no such file"):
        named.file(tmp_path / "none.safetensors")
    with pytest.raises(BraggfillError, match="'best' is none of"):
        named.file(None, "best")
    good = tmp_path / "phase.safetensors"
    networks.save(good, Braggphase(**SMALL))
    assert named.file(good) == good
    assert named.file(good, "random") is None
    assert named.network(good).name == "braggphase"
    with pytest.raises(BraggfillError, match="takes a network"):
        phase_pattern(np.ones((16, 16, 16)), start="network")
    with pytest.raises(BraggfillError, match="takes a network"):
        phase_pattern(np.ones((16, 16, 16)), start="network", network=Braggphase(**SMALL), engine="convex")


def test_an_object_on_a_coarse_array_lies_where_the_pattern_has_it(strained):
    made, counts = strained
    pattern = prepare(counts).centred()
    level = Search(pattern, QUICK, Context()).levels[0]
    assert level.shape < pattern.shape
    inside = np.ones(level.shape, bool)
    start = named.on_level([named.Named("network", Made(made))], level.shape, level.window, inside, 0.2, 0)[0]
    shown = np.abs(fourier.forward(start.obj))
    expected = level.window * np.sqrt(level.intensity)
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.98
    assert align.align(start.obj, start.obj).correlation == pytest.approx(1)
