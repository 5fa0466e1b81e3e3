"""From a scan's file to what a method is given: read, checked, in photons; and back to the scan's own values."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from braggfill import scans
from braggfill.cli import talk

if TYPE_CHECKING:
    from braggfill.scans import Loaded, Missing


@dataclass(frozen=True)
class Prepared:
    """A scan that may be filled or phased."""

    scan: Loaded
    """As its file has it."""
    missing: Missing | None
    """None where nothing says that anything is missing."""
    mask: np.ndarray
    """Boolean, True = missing."""
    photons: np.ndarray
    """The scan in photons; noise below zero is zero here."""
    photons_per_unit: float
    clipped: int
    """Measured voxels below zero."""

    def restored(self, values: np.ndarray) -> np.ndarray:
        """``values`` (photons, the scan's shape) in the scan's unit where missing, and the scan as it was elsewhere."""
        from braggfill.filling.checking import exact_type

        data = self.scan.array.astype(exact_type(self.scan.array, self.mask))
        data[self.mask] = values[self.mask] / self.photons_per_unit
        return data

    def in_units(self, photons: np.ndarray) -> np.ndarray:
        """Photons in the scan's unit, e.g. a standard deviation."""
        return photons if self.photons_per_unit == 1 else (photons / self.photons_per_unit).astype(photons.dtype)

    def provenance(self) -> dict[str, float | int]:
        """What an output has to tell of it."""
        told: dict[str, float | int] = {}
        if self.photons_per_unit != 1:
            told["photons_per_unit"] = self.photons_per_unit
        if self.clipped:
            told["negative_voxels"] = self.clipped
        return told


def prepare(options: argparse.Namespace, say: talk.Say, *, outputs: tuple[str | None, ...] = ()) -> Prepared:
    """Read the scan and what is missing, check both, and say what was taken and what looks wrong.

    Parameters
    ----------
    outputs : files that will be written, which must be none of those that were read.

    Raises
    ------
    BraggfillError : a file cannot be read, the mask does not fit, values cannot be counts or photons.
    """
    scan = scans.load(options.scan)
    missing = talk.missing(options, scan)
    for remark in (*scan.remarks, *(missing.remarks if missing else ())):
        say(remark)
    read = (*scan.files, *(missing.files if missing else ()))
    for out in filter(None, outputs):
        scans.check_output(out, force=True, inputs=read, any_suffix=True)
    if missing is not None and not missing.where:
        missing = None
    mask = np.zeros(scan.array.shape, bool) if missing is None else missing.array
    told = "nothing says what is missing" if missing is None else f"missing {mask.mean():.2%}: {missing.where}"
    say(f"scan {scan.where}, {talk.size(scan)}; {told}")
    marked = missing.marked if missing is not None and missing.marked is not None else scans.marked(scan.array)
    if missing is not None:
        scans.check(scan.array, mask, scan.where, missing.where, marked)
    given = getattr(options, "photons_per_unit", None)
    photons = scans.photons(scan.array, mask, marked, given, scan.where)
    noise = photons.noise_remark(int(np.count_nonzero(~mask)))
    for line in (*photons.remarks, *scans.suspicions(scan.array, mask, marked), *filter(None, [noise])):
        say(f"warning: {line}")
    return Prepared(scan, missing, mask, photons.values, photons.per_unit, photons.clipped)
