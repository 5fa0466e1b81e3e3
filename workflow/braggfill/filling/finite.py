r"""A filling made consistent with a finite crystal.

The Fourier transform of an intensity is the autocorrelation of the object, and of a finite object it is zero outside
a finite region S (for a convex crystal a convex one, twice its size).  An array that oversamples the pattern has room
around S, and there the measured voxels and the filled ones have to cancel.  With :math:`x_0, \sigma_0` what a network
says of the missing voxels and :math:`c` what was counted, the most probable expectation is the one that minimises

.. math:: \frac{1}{v} \bigl\| (1 - S)\,\mathcal F\,[c + x] \bigr\|^2
          + \Bigl\| \frac{x - x_0}{\sigma_0} \Bigr\|^2, \qquad v = \frac{1}{N} \sum c,

with the unitary transform :math:`\mathcal F`, in which counting noise is white: :math:`v` is its variance.  It moves
the bright voxels, which decide about phases and strain, and leaves the weak ones, of which it knows less than the
network.

S is not known.  Candidates are the convex hulls of the autocorrelation above falling thresholds; each is judged by
voxels that were measured: some of the bright ones are hidden, interpolated and corrected with the rest.  The S that
predicts them best is taken, looked for once more in the corrected pattern, whose autocorrelation is cleaner, and where
none does clearly better than the interpolation, the network's filling stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

CANDIDATES = (((0.03, 1.1), (0.03, 1.25), (0.03, 1.45)), ((0.01, 1.05), (0.003, 1.05), (0.001, 1.05)))
"""Thresholds, as shares of the autocorrelation's maximum, and the factors by which their hulls are grown: first the
core, which what is wrong in the gap does not reach, grown to where the rest should end; then, in the corrected
pattern, the rest itself."""
MARGIN = 1.5
"""Voxels by which each hull is grown as well."""
EQUAL = 1.08
"""Errors within this factor of the least are equal; the smallest S among them is taken."""
JUDGING, ITERATIONS = 15, 40
TOLERANCE = 1e-3
CLEARLY = 0.8
"""The error of the hidden voxels' amplitude has to fall below this share of the interpolation's."""
HIDDEN, ENOUGH = 0.02, 50
"""Share of the bright voxels that are hidden, and the fewest to judge by."""


@dataclass(frozen=True)
class Finite:
    """A corrected filling and what was found on the way."""

    values: np.ndarray
    """Photons of the missing voxels, in their order."""
    support: float
    """Volume of S as a share of the array; NaN where none was taken and the filling stayed."""
    error_before: float
    """Relative error of the amplitude of the hidden voxels, interpolated …"""
    error_after: float
    """… and corrected."""

    @property
    def accepted(self) -> bool:
        """Whether the filling was corrected; if not, ``values`` are those that it had."""
        return bool(np.isfinite(self.support))


def make_finite(filled: np.ndarray, mask: np.ndarray, sigma: np.ndarray, *, workers: int | None = None) -> Finite:
    """Correct a filling.

    Parameters
    ----------
    filled : photons, three axes, what was measured and what was filled.
    mask : boolean, same shape, True where filled.
    sigma : (missing voxels,) standard deviation of the expectation of each, photons, without the counting noise.
    workers : threads of the Fourier transforms.
    """
    workers = workers or scipy.fft.get_workers()
    filled = np.maximum(filled, 0).astype(np.float32)
    start = filled[mask]
    stays = Finite(start, float("nan"), float("nan"), float("nan"))
    variance = max(float(filled[~mask].sum(dtype=np.float64)) / filled.size, 0.01)
    hidden = _hidden(filled, mask, variance)
    if np.count_nonzero(hidden) < ENOUGH:
        return stays
    tried, spread = _hide(filled, mask, hidden, sigma)
    both, truth = mask | hidden, filled[hidden]
    judged = hidden[both]
    before = _error(tried[hidden], truth)
    found: list[tuple[float, float, np.ndarray]] = []
    known = tried
    for candidates in CANDIDATES:
        round_best, better = np.inf, None
        for level, growth in candidates:
            outside = outside_support(known, level, growth, workers)
            if outside is None or not outside.any():
                continue
            values = _solve(tried, both, spread, outside, variance, workers, JUDGING)
            error = _error(values[judged], truth)
            found.append((1 - _share(outside, filled.shape), error, outside))
            if error < round_best:
                round_best, better = error, values
        if better is None:
            break
        known = tried.copy()
        known[both] = np.maximum(better, 0)
    least = min((error for _, error, _ in found), default=np.inf)
    if least > CLEARLY * before:
        return Finite(start, float("nan"), before, least)
    volume, after, outside = min((one for one in found if one[1] <= EQUAL * least), key=lambda one: one[0])
    values = _solve(filled, mask, sigma.astype(np.float32), outside, variance, workers, ITERATIONS)
    return Finite(np.maximum(values, 0), volume, before, after)


def _hidden(filled: np.ndarray, mask: np.ndarray, variance: float) -> np.ndarray:
    """Some of the measured voxels that stand out of the noise of the transform, boolean."""
    rng = np.random.default_rng(0)
    bright = (filled > 3 * np.sqrt(variance)) & ~mask
    return bright & (rng.random(filled.shape) < HIDDEN)


def _hide(filled: np.ndarray, mask: np.ndarray, hidden: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pattern with its hidden voxels interpolated, and how far each missing or hidden voxel may be off."""
    import scipy.ndimage

    from braggfill.filling.sliding import bridged

    tried = np.expm1(bridged(np.log1p(filled), hidden))
    spread = np.zeros(filled.shape, np.float32)
    spread[mask] = sigma
    # A fringe that the interpolation misses is about as bright as its neighbours.
    spread[hidden] = 0.5 * scipy.ndimage.maximum_filter(tried, 5)[hidden] + 0.3
    return tried, spread[mask | hidden]


def outside_support(filled: np.ndarray, level: float, growth: float, workers: int) -> np.ndarray | None:
    """Where the autocorrelation has to be zero, in the layout of ``rfftn``; None where no hull can be had.

    The candidate is the convex hull of what is above ``level`` of the maximum and hangs together with the centre.
    """
    import scipy.ndimage
    from scipy.spatial import ConvexHull, QhullError

    half = np.abs(scipy.fft.rfftn(filled, workers=workers))
    shape = filled.shape
    strong = half > level * half[0, 0, 0]
    # The half space as it is stored, its first two axes centred; the other half is its mirror image.
    strong = scipy.fft.fftshift(strong, axes=(0, 1))
    centre = (shape[0] // 2, shape[1] // 2, 0)
    labels, _ = scipy.ndimage.label(strong)
    if labels[centre] == 0:
        return None
    body = labels == labels[centre]
    points = np.argwhere(body & ~scipy.ndimage.binary_erosion(body, border_value=1)) - centre
    points = np.vstack([points, -points])
    try:
        equations = np.unique(ConvexHull(points).equations.round(6), axis=0)
    except QhullError:
        return None
    inside = np.ones(strong.shape, bool)
    lines = [np.arange(n, dtype=np.float32) - c for n, c in zip(strong.shape, centre, strict=True)]
    for *normal, offset in equations:
        plane = sum(
            np.float32(n) * line.reshape([-1 if a == b else 1 for b in range(3)])
            for a, (n, line) in enumerate(zip(normal, lines, strict=True))
        )
        inside &= plane <= -offset * growth + MARGIN
    return ~scipy.fft.ifftshift(inside, axes=(0, 1))


def _solve(
    filled: np.ndarray,
    mask: np.ndarray,
    sigma: np.ndarray,
    outside: np.ndarray,
    variance: float,
    workers: int,
    most: int,
) -> np.ndarray:
    """The minimum, by conjugate gradients from the filling itself; photons of the missing voxels."""
    weight = np.float32(1 / variance)
    precision = 1 / np.maximum(sigma, 1e-3).astype(np.float32) ** 2

    def apart(pattern: np.ndarray) -> np.ndarray:
        spectrum = scipy.fft.rfftn(pattern, workers=workers)
        spectrum *= outside
        return scipy.fft.irfftn(spectrum, s=filled.shape, workers=workers)[mask]

    whole = np.zeros_like(filled)
    residual = -weight * apart(filled)
    diagonal = 1 / (weight * _share(outside, filled.shape) + precision)
    step = np.zeros_like(residual)
    direction = conditioned = diagonal * residual
    energy = first = float(residual @ conditioned)
    for _ in range(most):
        if energy <= TOLERANCE**2 * first:
            break
        whole[mask] = direction
        image = weight * apart(whole) + precision * direction
        length = np.float32(energy / float(direction @ image))
        step += length * direction
        residual -= length * image
        conditioned = diagonal * residual
        energy, old = float(residual @ conditioned), energy
        direction = conditioned + np.float32(energy / old) * direction
    return filled[mask] + step


def _share(outside: np.ndarray, shape: tuple[int, ...]) -> float:
    """Of the whole transform, from the half that is stored."""
    twice = outside.sum(axis=(0, 1), dtype=np.int64)
    first = twice[0] + (twice[-1] if shape[-1] % 2 == 0 else 0)
    return float(2 * twice.sum() - first) / float(np.prod(shape))


def _error(values: np.ndarray, truth: np.ndarray) -> float:
    """Relative error of the amplitude."""
    guess, true = np.sqrt(np.maximum(values, 0)), np.sqrt(truth)
    return float(np.linalg.norm(guess - true) / max(np.linalg.norm(true), 1e-9))
