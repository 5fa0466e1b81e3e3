r"""Classical interpolation of the log intensity across a gap, in any number of dimensions.

What is filled depends linearly on the measured values of :math:`y = \log(1 + I)`, with weights that follow from the
mask alone.  The weights are therefore worked out once a mask and applied to any number of arrays; axes along which
the mask does not change (the rocking axis of a detector gap) are never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import scipy.ndimage
import scipy.sparse

from braggfill.errors import BraggfillError

Method = Literal["linear", "cubic", "nearest"]
METHODS: tuple[str, ...] = get_args(Method)
MOST = 80.0
"""Greatest log(1 + I) that a filled voxel may take: a cubic across a wide gap may run away, but stays a number."""


def interpolate(intensity: np.ndarray, mask: np.ndarray, method: Method = "linear") -> np.ndarray:
    r"""Fill the missing voxels from the measured ones around them.

    Along every axis, the run of missing voxels through a voxel lies between measured ones at positions :math:`l < r`.

    - ``linear``: :math:`y(x) = \frac{r - x}{r - l}\, y_l + \frac{x - l}{r - l}\, y_r` with :math:`y = \log(1 + I)`;
    - ``cubic``: the cubic through the two measured voxels on each side, linear where a side has only one;
      clipped at zero photons;
    - ``nearest``: the value of the nearest measured voxel (Euclidean), unchanged.

    The results of the axes are averaged with weights 1 / (length of the run), so that across a plane the result is
    the one-dimensional one.  A voxel none of whose runs is bounded on both sides (the centre of a cross) is filled in
    a later pass, from what was filled before; where no run is bounded (a gap at the border), the measured end of the
    run is copied, the nearer axis weighing more.  This is the "standard interpolation" of the paper's Figs 3 and 4 and
    of supplement S4.

    Parameters
    ----------
    intensity : photons, shape ``(*batch, *mask.shape)``; never negative, finite where measured.
    mask : boolean, True where missing.  With fewer axes than ``intensity`` it holds for every array of the batch.
    method : ``"linear"``, ``"cubic"`` or ``"nearest"``.

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
    filled = np.array(intensity, dtype=np.float32 if intensity.dtype in (np.float16, np.float32) else np.float64)
    if not mask.any():
        return filled
    plan = _plan(mask, method)
    # Voxels of the reduced grid first, everything that shares its weights last.
    constant = [len(batch) + axis for axis in plan.constant]
    varying = [axis for axis in range(len(batch), filled.ndim) if axis not in constant]
    view = filled.transpose(*varying, *range(len(batch)), *constant)
    where = np.unravel_index(plan.used, plan.shape)
    values = view[where].astype(np.float64, copy=False).reshape(len(plan.used), -1)
    measured = values[: plan.sources]
    if not (measured >= 0).all() or not np.isfinite(measured).all():
        raise BraggfillError("intensity: negative or not a number beside the gap; add such voxels to the mask")
    copies = method == "nearest"
    if not copies:
        values[: plan.sources] = np.log1p(measured)
    for targets, weights in plan.passes:
        values[targets] = np.clip(weights @ values, 0.0, None if copies else MOST)
    found = values[plan.sources :]
    found = found if copies else np.expm1(found)
    targets = tuple(index[plan.sources :] for index in where)
    view[targets] = found.reshape(len(plan.used) - plan.sources, *view.shape[len(varying) :])
    return filled


@dataclass(frozen=True)
class _Plan:
    """Weights that fill a mask: everything that does not depend on the intensity."""

    constant: tuple[int, ...]
    """Axes along which the mask does not change."""
    shape: tuple[int, ...]
    """Shape of the other axes, the grid that the indices below count."""
    used: np.ndarray
    """Flat indices of the measured voxels that carry weight, then of the missing ones."""
    sources: int
    """How many of ``used`` are measured."""
    passes: list[tuple[np.ndarray, scipy.sparse.csr_array]]
    """For each pass the rows of ``used`` that it fills, and their weights over ``used``."""


def _plan(mask: np.ndarray, method: str) -> _Plan:
    if method not in METHODS:
        raise BraggfillError(f"method: {method!r} is not an interpolation; use one of {', '.join(METHODS)}")
    if mask.all():
        raise BraggfillError("mask: everything is missing, there is nothing to interpolate from; check the mask")
    constant = tuple(axis for axis in range(mask.ndim) if (mask == mask.take([0], axis)).all())
    reduced = mask[tuple(0 if axis in constant else slice(None) for axis in range(mask.ndim))]
    steps = _nearest(reduced) if method == "nearest" else _passes(reduced, cubic=method == "cubic")
    targets = np.concatenate([step[0] for step in steps])
    columns = np.unique(np.concatenate([step[2] for step in steps]))
    sources = columns[~reduced.reshape(-1)[columns]]
    used = np.concatenate([sources, targets])
    place = np.full(reduced.size, -1, dtype=np.int64)
    place[used] = np.arange(len(used))
    passes = []
    for aim, rows, cols, weights in steps:
        matrix = scipy.sparse.coo_array((weights, (rows, place[cols])), shape=(len(aim), len(used)))
        passes.append((place[aim], matrix.tocsr()))
    return _Plan(constant, reduced.shape, used, len(sources), passes)


_Step = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Flat indices that a pass fills; then, entry by entry, the row among them, the flat index read, and its weight."""


def _nearest(mask: np.ndarray) -> list[_Step]:
    """Copy the nearest measured voxel."""
    indices = scipy.ndimage.distance_transform_edt(mask, return_distances=False, return_indices=True)
    targets = np.flatnonzero(mask)
    columns = np.ravel_multi_index(tuple(index[mask] for index in indices), mask.shape)
    return [(targets, np.arange(len(targets)), columns, np.ones(len(targets)))]


def _passes(mask: np.ndarray, *, cubic: bool) -> list[_Step]:
    """Fill what is bounded along some axis, then what that bounds, until nothing is missing."""
    missing = mask.copy()
    steps = []
    while missing.any():
        todo = np.flatnonzero(missing)
        runs = [_ends(missing, axis) for axis in range(missing.ndim)]
        found = [np.stack([run.reshape(-1)[todo] for run in ends]) for ends in runs]
        step = _between(missing.shape, todo, found, cubic) or _beside(missing.shape, todo, found)
        steps.append(step)
        missing.reshape(-1)[step[0]] = False
    return steps


def _ends(missing: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions along ``axis`` of the known voxels around each one: second before, before, after, second after.

    -1 before, and the length of the axis after, where there is none.
    """
    length = missing.shape[axis]
    place = np.arange(length, dtype=np.int32).reshape([-1 if a == axis else 1 for a in range(missing.ndim)])
    before = np.maximum.accumulate(np.where(missing, np.int32(-1), place), axis=axis)
    after = np.flip(np.minimum.accumulate(np.flip(np.where(missing, np.int32(length), place), axis), axis=axis), axis)
    # The second neighbour is the first one's first neighbour: look one voxel further out.
    left = np.take_along_axis(before, np.clip(before - 1, 0, None), axis)
    right = np.take_along_axis(after, np.clip(after + 1, None, length - 1), axis)
    left = np.where(before >= 1, left, np.int32(-1))
    right = np.where(after <= length - 2, right, np.int32(length))
    return left, before, after, right


def _between(shape: tuple[int, ...], todo: np.ndarray, found: list[np.ndarray], cubic: bool) -> _Step | None:
    """Voxels with a run that is bounded on both sides, and their weights; None where there are none."""
    index = np.unravel_index(todo, shape)
    good = np.stack([(ends[1] >= 0) & (ends[2] < n) for ends, n in zip(found, shape, strict=True)])
    some = good.any(axis=0)
    if not some.any():
        return None
    share = np.stack([np.where(ok, 1.0 / (ends[2] - ends[1]), 0.0) for ok, ends in zip(good, found, strict=True)])
    share[:, some] /= share[:, some].sum(axis=0)
    entries = []
    for axis, n in enumerate(shape):
        rows = np.flatnonzero(good[axis])
        at, ends = index[axis][rows], found[axis][:, rows]
        weights = np.zeros((4, len(rows)))
        weights[2] = (at - ends[1]) / (ends[2] - ends[1])
        weights[1] = 1.0 - weights[2]
        if cubic:
            whole = (ends[0] >= 0) & (ends[3] < n)
            weights[:, whole] = _lagrange(ends[:, whole], at[whole])
        for end, weight in zip(ends, weights, strict=True):
            kept = weight != 0
            entries.append(_entry(shape, index, axis, rows[kept], end[kept], (weight * share[axis][rows])[kept]))
    return _step(todo, some, entries)


def _beside(shape: tuple[int, ...], todo: np.ndarray, found: list[np.ndarray]) -> _Step:
    """Voxels with a run that is bounded on one side only: the measured end, the nearer axis weighing more."""
    index = np.unravel_index(todo, shape)
    good = np.stack([(ends[1] >= 0) | (ends[2] < n) for ends, n in zip(found, shape, strict=True)])
    some = good.any(axis=0)
    entries = []
    share = np.zeros(good.shape)
    for axis in range(len(shape)):
        end = np.where(found[axis][1] >= 0, found[axis][1], found[axis][2])
        share[axis] = np.where(good[axis], 1.0 / np.maximum(np.abs(index[axis] - end), 1), 0.0)
    share[:, some] /= share[:, some].sum(axis=0)
    for axis in range(len(shape)):
        rows = np.flatnonzero(good[axis])
        end = np.where(found[axis][1] >= 0, found[axis][1], found[axis][2])[rows]
        entries.append(_entry(shape, index, axis, rows, end, share[axis][rows]))
    return _step(todo, some, entries)


def _entry(
    shape: tuple[int, ...],
    index: tuple[np.ndarray, ...],
    axis: int,
    rows: np.ndarray,
    end: np.ndarray,
    weight: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, flat indices read and weights, with the coordinate along ``axis`` replaced by ``end``."""
    place = [end if other == axis else coordinate[rows] for other, coordinate in enumerate(index)]
    return rows, np.ravel_multi_index(tuple(place), shape), weight


def _step(todo: np.ndarray, some: np.ndarray, entries: list) -> _Step:
    rank = np.cumsum(some) - 1
    rows, columns, weights = (np.concatenate(part) for part in zip(*entries, strict=True))
    return todo[some], rank[rows], columns, weights


def _lagrange(nodes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Weights of the polynomial through four nodes, shapes (4, n) and (n,)."""
    nodes = nodes.astype(np.float64)
    weights = np.ones(nodes.shape)
    for i in range(len(nodes)):
        for j in range(len(nodes)):
            if i != j:
                weights[i] *= (at - nodes[j]) / (nodes[i] - nodes[j])
    return weights
