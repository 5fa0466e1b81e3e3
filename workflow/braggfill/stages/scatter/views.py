"""Views of a particle: orientation, reciprocal steps, and the pattern that comes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braggfill.physics.views import draw_step, extents, fade, random_rotation, tilt
from braggfill.runs import packing
from braggfill.settings.scatter import ScatterSettings
from braggfill.stages.scatter.backends import amplitude


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


def draw_view(
    settings: ScatterSettings, rng: np.random.Generator, positions: np.ndarray, lattice_constant_angstrom: float
) -> View:
    """A random orientation, and the steps that :func:`braggfill.physics.views.draw_step` draws from the settings."""
    (leaning,) = rng.spawn(1)
    rotation = tilt(leaning, settings.tilt_degrees) @ random_rotation(rng)
    size = extents(positions, rotation, lattice_constant_angstrom)
    step = draw_step(
        rng,
        size,
        settings.shape,
        lattice_constant_angstrom,
        (settings.oversampling_min, settings.oversampling_max),
        equal=settings.equal_steps,
        reach=settings.reach,
    )
    return View(rotation, step, 1 / (step * size))


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
