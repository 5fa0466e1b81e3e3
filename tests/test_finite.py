"""A finite crystal has an autocorrelation of finite support, and fillings can be held to it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
from braggfill import filling
from braggfill.filling import finite
from braggfill.filling.sliding import bridged
from braggfill.patterns import gaps
from braggfill.physics import fourier


def _pattern(box: int = 48, peak: float = 1e6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Expected intensity of a slightly strained ellipsoid in the middle of a box, and the object's support."""
    grid = np.meshgrid(*[np.arange(box) - box // 2] * 3, indexing="ij")
    inside = (grid[0] / 7.4) ** 2 + (grid[1] / 5.6) ** 2 + (grid[2] / 6.3) ** 2 <= 1
    phase = 0.6 * np.sin(grid[0] / 4 + grid[2] / 5 + seed)
    intensity = np.abs(fourier.forward(inside * np.exp(1j * phase))) ** 2
    return (intensity * (peak / intensity.max())).astype(np.float32), inside


def _filler(counts: np.ndarray) -> finite.Filler:
    """Interpolation, and how far that may be off."""

    def fill(missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        start = np.expm1(bridged(np.log1p(np.where(missing, 0, counts)).astype(np.float32), missing))[missing]
        return start, 0.5 * start + 1

    return fill


def _corrected(counts: np.ndarray, mask: np.ndarray) -> tuple[finite.Finite, np.ndarray]:
    """What comes of an interpolated gap, and the interpolation."""
    fill = _filler(counts)
    start, sigma = fill(mask)
    filled = counts.astype(np.float32).copy()
    filled[mask] = start
    return finite.make_finite(filled, mask, sigma, fill, workers=1), np.maximum(start, 0).astype(np.float32)


def _error(values: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(np.sqrt(values) - np.sqrt(truth)) / np.linalg.norm(np.sqrt(truth)))


@pytest.mark.parametrize("noisy", [False, True])
def test_a_gap_near_the_peak_is_filled_to_a_fraction_of_the_interpolations_error(noisy):
    truth, inside = _pattern()
    counts = np.random.default_rng(1).poisson(truth).astype(np.float32) if noisy else truth
    mask = gaps.cross(truth.shape, 3, [29, 31])
    found, start = _corrected(counts, mask)
    assert _error(found.values, truth[mask]) < 0.6 * _error(start, truth[mask])
    assert found.error_after < finite.CLEARLY * found.error_before
    whole = scipy.fft.ifftn(np.abs(scipy.fft.fftn(inside.astype(float))) ** 2).real > 0.5
    assert 0.8 * whole.mean() < found.support < 2.5 * whole.mean()


def test_a_blur_and_a_background_do_not_mislead_it():
    """Both leave the autocorrelation finite: a blurred pattern on a background is still corrected."""
    truth, _ = _pattern()
    truth = scipy.ndimage.gaussian_filter(truth, 0.6) + 0.5
    counts = np.random.default_rng(1).poisson(truth).astype(np.float32)
    mask = gaps.cross(truth.shape, 3, [29, 31])
    found, start = _corrected(counts, mask)
    assert _error(found.values, truth[mask]) < 0.8 * _error(start, truth[mask])


@pytest.mark.parametrize("kind", ["flat field", "frames", "two crystals"])
def test_where_real_patterns_are_not_what_theory_says_it_never_makes_them_worse(kind):
    """Blurred, on a background, and beyond that with pixels of unequal gain, a beam that is not stable, or a crystal
    that fills the array: the hidden gaps have to tell."""
    rng = np.random.default_rng(3)
    truth, _ = _pattern()
    if kind == "two crystals":
        grid = np.meshgrid(*[np.arange(48) - 24] * 3, indexing="ij")
        apart = sum(np.exp(-sum((g - s * 11) ** 2 for g in grid) / 8) for s in (-1, 1))
        truth = np.abs(fourier.forward(apart.astype(np.complex64))) ** 2
        truth *= 1e6 / truth.max()
    truth = scipy.ndimage.gaussian_filter(truth.astype(np.float32), 0.6) + 0.5
    if kind == "flat field":
        truth = truth * np.exp(0.3 * rng.standard_normal((1, 48, 48)))
    if kind == "frames":
        truth = truth * np.exp(0.4 * rng.standard_normal((48, 1, 1)))
    counts = rng.poisson(truth).astype(np.float32)
    mask = gaps.cross(truth.shape, 3, [29, 31])
    found, start = _corrected(counts, mask)
    assert found.error_before > 0
    assert _error(found.values, counts[mask]) <= _error(start, counts[mask])
    if kind == "flat field":
        assert np.isnan(found.support)
        assert np.array_equal(found.values, start)


def test_where_it_gains_nothing_in_the_gap_it_refuses():
    """A cross beside which the hidden gaps are not surely better: corrected, it would be no better itself."""
    truth, _ = _pattern()
    counts = np.random.default_rng(1).poisson(truth).astype(np.float32)
    found, start = _corrected(counts, gaps.cross(truth.shape, 3, [34, 21]))
    assert np.isnan(found.support)
    assert np.array_equal(found.values, start)


def test_what_the_hidden_gaps_contradict_is_not_done():
    """The same pattern and a filling that is as good as the counts: nothing is left to correct."""
    truth, _ = _pattern()
    counts = np.random.default_rng(1).poisson(truth).astype(np.float32)
    mask = gaps.cross(truth.shape, 3, [29, 31])
    found = finite.make_finite(counts, mask, np.ones(mask.sum()), lambda m: (truth[m], np.ones(m.sum())), workers=1)
    assert np.array_equal(found.values, counts[mask])
    assert np.isnan(found.support)


def test_what_has_no_finite_support_stays_as_it_was():
    """White noise: every lag is as likely as any other, and nothing predicts a hidden gap."""
    counts = np.random.default_rng(0).poisson(50.0, (32, 32, 32)).astype(np.float32)
    found, start = _corrected(counts, gaps.plane(counts.shape, 4))
    assert np.array_equal(found.values, start)
    assert np.isnan(found.support)


@pytest.mark.parametrize("counts", [np.zeros((16, 16, 16)), np.eye(16)[..., None] * np.ones(16)])
def test_next_to_nothing_measured_stays_as_it_was(counts):
    found, start = _corrected(counts, gaps.plane(counts.shape, 2))
    assert np.array_equal(found.values, start)


def test_hidden_gaps_are_copies_of_the_gap_in_what_was_measured():
    truth, _ = _pattern()
    for mask in (
        gaps.cross(truth.shape, 3, [29, 31]),
        gaps.plane(truth.shape, 4, start=30),
        gaps.plane(truth.shape, 2, start=26),
    ):
        found = finite.hidden_gaps(truth, mask)
        assert finite.LEAST_GAPS <= len(found) <= finite.GAPS
        for hidden in found:
            assert not (hidden & mask).any()
            assert hidden.sum() > 0.4 * mask.sum()
            assert not hidden[finite._peak(truth, mask)]
    moved = finite._moved(mask, 0, 3)
    assert not moved[:3].any()
    assert np.array_equal(moved[3:], mask[:-3])


def test_the_support_of_a_convex_crystal_is_found_in_its_whole_pattern():
    truth, inside = _pattern(peak=1e9)
    whole = scipy.fft.ifftn(np.abs(scipy.fft.fftn(inside.astype(float))) ** 2).real > 0.5
    outside = finite.outside_support(scipy.fft.ifftshift(truth), 1e-3, 1.05, 1)
    assert not (outside & whole[..., : outside.shape[2]]).any()
    assert finite._share(outside, truth.shape) > 1 - 2 * whole.mean()


@pytest.mark.parametrize("shape", [(6, 5, 8), (6, 5, 7)])
def test_the_half_that_is_stored_counts_for_the_whole(shape):
    rng = np.random.default_rng(0)
    spectrum = scipy.fft.fftn(rng.random(shape))
    outside = np.abs(spectrum) > np.median(np.abs(spectrum))
    assert finite._share(outside[..., : shape[2] // 2 + 1], shape) == pytest.approx(outside.mean())


@pytest.mark.parametrize("gain", [None, 0.05])
def test_it_is_the_minimum_that_it_is_said_to_be(gain):
    """Against the normal equations, written out and solved densely."""
    rng = np.random.default_rng(3)
    shape = (6, 5, 4)
    size = int(np.prod(shape))
    filled = rng.random(shape).astype(np.float32) * 10
    mask = rng.random(shape) < 0.3
    sigma = rng.uniform(0.5, 3, mask.sum()).astype(np.float32)
    lags = [np.fft.fftfreq(n) * n for n in shape]
    outside = sum(g**2 for g in np.meshgrid(*lags, indexing="ij")) > 2
    level = scipy.ndimage.gaussian_filter(filled, 1) + 0.01
    variance = np.zeros_like(level) if gain is None else level + (gain * level) ** 2
    slack = level[~mask].mean() if gain is None else finite.STRICT * variance[~mask].mean()
    variance[mask] = sigma**2
    transform = np.fft.fftn(np.eye(size).reshape(size, *shape), axes=(1, 2, 3), norm="ortho").reshape(size, size).T
    away = ((transform.conj().T * outside.reshape(-1)) @ transform).real
    free = np.flatnonzero(variance)
    matrix = away[np.ix_(free, free)] / slack + np.diag(1 / variance.reshape(-1)[free])
    step = np.zeros(size)
    step[free] = np.linalg.solve(matrix, -(away @ filled.reshape(-1))[free] / slack)
    found = finite.correct(filled, mask, sigma, outside[..., : shape[2] // 2 + 1], gain, 1, 400)
    assert np.allclose(found, filled + step.reshape(shape), atol=0.02)


def test_it_is_asked_for_and_told():
    """Through the public function: corrected where it helps, measured voxels untouched, and said so."""
    truth, _ = _pattern()
    counts = np.random.default_rng(2).poisson(truth)
    mask = gaps.cross(truth.shape, 3, [29, 31])
    plain = filling.inpaint(counts, mask, method="linear")
    held = filling.inpaint(counts, mask, method="linear", finite=True)
    assert plain.finite is None
    assert held.finite.support > 0
    assert np.array_equal(held.data[~mask], plain.data[~mask])
    assert _error(held.data[mask], truth[mask]) < 0.6 * _error(plain.data[mask], truth[mask])
    assert held.data.min() >= 0
