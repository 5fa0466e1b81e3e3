"""Views of a particle: orientation, reciprocal steps, and the pattern that comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from braggfill.physics import fourier
from braggfill.runs import packing
from braggfill.settings.scatter import ScatterSettings
from braggfill.stages.scatter.backends import amplitude

FADE = (0.5, 0.9)  # where the isolating window leaves 1 and reaches 0, as shares of the distance to the next peak


@dataclass(frozen=True)
class View:
    """How one pattern of a particle is seen.

    rotation : (3, 3), crystal axes to array axes; its rows are the directions of the array's axes in reciprocal space,
        not at right angles to each other where the view is tilted.
    step_inverse_angstrom : (3,) Å⁻¹ from voxel to voxel.
    oversampling : (3,), size of the array over size of the crystal in direct space, ``1 / (step * extent)``.
    """

    rotation: np.ndarray
    step_inverse_angstrom: np.ndarray
    oversampling: np.ndarray


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


def draw_view(
    settings: ScatterSettings, rng: np.random.Generator, positions: np.ndarray, lattice_constant_angstrom: float
) -> View:
    """A random orientation, and steps from an oversampling that is uniform between the settings' limits.

    With equal steps the oversampling drawn holds along the axis where the crystal is longest, and is larger along the
    others; otherwise each axis has its own.  Where the array would reach further than ``settings.reach`` of the way to
    the next Bragg peak, which happens for small particles, both limits are first raised to where it does not.
    """
    (leaning,) = rng.spawn(1)
    rotation = tilt(leaning, settings.tilt_degrees) @ random_rotation(rng)
    size = extents(positions, rotation, lattice_constant_angstrom)
    shape = np.asarray(settings.shape)
    if settings.equal_steps:
        size, shape = size.max(keepdims=True), shape.max(keepdims=True)
    least = shape / (2 * settings.reach * next_peak(lattice_constant_angstrom) * size)
    drawn = rng.uniform(np.maximum(settings.oversampling_min, least), np.maximum(settings.oversampling_max, least))
    step = np.broadcast_to(1 / (drawn * size), (3,)).copy()
    return View(rotation, step, 1 / (step * extents(positions, rotation, lattice_constant_angstrom)))


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


def pattern(
    settings: ScatterSettings, view: View, positions: np.ndarray, lattice_constant_angstrom: float
) -> np.ndarray:
    """The amplitude of one view as it is stored: complex64, faded towards the next peaks if the settings say so."""
    result = amplitude(
        positions,
        np.asarray(settings.hkl) / lattice_constant_angstrom,
        view.rotation,
        view.step_inverse_angstrom,
        settings.shape,
        backend=settings.backend,
        tolerance=settings.tolerance,
        device=settings.device,
    ).astype(np.complex64)
    if settings.isolate:
        result *= fade(settings.shape, view.step_inverse_angstrom, lattice_constant_angstrom)
    return packing.round_to_peak(result)
