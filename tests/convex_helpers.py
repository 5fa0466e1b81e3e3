"""A crystal, its counts and its half-spaces, for the tests of the convex engine."""

from __future__ import annotations

import numpy as np
import torch
from braggfill.phasing import convex_model, convex_shape
from braggfill.physics import fourier


def places(shape, dtype=torch.float64):
    grid = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), -1)
    return torch.as_tensor(grid.reshape(-1, 3), dtype=dtype)


def planes(count, radius, starts=1, seed=0, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    normals = np.stack([convex_shape.random_normals(count, rng) for _ in range(starts)])
    offsets = radius * rng.uniform(0.7, 1.3, (starts, count))
    return torch.as_tensor(normals, dtype=dtype), torch.as_tensor(offsets, dtype=dtype)


def crystal(size=32, radius=5.5, span=1.5, seed=3):
    """A polyhedron: a cube with eight more faces at random, and with a smooth phase of ``span`` radians, complex."""
    n, d = planes(8, radius, seed=seed)
    box = torch.cat([torch.eye(3), -torch.eye(3)]).double()[None]  # no spikes
    n, d = torch.cat([n, box], 1), torch.cat([d, torch.full((1, 6), float(radius))], 1)
    shape = convex_shape.HalfSpaces.apply(n, d, places((size,) * 3), 0.4)[0].numpy().reshape((size,) * 3)
    x, y, z = fourier.grid((size,) * 3)
    phase = span * np.exp(-((x - 2) ** 2 + (y + 1) ** 2 + z**2) / (2 * 3.0**2)) + 0 * (x + y + z)
    return shape * np.exp(1j * phase)


def counted(obj, peak=1e6, seed=0):
    intensity = np.abs(fourier.forward(obj)) ** 2
    return np.random.default_rng(seed).poisson(intensity * peak / intensity.max()).astype(np.float32)


def level(counts, weight=None, kind="values", modulus=1.0, dtype=torch.float64, edge=np.inf, softness=0.6):
    weight = np.ones(counts.shape) if weight is None else weight
    return convex_model.Level(counts, weight, edge, softness, kind, modulus, dtype=dtype)
