"""What a file holds, for those who have to choose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from braggfill.errors import BraggfillError
from braggfill.scans import contents, numpy_files, reading
from braggfill.scans.ambiguous import Ambiguous
from braggfill.scans.store import Place, Store

__all__ = ["Ambiguous", "lines"]
MOST = 40


def lines(spec: str | Path) -> list[tuple[str, str]]:
    """(what, value) of every array with three axes in the file, where there are several: path, shape, type, title.

    Files of one array, and files that cannot be listed, give nothing; why is told by reading them.
    """
    try:
        path, name, _ = reading.split(spec)
        if path.suffix.lower() == ".npz" and path.is_file():
            found = [f"{each}  {times(shape)} {kind}" for each, shape, kind in numpy_files.headers(path)]
        elif path.suffix.lower() in reading.HDF5 and path.is_file() and name is None:
            found = _hdf5(path)
        else:
            return []
    except (BraggfillError, OSError):
        return []
    if sum(", a mask" not in line for line in found) < 2:
        return []
    more = [("", f"… and {len(found) - MOST} more")] if len(found) > MOST else []
    return [("holds", line) for line in found[:MOST]] + more


def _hdf5(path: Path) -> list[str]:
    with Store() as store:
        file = store.open(path)
        found, broken = contents.arrays(store, Place(file["/"], "/", ()))
        told = []
        for one in found:
            if one.lost:
                told.append(f"{one.name}  not whole: {one.lost[0]}")
            elif contents.axes(one.shape) >= 3 or contents.is_mask(one.first, one.name):
                told.append(_line(store, one))
        return told + [f"not to be reached: {line}" for line in broken if not any(line in one.lost for one in found)]


def _line(store: Store, one: contents.Chosen) -> str:
    kind = ""
    if contents.is_mask(one.first, one.name):
        kind = ", a mask"
    elif len(one.shape) >= 3 and contents.spectra(one):
        kind = ", spectra"
    elif contents.at_detector(one):
        kind = ", a detector"
    title = contents.title_of(store, one)
    return f"{one.name}  {times(one.shape)} {one.first.dtype}{kind}{f', {title}' if title else ''}"


def times(shape: Sequence[int]) -> str:
    """A shape in words."""
    return " × ".join(map(str, shape))
