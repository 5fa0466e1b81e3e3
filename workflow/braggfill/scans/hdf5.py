"""HDF5 files: NeXus, CXI and others, compressed, linked, in parts; which dataset is the scan, and which its mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from braggfill.scans import maskfinding, nexus
from braggfill.scans.experiment import Experiment, of_file
from braggfill.scans.store import Store


class Read(NamedTuple):
    """An array, and what is to be said of it."""

    array: np.ndarray
    where: str
    files: tuple[Path, ...]
    remarks: tuple[str, ...]
    experiment: Experiment | None = None


def load(path: Path, name: str | None, role: str, shape: Sequence[int] | None, frames: slice) -> Read:
    """The dataset ``name`` (or of the group ``name``), or the one that ``role`` ("scan", "mask") asks for.

    Parameters
    ----------
    shape : of the scan, if a mask for one is wanted.
    frames : along the first axis.
    """
    with Store() as store:
        file = store.open(path)
        chosen = nexus.choose(store, file, name, role, shape, str(path))
        array = nexus.whole(store, chosen, str(path), frames)
        found = of_file(store, file, chosen) if role == "scan" else None
        return Read(array, f"{path}::{chosen.name}", tuple(store.touched), tuple(store.remarks), found)


def own_mask(path: Path, name: str | None, shape: Sequence[int]) -> Read | None:
    """The mask that belongs to the scan, or None."""
    with Store() as store:
        file = store.open(path)
        chosen = nexus.choose(store, file, name, "scan", None, str(path))
        store.remarks.clear()
        mask = maskfinding.own_mask(store, file, chosen, shape)
        if mask is None:
            return Read(np.zeros(0), "", (), tuple(store.remarks)) if store.remarks else None
        array = maskfinding.load(store, mask, str(path))
        where = mask.path if "::" in mask.path else f"{path}::{mask.path}"
        return Read(array, where, tuple(store.touched), tuple(store.remarks))
