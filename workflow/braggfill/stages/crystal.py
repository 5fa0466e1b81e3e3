"""crystal: settings -> complex objects on a grid, 2D polygons or 3D polyhedra with a phase field.

Object i is drawn from the run's seed and i (:mod:`braggfill.physics.crystals` has the equations).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.physics.crystals import MARGIN, Crystal, CrystalOptions, draw, embedded
from braggfill.runs import packing, seeds, storage
from braggfill.settings.crystal import CrystalSettings


def options(settings: CrystalSettings) -> CrystalOptions:
    """What the objects of a run are drawn from."""
    return CrystalOptions(
        bodies=settings.bodies if settings.dimensions == 3 else ("hull",),
        kinds=settings.phases,
        range=settings.phase_range_radians,
        correlation=settings.phase_correlation,
        smoothing=settings.smoothing_sigma_voxels,
        noise=settings.modulus_noise,
        noise_correlation=settings.modulus_correlation_voxels,
    )


def box(settings: CrystalSettings) -> tuple[int, ...]:
    """Shape of the arrays that hold the objects of a run: no corner lies farther from the centre of volume of a convex
    body than d / (d + 1) of its width."""
    reach = settings.dimensions / (settings.dimensions + 1) * settings.extent_voxels
    return (2 * (math.ceil(reach) + MARGIN) + 1,) * settings.dimensions


def make(settings: CrystalSettings, seed: int, index: int) -> Crystal:
    """Object ``index`` of a run.

    Raises
    ------
    BraggfillError : it cannot be drawn; the message names it.
    """
    rng = seeds.generator(seed, "crystal", index)
    try:
        return draw(rng, (settings.extent_voxels,) * settings.dimensions, options(settings))
    except BraggfillError as error:
        raise BraggfillError(f"crystal {index:06d}: {error}") from error


def crystal_chunk(settings: CrystalSettings, seed: int, indices: Sequence[int], out: Path, code: str = "") -> None:
    """Draw some objects of a run and write them to one HDF5 file.

    ``out`` holds, one entry an object, ``object`` (n, box...) complex64, ``index`` (n) int64, ``extent`` (n, d) float32
    voxels and ``parameters`` (n), JSON.

    Raises
    ------
    BraggfillError : an object cannot be drawn, or ``out`` cannot be written.
    """
    shape = box(settings)
    with storage.create(out, settings=settings, seed=seed, code=code) as file:
        chunks = (1 if settings.dimensions == 3 else min(64, len(indices)), *shape)
        objects = file.create_dataset("object", (len(indices), *shape), np.complex64, chunks=chunks, **packing.FILTERS)
        file["index"] = np.asarray(indices, np.int64)
        extents, parameters = [], []
        for first in range(0, len(indices), chunks[0]):
            made = [make(settings, seed, int(index)) for index in indices[first : first + chunks[0]]]
            objects[first : first + len(made)] = np.stack([embedded(one.object, shape) for one in made])
            extents += [one.extent for one in made]
            parameters += [json.dumps(one.parameters) for one in made]
        file["extent"] = np.asarray(extents, np.float32)
        file["parameters"] = parameters
