"""Laws of phase retrieval with PyNX."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.phasing import pynx, single
from braggfill.phasing.free import free_voxels, likelihood
from braggfill.physics import align, fourier, strain, support
from braggfill.runs import external

needs_pynx = pytest.mark.skipif(not external.have_pynx(), reason="PyNX is not installed")

SHAPE = (40, 40, 40)
SHORT = single.Recipe(hio_cycles=80, raar_cycles=80, late_cycles=40, er_cycles=40, support_period=20)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """A lopsided, strained particle at an oversampling of about 4, scaled to 1e6 photons at the peak."""
    z, y, x = fourier.grid(SHAPE)
    inside = ((z / 5) ** 2 + (y / 4.6) ** 2 + (x / 5.2) ** 2 < 1) & (x + 0.7 * y < 3.2) & (z - 0.4 * x > -3.6)
    obj = inside * np.exp(1j * (0.03 * z**2 + 0.05 * y * x))
    return obj * 1e3 / np.abs(fourier.forward(obj)).max()


@pytest.fixture(scope="module")
def intensity(truth) -> np.ndarray:
    return np.abs(fourier.forward(truth)) ** 2


@pytest.fixture(scope="module")
def counts(intensity) -> np.ndarray:
    return np.random.default_rng(4).poisson(intensity).astype(float)


def starts(counts, number=3, seed=10, **masks) -> list[single.Start]:
    return [single.Start(counts, np.random.default_rng(seed + i), number=i, **masks) for i in range(number)]


@needs_pynx
def test_whole_data_give_the_object_back_twin_or_not(counts, truth):
    free = free_voxels(SHAPE, None, 0.03, np.random.default_rng(1))
    runs = pynx.retrieve(starts(counts, free=free), SHORT)
    found = single.best(runs)
    assert found.converged
    assert found.llk_free == min(run.llk_free for run in runs if run.converged)
    assert 0.5 < found.llk_free < 1.5  # counting noise alone is left
    aligned = align.align(found.obj, truth)
    inside = support.from_modulus(truth)
    assert aligned.correlation > 0.999
    assert strain.phase_std(aligned.obj, inside, truth) < 0.02
    # Parseval: as many photons in the object as in the pattern.
    assert np.sum(np.abs(found.obj) ** 2) == pytest.approx(counts.sum(), rel=0.01)
    assert (found.support[np.abs(found.obj) > 0.3 * np.abs(found.obj).max()]).all()


@needs_pynx
def test_masked_voxels_are_never_looked_at(counts):
    missing = np.zeros(SHAPE, bool)
    missing[:, 26:29] = True
    changed = np.where(missing, 1e9, counts)
    one, other = (pynx.retrieve(starts(c, 1, missing=missing), SHORT)[0] for c in (counts, changed))
    np.testing.assert_array_equal(one.obj, other.obj)
    assert one.llk == other.llk


@pytest.fixture(scope="module")
def gap() -> np.ndarray:
    missing = np.zeros(SHAPE, bool)
    missing[:, 26:29] = True
    return missing


def error(run: single.Retrieved, truth: np.ndarray) -> float:
    """Phase error of a start against the truth."""
    inside = support.from_modulus(truth)
    return strain.phase_std(align.align(run.obj, truth).obj, inside, truth)


@needs_pynx
def test_bounds_that_bind_nothing_are_no_bounds(counts, gap):
    """The cycles with bounds are PyNX's own, bit for bit, but for the bounds."""
    short = replace(SHORT, hio_cycles=20, raar_cycles=20, er_cycles=10, support_period=10)
    loose = {"low": np.zeros(SHAPE), "high": np.full(SHAPE, 1e12)}
    free, bounded = (pynx.retrieve(starts(counts, 1, missing=gap, **bounds), short)[0] for bounds in ({}, loose))
    np.testing.assert_array_equal(free.obj, bounded.obj)


@needs_pynx
def test_tight_bounds_are_a_filling(counts, intensity, truth, gap):
    exact = pynx.retrieve(starts(counts, 1, missing=gap, low=intensity, high=intensity), SHORT)[0]
    wrong = pynx.retrieve(starts(counts, 1, missing=gap, low=0 * counts, high=0 * counts), SHORT)[0]
    assert error(exact, truth) < 0.02
    assert error(wrong, truth) > 3 * error(exact, truth)
    # Bounds say nothing about what is not missing.
    beside = pynx.retrieve(starts(counts, 1, low=0 * counts, high=0 * counts), SHORT)[0]
    assert error(beside, truth) < 0.02


@needs_pynx
def test_what_is_freed_late_is_forgotten(counts, truth, gap):
    wrong = np.where(gap, 0.7 * counts, counts)
    filled, late = (pynx.retrieve(starts(wrong, 1, **masks), SHORT)[0] for masks in ({}, {"late": gap}))
    assert late.llk < filled.llk / 2, "what floats takes no part in the likelihood"
    assert error(late, truth) < error(filled, truth) / 2


def test_bounds_as_a_gpu_takes_them():
    """PyNX stores an estimate I as -(I + 1) 1e19 and takes one pair of factors for all."""

    class Data:
        iobs = np.zeros((4, 4, 4), np.float32)
        get_iobs = lambda self: self.iobs  # noqa: E731

        def set_iobs(self, iobs):
            self.iobs = iobs

    middle = np.full((4, 4, 4), 100.0)
    missing = np.zeros((4, 4, 4), bool)
    missing[1] = True
    start = single.Start(middle, np.random.default_rng(1), missing, low=0.5 * middle, high=1.5 * middle)
    bounds = pynx._Bounds.of(start, 2.0)
    data = Data()
    bounds.hand_over(data)
    np.testing.assert_allclose(-np.fft.fftshift(data.iobs)[missing] / 1e19 - 1, 200, rtol=1e-5)
    assert not np.fft.fftshift(data.iobs)[~missing].any()
    assert list(bounds.factors().values()) == pytest.approx([0.5, 1.5])
    start = single.Start(middle, start.rng, missing, low=start.low, high=start.high, late=missing)
    assert not len(pynx._Bounds.of(start, 2.0, late=True).low)


@needs_pynx
def test_the_same_start_gives_the_same_object_whatever_runs_beside_it(counts):
    alone = pynx.retrieve(starts(counts, 1), SHORT)[0]
    beside = pynx.retrieve(starts(counts, 2), SHORT, threads=2)
    np.testing.assert_array_equal(alone.obj, beside[0].obj)
    assert (alone.llk, alone.residual) == (beside[0].llk, beside[0].residual)
    assert [run.start for run in beside] == [0, 1]
    assert not np.array_equal(beside[0].obj, beside[1].obj)


@needs_pynx
def test_a_diverging_support_is_reported_and_never_counts(counts):
    wild = replace(SHORT, support_threshold=0.001, support_smooth_px=(4.0, 4.0))
    run = pynx.retrieve(starts(counts, 1), wild)[0]
    assert not run.converged
    assert "SupportTooLarge" in run.problem
    assert np.isnan(run.llk_free)
    assert not run.obj.any()
    good = pynx.retrieve(starts(counts, 1), SHORT)[0]
    assert single.best([run, good]) is good
    assert single.best([run]) is run


@needs_pynx
def test_pynx_is_quiet_and_leaves_random_numbers_alone(counts, capfd):
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    pynx.retrieve(starts(counts, 1), replace(SHORT, hio_cycles=20, raar_cycles=0))
    assert capfd.readouterr() == ("", "")
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@needs_pynx
def test_a_weak_pattern_is_not_taken_for_a_diverging_support(intensity, truth):
    # Ten photons at the peak: the modulus of the object is far below 1, where PyNX gives up.
    run = single.best(pynx.retrieve(starts(intensity * 1e-5), SHORT))
    assert run.converged
    assert align.align(run.obj, truth).correlation > 0.999
    assert np.sum(np.abs(run.obj) ** 2) == pytest.approx(1e-5 * intensity.sum(), rel=0.01)


def test_likelihood_is_one_where_only_counting_noise_is_left():
    model = np.full(200_000, 40.0)
    counts = np.random.default_rng(6).poisson(model)
    assert likelihood(counts, model) == pytest.approx(1, abs=0.02)
    assert likelihood(counts, 1.3 * model) > 2
    assert likelihood(model, model) == 0
    assert np.isfinite(likelihood(np.array([0.0, 3.0]), np.array([0.0, 0.0])))


def test_free_voxels_leave_the_peak_and_the_gap():
    missing = np.zeros((48, 50, 52), bool)
    missing[:, 30:36] = True
    free = free_voxels(missing.shape, missing, 0.05, np.random.default_rng(3))
    assert not (free & missing).any()
    assert not free[22:27, 24:27, 25:28].any()
    everywhere = free_voxels(missing.shape, None, 0.05, np.random.default_rng(3))
    np.testing.assert_array_equal(free, everywhere & ~missing)
    assert 0.03 < everywhere.mean() < 0.055


def test_the_processing_unit_can_be_named(monkeypatch):
    monkeypatch.setenv("PYNX_PU", "opencl")
    assert pynx.processing_unit() == "opencl"
    monkeypatch.delenv("PYNX_PU")
    assert pynx.processing_unit() in ("cpu", "cuda")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"intensity": np.ones((40, 40, 41))}, "even"),
        ({"intensity": np.zeros(SHAPE)}, "without photons"),
        ({"intensity": np.full(SHAPE, -1.0)}, "negative"),
        ({"intensity": np.full(SHAPE, np.nan)}, "not finite"),
        ({"missing": np.ones(SHAPE, bool)}, "without photons"),
        ({"missing": np.zeros((4, 4, 4), bool)}, "mask: shape"),
        ({"free": np.zeros((4, 4, 4), bool)}, "free voxels: shape"),
        ({"late": np.zeros((4, 4, 4), bool)}, "late voxels: shape"),
        ({"low": np.zeros((4, 4, 4)), "high": np.zeros((4, 4, 4))}, "bounds: shape"),
        ({"low": np.zeros(SHAPE)}, "both"),
    ],
)
def test_what_cannot_be_phased_is_told_in_one_line(change, says):
    start = single.Start(**{"intensity": np.ones(SHAPE), "rng": np.random.default_rng(1), **change})
    with pytest.raises(BraggfillError, match=says) as error:
        pynx.retrieve([start], SHORT)
    assert "\n" not in str(error.value)


def test_nothing_heavy_is_loaded_before_it_is_needed():
    heavy = "{'pynx', 'skimage', 'torch', 'pandas'}"
    tasks = "from braggfill.stages.reconstruct import true_phase, treatment_map, phasing, finetuning"
    code = f"import sys; {tasks}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"
