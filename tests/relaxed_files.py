"""Small files as the stage relax writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from braggfill.runs import storage

CONSTANT = 4.0


def octahedron(cells: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Relaxed positions and displacement, (n, 3) Å, of a cubic crystal's octahedron whose surface has moved inwards."""
    line = np.arange(-2 * cells, 2 * cells + 1)
    sites = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    sites = sites[(sites.sum(1) % 2 == 0) & (np.abs(sites).sum(1) <= 2 * cells)]
    perfect = sites * CONSTANT / 2
    moved = -0.03 * perfect * (np.abs(sites).sum(1, keepdims=True) / (2 * cells)) ** 2
    moved += 0.005 * rng.standard_normal(moved.shape)
    moved -= moved.mean(0)
    return perfect + moved, moved


def write(path: Path, number: int = 3, cells: int = 5, first: int = 0) -> Path:
    rng = np.random.default_rng(first)
    with storage.create(path, seed=1) as file:
        for index in range(first, first + number):
            positions, displacement = octahedron(cells, rng)
            group = file.create_group(f"{index:06d}")
            group["positions"], group["displacement"] = positions, displacement
            group.attrs["index"], group.attrs["lattice_constant_angstrom"] = index, CONSTANT
    return path
