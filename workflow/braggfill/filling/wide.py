"""Gaps too wide for one patch: coarse to fine, over binned copies of the pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.ndimage

from braggfill.filling.sliding import bridged, logarithms, slide
from braggfill.patterns import distribution

if TYPE_CHECKING:
    from braggfill.filling.methods import Options
    from braggfill.networks.network import Network

REACH = 9.0
"""Voxels: a gap none of whose voxels lies farther from a measured one is filled as it is."""
COARSE = 0.8
"""Weight w of what starts from the binned copy."""
FORGETS = 32.0
"""Voxels over which what is measured loses its say in a wide gap."""


def overlapping(
    seen: np.ndarray, mask: np.ndarray, network: Network, options: Options
) -> tuple[np.ndarray, np.ndarray | None]:
    """The method of networks for every gap: patches that overlap over everything that is missing, see
    :data:`braggfill.filling.methods.Filler`."""
    logs, limit = logarithms(seen)
    found, spread = fill_wide(logs, mask, network, options.step, options.batch, options.progress, limit)
    if spread is None or not getattr(network, "card", {}).get("uncertainty", True):
        return np.expm1(found), None
    values = distribution.photons(found, spread)
    with np.errstate(over="ignore"):  # clipped by who fills
        return values, (1 + values) * np.sinh(spread)


def fill_wide(
    logs: np.ndarray,
    mask: np.ndarray,
    model: Network,
    step: int,
    batch: int,
    progress: bool,
    limit: float,
) -> tuple[np.ndarray, np.ndarray | None]:
    r"""log(1 + photons) of the missing voxels and its standard deviation, in their order.

    :math:`y_1, \sigma_1` is what overlapping patches predict, from linear interpolation across the gap
    (:func:`braggfill.filling.sliding.slide`).  If some voxel lies more than 9 from anything measured, the pattern is
    also binned by 2 along each axis (:func:`binned`), filled in the same way, and brought back
    (:func:`finer`) as a second thing to start from, which sees farther; that gives :math:`y_2, \sigma_2`, and

    .. math:: y = (1 - w) y_1 + w y_2, \qquad
              \sigma^2 = (1 - w) \sigma_1^2 + w \sigma_2^2 + w (1 - w) (y_1 - y_2)^2, \qquad w = 0.8,

    so that where the two disagree, which is where they guess, the uncertainty says so.  The binned copy is binned
    again while its gaps are still that wide.  In such a gap the network, which was trained with narrower ones, is too
    sure of itself: with d the distance from what is measured and V the variance of the measured logarithm around,

    .. math:: \sigma^2 \to \sigma^2 + V \bigl(1 - e^{-d / 32}\bigr).

    On the APS scan (64 x 128 x 128 voxels around the peak, of 38 px 32 x 128 x 128, gaps that begin 22 voxels beside
    it, the second arm of a cross 24) this reached the correlations of the table, log(1 + counts) in the gap, against
    filling without the binned copies.  Of the voxels of which at least one photon was predicted, 72 % or more lay
    within one standard deviation at every distance from what is measured, of all voxels 85 % or more; deep in a gap it
    is cautious.

    ================  ======  ======  ==========
    gap               linear  without with copies
    ================  ======  ======  ==========
    20 px, plane      0.645   0.762   0.772
    26 px, plane      0.647   0.728   0.735
    38 px, plane      0.668   0.687   0.685
    20 px, cross      0.639   0.754   0.749
    26 px, cross      0.611   0.699   0.714
    38 px, cross      0.608   0.630   0.675
    ================  ======  ======  ==========

    Parameters as for ``slide``, but for ``logs``: log(1 + photons), anything in the gap.  A network that states no
    uncertainty is slid over the pattern as it is.
    """
    if not model.uncertain:
        return slide(bridged(logs, mask), mask, model, step, batch, progress, limit)
    found, spread = _levels(logs, mask, model, step, batch, progress, limit)
    if not _wide(mask):
        return found, spread
    distance = _depth(mask)
    around = 2 * int(distance.max() + REACH) + 1
    unknown = 1 - np.exp(-np.broadcast_to(distance, mask.shape)[mask] / FORGETS)
    return found, np.sqrt(spread**2 + _variance(logs, mask, around) * unknown)


def _slid(*arguments: Any) -> tuple[np.ndarray, np.ndarray]:
    """What a network that states its uncertainty says; see :func:`braggfill.filling.sliding.slide`."""
    found, spread = slide(*arguments)
    assert spread is not None
    return found, spread


def _levels(
    logs: np.ndarray, mask: np.ndarray, model: Network, step: int, batch: int, progress: bool, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """The average over the pattern as it is and its binned copies; see :func:`fill_wide`."""
    start = bridged(logs, mask)
    found, spread = _slid(start, mask, model, step, batch, progress, limit)
    if not _wide(mask):
        return found, spread
    coarse, hidden = binned(logs, mask)
    if not hidden.any() or hidden.all():
        return found, spread
    coarse[hidden] = _levels(coarse, hidden, model, step, batch, progress, limit + np.log(8.0))[0]
    start = _joined(logs, mask, finer(coarse, mask.shape))
    other, uncertain = _slid(start, mask, model, step, batch, progress, limit)
    variance = (1 - COARSE) * spread**2 + COARSE * uncertain**2 + COARSE * (1 - COARSE) * (found - other) ** 2
    return (1 - COARSE) * found + COARSE * other, np.sqrt(variance)


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
    """Whether some voxel lies more than ``REACH`` from a measured one."""
    reduced = _reduced(mask)
    # A ball of that radius holds this cube: where no cube fits into the gap, no ball does.
    cube = 2 * int(REACH / np.sqrt(3)) + 1
    sizes = [min(cube, n) for n in reduced.shape]
    if not scipy.ndimage.minimum_filter(reduced.view(np.uint8), sizes, mode="nearest").any():
        return False
    return float(_depth(reduced).max()) > REACH


def _depth(mask: np.ndarray) -> np.ndarray:
    """Distance in voxels from each missing voxel to the nearest measured one; broadcasts to the mask's shape."""
    reduced = _reduced(mask)
    return scipy.ndimage.distance_transform_edt(reduced).astype(np.float32)


def _reduced(mask: np.ndarray) -> np.ndarray:
    """The mask with the axes along which it does not change reduced to one plane."""
    for axis in range(3):
        one = mask.take([0], axis)
        mask = one if (mask == one).all() else mask
    return mask


def _variance(logs: np.ndarray, mask: np.ndarray, size: int) -> np.ndarray:
    """Of the measured logarithm in a box of edge ``size`` around each missing voxel, in their order."""
    values = np.where(mask, np.float32(0), logs)
    parts = ((~mask).astype(np.float32), values, values**2)
    known, mean, square = (scipy.ndimage.uniform_filter(part, size, mode="constant")[mask] for part in parts)
    known = np.maximum(known, np.finfo(np.float32).tiny)
    return np.maximum(square / known - (mean / known) ** 2, 0)


def _sum(array: np.ndarray) -> np.ndarray:
    """Sums over 2 x 2 x 2 voxels."""
    for axis in range(3):
        even = tuple(slice(0, None, 2) if a == axis else slice(None) for a in range(3))
        odd = tuple(slice(1, None, 2) if a == axis else slice(None) for a in range(3))
        array = array[even] + array[odd]
    return array
