"""Amplitudes that several tests perturb, and masks that several fill."""

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


def dead_pixels(shape, pixels, *, size=1):
    """Dead spots of the detector: squares of ``size`` pixels, missing in every frame.

    Parameters
    ----------
    shape : of the array (frames, vertical, horizontal).
    pixels : (k, 2) integers, the first corner of each spot on axes 1 and 2; what lies outside is cut off.
    """
    frame = np.zeros(tuple(shape)[1:], dtype=bool)
    for row, column in np.asarray(pixels, dtype=int).reshape(-1, 2):
        frame[max(row, 0) : max(row + size, 0), max(column, 0) : max(column + size, 0)] = True
    return np.broadcast_to(frame, tuple(shape)).copy()
