"""Patches of one scan to learn from, and others, set apart, to judge by."""

from __future__ import annotations

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.runs import seeds

HELD_SHARE = 0.15
"""Share of the bright places that is set apart."""
HELD, HELD_LEAST = 32, 8
"""Patches that judge, and bright places that there must be for them."""
BRIGHT = 1.0
"""Photons a voxel of a patch that can tell anything."""


def split(logs: np.ndarray, missing: np.ndarray, size: int, patches: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """First voxels of the patches that judge, and of those to train on, (n, 3) each.

    All are whole and different from each other.  The former hold at least one photon per voxel and lie in a slab at one
    end of one axis, the one that leaves most to learn from and has its share of the bright places; the latter lie
    wholly outside of it, and are drawn with a probability proportional to their mean log intensity.

    Raises
    ------
    BraggfillError : the scan is too small or too dark, or too much of it is missing.
    """
    if any(n < size for n in logs.shape):
        raise BraggfillError(f"--finetune: the scan, {logs.shape}, does not hold a patch of {size}³; leave it out")
    free = _box_sums(missing, size) == 0
    bright = free & (_box_sums(np.expm1(logs), size) >= BRIGHT * size**3)
    weights = np.where(free, _box_sums(logs, size), 0).clip(0)
    held, taught = _slab(bright, weights, size)
    rng = seeds.generator(seed, "finetune/held/places")
    places = np.flatnonzero(bright & held)
    judges = np.sort(rng.choice(places, min(HELD, len(places)), replace=False))
    reach = np.cumsum(np.where(taught, weights, 0).reshape(-1))
    rng = seeds.generator(seed, "finetune/portions")
    chosen: np.ndarray = np.empty(0, np.int64)
    for _ in range(20):
        more = np.searchsorted(reach, rng.random(2 * patches) * reach[-1], side="right")
        _, first = np.unique(np.concatenate([chosen, more]), return_index=True)
        chosen = np.concatenate([chosen, more])[np.sort(first)]
        if len(chosen) >= patches:
            break
    held_at, taught_at = (np.stack(np.unravel_index(p, weights.shape), axis=-1) for p in (judges, chosen[:patches]))
    return held_at, taught_at


def _slab(bright: np.ndarray, weights: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which places lie in the slab that is set apart, and which wholly outside of it; both broadcast to all places."""
    wanted = max(HELD_LEAST, HELD_SHARE * np.count_nonzero(bright))
    best, found = 0.0, None
    for axis in range(bright.ndim):
        others = tuple(a for a in range(bright.ndim) if a != axis)
        number, weight = bright.sum(others), weights.sum(others)
        place = np.arange(len(number)).reshape([-1 if a == axis else 1 for a in range(bright.ndim)])
        for ends in (False, True):
            along = np.cumsum(number[::-1] if ends else number)
            if along[-1] < wanted:
                continue
            depth = int(np.argmax(along >= wanted)) + 1  # places in the slab
            edge = len(number) - depth if ends else depth - 1
            held, taught = (place >= edge, place <= edge - size) if ends else (place <= edge, place >= edge + size)
            left = float(weight[taught.reshape(-1)].sum())
            if left > best:
                best, found = left, (held, taught)
    if found is None:
        raise BraggfillError(
            f"--finetune: too little of the scan is whole and holds a photon per voxel, in patches of {size}³ voxels, "
            "to learn from one part and judge by another; leave it out"
        )
    return found


def _box_sums(array: np.ndarray, size: int) -> np.ndarray:
    """Sum over the patch that begins at each voxel, of ``shape - size + 1``."""
    sums = array.astype(np.int32 if array.dtype == bool else np.float64)
    for axis in range(array.ndim):
        total = np.cumsum(np.moveaxis(sums, axis, 0), axis=0)
        run = total[size - 1 :].copy()
        run[1:] -= total[:-size]
        sums = np.moveaxis(run, 0, axis)
    return sums
