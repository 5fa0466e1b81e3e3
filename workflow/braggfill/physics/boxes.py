"""Boxes around what an array holds."""

from __future__ import annotations

import numpy as np


def bounding_box(inside: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds every non-zero voxel, a slice an axis.

    Raises
    ------
    ValueError : every voxel is zero.
    """
    slices = []
    for axis in range(inside.ndim):
        used = np.flatnonzero(inside.any(axis=tuple(a for a in range(inside.ndim) if a != axis)))
        if used.size == 0:
            raise ValueError("nothing to put a box around: every voxel is zero")
        slices.append(slice(int(used[0]), int(used[-1]) + 1))
    return tuple(slices)
