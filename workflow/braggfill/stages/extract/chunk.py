"""Patches of a chunk of simulated patterns."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.patterns.patching import cut
from braggfill.runs import seeds, storage
from braggfill.runs.splits import split_of
from braggfill.settings.extract import ExtractSettings
from braggfill.stages.extract.places import Patches, draw_origins, probabilities


def extract_chunk(settings: ExtractSettings, seed: int, patterns: Path, out: Path, code: str = "") -> None:
    """Patches of every pattern of a file from ``perturb``.

    ``out`` holds, one entry a patch, ``counts`` (n, 32, 32, 32) uint32, ``expectation`` (n, 32, 32, 32) float32
    photons, ``origin`` (n, 3) int32, ``particle`` (n) int32, ``view`` (n) int16, ``split`` (n) uint8 (0 train,
    1 validation, 2 test), ``oversampling`` (n, 3) float32, and the attribute ``source``, here ``"simulated"``.  The
    split is by particle, see :func:`braggfill.runs.splits.split_of`.

    Raises
    ------
    BraggfillError : the file or a pattern in it is missing or damaged; a patch does not fit.
    """
    reason = storage.left_out(patterns)
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=reason, source="simulated") as target:
        if reason is not None:
            return
        with storage.read(patterns) as source:
            found = [source[particle][view] for particle in sorted(source) for view in sorted(source[particle])]
            patches = Patches(target, len(found) * settings.patches, settings.shape, np.uint32)
            for pattern in found:
                _extract_pattern(settings, seed, pattern, patches)
            patches.close()


def _extract_pattern(settings: ExtractSettings, seed: int, pattern: h5py.Group, patches: Patches) -> None:
    counts, expectation = storage.array(pattern, "counts"), storage.array(pattern, "expectation")
    try:
        particle, view = int(pattern.attrs["particle"]), int(pattern.attrs["view"])
        oversampling = pattern.attrs["oversampling"]
    except (KeyError, OSError) as error:
        where = f"{pattern.file.filename}: pattern {pattern.name.strip('/')}"
        raise BraggfillError(f"{where} lacks its description ({error}); delete the file and make it again") from error
    peak = tuple(n // 2 for n in counts.shape)
    cumulative = _cumulative(settings.model_dump_json(), counts.shape, peak)
    rng = seeds.generator(seed, "extract", particle, view)
    origins = draw_origins(rng, cumulative, counts, settings, settings.patches)
    patches.add(
        counts=cut(counts, origins, settings.shape),
        expectation=cut(expectation, origins, settings.shape),
        origin=origins,
        particle=particle,
        view=view,
        split=split_of(settings.fractions, seed, particle),
        oversampling=oversampling,
    )


@lru_cache(maxsize=2)
def _cumulative(settings_json: str, shape: tuple[int, ...], peak: tuple[int, ...]) -> np.ndarray:
    settings = ExtractSettings.part(json.loads(settings_json))
    return np.cumsum(probabilities(settings, shape, peak))
