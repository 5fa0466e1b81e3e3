r"""What the convex engine starts from: the pattern's place, the object's size, and random parameters."""

from __future__ import annotations

import numpy as np
import torch

from braggfill.phasing import convex_shape, pattern
from braggfill.phasing.convex_model import Level, Parameters
from braggfill.physics import fourier
from braggfill.runs import seeds

AUTOCORRELATION = 0.01
"""The object is about half as wide as its autocorrelation is above this part of its maximum."""
SIZES = (0.8, 1.4)
"""First offsets over the radius that the autocorrelation tells; drawn for each start."""


def to_centre(photons: np.ndarray, weight: np.ndarray) -> list[int]:
    """Voxels to roll a pattern by along each axis, so that its peak comes to ``n // 2``."""
    peak = pattern.peak(photons, weight > 0)
    return [n // 2 - p for n, p in zip(photons.shape, peak, strict=True)]


def radius(photons: np.ndarray, weight: np.ndarray) -> float:
    """Half the width of the object, the median over 26 directions, from its autocorrelation, in the coordinates of
    :mod:`.convex_model`; no less than a voxel and no more than a quarter of the array."""
    shape = np.array(photons.shape)
    mean = float(shape.prod()) ** (1 / 3)
    values = np.abs(fourier.inverse(photons * weight))
    places = (np.argwhere(values > AUTOCORRELATION * values.max()) - shape // 2) * (mean / shape)
    corners = np.array([v for v in np.ndindex(3, 3, 3) if v != (1, 1, 1)], float) - 1
    directions = corners / np.linalg.norm(corners, axis=1, keepdims=True)
    return float(np.clip(np.median((directions @ places.T).max(1)) / 2, 1.0, mean / 4))


def first(
    seed: int, starts: int, halfspaces: int, size: float, grid: tuple[int, ...], reach: float, level: Level
) -> Parameters:
    """Random normals, one offset for all half-spaces of a start, random phases; start i is keyed by the seed and i.

    Parameters
    ----------
    size : radius of the object; reach : largest amplitude of the phases, radians; each start has its own below it.
    grid : of the phase; level : where it runs, and what kind the phase is.
    """
    normals, offsets, phases = [], [], []
    for start in range(starts):
        rng = seeds.generator(seed, "phase/convex", start)
        normals.append(convex_shape.random_normals(halfspaces, rng))
        offsets.append(np.full(halfspaces, size * rng.uniform(*SIZES)))
        angle = reach * rng.uniform() * rng.uniform(-1, 1, grid)
        if level.kind == "phasor":
            phases.append(np.stack([np.cos(angle), np.sin(angle)]))
        else:
            phases.append(angle[None] if level.kind == "values" else -angle[None] / level.modulus)
    tensors = (torch.as_tensor(np.stack(a), dtype=level.places.dtype) for a in (normals, offsets, phases))
    return Parameters(*(t.to(level.device) for t in tensors))
