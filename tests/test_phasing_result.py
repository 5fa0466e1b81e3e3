"""Laws of the result: one canonical object, what runs say together, a verdict in words, and patterns that are none."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import replace

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.phasing import engines, modes, phase, support
from braggfill.phasing.context import Context
from braggfill.phasing.pattern import prepare
from braggfill.phasing.phase import phase_pattern
from braggfill.phasing.recipe import Recipe, Schedule
from braggfill.physics import align, fourier
from phasing_objects import counted, crystal

QUICK = Recipe(
    long=Schedule((("HIO", 160), ("RAAR", 120)), 20, (1.5, 0.6), 0.2),
    finer=Schedule((("RAAR", 60),), 20, (1.0, 0.6), 0.2),
    coarse=Schedule((("HIO", 120), ("RAAR", 80)), 20, (1.5, 0.6), 0.2),
    coarse_starts=4,
    kept=2,
    rounds=3,
)


def correlation(obj: np.ndarray, truth: np.ndarray) -> float:
    return align.align(obj, truth, np.abs(truth) > 0).correlation


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return crystal()


@pytest.fixture(scope="module")
def counts(truth) -> np.ndarray:
    return counted(truth)[0]


@pytest.fixture(scope="module")
def phased(counts):
    return phase_pattern(counts, seed=3, recipe=QUICK, threads=1)


def test_a_crystal_is_found_and_said_to_be(phased, truth, counts):
    assert phased.converged, str(phased.verdict)
    assert correlation(phased.obj, truth) > 0.99
    assert not phased.obj[~phased.support].any()
    assert np.sum(np.abs(phased.obj) ** 2) == pytest.approx(counts.sum(), rel=0.03)
    assert phased.weights.sum() == pytest.approx(1)
    assert phased.runs[0].llk_free == min(run.llk_free for run in phased.runs)
    assert 0.5 < phased.llk_free / phased.llk_expected < 2
    assert phased.phase_std[phased.support].mean() < 0.3
    radii, values = phased.prtf
    assert (np.diff(radii) > 0).all()
    assert values[0] > 0.9
    assert values.max() <= 1 + 1e-6


def test_a_result_tells_itself_without_its_arrays(phased):
    assert len(repr(phased)) < 3000
    assert len(repr(phased.runs[0])) < 500
    assert "array([[" not in repr(phased)


def test_the_same_seed_gives_the_same_bits_whatever_runs_beside(phased, counts):
    again = phase_pattern(counts, seed=3, recipe=QUICK, threads=2)
    np.testing.assert_array_equal(phased.obj, again.obj)
    np.testing.assert_array_equal(phased.modes, again.modes)
    assert phased.verdict == again.verdict
    other = phase_pattern(counts, seed=4, recipe=QUICK, threads=2)
    assert not np.array_equal(phased.obj, other.obj)
    assert correlation(other.obj, phased.obj) > 0.98


@pytest.mark.parametrize("shape", [(30, 32, 35), (29, 31, 33)])
def test_what_is_canonical_stays_and_what_intensities_leave_open_goes(shape):
    obj = crystal(shape, phase=3.0)
    made, inside = modes.canonical(obj, np.abs(obj) > 0)
    again, same = modes.canonical(made, inside)
    np.testing.assert_array_equal(inside, same)
    np.testing.assert_allclose(again, made, atol=1e-5)
    np.testing.assert_allclose(np.abs(fourier.forward(obj)).sum(), np.abs(fourier.forward(made)).sum(), rtol=1e-2)
    ramp = np.exp(1j * sum(s * g for s, g in zip((0.2, -0.1, 0.3), fourier.grid(shape), strict=True)))
    for other in (np.roll(obj, (3, -2, 5), (0, 1, 2)), obj * np.exp(1j), obj * ramp, align.twin(obj)):
        found, where = modes.canonical(other, np.abs(other) > 0.5)
        np.testing.assert_array_equal(where, inside)
        np.testing.assert_allclose(found, made, atol=1e-4)


@pytest.mark.parametrize("shape", [(24, 26, 29), (96, 100, 97)])
def test_laying_over_in_a_small_box_is_laying_over(shape):
    """Large arrays, too, in which NumPy works in place."""
    obj = crystal(shape)
    place = np.roll(obj, (5, -3, 2), (0, 1, 2))
    inside = np.abs(place) > 0
    other = np.roll(align.twin(obj) * np.exp(0.3j), (2, 1, -6), (0, 1, 2))
    laid, correlations = modes.align_all([other], place, inside)
    assert correlations[0] > 0.9999
    np.testing.assert_allclose(laid[0], place, atol=0.01)
    assert modes.correlation(other, place, inside) == pytest.approx(correlations[0], abs=1e-4)
    assert modes.correlation(np.zeros_like(obj), place, inside) == 0


def test_modes_of_one_object_are_that_object(truth):
    parts, weights = modes.modes(np.stack([truth, truth, truth]))
    np.testing.assert_allclose(parts[0], truth, atol=1e-5)
    np.testing.assert_allclose(weights, [1, 0, 0], atol=1e-6)
    moduli, phases = modes.spread(np.stack([truth, truth]))
    assert moduli.max() < 1e-6
    assert phases.max() < 1e-6


def test_modes_share_the_photons_of_what_they_were_made_of(truth):
    rng = np.random.default_rng(1)
    noisy = np.stack([truth + 0.3 * rng.normal(size=truth.shape) for _ in range(4)]).astype(np.complex64)
    parts, weights = modes.modes(noisy)
    assert (np.diff(weights) <= 0).all()
    total = (np.abs(noisy) ** 2).sum() / 4
    np.testing.assert_allclose((np.abs(parts) ** 2).sum(axis=(1, 2, 3)), weights * total, rtol=1e-4)
    gram = np.abs(parts.reshape(4, -1) @ parts.reshape(4, -1).conj().T)
    assert gram[~np.eye(4, dtype=bool)].max() < 1e-3 * gram.max()


def test_the_spread_is_that_of_the_noise(truth):
    rng = np.random.default_rng(2)
    inside = np.abs(truth) > 0
    turned = np.stack([truth * np.exp(0.1j * rng.normal(size=truth.shape)) for _ in range(40)])
    _, phases = modes.spread(turned)
    assert phases[inside].mean() == pytest.approx(0.1, rel=0.1)


def test_the_transfer_function_falls_where_runs_disagree(truth):
    rng = np.random.default_rng(3)
    amplitude = fourier.forward(truth)
    radius = np.sqrt(sum((g / 32) ** 2 for g in fourier.grid(truth.shape)))
    far = radius > 0.25
    runs = [np.where(far, amplitude * np.exp(2j * np.pi * rng.random(truth.shape)), amplitude) for _ in range(20)]
    objects = np.stack([fourier.inverse(run) for run in runs])
    radii, values = modes.transfer(objects, np.abs(amplitude) ** 2, np.ones(truth.shape, bool), (16, 16, 16))
    assert values[radii < 0.2].min() > 0.99
    assert values[radii > 0.3].max() < 0.5
    assert 3.2 < modes.resolution(radii, values) < 4.5
    assert modes.resolution(radii, np.ones_like(values)) == 2


def missing_cross(shape, width=3, offset=5):
    mask = np.zeros(shape, bool)
    for axis in (1, 2):
        start = shape[axis] // 2 + offset
        mask[tuple(slice(start, start + width) if a == axis else slice(None) for a in range(3))] = True
    return mask


def test_a_gap_free_filled_and_soft(truth):
    counts, expected = counted(truth)
    mask = missing_cross(counts.shape)
    empty = np.where(mask, 0, counts)
    given = {"mask": mask, "seed": 3, "recipe": QUICK, "threads": 1}
    free = phase_pattern(empty, **given)
    assert correlation(free.obj, truth) > 0.98
    unsure = phase_pattern(empty, filled=3 * expected + 5, sigma=np.full(counts.shape, 1e6), **given)
    assert correlation(unsure.obj, truth) > 0.98
    sure = phase_pattern(empty, filled=expected, sigma=np.zeros(counts.shape), **given)
    assert correlation(sure.obj, truth) > correlation(free.obj, truth) - 0.002


@pytest.mark.parametrize("shape", [(31, 33, 30), (27, 36, 40)])
def test_odd_and_unequal_sizes_low_to_high_resolution(shape):
    obj = crystal(shape)
    coarse = replace(QUICK, coarse_voxels=15_000)
    found = phase_pattern(counted(obj)[0], seed=1, recipe=coarse, threads=1)
    assert found.obj.shape == shape
    assert {run.origin for run in found.runs} >= {"coarse"}
    assert correlation(found.obj, obj) > 0.98


def test_a_peak_off_the_centre(truth, counts):
    found = phase_pattern(np.roll(counts, (5, -4, 7), (0, 1, 2)), seed=3, recipe=QUICK, threads=1)
    assert correlation(found.obj, truth) > 0.98


def test_a_saturated_peak_is_noticed(truth, counts):
    clipped = np.minimum(counts, np.sort(counts.ravel())[-8])
    found = phase_pattern(clipped, seed=3, recipe=QUICK, threads=1)
    assert "saturated" in found.notes[0]
    assert correlation(found.obj, truth) > 0.95 or not found.converged


def test_half_the_voxels_masked(truth, counts):
    mask = np.random.default_rng(1).random(counts.shape) < 0.5
    found = phase_pattern(counts, mask, seed=3, recipe=QUICK, threads=1)
    assert correlation(found.obj, truth) > 0.95 or not found.converged


def test_eight_voxels_along_an_axis():
    obj = crystal((8, 32, 32))
    found = phase_pattern(counted(obj)[0], seed=1, recipe=QUICK, threads=1)
    assert found.obj.shape == obj.shape
    assert correlation(found.obj, obj) > 0.95 or not found.converged


def one_photon(shape):
    counts = np.zeros(shape)
    counts[10, 12, 9] = 1
    return counts


def noise(shape):
    return np.random.default_rng(1).poisson(20.0, shape)


def ring(shape):
    radius = np.sqrt(sum(g.astype(float) ** 2 for g in fourier.grid(shape)))
    return np.random.default_rng(1).poisson(300 * np.exp(-((radius - 9) ** 2) / 4))


def cut_peak(shape):
    counts, _ = counted(crystal(shape))
    return np.roll(counts, shape[1] // 2, 1)[:, : shape[1] // 2]


def two_peaks(shape):
    one, two = (counted(crystal(shape, seed=seed), seed=seed)[0] for seed in (1, 2))
    return np.roll(one, 8, 0) + np.roll(two, -8, 0)


@pytest.mark.parametrize("make", [lambda shape: np.zeros(shape), one_photon, noise, ring, cut_peak, two_peaks])
def test_what_is_no_crystal_never_converges(make):
    found = phase_pattern(make((32, 32, 32)), seed=1, recipe=QUICK, threads=1)
    assert not found.converged, str(found.verdict)
    assert len(found.verdict.why) > 10
    assert "\n" not in str(found.verdict)


@pytest.mark.parametrize("make", [lambda shape: np.zeros(shape), one_photon, noise])
def test_what_is_plainly_no_crystal_has_failed(make):
    found = phase_pattern(make((32, 32, 32)), seed=1, recipe=QUICK, threads=1)
    assert found.failed, str(found.verdict)
    assert found.obj.shape == (32, 32, 32)


@pytest.mark.parametrize("axis", range(3))
def test_what_does_not_fall_off_has_failed(counts, axis):
    """Along one axis is enough, whatever is masked; a cut peak falls off on one side."""
    flat = np.broadcast_to(counts.max(axis=axis, keepdims=True), counts.shape)
    mask = np.zeros(counts.shape, bool)
    mask[:, :2] = mask[:, -2:] = True
    for missing in (None, mask):
        found = phase.phase_pattern(flat, missing)
        assert found.verdict.word == "failed"
        assert f"does not fall off along axis {axis}" in found.verdict.why
    assert phase.unphasable(prepare(counts, mask)) is None
    even = counts + 20 * counts.mean()
    hot = counts.copy()
    hot[tuple(slice(None) if a == axis else slice(3, 4) for a in range(3))] = 3 * counts.max()
    for odd in (even, hot):  # such a pattern falls off
        assert phase.unphasable(prepare(odd)) is None
    half = [slice(None)] * 3
    half[axis] = slice(counts.shape[axis] // 2, None)
    assert phase.unphasable(prepare(counts[tuple(half)])) is None


def test_everything_masked_has_failed(counts):
    found = phase_pattern(counts, np.ones(counts.shape, bool))
    assert found.failed
    assert "masked" in found.verdict.why
    assert not found.obj.any()


def test_time_and_stops_keep_the_best_so_far(counts):
    told = []
    stopped = phase_pattern(
        counts, seed=3, recipe=QUICK, threads=1, should_stop=lambda: bool(told), progress=told.append
    )
    assert told[0].done == 0
    assert stopped.obj.any()
    began = time.monotonic()
    late = phase_pattern(counts, seed=3, recipe=replace(QUICK, rounds=10_000), threads=1, budget_s=0.0)
    assert time.monotonic() - began < 60
    assert len(late.runs) <= QUICK.long_starts


@pytest.mark.parametrize("after", [0, 30, 500])
def test_a_stop_inside_a_round_is_heard_at_once(after, counts, monkeypatch):
    """In coarse rounds, between levels, in the search for a blur: no cycle more, no update, one run."""
    updates, cycles = [], []
    update = support.update
    monkeypatch.setattr(support, "update", lambda *a, **k: updates.append(len(cycles)) or update(*a, **k))

    def stop() -> bool:
        cycles.append(1)
        return len(cycles) > after

    coarse = replace(QUICK, coarse_voxels=15_000)
    found = phase_pattern(counts, seed=3, recipe=coarse, threads=1, should_stop=stop)
    assert found.obj.any()
    assert len(found.runs) == 1
    assert 0.9 * after <= found.cycles <= after + 1
    assert not [place for place in updates if place > after + 1]
    assert found.runs[0].cycles <= found.cycles


def test_runs_count_all_their_cycles(phased):
    """Those of every level and schedule, and the runs together no more than were made."""
    assert min(run.cycles for run in phased.runs) >= QUICK.long.cycles
    assert sum(run.cycles for run in phased.runs if run.origin != "bred") <= phased.cycles
    assert all(run.seconds > 0 for run in phased.runs)


def test_as_many_runs_as_asked_for(counts):
    assert len(phase_pattern(counts, seed=3, recipe=QUICK, threads=1, starts=1).runs) <= QUICK.long_starts


def test_one_threshold_for_those_who_insist(counts):
    found = phase_pattern(counts, seed=3, recipe=replace(QUICK, rounds=1), threads=1, support_threshold=0.4)
    assert {run.threshold for run in found.runs} == {0.4}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"engine": "magic"}, "engine: 'magic'"),
        ({"support_threshold": 1.5}, "between 0 and 1"),
        ({"starts": 0}, "at least one"),
    ],
)
def test_wrong_options_are_told_in_one_line(counts, change, says):
    with pytest.raises(BraggfillError, match=says) as error:
        phase_pattern(counts, **change)
    assert "\n" not in str(error.value)


def test_memory_is_asked_for_before_it_is_taken():
    with pytest.raises(BraggfillError, match="GiB"):
        phase._ask_for_memory((100_000, 1000, 1000), 2)


def test_memory_that_is_just_enough_is_taken(monkeypatch):
    shape = (64, 64, 64)
    free = 64**3 * (3 * phase.BYTES_A_VOXEL + 24 * phase.BYTES_A_RUN)
    monkeypatch.setattr(phase.os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_AVPHYS_PAGES": free}.get)
    phase._ask_for_memory(shape, 2)
    with pytest.raises(BraggfillError, match="GiB"):
        phase._ask_for_memory(shape, 3)


@pytest.mark.skipif(importlib.util.find_spec("pynx") is None, reason="needs PyNX")
@pytest.mark.pynx
def test_pynx_is_an_engine_like_the_others(truth, counts, monkeypatch):
    monkeypatch.setenv("PYNX_PU", "cpu")
    odd = np.pad(counts, ((0, 1), (0, 0), (0, 0)))
    found = phase_pattern(odd, engine="pynx", seed=1, starts=1, threads=1)
    assert found.obj.shape == odd.shape
    assert len(found.runs) == 1


def test_engines_are_named_in_one_place():
    assert set(engines.ENGINES) >= {"projections", "convex", "pynx"}
    for name, engine in engines.ENGINES.items():
        if name != "pynx":
            assert engines.engine(name) is engine


def last(rounds):
    *_, runs = rounds
    return runs


def test_auto_goes_on_with_convex_objects_where_random_ones_do_not_settle_it(truth):
    quick = replace(QUICK, rounds=4, convex_starts=4)
    given = prepare(counted(truth)[0], seed=1).centred()
    contexts = [Context(seed=1, threads=threads) for threads in (1, 2)]
    runs, again = (last(engines.engine("auto")(given, quick, context)) for context in contexts)
    convex = [one for one in runs if one.origin == "convex"]
    assert max(correlation(one.obj, truth) for one in convex) > 0.95
    assert [one.llk_free for one in again] == [one.llk_free for one in runs]
    assert contexts[0].cycles == contexts[1].cycles
    random = last(engines.engine("projections")(given, quick, Context(seed=1, threads=1)))
    assert {one.origin for one in random} == {"random"}
