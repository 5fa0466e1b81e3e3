"""HDF5 files: NeXus, CXI and whatever else, compressed or linked; which dataset is the scan, and which its mask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import h5py
import numpy as np

from braggfill.errors import BraggfillError

CXI_DATA = ("entry_1/data_1/data", "entry_1/instrument_1/detector_1/data")
CXI_MASKS = ("entry_1/data_1/filled", "entry_1/instrument_1/detector_1/mask", "entry_1/data_1/mask")
"""Where a mask is looked for; the first is what braggfill marks as filled, see :mod:`braggfill.scans.output`."""
DEPTH = 16


def load(path: Path, name: str | None, role: str) -> tuple[np.ndarray, str]:
    """The dataset ``name`` (or of the group ``name``), or the one that ``role`` ("scan", "mask") asks for."""
    with _opened(path) as file:
        dataset = _dataset(path, file, name, role)
        where = f"{path}::{dataset.name}"
        _complete(dataset, where)
        try:
            return dataset[()], where
        except (OSError, ValueError) as error:
            reason = str(error).partition("(")[2].rstrip(")") or str(error)
            raise BraggfillError(f"{where}: cannot be read ({reason}); the file is damaged, copy it again") from error


def own_mask(path: Path, name: str | None) -> str | None:
    """Name of the mask that belongs to the scan, or None."""
    with _opened(path) as file:
        dataset = _dataset(path, file, name, "scan")
        beside = [f"{dataset.parent.name.rstrip('/')}/{other}" for other in ("pixel_mask", "mask")]
        for place in [*(CXI_MASKS if dataset.name.startswith("/entry_1/") else ()), *beside]:
            found = _get(file, place)
            if isinstance(found, h5py.Dataset) and found.dtype.kind in "biuf" and found != dataset:
                return place
    return None


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    import hdf5plugin  # noqa: F401  (registers the filters of compressed ESRF files)

    try:
        file = h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        if isinstance(error, PermissionError):
            raise
        line = f"{path}: not a readable HDF5 file (truncated, or another format); copy it again"
        raise BraggfillError(line) from error
    with file:
        yield file


def _get(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """A member, None if it isn't there or its link leads nowhere."""
    try:
        return group[name]
    except (KeyError, OSError, ValueError):
        return None


def _dataset(path: Path, file: h5py.File, name: str | None, role: str) -> h5py.Dataset:
    place: h5py.Group | h5py.Dataset | None = file
    if name:
        place = _get(file, name)
        if place is None:
            raise BraggfillError(f"{path}: {_missing(file, name)}")
    if isinstance(place, h5py.Dataset):
        return place
    group = place
    found = _usual_mask(group) if role == "mask" else _usual(group)
    if found is not None:
        return found
    inside = name or "the file"
    masks = [dataset for dataset in _arrays(group) if _is_mask(dataset)]
    candidates = [d for d in _arrays(group) if not _is_mask(d) and d.dtype.kind in "iuf" and _axes(d) == 3]
    if role == "mask":
        if len(masks) == 1:
            return masks[0]
        candidates = masks or candidates
    if not candidates:
        every = [f"{d.name} ({_shape(d)} {d.dtype})" for d in _arrays(group)]
        has = f"has {_some(every)}" if every else "has no array at all"
        raise BraggfillError(f"{path}: {inside} has no 3D dataset of numbers ({has}); name one: {path.name}::/path")
    largest = max(d.size for d in candidates)
    best = [d for d in candidates if d.size == largest]
    if len(best) > 1:
        which = f"{path.name}::{best[0].name}"
        names = _some([f"{d.name} ({_shape(d)})" for d in best])
        raise BraggfillError(f"{path}: {inside} has several {role}s: {names}; name one, e.g. {which}")
    return best[0]


def _usual(group: h5py.Group) -> h5py.Dataset | None:
    """CXI's place of the data, else what NeXus' ``default`` and ``signal`` attributes lead to."""
    for place in CXI_DATA:
        found = _get(group, place)
        if isinstance(found, h5py.Dataset) and found.dtype.kind in "iuf":
            return found
    node = group
    for _ in range(DEPTH):
        signal = _text(node.attrs.get("signal"))
        if signal is not None:
            found = _get(node, signal)
            usable = isinstance(found, h5py.Dataset) and found.dtype.kind in "iuf" and _axes(found) == 3
            return found if usable else None
        default = _text(node.attrs.get("default"))
        following = _get(node, default) if default else None
        if not isinstance(following, h5py.Group):
            return None
        node = following
    return None


def _usual_mask(group: h5py.Group) -> h5py.Dataset | None:
    for place in CXI_MASKS:
        found = _get(group, place)
        if isinstance(found, h5py.Dataset):
            return found
    return None


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def _is_mask(dataset: h5py.Dataset) -> bool:
    return dataset.dtype.kind == "b" or "mask" in dataset.name.rpartition("/")[2].lower()


def _axes(dataset: h5py.Dataset) -> int:
    shape = list(dataset.shape)
    while len(shape) > 3 and shape[0] == 1:
        shape.pop(0)
    return len(shape)


def _shape(dataset: h5py.Dataset) -> str:
    return " × ".join(map(str, dataset.shape))


def _some(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _arrays(group: h5py.Group) -> list[h5py.Dataset]:
    """Every dataset with at least two axes, once each, whichever links lead to it; broken links are passed over."""
    found: dict[object, h5py.Dataset] = {}
    seen: set[object] = set()

    def walk(node: h5py.Group, depth: int) -> None:
        for name in node:
            member = _get(node, name)
            if member is None:
                continue
            info = h5py.h5o.get_info(member.id)
            key = (member.file.filename, info.addr)
            if key in seen:
                continue
            seen.add(key)
            if isinstance(member, h5py.Group):
                if depth:
                    walk(member, depth - 1)
            elif isinstance(member, h5py.Dataset) and member.shape is not None and len(member.shape) >= 2:
                found[key] = member

    walk(group, DEPTH)
    return list(found.values())


def _missing(file: h5py.File, name: str) -> str:
    """A path that isn't there: how far it leads, a link that leads nowhere, and what would be near."""
    node: h5py.Group | h5py.Dataset = file
    done = ""
    for part in filter(None, name.split("/")):
        if not isinstance(node, h5py.Group):
            return f"no dataset {name}: {done} is a dataset itself; drop the rest"
        following = _get(node, part)
        if following is None:
            link = node.get(part, getlink=True) if part in list(node) else None
            if isinstance(link, h5py.ExternalLink):
                return f"{done}/{part} links to {link.filename}, which is not there; copy that file, too"
            if isinstance(link, h5py.SoftLink):
                return f"{done}/{part} links to {link.path}, which is not there; name another dataset"
            near = get_close_matches(part, list(node), 1)
            hint = (
                f"did you mean {done}/{near[0]}?" if near else f"{done or '/'} holds {_some(list(node)) or 'nothing'}"
            )
            return f"no dataset {name}; {hint}"
        node, done = following, f"{done}/{part}"
    return f"no dataset {name}; check its path"


def _complete(dataset: h5py.Dataset, where: str) -> None:
    """HDF5 reads zeros where a virtual dataset's source file is missing; that must not pass for counts."""
    if not dataset.is_virtual:
        return
    folder = Path(dataset.file.filename).parent
    for source in dataset.virtual_sources():
        pattern = "%" in source.file_name  # one file a block; HDF5 finds them by number
        if source.file_name != "." and not pattern and not (folder / source.file_name).exists():
            raise BraggfillError(f"{where}: is made of {source.file_name}, which is not there; copy that file, too")
