"""Patches of a large array: where to cut them, and how to put them together again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from braggfill.errors import BraggfillError

THIN = 3
"""Voxels: what is at most so wide along two axes is a dead pixel, and no beamstop."""


def random_origins(
    rng: np.random.Generator, shape: Sequence[int], number: int, size: int | Sequence[int] = 32
) -> np.ndarray:
    """First voxels of patches at uniformly random positions wholly inside the array, (number, 3) integers.

    Raises
    ------
    BraggfillError : the array is smaller than a patch.
    """
    shape, size = _sizes(shape, size)
    return np.stack([rng.integers(0, n - s + 1, number) for n, s in zip(shape, size, strict=True)], axis=-1)


def line_origins(length: int, size: int, step: int) -> np.ndarray:
    """Origins along one axis, ``step`` apart from 0, and a last one that ends with the axis: all voxels are covered."""
    if step < 1 or size > length:
        raise BraggfillError(f"patches of {size} do not fit an axis of {length} in steps of {step}")
    return np.unique(np.append(np.arange(0, length - size + 1, step), length - size))


def covering_origins(mask: np.ndarray, size: int | Sequence[int] = 32, step: int = 16) -> np.ndarray:
    """Origins of patches that hold every missing voxel, gaps in the middle where they can be.

    A plane of the array that is more than half missing belongs to a detector gap: patches are centred on each run of
    such planes and slid along it (paper, section 2.4).  What is left (a beamstop, half a gap) is covered by a grid of
    which only the patches are kept whose middle holds some of it; the middle is half a patch along each axis, and
    three quarters for what is thin along two axes (dead pixels), which is surrounded by what is measured wherever it
    lies in a patch.

    Parameters
    ----------
    mask : boolean, three axes, none shorter than ``size``.
    step : voxels between neighbours along a gap.

    Returns
    -------
    (n, 3) integers, sorted, each once; empty where nothing is missing.
    """
    shape, size = _sizes(mask.shape, size)
    left = mask.copy()
    kept: list[tuple[int, ...]] = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        planes = np.flatnonzero(mask.mean(axis=others) > 0.5)
        if len(planes) == shape[axis]:
            continue
        lines = [line_origins(n, s, step) for n, s in zip(shape, size, strict=True)]
        lines[axis] = _run_origins(planes, shape[axis], size[axis], step)
        for origin in np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3):
            if mask[window(origin, size)].any():
                kept.append(tuple(origin.tolist()))
                left[window(origin, size)] = False
    if left.any():
        thin = _thin(left)
        thick = left & ~thin
        if thick.any():
            kept.extend(_middle_origins(thick, shape, size, 0.5))
            for place in kept:
                thin[window(place, size)] = False
        if thin.any():
            kept.extend(_middle_origins(thin, shape, size, 0.75))
    return np.array(sorted(set(kept)), dtype=np.int64).reshape(-1, 3)


def window(origin: Iterable[int], size: int | Sequence[int] = 32) -> tuple[slice, ...]:
    """The slices of one patch."""
    origin = [int(o) for o in origin]
    size = (size,) * len(origin) if isinstance(size, int | np.integer) else size
    return tuple(slice(o, o + s) for o, s in zip(origin, size, strict=True))


def cut(array: np.ndarray, origins: np.ndarray, size: int | Sequence[int] = 32) -> np.ndarray:
    """The patches at ``origins``, (n, *size), copies."""
    _, size = _sizes(array.shape, size)
    patches = np.empty((len(origins), *size), dtype=array.dtype)
    for patch, origin in zip(patches, origins, strict=True):
        patch[...] = array[window(origin, size)]
    return patches


def taper(size: Sequence[int]) -> np.ndarray:
    r"""Weights of the voxels of a patch, for averaging: the product over the axes of
    :math:`\sin^2(\pi (i + \tfrac12) / n)`, never zero, so that a patch's middle counts and its rim hardly does."""
    weights = np.ones(tuple(size), dtype=np.float32)
    for axis, n in enumerate(size):
        line = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 + 1e-3
        weights *= line.reshape([-1 if a == axis else 1 for a in range(len(size))]).astype(np.float32)
    return weights


def merge(
    patches: np.ndarray, origins: np.ndarray, shape: Sequence[int], weights: np.ndarray | None = None
) -> np.ndarray:
    r"""Average overlapping patches: :math:`y = \sum_k w_k y_k / \sum_k w_k`, NaN where no patch lies.

    The inverse of :func:`cut`: cutting an array into patches that cover it and merging them gives the array back.
    """
    size = patches.shape[1:]
    weights = taper(size) if weights is None else weights
    total, norm = np.zeros(tuple(shape)), np.zeros(tuple(shape))
    for patch, origin in zip(patches, origins, strict=True):
        total[window(origin, size)] += weights * patch
        norm[window(origin, size)] += weights
    with np.errstate(invalid="ignore"):
        return total / np.where(norm > 0, norm, np.nan)


def _sizes(shape: Sequence[int], size: int | Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shape = tuple(int(n) for n in shape)
    size = (int(size),) * len(shape) if isinstance(size, int | np.integer) else tuple(int(s) for s in size)
    if len(size) != len(shape) or any(s > n or s < 1 for n, s in zip(shape, size, strict=True)):
        raise BraggfillError(f"patches of {size} do not fit an array of {shape}; use smaller patches")
    return shape, size


def _run_origins(planes: np.ndarray, length: int, size: int, step: int) -> np.ndarray:
    """Origins along the gap's own axis: centred on a run; several for a run too wide for one patch's middle."""
    if len(planes) == 0:
        return np.empty(0, dtype=np.int64)
    origins = []
    for run in np.split(planes, np.flatnonzero(np.diff(planes) > 1) + 1):
        first, width = int(run[0]), len(run)
        count = max(1, -(-(width - size // 2) // step) + 1)
        middles = first + width * (np.arange(count) + 0.5) / count
        origins.extend(np.clip(np.round(middles - size / 2).astype(int), 0, length - size))
    return np.unique(origins)


def _thin(mask: np.ndarray) -> np.ndarray:
    """Missing voxels whose runs of missing voxels are at most ``THIN`` long along two axes or all."""
    number = np.zeros(mask.shape, np.uint8)
    for axis in range(mask.ndim):
        line = np.moveaxis(mask, axis, 0)
        last = len(line) - THIN
        if last < 1:
            continue
        begins = np.logical_and.reduce([line[k : k + last] for k in range(THIN + 1)])
        long = np.zeros(line.shape, bool)
        for k in range(THIN + 1):
            long[k : k + last] |= begins
        number += np.moveaxis(long, 0, axis)
    return mask & (number <= 1)


def _middle_origins(
    left: np.ndarray, shape: tuple[int, ...], size: tuple[int, ...], share: float
) -> list[tuple[int, ...]]:
    """Patches of a grid whose middle (that share of the patch along each axis) holds a missing voxel."""
    places = np.argwhere(left)
    middle = np.maximum((np.array(size) * share).astype(int), 1)
    cells = np.unique(places // middle, axis=0)
    origins = cells * middle - (np.array(size) - middle) // 2
    return [tuple(int(v) for v in o) for o in np.clip(origins, 0, np.array(shape) - np.array(size))]
