"""From a scan's values to photons: one function for the command line and for Python."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.scans import units
from braggfill.scans.marks import Marked


class Photons(NamedTuple):
    """A scan in photons."""

    values: np.ndarray
    """Photons, of the scan's shape; noise below zero is zero here."""
    per_unit: float
    """Photons in a unit of the scan's own values."""
    clipped: int
    """Measured voxels below zero."""
    remarks: tuple[str, ...]
    """What is to be said of the values."""

    def in_units(self, photons: np.ndarray) -> np.ndarray:
        """Photons in the scan's unit, e.g. a standard deviation."""
        return photons if self.per_unit == 1 else (photons / self.per_unit).astype(photons.dtype)

    def noise_remark(self, measured: int) -> str:
        """What is to be said of noise below zero among so many ``measured`` voxels; empty without any."""
        if not self.clipped:
            return ""
        return (
            f"{self.clipped} measured voxels ({self.clipped / max(measured, 1):.1%}) scatter below zero, as after the "
            "subtraction of a dark level; they are taken as zero here, and come back as they were"
        )


def photons(
    intensity: np.ndarray,
    mask: np.ndarray,
    marked: Marked,
    per_unit: float | None = None,
    where: str = "intensity",
    option: str = "--photons-per-unit",
) -> Photons:
    """The scan in photons.

    Parameters
    ----------
    intensity : three axes, real; mask : True = missing, same shape.
    marked : what :func:`braggfill.scans.marked` found in it.
    per_unit : photons in a unit, as the user says; None: one, if the values can be photons
        (:func:`braggfill.scans.units.unit`).
    where, option : the scan, and what tells the unit, in an error.

    Raises
    ------
    BraggfillError : the values cannot be photons, says why and what a unit seems to be; ``per_unit`` is no unit.
    """
    remarks: tuple[str, ...] = ()
    if per_unit is None:
        found = units.unit(intensity, mask | marked.array)
        try:
            units.refuse(found, where)
        except BraggfillError as error:
            raise BraggfillError(str(error).replace("--photons-per-unit", option)) from error
        remarks = (found.remark.replace("--photons-per-unit", option),) if found.remark else ()
        per_unit = 1.0
    elif not (np.isfinite(per_unit) and per_unit > 0):
        raise BraggfillError(f"{option} {per_unit:g}: give a number above zero")
    noise = None if marked.noise is None else marked.noise & ~mask
    clipped = 0 if noise is None else int(np.count_nonzero(noise))
    values = intensity if noise is None or not clipped else np.where(noise, 0, intensity)
    return Photons(units.to_photons(values, per_unit), float(per_unit), clipped, remarks)
