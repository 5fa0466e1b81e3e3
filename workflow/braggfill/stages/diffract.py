"""diffract: objects -> counts, their expectation and the reciprocal-space phase (RSP).

Pattern j of object i is drawn from the run's seed and (i, j): oversampling, photons at the peak, counts
(:mod:`braggfill.physics.diffraction` has the equations).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.physics.diffraction import Pattern, amplitude, expose
from braggfill.runs import packing, seeds, storage
from braggfill.runs.splits import split_of
from braggfill.settings.diffract import DiffractSettings

TOGETHER = {2: 64, 3: 1}
"""Patterns that are compressed, and read, as one piece, by dimension."""


def make(
    settings: DiffractSettings, seed: int, crystal: int, pattern: int, made: np.ndarray, extent: np.ndarray
) -> tuple[Pattern, np.ndarray]:
    """One pattern of an object, and its oversampling along each axis (d,).

    Parameters
    ----------
    made : complex object, origin at ``n // 2``; ``extent`` : of its body, voxels.

    Raises
    ------
    BraggfillError : the array that is transformed would be smaller than the pattern; the object is empty.
    """
    rng = seeds.generator(seed, "diffract", crystal, pattern)
    period = int(np.ceil(rng.uniform(*settings.oversampling) * extent.max()))
    photons = 10 ** rng.uniform(*settings.photons_exponent)
    try:
        found = amplitude(made, settings.shape, max(period, *made.shape))
        return expose(found, photons, rng if settings.counting else None), period / extent
    except BraggfillError as error:
        raise BraggfillError(f"pattern {pattern} of crystal {crystal:06d}: {error}") from error


def diffract_chunk(settings: DiffractSettings, seed: int, crystals: Path, out: Path, code: str = "") -> None:
    """Patterns of every object of a file from ``crystal``.

    ``out`` holds, one entry a pattern, ``counts`` (n, shape...) uint32, ``expectation`` float32 photons, ``phase``
    float32 radians (the RSP, 0 at the centre), ``crystal`` (n) int64, ``pattern`` (n) int16, ``split`` (n) uint8
    (0 train, 1 validation, 2 test; by object, see :func:`braggfill.runs.splits.split_of`), ``oversampling`` (n, d)
    float32, ``photons`` (n) float64, and the object's ``parameters`` (n), JSON.

    Raises
    ------
    BraggfillError : the file is missing or damaged, or its objects have another number of axes than ``shape``.
    """
    with storage.read(crystals) as source, storage.create(out, settings=settings, seed=seed, code=code) as target:
        index, extents, parameters = (storage.array(source, name) for name in ("index", "extent", "parameters"))
        if extents.shape[1] != len(settings.shape):
            raise BraggfillError(
                f"diffract.shape has {len(settings.shape)} axes and the objects of {crystals} {extents.shape[1]}; "
                "let diffract.shape and crystal.dimensions agree"
            )
        number = len(index) * settings.patterns
        together = min(TOGETHER[len(settings.shape)], number)
        for name, kind in (("counts", np.uint32), ("expectation", np.float32), ("phase", np.float32)):
            chunks = (together, *settings.shape)
            target.create_dataset(name, (number, *settings.shape), kind, chunks=chunks, **packing.FILTERS)
        target["crystal"] = np.repeat(index, settings.patterns)
        target["pattern"] = np.tile(np.arange(settings.patterns, dtype=np.int16), len(index))
        target["split"] = np.repeat(
            np.array([split_of(settings.fractions, seed, int(i)) for i in index], np.uint8), settings.patterns
        )
        target["parameters"] = np.repeat(parameters, settings.patterns)
        oversamplings, photons = [], []
        for start, some in _batches(settings, seed, source, together):
            for name, values in (
                ("counts", [one.counts for one, _ in some]),
                ("expectation", packing.round_digits(np.stack([one.expectation for one, _ in some]))),
                ("phase", [one.phase for one, _ in some]),
            ):
                target[name][start : start + len(some)] = np.asarray(values)
            oversamplings += [oversampling for _, oversampling in some]
            photons += [one.photons for one, _ in some]
        target["oversampling"] = np.asarray(oversamplings, np.float32)
        target["photons"] = np.asarray(photons)


def _batches(
    settings: DiffractSettings, seed: int, source: h5py.File, together: int
) -> Iterator[tuple[int, list[tuple[Pattern, np.ndarray]]]]:
    """Patterns in pieces of ``together``, each with its place in the file."""
    index, extents = source["index"][...], source["extent"][...]
    start, some = 0, []
    for place, made in enumerate(_objects(source)):
        for pattern in range(settings.patterns):
            some.append(make(settings, seed, int(index[place]), pattern, made, extents[place]))
            if len(some) == together:
                yield start, some
                start, some = start + together, []
    if some:
        yield start, some


def _objects(source: h5py.File) -> Iterator[np.ndarray]:
    """The objects of a file, read one compressed piece at a time."""
    try:
        data = source["object"]
        for first in range(0, len(data), data.chunks[0]):
            yield from data[first : first + data.chunks[0]]
    except (KeyError, OSError, RuntimeError) as error:
        raise BraggfillError(
            f"{source.filename}: object is missing or damaged; delete the file and make it again"
        ) from error
