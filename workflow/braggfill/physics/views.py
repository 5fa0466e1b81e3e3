"""Views of a crystal: orientation, reciprocal steps, and the factor that leaves one Bragg peak alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braggfill.physics import fourier

FADE = (0.5, 0.9)
"""Where the isolating window leaves 1 and reaches 0, as shares of the distance to the next peak."""


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A rotation matrix (3, 3), uniform over all orientations (from a unit quaternion of four normal numbers)."""
    quaternion = rng.standard_normal(4)
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def tilt(rng: np.random.Generator, degrees: Sequence[float]) -> np.ndarray:
    """A matrix (3, 3) whose rows are unit vectors: axes 1 and 2 stay, axis 0 leans by an angle drawn between both."""
    least, most = degrees
    angle, side = np.radians(rng.uniform(least, most)), rng.uniform(0, 2 * np.pi)
    first = [np.cos(angle), np.sin(angle) * np.cos(side), np.sin(angle) * np.sin(side)]
    return np.array([first, [0, 1, 0], [0, 0, 1]])


def extents(positions: np.ndarray, rotation: np.ndarray, lattice_constant_angstrom: float) -> np.ndarray:
    """Size of the crystal along the array's axes (3,), Å: between outermost atoms, plus one atom (a / sqrt 2)."""
    return np.ptp(positions @ rotation.T, axis=0) + lattice_constant_angstrom / np.sqrt(2)


def next_peak(lattice_constant_angstrom: float) -> float:
    """Distance from any Bragg peak of an FCC crystal to the next one, Å⁻¹: sqrt 3 / a (say from 200 to 111)."""
    return float(np.sqrt(3) / lattice_constant_angstrom)


def draw_step(
    rng: np.random.Generator,
    size: np.ndarray,
    shape: Sequence[int],
    lattice_constant_angstrom: float,
    oversampling: Sequence[float],
    *,
    equal: bool,
    reach: float = 0.75,
) -> np.ndarray:
    """Reciprocal steps (3,) Å⁻¹ from an oversampling that is uniform between two limits.

    With equal steps the oversampling drawn holds along the axis where the crystal is longest, and is larger along the
    others; otherwise each axis has its own.  Where the array would reach further than ``reach`` of the way to the next
    Bragg peak, which happens for small particles, both limits are first raised to where it does not.

    Parameters
    ----------
    size : (3,) of the crystal along the array's axes, Å (:func:`extents`).  shape : of the array, voxels.
    """
    sides = np.asarray(shape)
    if equal:
        size, sides = size.max(keepdims=True), sides.max(keepdims=True)
    least = sides / (2 * reach * next_peak(lattice_constant_angstrom) * size)
    low, high = oversampling
    drawn = rng.uniform(np.maximum(low, least), np.maximum(high, least))
    return np.broadcast_to(1 / (drawn * size), (3,)).copy()


def fade(shape: Sequence[int], step: np.ndarray, lattice_constant_angstrom: float) -> np.ndarray:
    """Factor that fades the neighbouring Bragg peaks out, float32 of ``shape``.

    With d the distance from the centre over the distance to the next peak, it is 1 for d <= 0.5, 0 for d >= 0.9, and
    cos² in between: each atom is spread over about its own size, and the pattern belongs to one peak alone.
    """
    scale = 1 / next_peak(lattice_constant_angstrom)
    lines = [((s * scale * n) ** 2).astype(np.float32) for s, n in zip(step, fourier.grid(tuple(shape)), strict=True)]
    squared = sum(lines)
    window = np.ones(squared.shape, np.float32)
    outside = squared > np.float32(FADE[0] ** 2)
    place = (np.sqrt(squared[outside]) - np.float32(FADE[0])) / np.float32(FADE[1] - FADE[0])
    window[outside] = np.sin(np.float32(np.pi / 2) * (1 - np.minimum(place, 1))) ** 2
    return window
