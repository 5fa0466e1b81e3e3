"""A finite crystal has an autocorrelation of finite support, and fillings can be held to it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
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


def _filled(counts: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interpolated, and how far that may be off."""
    start = np.expm1(bridged(np.log1p(np.where(mask, 0, counts)).astype(np.float32), mask))
    return start, (0.5 * start + 1)[mask]


def _error(values: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(np.sqrt(values) - np.sqrt(truth)) / np.linalg.norm(np.sqrt(truth)))


@pytest.mark.parametrize("noisy", [False, True])
def test_a_gap_near_the_peak_is_filled_to_a_fraction_of_the_interpolations_error(noisy):
    truth, inside = _pattern()
    counts = np.random.default_rng(1).poisson(truth).astype(np.float32) if noisy else truth
    mask = gaps.cross(truth.shape, 3, [29, 31])
    start, sigma = _filled(counts, mask)
    found = finite.make_finite(start, mask, sigma, workers=1)
    assert _error(found.values, truth[mask]) < 0.6 * _error(start[mask], truth[mask])
    assert found.error_after < finite.CLEARLY * found.error_before
    whole = scipy.fft.ifftn(np.abs(scipy.fft.fftn(inside.astype(float))) ** 2).real > 0.5
    assert 0.8 * whole.mean() < found.support < 2 * whole.mean()


def test_what_has_no_finite_support_stays_as_it_was():
    """White noise: every lag is as likely as any other, and nothing predicts a hidden voxel."""
    counts = np.random.default_rng(0).poisson(50.0, (32, 32, 32)).astype(np.float32)
    mask = gaps.plane(counts.shape, 4)
    start, sigma = _filled(counts, mask)
    found = finite.make_finite(start, mask, sigma, workers=1)
    assert np.array_equal(found.values, start[mask])
    assert np.isnan(found.support)


@pytest.mark.parametrize("counts", [np.zeros((16, 16, 16)), np.eye(16)[..., None] * np.ones(16)])
def test_next_to_nothing_measured_stays_as_it_was(counts):
    mask = gaps.plane(counts.shape, 2)
    found = finite.make_finite(counts, mask, np.ones(mask.sum()), workers=1)
    assert np.array_equal(found.values, counts[mask].astype(np.float32))


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


def test_it_is_the_minimum_that_it_is_said_to_be():
    """Against the normal equations, written out and solved densely."""
    rng = np.random.default_rng(3)
    shape = (6, 5, 4)
    size = int(np.prod(shape))
    filled = rng.random(shape).astype(np.float32) * 10
    mask = rng.random(shape) < 0.3
    sigma = rng.uniform(0.5, 3, mask.sum()).astype(np.float32)
    lags = [np.fft.fftfreq(n) * n for n in shape]
    outside = sum(g**2 for g in np.meshgrid(*lags, indexing="ij")) > 2
    variance = 0.7
    transform = np.fft.fftn(np.eye(size).reshape(size, *shape), axes=(1, 2, 3), norm="ortho").reshape(size, size).T
    away = (transform.conj().T * outside.reshape(-1)) @ transform
    here = mask.reshape(-1)
    matrix = away.real[np.ix_(here, here)] / variance + np.diag(1 / sigma**2)
    step = np.linalg.solve(matrix, -(away.real @ filled.reshape(-1))[here] / variance)
    found = finite._solve(filled, mask, sigma, outside[..., : shape[2] // 2 + 1], variance, 1, 200)
    assert np.allclose(found, filled[mask] + step, atol=0.02)


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
