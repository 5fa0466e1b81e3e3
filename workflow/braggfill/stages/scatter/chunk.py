"""Every view of every particle of a chunk."""

from __future__ import annotations

from pathlib import Path

import h5py

from braggfill.runs import seeds, storage
from braggfill.settings.scatter import ScatterSettings
from braggfill.stages.scatter.particles import read_particle, write_view
from braggfill.stages.scatter.views import draw_view, pattern


def scatter_chunk(settings: ScatterSettings, seed: int, atoms: Path, out: Path, code: str = "") -> None:
    """Every view of every particle in ``atoms``.

    ``out`` holds a group ``{particle:06d}/{view:02d}`` for each, with ``amplitude`` (``settings.shape``, complex64,
    digits below 3e-8 of its maximum rounded away) and the attributes hkl, rotation (3, 3), step_inverse_angstrom (3,),
    oversampling (3,), element, shape, lattice_constant_angstrom, particle, view.

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
                _scatter_particle(settings, seed, source[name], target)


def _scatter_particle(settings: ScatterSettings, seed: int, particle: h5py.Group, target: h5py.File) -> None:
    positions, index, constant, kept = read_particle(particle)
    for number in range(settings.views):
        view = draw_view(settings, seeds.generator(seed, "scatter", index, number), positions, constant)
        seen = pattern(settings, view, positions, constant)
        write_view(target, index, number, settings, view, seen, kept)
