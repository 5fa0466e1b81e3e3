"""The same view of a particle at several oversamplings, over the same extent of reciprocal space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from braggfill.physics.views import extents, next_peak, random_rotation
from braggfill.runs import seeds, storage
from braggfill.settings.scatter import ScatterSettings
from braggfill.stages.scatter.particles import read_particle, write_view
from braggfill.stages.scatter.views import View, pattern

MARGIN = 4.0
"""Fringes beyond the extent at each end of axis 2: what lies beyond a gap at its border."""


def oversampling_chunk(
    settings: ScatterSettings,
    seed: int,
    atoms: Path,
    out: Path,
    oversampling: Sequence[float] = (2, 3, 4, 5, 6, 7),
    fringes: float = 14.0,
    code: str = "",
) -> None:
    r"""Every particle in ``atoms``, in one random orientation, at each oversampling (paper, Fig. 6; thesis, 3.7).

    With L the crystal's longest side along the axes of the array, the step at oversampling s is :math:`1 / (s L)`, and
    :math:`s f` voxels reach over f fringes whatever s is: lower oversampling means fewer and larger steps.

    ``out`` is as :func:`braggfill.stages.scatter.chunk.scatter_chunk` writes it, a view for each oversampling.  Along
    axis 2 the pattern goes on for a margin of :data:`MARGIN` fringes at each end.

    Parameters
    ----------
    fringes : extent of the pattern; less for a particle so small that it would reach the next Bragg peak.

    Raises
    ------
    BraggfillError : the file or a particle in it is missing, damaged or empty.
    """
    reason = storage.left_out(atoms)
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=reason) as target:
        if reason is not None:
            return
        with storage.read(atoms) as source:
            for name in sorted(source):
                _particle(settings, seed, source[name], target, oversampling, fringes)


def views(
    settings: ScatterSettings,
    positions: np.ndarray,
    rotation: np.ndarray,
    lattice_constant_angstrom: float,
    oversampling: Sequence[float],
    fringes: float,
) -> list[tuple[View, tuple[int, int, int]]]:
    """The view and the shape of the array at each oversampling."""
    size = extents(positions, rotation, lattice_constant_angstrom)
    most = 2 * settings.reach * next_peak(lattice_constant_angstrom) * size.max() - 2 * MARGIN
    fringes = max(min(fringes, most), 4.0)
    found = []
    for s in oversampling:
        step = np.full(3, 1 / (s * size.max()))
        edge, long = (max(round(s * f), 8) for f in (fringes, fringes + 2 * MARGIN))
        found.append((View(rotation, step, 1 / (step * size)), (edge, edge, long)))
    return found


def _particle(
    settings: ScatterSettings,
    seed: int,
    particle: h5py.Group,
    target: h5py.File,
    oversampling: Sequence[float],
    fringes: float,
) -> None:
    positions, index, constant, kept = read_particle(particle)
    rotation = random_rotation(seeds.generator(seed, "scatter/oversampling", index))
    for number, (view, shape) in enumerate(views(settings, positions, rotation, constant, oversampling, fringes)):
        seen = pattern(settings.model_copy(update={"shape": shape}), view, positions, constant)
        write_view(target, index, number, settings, view, seen, kept)
