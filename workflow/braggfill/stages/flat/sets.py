"""The patterns of a study, in one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from braggfill.learning.planar_sets import PlanarSet, SetOptions, pattern, seen
from braggfill.physics.fields import KINDS
from braggfill.runs import packing, seeds, storage
from braggfill.settings.flat import FlatGaps, FlatPhases, FlatSettings

FIRST = {"train": 0, "validation": 10_000_000, "test": 20_000_000}
"""Index of the first pattern of each part, so that none changes when another one grows."""


def options(study: FlatGaps | FlatPhases) -> SetOptions:
    """What the patterns of a study are drawn from."""
    return SetOptions(
        side=study.side_px if isinstance(study, FlatGaps) else 64,
        range=study.phase_range_radians,
        oversampling=study.oversampling,
        photons_exponent=study.photons_exponent,
    )


def numbers(study: FlatGaps | FlatPhases) -> dict[str, int]:
    """How many patterns each part has."""
    many = study.patterns if isinstance(study, FlatGaps) else max(study.patterns)
    return {"train": many, "validation": study.validation, "test": study.test}


def study_seed(seed: int, study: str) -> int:
    """The seed of a study's random numbers."""
    return seeds.integer(seed, f"flat/{study}")


def patterns(settings: FlatSettings, seed: int, out: Path, study: str, code: str = "") -> None:
    """Draw the patterns of the study ``gaps``, ``low`` or ``high``.

    ``out`` has a group for each of ``train``, ``validation``, ``test``: ``seen`` (n, side, side) float32 photons,
    ``expectation`` likewise, ``phase`` float32 radians, ``kind`` (n) of the phase field, an index of
    :data:`braggfill.physics.fields.KINDS`, ``range`` (n) radians.
    """
    block = getattr(settings, study)
    drawn, own = options(block), study_seed(seed, study)
    with storage.create(out, settings=settings, seed=seed, code=code) as file:
        for part, number in numbers(block).items():
            made = [pattern(drawn, own, FIRST[part] + i) for i in range(number)]
            group = file.create_group(part)
            packing.write(group, "seen", np.stack([seen(drawn, one) for one, _ in made]))
            packing.write(group, "expectation", packing.round_digits(np.stack([one.expectation for one, _ in made])))
            packing.write(group, "phase", np.stack([one.phase for one, _ in made]))
            group["kind"] = np.array([KINDS.index(crystal.parameters["kind"]) for _, crystal in made], np.int8)
            group["range"] = np.array([crystal.parameters["range"] for _, crystal in made], np.float32)


@dataclass(frozen=True)
class Part:
    """One part of a study's patterns; see :func:`patterns`."""

    planar: PlanarSet
    expectation: torch.Tensor
    kind: np.ndarray
    range: np.ndarray

    @property
    def logarithm(self) -> torch.Tensor:
        """log(1 + photons)."""
        return torch.log1p(self.planar.intensity)


def read(path: Path, part: str, most: int | None = None) -> Part:
    """A part of a file of :func:`patterns`, its first ``most`` patterns.

    Raises
    ------
    BraggfillError : the file is missing or damaged.
    """
    with storage.read(path) as file:
        names = ("seen", "phase", "expectation", "kind", "range")
        arrays = {name: storage.array(file, f"{part}/{name}")[:most] for name in names}
    tensors = [torch.from_numpy(arrays[name]) for name in names[:3]]
    return Part(PlanarSet(tensors[0], tensors[1]), tensors[2], arrays["kind"], arrays["range"])


def write_columns(group: object, columns: dict[str, list[float]]) -> None:
    """Equally long lists of numbers as datasets."""
    for name, values in columns.items():
        group[name] = np.asarray(values, np.float64)  # type: ignore[index]
