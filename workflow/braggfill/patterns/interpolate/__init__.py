r"""Classical interpolation of the intensity across a gap, in any number of dimensions.

``linear``, ``cubic`` and ``nearest`` depend linearly on the measured values, with weights that follow from the mask
alone.  The weights are therefore worked out once a mask and applied to any number of arrays; axes along which the mask
does not change (the rocking axis of a detector gap) are never looked at.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import scipy.sparse

from braggfill.errors import BraggfillError
from braggfill.patterns.interpolate import weights

Method = Literal["linear", "cubic", "nearest", "idw", "biharmonic"]
METHODS: tuple[str, ...] = get_args(Method)
MOST = 80.0
"""Greatest log(1 + I) that a filled voxel may take, whatever was measured."""
BEYOND = (0.25, float(np.log(2)))
"""How far a cubic may leave the values that it is made from: a share of their range, and natural logarithms."""


def interpolate(intensity: np.ndarray, mask: np.ndarray, method: str = "linear") -> np.ndarray:
    r"""Fill the missing voxels from the measured ones around them.

    Along every axis, the run of missing voxels through a voxel lies between measured ones at positions :math:`l < r`.

    - ``linear``: :math:`y(x) = \frac{r - x}{r - l}\, y_l + \frac{x - l}{r - l}\, y_r` with :math:`y = \log(1 + I)`;
    - ``cubic``: the cubic in :math:`y` through the two measured voxels on each side, linear where a side has only one,
      never beyond the least or the greatest of the values that it is made from by more than a quarter of their
      difference, nor by more than a factor of two: unbounded, it carries the noise of two neighbours across a wide gap
      and explodes in photons (beside the peak of the APS scan, 12 voxels wide, 26 times too bright);
    - ``nearest``: the value of the nearest measured voxel (Euclidean), unchanged;
    - ``idw``: the mean of the measured photons within 8 voxels, with weights 1 / distance⁴, as PyNX fills masked
      voxels; see :mod:`braggfill.patterns.interpolate.distance`;
    - ``biharmonic``: the smoothest :math:`y` in slices across the gap, by scikit-image; see
      :mod:`braggfill.patterns.interpolate.smooth`.

    The first two average the axes with weights 1 / (length of the run), so that across a plane the result is
    the one-dimensional one.  A voxel none of whose runs is bounded on both sides (the centre of a cross) is filled in
    a later pass, from what was filled before; where no run is bounded (a gap at the border), the measured end of the
    run is copied, the nearer axis weighing more.  This is the "standard interpolation" of the paper's Figs 3 and 4 and
    of supplement S4.

    Parameters
    ----------
    intensity : photons, shape ``(*batch, *mask.shape)``; never negative, finite where measured.
    mask : boolean, True where missing.  With fewer axes than ``intensity`` it holds for every array of the batch.
    method : one of ``METHODS``.

    Returns
    -------
    Photons, same shape; single precision for single-precision input, else double.  Measured voxels are unchanged.

    Raises
    ------
    BraggfillError : the shapes do not match, everything is missing, or a measured voxel beside the gap is negative
        or not a number.

    Example
    -------
    >>> line = np.expm1(np.linspace(0.0, 4.0, 5))
    >>> gap = np.array([False, False, True, False, False])
    >>> bool(np.isclose(interpolate(np.where(gap, 0, line), gap)[2], line[2]))
    True
    """
    intensity = np.asarray(intensity)
    mask = np.asarray(mask, dtype=bool)
    batch = intensity.shape[: intensity.ndim - mask.ndim]
    if mask.ndim > intensity.ndim or intensity.shape[len(batch) :] != mask.shape:
        raise BraggfillError(f"mask: its shape {mask.shape} does not fit the intensity's {intensity.shape}; use equal")
    if method not in METHODS:
        raise BraggfillError(f"method: {method!r} is not an interpolation; use one of {', '.join(METHODS)}")
    filled = np.array(intensity, dtype=np.float32 if intensity.dtype in (np.float16, np.float32) else np.float64)
    if not mask.any():
        return filled
    if mask.all():
        raise BraggfillError("mask: everything is missing, there is nothing to interpolate from; check the mask")
    if method in ("idw", "biharmonic"):
        _each(filled.reshape(-1, *mask.shape), mask, method)
    else:
        _weigh(filled, mask, method)
    return filled


def _each(arrays: np.ndarray, mask: np.ndarray, method: str) -> None:
    """Fill each array of a batch in place."""
    from braggfill.patterns.interpolate import distance, smooth

    for array in arrays:
        _check(array[~mask])
        if method == "idw":
            array[mask] = distance.fill(array, mask)
        else:
            array[mask] = np.expm1(np.clip(smooth.fill(_logs(array, mask), mask), 0.0, MOST))


def _logs(array: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.log1p(np.where(mask, 0, array))


def _weigh(filled: np.ndarray, mask: np.ndarray, method: str) -> None:
    """Fill a batch in place by weights that follow from the mask."""
    plan = weights.plan(mask, method)
    batch = filled.ndim - mask.ndim
    # Voxels of the reduced grid first, everything that shares its weights last.
    constant = [batch + axis for axis in plan.constant]
    varying = [axis for axis in range(batch, filled.ndim) if axis not in constant]
    view = filled.transpose(*varying, *range(batch), *constant)
    where = np.unravel_index(plan.used, plan.shape)
    values = view[where].astype(np.float64, copy=False).reshape(len(plan.used), -1)
    measured = values[: plan.sources]
    _check(measured)
    copies = method == "nearest"
    if not copies:
        values[: plan.sources] = np.log1p(measured)
    for targets, matrix in plan.passes:
        found = matrix @ values
        if method == "cubic":
            _bound(found, matrix, values)
        values[targets] = np.clip(found, 0.0, None if copies else MOST)
    found = values[plan.sources :]
    found = found if copies else np.expm1(found)
    places = tuple(index[plan.sources :] for index in where)
    view[places] = found.reshape(len(plan.used) - plan.sources, *view.shape[len(varying) :])


def _bound(found: np.ndarray, matrix: scipy.sparse.csr_array, values: np.ndarray) -> None:
    """Keep each row near the range of the values that it is made from, in place; see ``BEYOND``."""
    share, most = BEYOND
    for part in np.array_split(np.arange(len(found)), 1 + matrix.nnz * values.shape[1] // 10_000_000):
        if not len(part):
            continue
        rows = slice(part[0], part[-1] + 1)
        first, last = matrix.indptr[rows.start], matrix.indptr[rows.stop]
        read = values[matrix.indices[first:last]]
        starts = matrix.indptr[rows] - first
        low, high = np.minimum.reduceat(read, starts, axis=0), np.maximum.reduceat(read, starts, axis=0)
        room = np.minimum(share * (high - low), most)
        np.clip(found[rows], low - room, high + room, out=found[rows])


def _check(measured: np.ndarray) -> None:
    if not (measured >= 0).all() or not np.isfinite(measured).all():
        raise BraggfillError("intensity: negative or not a number beside the gap; add such voxels to the mask")
