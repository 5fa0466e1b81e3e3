"""Laws of fixed recipes: what a missing voxel's weight does, and that the engines agree about it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.filling import Filled, trust
from braggfill.phasing import convex_single, fixed, gap, pattern, pynx, single
from braggfill.phasing.convex_recipe import ConvexRecipe, Step
from braggfill.physics import align, fourier
from braggfill.runs import external
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

SHAPE = (32, 32, 32)
SHORT = single.Recipe(hio_cycles=40, raar_cycles=40, late_cycles=20, er_cycles=20, support_period=20)
ENGINES = [
    fixed,
    pytest.param(pynx, marks=pytest.mark.skipif(not external.have_pynx(), reason="PyNX is not installed")),
]
photons = arrays.arrays(np.float64, (3, 4, 5), elements=st.floats(0, 1e6))
engines = pytest.mark.parametrize("engine", ENGINES, ids=["projections", "pynx"])


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    z, y, x = fourier.grid(SHAPE)
    inside = ((z / 4) ** 2 + (y / 3.8) ** 2 + (x / 4.2) ** 2 < 1) & (x + 0.7 * y < 3) & (z - 0.4 * x > -3)
    obj = inside * np.exp(1j * (0.03 * z**2 + 0.05 * y * x))
    return obj * 1e3 / np.abs(fourier.forward(obj)).max()


@pytest.fixture(scope="module")
def counts(truth) -> np.ndarray:
    return np.random.default_rng(4).poisson(np.abs(fourier.forward(truth)) ** 2).astype(float)


@pytest.fixture(scope="module")
def missing() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[:, 20:23] = True
    return mask


def run(engine, counts, recipe=SHORT, **given) -> single.Retrieved:
    return engine.retrieve([single.Start(counts, np.random.default_rng(10), **given)], recipe)[0]


@engines
def test_a_weight_of_one_is_a_count_and_one_of_nothing_is_free(engine, counts, missing):
    wrong = np.where(missing, 0.6 * counts + 3, counts)
    hard, free = run(engine, wrong), run(engine, wrong, missing=missing)
    one, none = (run(engine, wrong, missing=missing, weight=np.full(SHAPE, w)) for w in (1.0, 0.0))
    np.testing.assert_array_equal(one.obj, hard.obj)
    np.testing.assert_array_equal(none.obj, free.obj)
    half = run(engine, wrong, missing=missing, weight=np.full(SHAPE, 0.5))
    assert not np.array_equal(half.obj, hard.obj)
    assert not np.array_equal(half.obj, free.obj)


@engines
def test_a_weight_says_nothing_about_what_was_measured(engine, counts, missing):
    weight = np.full(SHAPE, 0.5)
    one, other = (run(engine, counts, missing=missing, weight=np.where(missing, 0.5, w)) for w in (0.0, 0.5))
    np.testing.assert_array_equal(one.obj, other.obj)
    np.testing.assert_array_equal(run(engine, counts, weight=weight).obj, run(engine, counts).obj)
    assert (single.Start(counts, None, missing, weight=weight).pull()[~missing] == 1).all()


@engines
def test_the_harder_a_wrong_filling_pulls_the_more_of_it_comes_back(engine, counts, missing):
    wrong = np.where(missing, 3 * counts + 10, counts)
    found = [run(engine, wrong, missing=missing, weight=np.full(SHAPE, w)).obj for w in (0.0, 0.3, 1.0)]
    light = [float((np.abs(fourier.forward(obj))[missing] ** 2).sum()) for obj in found]
    assert light[0] < light[1] < light[2]


@pytest.mark.skipif(not external.have_pynx(), reason="PyNX is not installed")
@pytest.mark.parametrize("name", ["free", "soft", "bounded", "late"])
def test_both_engines_take_a_start_to_the_same_object(counts, truth, missing, name):
    filled = np.where(missing, 1.1 * counts, counts)
    told = {
        "free": {"missing": missing},
        "soft": {"missing": missing, "weight": np.full(SHAPE, 0.3)},
        "bounded": {"missing": missing, "low": 0.9 * counts, "high": 1.2 * counts},
        "late": {"late": missing},
    }[name]
    recipe = single.Recipe(hio_cycles=150, raar_cycles=150, late_cycles=50, er_cycles=40)
    ours, theirs = (run(engine, filled, recipe, **told) for engine in (fixed, pynx))
    assert align.align(ours.obj, theirs.obj).correlation > 0.999
    assert ours.llk == pytest.approx(theirs.llk, rel=0.05)


def test_a_support_that_grows_without_end_is_told(counts):
    wild = replace(SHORT, support_threshold=0.001, support_smooth_px=(4.0, 4.0))
    found = run(fixed, counts, wild)
    assert not found.converged
    assert "the support grew too large from an autocorrelation threshold of 0.225" in found.problem
    assert np.isnan(found.llk_free)
    assert not found.obj.any()


@engines
@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan])
def test_a_weight_that_is_none_is_told(engine, counts, missing, value):
    with pytest.raises(BraggfillError, match="weight: below 0, above 1 or not a number"):
        run(engine, counts, missing=missing, weight=np.full(SHAPE, value))


@given(photons, photons)
def test_weights_lie_between_nothing_and_one_and_fall_with_the_uncertainty(data, sigma):
    one, other = (pattern.gap_weight(data, trust.held_std(data, s, data)) for s in (sigma, 2 * sigma))
    assert ((one >= 0) & (one <= 1)).all()
    assert (other <= one).all()


@pytest.mark.parametrize(("sigma", "weight"), [(0.0, 1.0), (1e12, 0.0)], ids=["certain", "a guess"])
def test_a_filling_known_for_certain_is_taken_as_counted_and_a_guess_not_at_all(counts, missing, sigma, weight):
    """The limits of ``soft`` are ``filled`` and ``free``, and what was measured has the weight 1."""
    found = Filled(counts, missing, np.where(missing, sigma, np.nan))
    told = gap.given(found, "soft", "braggfill")
    made = pattern.prepare(counts, missing, filled=told.filled, sigma=told.sigma)
    assert (made.weight[~missing] == 1).all()
    np.testing.assert_allclose(made.weight[missing], weight, atol=1e-12)
    hard = gap.given(found, "filled", "braggfill")
    if weight:
        whole = pattern.prepare(counts, missing, filled=hard.filled)
        np.testing.assert_array_equal(made.weight, whole.weight)
        np.testing.assert_array_equal(made.intensity, whole.intensity)


def test_the_convex_engine_takes_weights_and_says_what_it_cannot_do(counts, missing, truth, monkeypatch):
    monkeypatch.setattr(convex_single, "FAMILY", 2)
    short = ConvexRecipe(schedule=(Step(16, 6, 60), Step(32, 10, 30)))
    monkeypatch.setattr(convex_single.convex, "run", partial(convex_single.convex.run, recipe=short))
    wrong = np.where(missing, 3 * counts + 10, counts)
    free, none, hard = (
        run(convex_single, wrong, missing=missing, weight=weight) for weight in (None, np.zeros(SHAPE), np.ones(SHAPE))
    )
    np.testing.assert_array_equal(free.obj, none.obj)
    assert not np.array_equal(free.obj, hard.obj)
    assert align.align(free.obj, truth).correlation > 0.95
    unable = run(convex_single, counts, missing=missing, low=0 * counts, high=counts)
    assert (unable.converged, unable.problem) == (False, convex_single.UNABLE)
