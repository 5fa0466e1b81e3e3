"""Reads a particle of a file that ``particle`` or ``relax`` wrote, and writes a pattern of it."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.runs import packing, storage
from braggfill.settings.scatter import ScatterSettings
from braggfill.stages.scatter.views import View


def read_particle(group: h5py.Group) -> tuple[np.ndarray, int, float, dict[str, Any]]:
    """Positions (n, 3) Å about their mean, index, lattice constant in Å, and the attributes that go on to its patterns.

    Raises
    ------
    BraggfillError : naming the file and the particle, if its atoms or its description are missing or damaged.
    """
    where = f"{group.file.filename}: particle {group.name.strip('/')}"
    positions = storage.array(group, "positions").astype(np.float64)
    try:
        index = int(group.attrs["index"])
        constant = float(group.attrs["lattice_constant_angstrom"])
        kept = {key: group.attrs[key] for key in ("element", "shape", "lattice_constant_angstrom")}
    except (KeyError, OSError, ValueError) as error:
        raise BraggfillError(f"{where} lacks its description ({error}); delete the file and make it again") from error
    if positions.ndim != 2 or positions.shape[1:] != (3,) or len(positions) == 0 or not np.isfinite(positions).all():
        raise BraggfillError(f"{where} has no usable atoms; delete the file and make it again")
    return positions - positions.mean(axis=0), index, constant, kept


def write_view(
    target: h5py.File,
    index: int,
    number: int,
    settings: ScatterSettings,
    view: View,
    amplitude: np.ndarray,
    kept: dict[str, Any],
) -> None:
    """The group ``{index:06d}/{number:02d}``: the amplitude, packed, what is ``kept`` of its particle, and its view."""
    group = target.create_group(f"{index:06d}/{number:02d}")
    packing.write(group, "amplitude", amplitude)
    group.attrs.update(kept)
    group.attrs["particle"] = index
    group.attrs["view"] = number
    group.attrs["hkl"] = settings.hkl
    group.attrs["rotation"] = view.rotation
    group.attrs["step_inverse_angstrom"] = view.step_inverse_angstrom
    group.attrs["oversampling"] = view.oversampling
