"""What a scan and its mask must be before anything is filled."""

from __future__ import annotations

import numpy as np

from braggfill.errors import BraggfillError

HOT = 20.0


def check(intensity: np.ndarray, mask: np.ndarray, scan: str = "scan", named: str = "mask") -> None:
    """Stop at what no filling can be right for; values in missing voxels may be anything.

    Parameters
    ----------
    intensity : 3D, real; mask : same shape, True = missing; ``scan`` and ``named`` tell them in an error.

    Raises
    ------
    BraggfillError : the mask is full or empty; a measured voxel is negative, NaN, infinite, or holds the largest
        integer of its 32- or 64-bit type (the mark of a gap in Eiger files); every measured voxel is zero.
    """
    missing = int(np.count_nonzero(mask))
    if missing == mask.size:
        raise BraggfillError(f"{named}: every voxel is missing, there is nothing to fill from; is the mask inverted?")
    if not missing:
        raise BraggfillError(f"{named}: no voxel is missing, there is nothing to fill; is it the right mask?")
    kind, size = intensity.dtype.kind, intensity.dtype.itemsize
    if kind == "f":
        _none_of(~np.isfinite(intensity), mask, intensity, scan, "not finite")
    if kind in "if":
        with np.errstate(invalid="ignore"):
            _none_of(intensity < 0, mask, intensity, scan, "negative")
    if kind in "iu" and size >= 4:
        largest = np.iinfo(intensity.dtype).max
        _none_of(intensity == largest, mask, intensity, scan, "the largest integer of their type, the mark of a gap")
    if not np.any(intensity, where=~mask):
        raise BraggfillError(f"{scan}: every measured voxel is zero; is it the right array?")


def hot(intensity: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Pixels that look hot, (rows, columns): in no measured frame below 20 counts plus 20 times what is usual in their
    neighbourhood (the median of 5 x 5 pixels' least counts).  A suspicion; fewer than five frames give none."""
    found = np.zeros(intensity.shape[1:], bool)
    if len(intensity) < 5:
        return found
    bad = mask | ~np.isfinite(intensity) if intensity.dtype.kind == "f" else mask
    least = np.full(intensity.shape[1:], np.inf)
    for frame, hidden in zip(intensity, bad, strict=True):
        np.minimum(least, np.where(hidden, np.inf, frame), out=least)
    least[bad.all(axis=0)] = np.nan
    around = np.pad(least, 2, constant_values=np.nan)
    for row, column in np.argwhere(least > HOT):
        usual = np.nanmedian(around[row : row + 5, column : column + 5])
        found[row, column] = least[row, column] > HOT * (1 + max(usual, 0))
    return found


def _none_of(bad: np.ndarray, mask: np.ndarray, intensity: np.ndarray, scan: str, what: str) -> None:
    bad &= ~mask
    number = int(np.count_nonzero(bad))
    if number:
        first = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
        one = f"{number} measured voxel is" if number == 1 else f"{number} measured voxels are"
        raise BraggfillError(
            f"{scan}: {one} {what}, the first {intensity[first]} at {first}; "
            "add them to the mask, or join it with what is marked (--join)"
        )
