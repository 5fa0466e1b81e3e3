"""Runs of every engine are judged in one way: with the faint rim that a support cuts off."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from braggfill.phasing import coherence, convex, cycling, engines, free, judging, modes, verdict
from braggfill.phasing.context import Context
from braggfill.phasing.pattern import prepare
from braggfill.phasing.recipe import Recipe, Schedule
from braggfill.phasing.strategy import Search
from braggfill.physics import align, fourier
from convex_helpers import counted, crystal

PYNX = pytest.param(
    "pynx",
    marks=[pytest.mark.pynx, pytest.mark.skipif(importlib.util.find_spec("pynx") is None, reason="needs PyNX")],
)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return crystal()


@pytest.fixture(scope="module")
def given(truth):
    return prepare(counted(truth, 1e6), seed=1).centred()


def judged(given, obj) -> float:
    """Free log-likelihood of an object as it is, without its rim."""
    return free.likelihood(given.intensity[given.free], np.abs(fourier.forward(obj))[given.free] ** 2)


@pytest.mark.parametrize("name", ["auto", "projections", "convex", PYNX])
def test_a_right_object_fits_whichever_engine_found_it(name, truth, given, monkeypatch):
    monkeypatch.setenv("PYNX_PU", "cpu")
    monkeypatch.setattr(convex, "STARTS", 4)
    for runs in engines.engine(name)(given, Recipe(), Context(seed=1, threads=1)):
        best = runs[0]
        if align.align(best.obj, truth, np.abs(truth) > 0.5).correlation > 0.99:
            break
    else:
        pytest.fail("not found")
    assert not best.obj[~best.support].any()
    expected = free.expected_likelihood((np.abs(fourier.forward(best.obj)) ** 2)[given.free])
    assert best.llk_free < verdict.FITS * expected
    assert best.llk_free < judged(given, best.obj)
    assert all(run.llk_free > 2 * best.llk_free for run in runs if modes.correlation(run.obj, truth, truth != 0) < 0.9)


def test_an_object_is_judged_with_its_rim_and_stays_as_it_is(truth, given):
    inside = np.abs(truth) > 0.2
    small = inside & np.roll(inside, 1, 0)
    obj = np.where(small, truth, 0)
    obj = (obj * np.sqrt(given.photons / (np.abs(obj) ** 2).sum())).astype(np.complex64)
    before = obj.copy()
    turned = np.exp(2j * np.pi * np.random.default_rng(1).random(truth.shape))
    wrong = (obj * turned).astype(np.complex64)
    context = Context(seed=1, threads=1)
    cut, other, none = judging.of_objects(given, [(obj, small), (wrong, small), (0 * obj, small)], context)
    np.testing.assert_array_equal(obj, before)
    assert cut[0] < judged(given, obj) / 4
    assert other[0] > 5 * cut[0]
    assert none == judging.NONE
    assert context.cycles == 2 * judging.RIM_CYCLES
    assert judging.of_objects(given, [(obj, small)], Context(seed=2, threads=2))[0] == cut


def test_no_start_is_no_run_on_every_device():
    """A round may begin with no start of a kind, as one without a network does."""
    elsewhere = SimpleNamespace(device=SimpleNamespace(type="cuda"))
    assert cycling.cycle(elsewhere, [], Recipe().coarse, Recipe()) == []


def test_a_run_that_did_not_get_better_is_not_taken_through_the_same_again(given):
    """It would end in the same bits."""
    quick = Schedule((("RAAR", 20),), 10, (1.0, 0.8), 0.2)
    recipe = Recipe(long=quick, finer=quick, settle=replace(quick, rim_cycles=10))
    context = Context(seed=1, threads=1)
    search = Search(given, recipe, context)
    search.looked_for_blur = True
    runs = search._round("long", [])
    before = context.cycles
    again = search._round("further", runs)
    spent = context.cycles - before
    assert [one.start for one in again] == [one.start for one in runs]
    assert search._round("further", runs) == []  # as if none of them had got better
    assert context.cycles == before + spent
    further = search._round("further", again)  # as if all had
    assert [one.cycles for one in further] == [one.cycles + spent // len(again) for one in again]


def test_a_blur_is_taken_only_if_it_fits_better_than_as_many_cycles_without(given, monkeypatch):
    """An object that is not there yet fits better after any cycles, with a blur that the pattern does not have, too."""
    monkeypatch.setattr(coherence, "estimate", lambda *_, **__: coherence.Blur((0.4, 0.4, 0.4)))
    quick = Schedule((("RAAR", 20),), 10, (1.0, 0.8), 0.2)
    search = Search(given, Recipe(long=quick, finer=quick), Context(seed=1, threads=1))
    level = search.levels[-1]
    begun = search.starts(level, 2)
    done = search._cycle(level, begun, replace(quick, stages=(("ER", 2),), er_cycles=0))
    before = min(level.misfit(one.model) for one in done)
    after = search._look_for_blur(level, begun, done)
    assert search.looked_for_blur
    assert level.blurred is None
    assert len(after) == 2
    assert sum(new is old for new, old in zip(after, done, strict=True)) == 1
    assert min(level.misfit(one.model) for one in after) < coherence.GAIN * before
    assert search._look_for_blur(level, begun, done) is done


def test_a_blur_that_the_pattern_has_is_taken(given, monkeypatch):
    wide = coherence.Blur((0.9, 0.9, 0.9))
    photons = np.random.default_rng(3).poisson(coherence.blurred(given.intensity, wide))
    pattern = replace(given, intensity=np.where(given.known, photons, 0).astype(np.float32))
    monkeypatch.setattr(coherence, "estimate", lambda *_, **__: wide)
    quick = Schedule((("RAAR", 60),), 20, (1.0, 0.8), 0.2)
    search = Search(pattern, Recipe(long=quick, finer=quick), Context(seed=1, threads=1))
    level = search.levels[-1]
    begun = search.starts(level, 2)
    after = search._look_for_blur(level, begun, search._cycle(level, begun, quick))
    assert level.blurred == wide
    assert [one.cycles for one in after] == [one.cycles for one in after if one.cycles > quick.cycles]
