"""Gaps too wide for one portion: coarse to fine, over binned copies of the pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.ndimage

from braggfill.filling.sliding import bridged, slide

if TYPE_CHECKING:
    from torch.nn import Module

REACH = 8.0
"""Voxels: a gap none of whose voxels lies farther from a measured one is filled as it is."""


def fill_wide(
    logs: np.ndarray,
    mask: np.ndarray,
    model: Module,
    step: int,
    batch: int,
    progress: bool,
    limit: float,
) -> tuple[np.ndarray, np.ndarray]:
    r"""log(1 + photons) of the missing voxels and its standard deviation, in their order.

    :math:`y_1, \sigma_1` is what overlapping portions predict, from linear interpolation across the gap
    (:func:`braggfill.filling.sliding.slide`).  If some voxel lies more than 8 from anything measured, the pattern is
    also binned by 2 along each axis (:func:`binned`), filled in the same way, and brought back
    (:func:`finer`) as a second thing to start from, which sees farther; that gives :math:`y_2, \sigma_2`, and

    .. math:: y = \frac{y_1 + y_2}{2}, \qquad
              \sigma^2 = \frac{\sigma_1^2 + \sigma_2^2}{2} + \Bigl(\frac{y_1 - y_2}{2}\Bigr)^2

    so that where the two disagree, which is where they guess, the uncertainty says so.  The binned copy is binned
    again while its gaps are still that wide.  Parameters as for ``slide``; ``logs`` may hold anything in the gap.
    """
    start = bridged(logs, mask)
    found, spread = slide(start, mask, model, step, batch, progress, limit)
    if not _wide(mask):
        return found, spread
    coarse, hidden = binned(logs, mask)
    if not hidden.any() or hidden.all():
        return found, spread
    coarse[hidden] = fill_wide(coarse, hidden, model, step, batch, progress, limit + np.log(8.0))[0]
    start = _joined(logs, mask, finer(coarse, mask.shape))
    other, doubt = slide(start, mask, model, step, batch, progress, limit)
    return (found + other) / 2, np.sqrt((spread**2 + doubt**2) / 2 + ((found - other) / 2) ** 2)


def binned(logs: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log(1 + photons) of every 2 x 2 x 2 voxels together, and where they are missing.

    The photons of the measured ones, times 8 / their number; missing where fewer than half are measured.  At an odd
    end the last voxels stand alone and count as what is measured of their block.
    """
    pads = [(0, -n % 2) for n in mask.shape]
    known = _sum(np.pad(~mask, pads).astype(np.float32))
    photons = np.expm1(logs)
    photons[mask] = 0
    photons = _sum(np.pad(photons, pads))
    whole = _sum(np.pad(np.ones(mask.shape, np.float32), pads))
    hidden = known < whole / 2
    photons *= 8 / np.maximum(known, 1)
    photons[hidden] = 0
    return np.log1p(photons, out=photons), hidden


def finer(coarse: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of :func:`binned`, smooth: log(1 + photons) a voxel, linear between the blocks' middles.

    Parameters
    ----------
    coarse : log(1 + photons in 2 x 2 x 2 voxels).
    shape : of the finer array; ``coarse`` has half of it, rounded up.
    """
    out = coarse
    for axis, n in enumerate(shape):
        length = coarse.shape[axis]
        place = np.clip((np.arange(n) + 0.5) / 2 - 0.5, 0, length - 1)
        left = place.astype(np.int64)
        share = (place - left).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        out = out.take(left, axis) * (1 - share) + out.take(np.minimum(left + 1, length - 1), axis) * share
    return np.log1p(np.expm1(np.maximum(out, 0)) / 8).astype(np.float32)


def _joined(logs: np.ndarray, mask: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """The guess in the gap, shifted so that it meets what is measured: the difference at the gap's edge is
    interpolated linearly across it."""
    rest = bridged(logs - guess, mask)
    return np.maximum(np.where(mask, guess + rest, logs), 0).astype(np.float32)


def _wide(mask: np.ndarray) -> bool:
    """Whether some voxel lies more than ``REACH`` from a measured one (planes and axes that tell nothing left out)."""
    reduced = mask
    for axis in range(3):
        one = reduced.take([0], axis)
        reduced = one if (reduced == one).all() else reduced
    cube = 2 * int(REACH / np.sqrt(3)) + 1
    # A ball of that radius holds this cube: where no cube fits into the gap, no ball does.
    sizes = [min(cube, n) if n > 1 else 1 for n in reduced.shape]
    if not scipy.ndimage.minimum_filter(reduced.view(np.uint8), sizes, mode="nearest").any():
        return False
    box = scipy.ndimage.find_objects(reduced.view(np.uint8))[0]
    room = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
    return float(scipy.ndimage.distance_transform_edt(reduced[room]).max()) > REACH


def _sum(array: np.ndarray) -> np.ndarray:
    """Sums over 2 x 2 x 2 voxels."""
    for axis in range(3):
        even = tuple(slice(0, None, 2) if a == axis else slice(None) for a in range(3))
        odd = tuple(slice(1, None, 2) if a == axis else slice(None) for a in range(3))
        array = array[even] + array[odd]
    return array
