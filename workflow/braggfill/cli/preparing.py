"""From a scan's file to what a method is given: read, checked, in photons; and back to the scan's own values."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from braggfill import scans
from braggfill.cli import talk
from braggfill.scans import flatfield

if TYPE_CHECKING:
    from braggfill.scans import Loaded, Missing
    from braggfill.scans.flatfield import FlatField


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
    flat_field: FlatField | None = None
    """What the photons were divided by."""

    def restored(self, values: np.ndarray) -> np.ndarray:
        """``values`` (photons, the scan's shape) in the scan's unit where missing, and the scan as it was elsewhere,
        but for a flat field."""
        from braggfill.filling.checking import exact_type

        data = self.scan.array.astype(exact_type(self.scan.array, self.mask))
        if self.flat_field is not None:
            data = self.flat_field.photons(data)
        data[self.mask] = values[self.mask] / self.photons_per_unit
        return data

    def in_units(self, photons: np.ndarray) -> np.ndarray:
        """Photons in the scan's unit, e.g. a standard deviation."""
        return photons if self.photons_per_unit == 1 else (photons / self.photons_per_unit).astype(photons.dtype)

    def provenance(self) -> dict[str, float | int | str]:
        """What an output has to tell of it."""
        told: dict[str, float | int | str] = {}
        if self.photons_per_unit != 1:
            told["photons_per_unit"] = self.photons_per_unit
        if self.clipped:
            told["negative_voxels"] = self.clipped
        if self.flat_field is not None:
            told["flat_field"] = talk.name(self.flat_field.where)
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
    flat = talk.flat_field(options, scan)
    for remark in (*scan.remarks, *(missing.remarks if missing else ())):
        say(remark)
    read = (*scan.files, *(missing.files if missing else ()), *(flat.files if flat else ()))
    for out in filter(None, outputs):
        scans.check_output(out, force=True, inputs=read, any_suffix=True)
    if missing is not None and not missing.where:
        missing = None
    if flat is not None and flat.bad.any():
        missing = _without(flat, missing, scan)
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
    values = photons.values
    if flat is None and (near := flatfield.beside(scan.where)):
        say(f"a flat field lies beside the scan and is not applied; --flat-field {near} divides by it")
    if flat is not None:
        if doubt := flatfield.doubts(flat, values, mask):
            say(f"warning: {doubt}")
        values = flat.photons(values)
        say(f"divided by the flat field {flat.where}: pixels count {flat.gain[~flat.bad].std():.1%} more or less")
    return Prepared(scan, missing, mask, values, photons.per_unit, photons.clipped, flat)


def _without(flat: FlatField, missing: Missing | None, scan: Loaded) -> Missing:
    """What is missing, and the pixels that a flat field says are dead."""
    told = f"{int(flat.bad.sum())} dead pixels of {flat.where}"
    dead = np.broadcast_to(flat.bad, scan.array.shape)
    if missing is None:
        return scans.Missing(dead.copy(), told)
    return missing._replace(array=missing.array | dead, where=f"{missing.where}; {told}")
