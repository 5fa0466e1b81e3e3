r"""A filling made consistent with a finite crystal, where that is seen to help.

The Fourier transform of an intensity is the autocorrelation of the object, and of a finite object it is zero outside
a finite region S (for a convex crystal a convex one, twice its size).  An array that oversamples the pattern has room
around S, and there the measured voxels and the filled ones have to cancel.  Blur by partial coherence or a detector and
a smooth background leave S as it is; what does not is noise, and pixels of unequal gain above all.  With :math:`y` the
filled pattern and :math:`D` what each voxel may be off by, the most probable expectation is the one that minimises

.. math:: \frac{1}{\epsilon} \bigl\| (1 - S)\,\mathcal F\,x \bigr\|^2 + \sum \frac{(x - y)^2}{D},\qquad
   D = \begin{cases} \bar y + (g \bar y)^2 & \text{measured: counting noise and a relative error } g \\
                     \sigma^2 & \text{missing: what the filling says of itself} \end{cases}

with the unitary transform :math:`\mathcal F` and :math:`\bar y` the smoothed pattern.  It moves the bright voxels of
the gap, which decide about phases and strain; measured ones are given back as they were.

Neither S nor g is known, nor whether a scan keeps to all this.  So gaps as wide as the real ones, near them, are hidden
in what was measured and filled by the same method with the rest.  One of them chooses S, among convex hulls of the
autocorrelation above falling thresholds, and g; then all are judged against the counts.  Only where the correction
is clearly better in every one of them, in amplitude, and no worse in the correlation of the logarithms, is the
real gap corrected; else the filling stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.ndimage

FIRST = (0.03, 1.25)
"""A threshold, as a share of the autocorrelation's maximum, and the factor by which its hull is grown: the core, which
what is wrong in the gap does not reach, grown to where the rest should end."""
OTHERS = ((0.03, 1.1), (0.03, 1.45))
REFINED = ((0.01, 1.05), (0.003, 1.05), (0.001, 1.05))
"""The rest itself, looked for in the corrected pattern, whose autocorrelation is cleaner."""
MARGIN = 1.5
"""Voxels by which each hull is grown as well."""
GAINS = (None, 0.015, 0.05)
"""Relative errors of measured voxels that are tried: none, a corrected flat field, one that was not.  With none,
counting noise is shared out evenly, v = mean of y instead of D, as it is in the transform; that takes fewer steps."""
STRICT = 1e-3
"""The variance that is left outside S, as a share of the mean variance of the measured voxels."""
STEPS = (25, 60)
"""Of conjugate gradients: with noise shared out evenly, and otherwise."""
CLEARLY = 0.95
"""The relative error of the amplitude in each hidden gap has to fall below this share of what it was."""
GAPS, LEAST_GAPS = 3, 2
"""Hidden gaps to judge by, and the fewest."""
GUARD = 3
"""Measured voxels between a gap and its hidden copy."""
TOLERANCE = 1e-4
ENOUGH = 50
"""Photons that a hidden gap needs on its brightest voxels, ten times as many in all."""


@dataclass(frozen=True)
class Finite:
    """A corrected filling and what was found on the way."""

    values: np.ndarray
    """Photons of the missing voxels, in their order."""
    support: float
    """Volume of S as a share of the array; NaN where none was taken and the filling stayed."""
    error_before: float
    """Relative error of the amplitude in the hidden gaps, against counts, as filled (mean; NaN without such gaps) …"""
    error_after: float
    """… and corrected."""

    @property
    def accepted(self) -> bool:
        """Whether the filling was corrected; if not, ``values`` are those that it had."""
        return bool(np.isfinite(self.support))


Filler = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Fills all that a mask says is missing by the method in use: a boolean array to photons and the standard deviation of
their expectation, both in the order of the missing voxels."""


def make_finite(
    filled: np.ndarray, mask: np.ndarray, sigma: np.ndarray, fill: Filler, *, workers: int | None = None
) -> Finite:
    """Correct a filling where hidden gaps show that it helps.

    Parameters
    ----------
    filled : photons, three axes, what was measured and what was filled.
    mask : boolean, same shape, True where filled.
    sigma : (missing voxels,) standard deviation of the expectation of each, photons, without the counting noise.
    fill : fills the same pattern under a larger mask, which tells what a hidden gap would have been filled with.
    workers : threads of the Fourier transforms.
    """
    workers = workers or scipy.fft.get_workers()
    filled = np.maximum(filled, 0).astype(np.float32)
    hidden = hidden_gaps(filled, mask)
    stays = Finite(filled[mask], float("nan"), float("nan"), float("nan"))
    if len(hidden) < LEAST_GAPS:
        return stays
    trials = [_Trial(filled, mask, gap, fill, workers) for gap in hidden]
    chosen = _choose(trials[0], filled, mask, sigma)
    before = float(np.mean([trial.error(trial.filled) for trial in trials]))
    if chosen is None:
        return Finite(stays.values, stays.support, before, float("nan"))
    outside, gain = chosen
    after = []
    for trial in trials:
        corrected = trial.corrected(outside, gain)
        after.append(trial.error(corrected))
        if not trial.better(corrected):
            return Finite(stays.values, stays.support, before, float(np.mean(after)))
    values = correct(filled, mask, sigma, outside, gain, workers)[mask]
    support = 1 - _share(outside, filled.shape)
    return Finite(np.maximum(values, 0), support, before, float(np.mean(after)))


def _choose(
    trial: _Trial, filled: np.ndarray, mask: np.ndarray, sigma: np.ndarray
) -> tuple[np.ndarray, float | None] | None:
    """What S leaves outside, and the relative error of measured voxels, that predict a hidden gap best."""
    best: tuple[float, np.ndarray, float | None] | None = None

    def attempt(pattern: np.ndarray, hull: tuple[float, float], gain: float | None) -> None:
        nonlocal best
        outside = outside_support(pattern, *hull, trial.workers)
        if outside is None or not outside.any():
            return
        error = trial.error(trial.corrected(outside, gain))
        if best is None or error < best[0]:
            best = (error, outside, gain)

    for gain in GAINS:
        attempt(filled, FIRST, gain)
    for hull in OTHERS:
        attempt(filled, hull, best[2] if best else GAINS[1])
    if best is not None:
        cleaner = np.where(mask, np.maximum(correct(filled, mask, sigma, *best[1:], trial.workers), 0), filled)
        for hull in REFINED:
            attempt(cleaner, hull, best[2])
    return None if best is None or best[0] > CLEARLY * trial.error(trial.filled) else best[1:]


class _Trial:
    """A hidden gap: the pattern with it and the real gaps filled, and what was counted there."""

    def __init__(self, filled: np.ndarray, mask: np.ndarray, hidden: np.ndarray, fill: Filler, workers: int):
        self.workers, self.hidden, self.missing = workers, hidden, mask | hidden
        self.truth = filled[hidden]
        values, self.sigma = fill(self.missing)
        self.filled = filled.copy()
        self.filled[self.missing] = values

    def corrected(self, outside: np.ndarray, gain: float | None) -> np.ndarray:
        found = correct(self.filled, self.missing, self.sigma, outside, gain, self.workers)
        return np.maximum(found, 0)

    def error(self, pattern: np.ndarray) -> float:
        """Relative error of the amplitude in the hidden gap."""
        guess, true = np.sqrt(pattern[self.hidden]), np.sqrt(self.truth)
        return float(np.linalg.norm(guess - true) / np.linalg.norm(true))

    def better(self, corrected: np.ndarray) -> bool:
        """Clearly in amplitude, and no worse in the correlation of the logarithms."""
        correlations = [
            np.corrcoef(np.log1p(pattern[self.hidden]), np.log1p(self.truth))[0, 1]
            for pattern in (self.filled, corrected)
        ]
        return self.error(corrected) < CLEARLY * self.error(self.filled) and correlations[1] >= correlations[0]


def hidden_gaps(filled: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    """Up to ``GAPS`` copies of the gaps in what was measured, boolean arrays, those about as bright as the gaps
    themselves first: moved aside by once and twice their width across each axis, and mirrored at the peak, where a
    pattern is as bright as it is here.  The peak itself is never hidden."""
    bright = float(np.sqrt(filled[mask]).sum(dtype=np.float64))
    found: list[tuple[float, np.ndarray]] = []
    peak = _peak(filled, mask)
    for copy in _copies(filled, mask):
        hidden = copy & ~mask
        counts = filled[hidden]
        if 2 * np.count_nonzero(hidden) < np.count_nonzero(copy) or hidden[peak] or not counts.any():
            continue
        if counts.max() < ENOUGH or counts.sum(dtype=np.float64) < 10 * ENOUGH:
            continue
        level = float(np.sqrt(counts).sum(dtype=np.float64))
        found.append((abs(np.log(level / max(bright, 1e-9))), hidden))
    return [hidden for _, hidden in sorted(found, key=lambda one: one[0])[:GAPS]]


def _copies(filled: np.ndarray, mask: np.ndarray) -> Iterator[np.ndarray]:
    for axis, n in enumerate(filled.shape):
        width = _width(mask, axis)
        if not 0 < width < n // 3:
            continue
        for times in (1, -1, 2, -2):
            yield _moved(mask, axis, times * (width + GUARD))
    peak = _peak(filled, mask)
    mirrored = mask[::-1, ::-1, ::-1]
    for axis, (p, n) in enumerate(zip(peak, filled.shape, strict=True)):
        mirrored = _moved(mirrored, axis, 2 * int(p) - (n - 1))
    yield mirrored


def _peak(filled: np.ndarray, mask: np.ndarray) -> tuple[int, ...]:
    """The brightest measured voxel."""
    return tuple(int(i) for i in np.unravel_index(np.argmax(np.where(mask, 0, filled)), filled.shape))


def _width(mask: np.ndarray, axis: int) -> int:
    """Median length of the runs of missing voxels along an axis."""
    edges = np.diff(np.moveaxis(mask, axis, -1).astype(np.int8), axis=-1, prepend=0, append=0)
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return int(np.median(lengths)) if len(lengths) else 0


def _moved(mask: np.ndarray, axis: int, by: int) -> np.ndarray:
    """The mask moved along an axis; nothing comes in from beyond the border."""
    moved = np.zeros_like(mask)
    n = mask.shape[axis]
    if abs(by) < n:
        to = (slice(None),) * axis + (slice(max(by, 0), n + min(by, 0)),)
        of = (slice(None),) * axis + (slice(max(-by, 0), n + min(-by, 0)),)
        moved[to] = mask[of]
    return moved


def outside_support(filled: np.ndarray, level: float, growth: float, workers: int) -> np.ndarray | None:
    """Where the autocorrelation has to be zero, in the layout of ``rfftn``; None where no hull can be had.

    The candidate is the convex hull of what is above ``level`` of the maximum and hangs together with the centre.
    """
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


def correct(
    filled: np.ndarray,
    mask: np.ndarray,
    sigma: np.ndarray,
    outside: np.ndarray,
    gain: float | None,
    workers: int,
    most: int | None = None,
) -> np.ndarray:
    """The minimum, the whole pattern, photons, by ``most`` steps of conjugate gradients (:data:`STEPS`) from the
    filling itself.

    ``outside`` is that of :func:`outside_support`, ``gain`` one of :data:`GAINS`.
    """
    level = scipy.ndimage.gaussian_filter(filled, 1) + np.float32(0.01)
    if gain is None:
        slack = float(level[~mask].mean(dtype=np.float64))
        variance = np.zeros_like(level)
    else:
        variance = level + (np.float32(gain) * level) ** 2
        slack = STRICT * float(variance[~mask].mean(dtype=np.float64))
    variance[mask] = np.maximum(sigma, 1e-2) ** 2
    # In units of each voxel's own deviation. With the diagonal to go by the even case is solved in few steps; the other
    # one is better without: its first steps are those that the bright voxels, which are uncertain anyway, take up.
    spread = np.sqrt(variance)
    easier = 1 / (1 + variance * np.float32(_share(outside, filled.shape) / slack)) if gain is None else np.float32(1)

    def apart(pattern: np.ndarray) -> np.ndarray:
        spectrum = scipy.fft.rfftn(pattern, workers=workers)
        spectrum *= outside
        return scipy.fft.irfftn(spectrum, s=filled.shape, workers=workers) * (spread / np.float32(slack))

    residual = -apart(filled)
    step = np.zeros_like(residual)
    direction = easier * residual
    energy = first = float(np.vdot(residual, direction))
    for _ in range(most or STEPS[gain is not None]):
        if energy <= TOLERANCE**2 * first:
            break
        image = direction + apart(spread * direction)
        length = np.float32(energy / float(np.vdot(direction, image)))
        step += length * direction
        residual -= length * image
        conditioned = easier * residual
        energy, old = float(np.vdot(residual, conditioned)), energy
        direction = conditioned + np.float32(energy / old) * direction
    return filled + spread * step


def _share(outside: np.ndarray, shape: tuple[int, ...]) -> float:
    """Of the whole transform, from the half that is stored."""
    twice = outside.sum(axis=(0, 1), dtype=np.int64)
    first = twice[0] + (twice[-1] if shape[-1] % 2 == 0 else 0)
    return float(2 * twice.sum() - first) / float(np.prod(shape))


def _error(values: np.ndarray, truth: np.ndarray) -> float:
    """Relative error of the amplitude."""
    guess, true = np.sqrt(np.maximum(values, 0)), np.sqrt(truth)
    return float(np.linalg.norm(guess - true) / np.maximum(np.linalg.norm(true), 1e-9))
