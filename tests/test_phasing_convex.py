"""The convex engine: what it recovers, masks and weights, bits, sizes and errors."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.phasing import convex, convex_model, modes, pattern
from braggfill.phasing.convex_recipe import SCHEDULE, ConvexRecipe, Step, fitted_schedule
from braggfill.physics import fourier
from convex_helpers import counted, crystal

QUICK = ConvexRecipe(halfspaces=16, schedule=(Step(16, 6, 6), Step(24, 10, 4)))


def test_a_small_support_is_asked_for():
    counts = counted(crystal())
    sizes = []
    for alpha in (0.0, 20.0):
        recipe = ConvexRecipe(16, offset_rate=0.05, schedule=(Step(16, 6, 30),), small_support=alpha, refinement=None)
        sizes.append(convex.run(counts[8:24, 8:24, 8:24], None, seed=0, starts=1, recipe=recipe)[0].support.sum())
    assert sizes[1] < sizes[0]


@pytest.fixture(scope="module")
def phased():
    truth = crystal()
    recipe = ConvexRecipe(32, schedule=(Step(16, 6, 100), Step(24, 10, 60), Step(32, 14, 60)))
    return truth, convex.run(counted(truth), None, seed=1, starts=4, recipe=recipe)


def test_a_small_polyhedron_is_recovered(phased):
    truth, runs = phased
    inside = np.abs(truth) > 0.5
    assert runs[0].residual <= runs[0].residual_convex
    aligned, correlations = modes.align_all([runs[0].convex, runs[0].obj], truth, inside)
    assert (correlations > 0.97).all()
    assert (np.angle(aligned * truth.conj())[:, inside].std(axis=1) < 0.15).all()


def test_fields_of_a_result(phased):
    truth, runs = phased
    photons = counted(truth).sum()
    assert [r.residual for r in runs] == sorted(r.residual for r in runs)
    assert {r.loss_name for r in runs} == {"absolute", "amplitude"}
    for r in runs:
        assert r.obj.dtype == np.complex64
        assert r.obj.shape == r.support.shape == truth.shape
        assert not r.obj[~r.support].any()
        np.testing.assert_allclose(np.linalg.norm(r.normals, axis=1), 1, rtol=1e-12)
        assert (np.abs(r.convex) ** 2).sum() == pytest.approx(photons, rel=1e-4)
        assert (r.offsets > 0).all()
        assert r.history[-1] == np.float32(r.loss)
        assert not r.problem
        # The half-spaces, in voxels of the array, are the convex object's support.
        grid = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in truth.shape), indexing="ij"), -1)
        z = (r.offsets - grid @ r.normals.T) / 0.5
        shape = np.exp(-np.logaddexp(0, -z).sum(-1))
        grid = slice(8, 24)  # of the object
        modulus, shape = np.abs(r.convex)[grid, grid, grid], shape[grid, grid, grid]
        np.testing.assert_allclose(modulus / modulus.max(), shape / shape.max(), atol=1e-3)


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not():
    counts = counted(crystal(24, 4.0))
    first, again, other = (convex.run(counts, None, seed=s, starts=3, recipe=QUICK)[0] for s in (5, 5, 6))
    for name in ("obj", "support", "convex", "history", "normals", "offsets"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.obj, other.obj)


def test_a_start_is_fitted_as_if_it_were_alone():
    counts = counted(crystal(24, 4.0))
    recipe = ConvexRecipe(16, losses=("poisson",), schedule=(Step(24, 8, 5),), refinement=None)
    many = {r.start: r for r in convex.run(counts, None, seed=5, starts=3, recipe=recipe)}
    alone = convex.run(counts, None, seed=5, starts=1, recipe=recipe)[0]
    np.testing.assert_allclose(many[0].history, alone.history, rtol=1e-4)


@pytest.mark.parametrize("value", [7e6, np.nan])
def test_what_a_missing_voxel_holds_changes_no_bit(value):
    counts = counted(crystal(24, 4.0))
    missing = np.zeros(counts.shape, bool)
    missing[:, 13:16] = True
    a = convex.run(np.where(missing, 17, counts), missing, seed=2, starts=2, recipe=QUICK)
    b = convex.run(np.where(missing, value, counts), missing, seed=2, starts=2, recipe=QUICK)
    for one, two in zip(a, b, strict=True):
        assert np.array_equal(one.obj, two.obj)
        assert np.array_equal(one.history, two.history)
        assert one.residual == two.residual


def test_a_weight_of_one_is_as_if_counted_and_of_zero_as_if_missing():
    counts = counted(crystal(24, 4.0))
    missing = np.zeros(counts.shape, bool)
    missing[:, 13:16] = True

    def obj(missing, weights):
        return convex.run(counts, missing, weights=weights, seed=2, starts=2, recipe=QUICK)[0].obj

    assert np.array_equal(obj(missing, np.ones(counts.shape)), obj(None, None))
    assert np.array_equal(obj(missing, np.zeros(counts.shape)), obj(missing, None))
    half = obj(missing, np.full(counts.shape, 0.5))
    assert not np.array_equal(half, obj(None, None))
    assert not np.array_equal(half, obj(missing, None))


def test_a_peak_that_lies_elsewhere_is_a_phase_ramp():
    counts = counted(crystal(24, 4.0))
    here = convex.run(counts, None, seed=2, starts=2, recipe=QUICK)[0]
    there = convex.run(np.roll(counts, (3, -4, 1), (0, 1, 2)), None, seed=2, starts=2, recipe=QUICK)[0]
    np.testing.assert_allclose(np.abs(there.obj), np.abs(here.obj), rtol=1e-4, atol=1e-3)
    wave = np.abs(fourier.forward(there.obj))
    np.testing.assert_allclose(
        np.roll(wave, (-3, 4, -1), (0, 1, 2)), np.abs(fourier.forward(here.obj)), rtol=1e-3, atol=0.1
    )


@pytest.mark.parametrize("shape", [(8, 8, 8), (17, 24, 21), (9, 30, 40)])
@pytest.mark.parametrize("kind", convex_model.KINDS)
def test_any_size(shape, kind):
    x = np.ix_(*(np.arange(n) - n // 2 for n in shape))
    counts = np.random.default_rng(0).poisson(1e4 / (1 + sum(g**2 for g in x)) ** 1.5)
    recipe = ConvexRecipe(12, phase=kind, spacing_angstrom=2.3, schedule=(Step(12, 4, 3), Step(20, 6, 3)))
    run = convex.run(counts, None, seed=0, starts=2, recipe=recipe)[0]
    assert run.obj.shape == shape
    assert np.isfinite(run.obj).all()
    assert (run.displacement is not None) == (kind == "displacement")


def test_it_stops_when_it_is_asked_to_and_says_how_far_it_is():
    told = []
    runs = convex.run(
        counted(crystal(24, 4.0)),
        None,
        seed=0,
        starts=4,
        recipe=QUICK,
        progress=lambda done, total: told.append((done, total)),
        should_stop=lambda: len(told) >= 3,
    )
    assert told == [(1, 10), (2, 10), (3, 10)]
    assert len(runs[0].history) == 3
    assert np.isfinite(runs[0].obj).all()


def test_rounds_yield_runs_judged_by_the_voxels_kept_out(monkeypatch):
    monkeypatch.setattr(convex, "STARTS", 2)
    prepared = pattern.prepare(counted(crystal(24, 4.0)), seed=1).centred()
    told = []
    context = SimpleNamespace(
        seed=1, device="cpu", threads=1, cycles=0, over=lambda: len(told) >= 2, tell=lambda *args: told.append(args)
    )
    one, two = list(convex.rounds(prepared, QUICK, context))
    assert len(two) > len(one)
    assert [r.llk_free for r in two] == sorted(r.llk_free for r in two)
    assert len({r.start for r in two}) == len(two)
    assert all(r.origin == "convex" and np.isfinite([r.llk, r.residual]).all() for r in two)
    assert context.cycles > 0


def test_schedules_for_other_sizes_end_with_the_whole():
    for size in (8, 20, 32, 48, 63, 64, 96, 128, 300):
        fitted = fitted_schedule(SCHEDULE, (size,) * 3)
        edges = [s.edge for s in fitted]
        assert edges[-1] == pytest.approx(size)
        assert edges == sorted(edges)
        assert all(b <= 2.3 * a for a, b in itertools.pairwise(edges))
    assert fitted_schedule(SCHEDULE, (64, 64, 64))[-1].phase == pytest.approx(24)


@pytest.mark.parametrize(
    ("counts", "missing", "weights", "words"),
    [
        (np.ones((9, 9)), None, None, "three axes"),
        (np.ones((7, 9, 9)), None, None, "three axes of 8"),
        (np.zeros((9, 9, 9)), None, None, "without photons"),
        (np.ones((9, 9, 9)), np.ones((9, 9, 9), bool), None, "without photons"),
        (-np.ones((9, 9, 9)), None, None, "negative"),
        (np.full((9, 9, 9), np.inf), None, None, "not finite"),
        (np.ones((9, 9, 9)), np.ones((9, 9, 8), bool), None, "mask: shape"),
        (np.ones((9, 9, 9)), np.ones((9, 9, 9), bool), np.full((9, 9, 9), 1.5), "weights: below 0, above 1"),
    ],
)
def test_a_pattern_that_cannot_be_phased_is_refused(counts, missing, weights, words):
    with pytest.raises(BraggfillError, match=words):
        convex.run(counts, missing, weights=weights, seed=0, starts=2, recipe=QUICK)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"phase": "wave"}, "no phase called"),
        ({"losses": ("square",)}, "losses"),
        ({"phase": "displacement"}, "lattice spacing"),
        ({"halfspaces": 3}, "4 half-spaces"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(options, words):
    with pytest.raises(BraggfillError, match=words):
        ConvexRecipe(**options)
