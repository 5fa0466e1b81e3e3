"""Weights of the interpolations that follow from the mask alone: nearest voxel, and along the axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.sparse


@dataclass(frozen=True)
class Plan:
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


def plan(mask: np.ndarray, method: str) -> Plan:
    """The weights of ``linear``, ``cubic`` or ``nearest`` for a mask of which some is missing and not all."""
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
    return Plan(constant, reduced.shape, used, len(sources), passes)


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
        found = [_ends(missing, todo, axis) for axis in range(missing.ndim)]
        step = _between(missing.shape, todo, found, cubic) or _beside(missing.shape, todo, found)
        steps.append(step)
        missing.reshape(-1)[step[0]] = False
    return steps


def _ends(missing: np.ndarray, todo: np.ndarray, axis: int) -> np.ndarray:
    """Positions along ``axis`` of the known voxels around each missing one, (4, n): second before, before, after,
    second after; -1 before, and the length of the axis after, where there is none.

    Parameters
    ----------
    todo : flat indices of what is missing, sorted.
    """
    length = missing.shape[axis]
    stride = int(np.prod(missing.shape[axis + 1 :], dtype=np.int64))
    at = todo // stride % length
    # Flat index (a, i, b) of the axis' own split becomes (a, b, i): each line is then a stretch of neighbours.
    line = (todo // (stride * length)) * stride + todo % stride
    order = np.lexsort((at, line))
    at, line = at[order], line[order]
    new = np.ones(len(todo), dtype=bool)
    new[1:] = (line[1:] != line[:-1]) | (at[1:] != at[:-1] + 1)
    starts = np.flatnonzero(new)
    first, last, own = at[starts], at[np.append(starts[1:], len(todo)) - 1], line[starts]
    before, after = first - 1, last + 1
    left, right = np.maximum(before - 1, -1), np.minimum(after + 1, length)
    # Where the second neighbour is missing itself, it is the first neighbour's run that it lies in.
    touching = np.flatnonzero((own[1:] == own[:-1]) & (last[:-1] == first[1:] - 2))
    left[touching + 1] = before[touching]
    right[touching] = after[touching + 1]
    ends = np.empty((4, len(todo)), dtype=np.int32)
    ends[:, order] = np.stack([left, before, after, right])[:, np.cumsum(new) - 1]
    return ends


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


def _step(todo: np.ndarray, some: np.ndarray | np.bool, entries: list) -> _Step:
    some = np.asarray(some)
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
