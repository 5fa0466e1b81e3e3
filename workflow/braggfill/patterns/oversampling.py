r"""Oversampling of a diffraction pattern, estimated from its autocorrelation.

The inverse Fourier transform of the intensity is the autocorrelation of the object, which reaches twice as far as the
object along each axis.  With N voxels in the array and an autocorrelation that reaches from -r to r,

.. math:: \sigma = N / r

along each axis, the size of the array over the size of the crystal in direct space.  Towards its end the
autocorrelation of a convex object falls like :math:`(1 - x/r)^k` with k from 1 (faces) over 2 (edges) to 3 (corners); k
is the one that makes a straight line of its k-th root, and r is where that line reaches zero.
"""

from __future__ import annotations

import numpy as np

from braggfill.physics import fourier

TOLERANCE = 0.15
"""Within this share the estimate agrees with the truth for compact crystals in simulation, strained ones, too."""
FURTHEST = 1.25
"""How far beyond the last voxel used the end may lie."""
POWERS = (1.0, 1.5, 2.0, 2.5, 3.0)
LEVELS = (0.02, 0.4)
"""The part of the autocorrelation, relative to its smooth maximum, that is used, if the noise lies below it."""


def estimate(intensity: np.ndarray, missing: np.ndarray | None = None) -> tuple[float | None, ...]:
    """Oversampling along each axis; None where the pattern does not tell, or where it is below about 2.

    Parameters
    ----------
    intensity : photons, three axes; ``missing`` : True where missing, bridged by linear interpolation here.
    """
    counts = np.asarray(intensity, np.float32)
    if missing is not None and missing.any():
        from braggfill.patterns.interpolate import interpolate

        counts = interpolate(np.where(missing, 0, counts), missing, "linear").astype(np.float32)
    if not (counts > 0).any():
        return (None,) * counts.ndim
    found = np.abs(fourier.inverse(counts))
    return tuple(_axis(found, axis) for axis in range(found.ndim))


def _axis(autocorrelation: np.ndarray, axis: int) -> float | None:
    """From the greatest value in each plane across the axis: a line from the centre to the end of the array."""
    line = autocorrelation.max(axis=tuple(a for a in range(autocorrelation.ndim) if a != axis))
    length = len(line)
    centre = length // 2
    ahead = line[centre:]
    behind = line[centre::-1]
    reach = min(len(ahead), len(behind))
    half = np.maximum(ahead[:reach], behind[:reach])
    if reach < 4:
        return None
    # Counting noise adds to the centre alone, and a floor everywhere.
    top = half[1]
    floor = float(np.median(half[-max(2, reach // 8) :]))
    low, high = max(LEVELS[0], 3 * floor / top), LEVELS[1]
    below = np.flatnonzero(half[1:] < low * top)
    if low >= high or not len(below):
        return None
    used = np.arange(1, int(below[0]) + 1)
    used = used[half[used] < high * top]
    if len(used) < 2:
        used = np.arange(max(1, int(below[0]) - 1), int(below[0]) + 1)
    if len(used) < 2:
        return None
    fits = []
    for power in POWERS:
        root = (half[used] / top) ** (1 / power)
        slope, start = np.polyfit(used, root, 1)
        error = float(np.sqrt(np.mean((slope * used + start - root) ** 2)) / max(np.ptp(root), 1e-9))
        fits.append((error, -start / slope if slope < 0 else float("inf")))
    # With a handful of points any power fits; then the middle one is as good as it gets.
    extent = min(fits)[1] if len(used) > 3 else fits[len(fits) // 2][1]
    extent = min(extent, FURTHEST * float(used[-1] + 1))
    return float(length / extent) if 1 < extent < 0.75 * length else None
