"""What automatic differentiation is tried on: simulated patterns, those of reconstructed objects, a measured scan."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.patterns import gaps
from braggfill.phasing import pattern
from braggfill.phasing.pattern import crop
from braggfill.physics import fourier
from braggfill.physics.crystals import CrystalOptions, draw
from braggfill.physics.diffraction import amplitude, expose
from braggfill.physics.polyhedra import FAMILIES
from braggfill.runs import seeds, storage
from braggfill.settings.convex import ConvexSettings
from braggfill.stages.phase.measured_object import embedded_well


@dataclass(frozen=True)
class Case:
    """A pattern and what is known of it."""

    counts: np.ndarray = field(repr=False)
    """float32, cube, photons."""
    truth: np.ndarray | None = field(repr=False)
    """complex64, the same shape; None if it is not known."""
    strain: str
    """low, high, higher, reconstructed or scan."""
    body: str = ""
    kind: str = ""
    range_radians: float = float("nan")


def made(chosen: ConvexSettings, seed: int, case: str, obj: Path | None) -> Case:
    """The pattern of a case.

    Parameters
    ----------
    case : a name of ``chosen.cases``, of a simulated one with ``_<number>``.
    obj : from ``fetch``, for a case that is not simulated.

    Raises
    ------
    BraggfillError : a file is damaged, or the scan is smaller than the box.
    """
    if case == "aps":
        assert obj is not None
        return Case(_middle(obj, chosen.box_px), None, "scan")
    noise = seeds.generator(seed, f"phase/convex/counts/{case}")
    shape = (chosen.box_px,) * 3
    if case.startswith("id01_"):
        assert obj is not None
        found = crop(fourier.forward(embedded_well(obj, chosen.box_px, chosen.oversampling)), shape)
        about: dict[str, Any] = {"strain": "reconstructed"}
    else:
        strain, kind, number = case.split("_")
        span = {"low": chosen.low_radians, "high": chosen.high_radians, "higher": chosen.higher_radians}[strain]
        # The same body and field whatever the strength.
        rng = seeds.generator(seed, f"phase/convex/{kind}", int(number))
        options = CrystalOptions(bodies=tuple(FAMILIES), kinds=(kind,), range=float(span))
        crystal = draw(rng, (chosen.box_px / chosen.oversampling,) * 3, options)
        found = amplitude(crystal.object, shape, chosen.box_px)
        about = {"strain": strain, "body": crystal.parameters["body"], "kind": kind, "range_radians": float(span)}
    counts = expose(found, 10.0**chosen.photons_exponent, noise).counts.astype(np.float32)
    return Case(counts, fourier.inverse(found).astype(np.complex64), **about)


def gap(chosen: ConvexSettings, counts: np.ndarray) -> np.ndarray:
    """A cross of missing voxels beside the peak, boolean."""
    peak = pattern.peak(counts, np.ones(counts.shape, bool))
    first = [
        min(peak[axis] + chosen.gap_from_peak_px - chosen.gap_px // 2, counts.shape[axis] - chosen.gap_px)
        for axis in (1, 2)
    ]
    return gaps.cross(counts.shape, chosen.gap_px, first)


def _middle(path: Path, box: int) -> np.ndarray:
    """A cube of a scan around its peak, photons."""
    with storage.read(path) as file:
        data = storage.array(file, "data")
    if data.ndim != 3 or min(data.shape) < box:
        raise BraggfillError(f"{path}: {data.shape} is smaller than phase.convex.box_px, {box}; lower it")
    counts = np.clip(data, 0, None).astype(np.float32)
    peak = pattern.peak(counts, np.ones(counts.shape, bool))
    first = [min(max(p - box // 2, 0), n - box) for p, n in zip(peak, counts.shape, strict=True)]
    return np.ascontiguousarray(counts[tuple(slice(f, f + box) for f in first)])
