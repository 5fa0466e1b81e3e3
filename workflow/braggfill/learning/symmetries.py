"""The symmetries of the cube, by which training patterns are turned and mirrored."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def turns() -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The 48 symmetries, each as the order of the axes and the direction (1, -1) along each of them."""
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            yield order, flips


def tables(size: int) -> Tensor:
    """The 48 symmetries of a cube of ``size``³ voxels: (48, size³) flat indices that turn and mirror it."""
    cube = np.arange(size**3).reshape(size, size, size)
    found = [np.transpose(cube, order)[:: f[0], :: f[1], :: f[2]].reshape(-1) for order, f in turns()]
    return torch.from_numpy(np.stack(found))
