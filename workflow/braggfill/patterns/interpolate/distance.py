r"""Inverse distance weighting, what PyNX does for masked voxels (``InterpIobsMask``, distance 8, power 4)."""

from __future__ import annotations

import itertools

import numpy as np
import scipy.fft
import scipy.ndimage

REACH = 8
"""Voxels: how far a measured voxel counts."""
POWER = 4
BLOCK = 64
"""Edge of the blocks in which the sums are made, voxels; memory only."""


def fill(intensity: np.ndarray, mask: np.ndarray) -> np.ndarray:
    r"""Photons of the missing voxels, in their order.

    .. math:: I(x) = \sum_{d \le 8} I(x + d)\, |d|^{-4} \Big/ \sum_{d \le 8} |d|^{-4}

    over the measured voxels in a ball of 8 voxels.  What lies farther than that from anything measured is filled in a
    later pass, from what was filled before.

    Parameters
    ----------
    intensity : photons; what lies in the gap is not looked at.
    mask : boolean, same shape, any number of axes, True where missing, not everywhere.
    """
    values = np.where(mask, 0, intensity).astype(np.float64)
    missing = mask.copy()
    low, high = values[~mask].min(), values[~mask].max()
    while missing.any():
        known = ~missing
        found, reached = np.zeros_like(values), np.zeros_like(mask)
        for inner, outer, core in _blocks(missing):
            sums, norm = _sums(values[outer] * known[outer], known[outer])
            sums, norm = sums[core], norm[core]
            # A weight that is not the transform's rounding: the least there is belongs to one voxel at the reach.
            good = missing[inner] & (norm > 0.5 * REACH**-POWER)
            found[inner][good] = sums[good] / norm[good]
            reached[inner] |= good
        values[reached] = np.clip(found[reached], low, high)
        missing &= ~reached
    return values[mask]


def _blocks(missing: np.ndarray):
    """For each block that holds something missing: the block, the block and all it reads, and the block within that."""
    starts = [range(0, n, BLOCK) for n in missing.shape]
    for corner in itertools.product(*starts):
        inner = tuple(slice(c, min(c + BLOCK, n)) for c, n in zip(corner, missing.shape, strict=True))
        if not missing[inner].any():
            continue
        box = scipy.ndimage.find_objects(missing[inner].view(np.uint8))[0]
        inner = tuple(slice(i.start + b.start, i.start + b.stop) for i, b in zip(inner, box, strict=True))
        outer = tuple(
            slice(max(i.start - REACH, 0), min(i.stop + REACH, n)) for i, n in zip(inner, missing.shape, strict=True)
        )
        core = tuple(slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
        yield inner, outer, core


def _sums(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted sums of the values and of ones over the ball, by fast Fourier transform."""
    size = [scipy.fft.next_fast_len(n + REACH, real=True) for n in values.shape]
    square = sum(
        np.minimum(line, n - line).reshape([-1 if a == axis else 1 for a in range(values.ndim)]) ** 2.0
        for axis, (n, line) in enumerate((n, np.arange(n)) for n in size)
    )
    kernel = np.where((square > 0) & (square <= REACH**2), np.maximum(square, 1) ** (-POWER / 2), 0.0)
    transform = scipy.fft.rfftn(kernel)
    inside = tuple(slice(0, n) for n in values.shape)
    return tuple(
        scipy.fft.irfftn(scipy.fft.rfftn(a.astype(np.float64), size) * transform, size)[inside] for a in (values, known)
    )
