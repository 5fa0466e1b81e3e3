"""Amplitudes that several tests perturb."""

from __future__ import annotations

import numpy as np
from braggfill.physics import fourier


def ellipsoid(shape=(32, 32, 32), seed=0):
    """The amplitude of a strained ellipsoid that fills about a third of the array."""
    rng = np.random.default_rng(seed)
    grid = fourier.grid(shape)
    inside = sum((g / (0.17 * n)) ** 2 for g, n in zip(grid, shape, strict=True)) <= 1
    phase = sum(rng.uniform(-1, 1) * (g / n) ** 2 * 20 for g, n in zip(grid, shape, strict=True))
    return fourier.forward((inside * np.exp(1j * phase)).astype(np.complex64))
