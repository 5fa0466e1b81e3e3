"""Small crystals with a phase, and their counts, for tests of phase retrieval."""

from __future__ import annotations

import numpy as np
from braggfill.phasing.result import Run
from braggfill.physics import fourier


def crystal(shape=(32, 32, 32), reach=0.17, phase=2.0, seed=0) -> np.ndarray:
    """A box cut by a plane, which no inversion maps onto itself, with a smooth phase of about this range."""
    axes = [g / n for g, n in zip(fourier.grid(shape), shape, strict=True)]
    inside = np.ones(shape, bool)
    for axis, g in enumerate(axes):
        inside &= np.abs(g) <= reach * (1 - 0.12 * axis)
    inside &= axes[0] + axes[1] + 0.7 * axes[2] < 0.8 * reach
    rng = np.random.default_rng(seed)
    turns = sum(a * g for a, g in zip(rng.uniform(-1, 1, 3), axes, strict=True)) / reach
    return (inside * np.exp(1j * phase / 2 * np.sin(1.5 * turns + 0.4))).astype(np.complex64)


def counted(obj: np.ndarray, peak: float = 1e5, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Counts with so many photons expected in the brightest voxel, and the expectation."""
    expected = np.abs(fourier.forward(obj)).astype(float) ** 2
    expected *= peak / expected.max()
    return np.random.default_rng(seed).poisson(expected).astype(np.float32), expected


def run(obj, llk_free, origin="random", problem="") -> Run:
    """A run that ended with an object, its support where the object is."""
    return Run(obj, np.abs(obj) > 0, llk_free, llk_free, 0.1, origin, problem=problem)
