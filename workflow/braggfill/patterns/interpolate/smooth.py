"""Biharmonic interpolation of the log intensity, by scikit-image, slice by slice across the gap."""

from __future__ import annotations

import warnings

import numpy as np

from braggfill.errors import BraggfillError


def fill(logs: np.ndarray, mask: np.ndarray) -> np.ndarray:
    r"""log(1 + photons) of the missing voxels, in their order: the solution of :math:`\nabla^4 y = 0` in the gap.

    In three dimensions the system of equations is far too large for a direct solution, and nothing is measured along
    a detector gap anyway.  It is therefore solved in slices: detector frames, or, for a gap of whole frames, slices
    across another axis.  Frames of the same mask share one solution of the equations, so that a cross in 128³ voxels
    takes well below a second.  A slice that is wholly missing (where three gaps cross) is filled last, in slices
    across another axis, from what was filled before.  No voxel leaves the range that is measured in its slice
    (scikit-image's own bound).

    Parameters
    ----------
    logs : log(1 + photons), 0 in the gap.
    mask : boolean, same shape, True where missing, not everywhere.

    Raises
    ------
    BraggfillError : scikit-image is not installed.
    """
    try:
        from skimage.restoration import inpaint_biharmonic
    except ImportError as error:
        raise BraggfillError("method biharmonic: needs scikit-image; pip install scikit-image") from error
    values, missing = logs.astype(np.float64), mask.copy()
    # An array of fewer than three axes is one slice; of longer axes the last two are the slice's.
    stack = (1,) * max(0, 3 - mask.ndim)
    values, missing = values.reshape(stack + mask.shape), missing.reshape(stack + mask.shape)
    while missing.any():
        for axis in _order(missing):
            _slices(np.moveaxis(values, axis, 0), np.moveaxis(missing, axis, 0), inpaint_biharmonic)
    return values.reshape(mask.shape)[mask]


def _order(missing: np.ndarray) -> list[int]:
    """The axes to slice across: that of the fewest wholly missing slices first, of the fewest different ones next."""
    cost = []
    for axis in range(missing.ndim):
        turned = np.moveaxis(missing, axis, 0)
        hidden = int(turned.all(axis=(1, 2)).sum())
        changes = int((turned[1:] != turned[:-1]).any(axis=(1, 2)).sum())
        cost.append((hidden, changes, axis))
    return [axis for _, _, axis in sorted(cost)]


def _slices(values: np.ndarray, missing: np.ndarray, inpaint) -> None:
    """Fill, in place, the slices across the first axis that are neither whole nor wholly missing."""
    flat = missing.reshape(len(missing), -1)
    todo = np.flatnonzero(flat.any(axis=1) & ~flat.all(axis=1))
    groups: dict[bytes, list[int]] = {}
    for k in todo:
        groups.setdefault(np.packbits(flat[k]).tobytes(), []).append(int(k))
    for alike in groups.values():
        hole = missing[alike[0]].copy()
        found = _solve(np.moveaxis(values[alike], 0, -1), hole, inpaint)
        for place, slice_ in zip(alike, np.moveaxis(found, -1, 0), strict=True):
            values[place][hole] = slice_[hole]
            missing[place] = False


def _solve(images: np.ndarray, hole: np.ndarray, inpaint) -> np.ndarray:
    """The solution for images (n1, n2, number) of one mask; linear where the equations have none (a thin image)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = inpaint(images, hole, channel_axis=-1)
    if np.isfinite(found).all():
        return found
    from braggfill.patterns.interpolate import interpolate

    lines = interpolate(np.expm1(np.moveaxis(images, -1, 0)), hole, "linear")
    return np.moveaxis(np.log1p(lines), 0, -1)
