"""The numbers of an HDF5 dataset, wherever they lie: every source is opened, and none passes for zeros.

HDF5 gives fill values for what it cannot read: a virtual data set whose source is absent or too short, chunks that were
never written, raw files that end too early.  Here the parts are put together by hand, recursively.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.scans.store import Broken, Store, find, reason

DEPTH = 8
"""Virtual data sets within each other."""
UNLIMITED = 2**62
NEVER = "was never written; name another dataset"
HDF5_OWN = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset"}


@dataclass
class Gathered:
    """A dataset's numbers, and which could not be had."""

    array: np.ndarray
    lost: list[tuple[np.ndarray, str]] = field(default_factory=list)
    """(frames, reason): indices along the first axis whose numbers are not there."""
    unmapped: np.ndarray | None = None
    """True where no part of a virtual data set lies, frames that are lost as a whole left out; None for nowhere."""


def read(store: Store, dataset: h5py.Dataset, where: str, frames: slice = slice(None)) -> np.ndarray:
    """The numbers of the ``frames`` along the first axis; what lies in no part is marked as missing, by NaN or by the
    largest integer of the type.

    Raises
    ------
    BraggfillError : the numbers of a frame that is asked for cannot be had; says why.
    """
    alone = frames != slice(None) and bool(dataset.shape) and not (dataset.is_virtual or dataset.external)
    found = _plain(dataset, where, frames) if alone else gather(store, dataset, where)
    if found.array.ndim:
        every = len(dataset) if alone else len(found.array)
        wanted = np.arange(every)[frames]
        missing = np.unique(np.concatenate([f for f, _ in found.lost])) if found.lost else np.array([], int)
        for lost, why in found.lost:
            if np.isin(lost, wanted).any():
                raise BraggfillError(f"{where}: {_told(every, missing)}{why}{_way(where, every, missing)}")
        if alone:
            return found.array
        found.array = found.array[frames]
        if found.unmapped is not None:
            return _marked(found.array, found.unmapped[frames])
    return found.array


def _told(every: int, missing: np.ndarray) -> str:
    return f"holds {every - len(missing)} of {every} frames: " if 0 < len(missing) < every else ""


def _way(where: str, every: int, missing: np.ndarray) -> str:
    """How to read what is there: frames up to the first that is missing."""
    first = int(missing[0]) if len(missing) else 0
    file, _, inner = where.partition("::")
    named = f"{Path(file).name}::{inner}[0:{first}]"
    return f"; or name the frames that are there, {named}" if 1 < first < every else ""


def _marked(array: np.ndarray, unmapped: np.ndarray) -> np.ndarray:
    if not unmapped.any():
        return array
    if array.dtype.kind == "f":
        array[unmapped] = np.nan
        return array
    if array.dtype.itemsize < 2 or (array.dtype.kind == "i" and array.dtype.itemsize < 4):
        array = array.astype(np.uint16 if array.dtype.kind == "u" else np.int32)
    array[unmapped] = np.iinfo(array.dtype).max
    return array


def gather(store: Store, dataset: h5py.Dataset, where: str, depth: int = 0) -> Gathered:
    """A dataset's numbers, and what of them could not be had."""
    if depth > DEPTH:
        raise Broken(f"{where}: virtual data sets are made of each other in a circle; name the source itself")
    if dataset.shape is None:
        raise BraggfillError(f"{where}: is empty; name an array with frames in it")
    try:
        if dataset.is_virtual:
            return _virtual(store, dataset, where, depth)
        if dataset.external:
            return Gathered(_external(store, dataset, where))
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise BraggfillError(
            f"{where}: cannot be read ({reason(error)}); if the file is damaged, copy it again"
        ) from error
    return _plain(dataset, where)


# One file ------------------------------------------------------------------------------------------------------------


def _plain(dataset: h5py.Dataset, where: str, frames: slice | None = None) -> Gathered:
    """A dataset of one file, or some of its frames; what is lost is told by its place in the whole."""
    _filters(dataset, where)
    try:
        array = dataset[()] if frames is None else dataset[frames]
    except (OSError, ValueError, RuntimeError, MemoryError, TypeError) as error:
        if isinstance(error, MemoryError):
            line = (
                f"{where}: claims to hold more than there is memory for ({_size(dataset)}); crop it, or copy it again"
            )
            raise BraggfillError(line) from error
        raise BraggfillError(
            f"{where}: cannot be read ({reason(error)}); if the file is damaged, copy it again"
        ) from error
    found = Gathered(array)
    if array.ndim and len(dataset) and (lost := _unwritten(dataset)).size:
        found.lost.append((lost, "the others were never written" if len(lost) < len(dataset) else NEVER))
    return found


def _size(dataset: h5py.Dataset) -> str:
    return f"{' × '.join(map(str, dataset.shape))} {dataset.dtype}"


def _filters(dataset: h5py.Dataset, where: str) -> None:
    """Stop at a compression that nothing here can undo, by its name."""
    made = dataset.id.get_create_plist()
    for index in range(made.get_nfilters()):
        number, _, _, name = made.get_filter(index)
        if not h5py.h5z.filter_avail(number):
            named = (name.decode("utf-8", "replace").strip("\0") or HDF5_OWN.get(number, "")).split(";")[0]
            raise BraggfillError(
                f"{where}: is compressed with HDF5 filter {number}{f' ({named})' if named else ''}, which is not "
                "installed here; install its plugin and name its folder in HDF5_PLUGIN_PATH (hdf5plugin has the "
                "common ones), or write the file anew without it"
            )


def _unwritten(dataset: h5py.Dataset) -> np.ndarray:
    """Frames of which a part was never written, which HDF5 gives as fill values."""
    nothing = np.array([], int)
    if dataset.chunks is None:
        layout = dataset.id.get_create_plist().get_layout()
        never = layout == h5py.h5d.CONTIGUOUS and dataset.id.get_storage_size() == 0
        return np.arange(len(dataset)) if never else nothing
    grid = [-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True)]
    number = dataset.id.get_num_chunks()
    if number >= np.prod(grid):
        return nothing
    written = np.zeros(grid[0], int)
    for index in range(number):
        written[dataset.id.get_chunk_info(index).chunk_offset[0] // dataset.chunks[0]] += 1
    lost = np.repeat(written < np.prod(grid[1:]), dataset.chunks[0])[: len(dataset)]
    return np.flatnonzero(lost)


def _external(store: Store, dataset: h5py.Dataset, where: str) -> np.ndarray:
    """Numbers in raw files beside the HDF5 file, each as long as the dataset says."""
    wanted = int(np.prod(dataset.shape)) * dataset.dtype.itemsize
    parts, had = [], 0
    for name, offset, size in dataset.external:
        file = find(name, Path(dataset.file.filename))
        if file is None or not file.is_file():
            raise BraggfillError(f"{where}: its numbers lie in {name}, which is not there; copy that file, too")
        store.touched.append(file)
        take = min(size if 0 <= size < UNLIMITED else wanted, wanted - had)
        part = np.fromfile(file, np.uint8, take, offset=offset)
        if len(part) < take:
            raise BraggfillError(f"{where}: its raw file {name} ends after {len(part)} of {take} bytes; copy it again")
        parts.append(part)
        had += take
    if had < wanted:
        raise BraggfillError(f"{where}: its raw files hold {had} of {wanted} bytes; copy them again")
    return np.concatenate(parts).view(dataset.dtype).reshape(dataset.shape)


# Virtual data sets ---------------------------------------------------------------------------------------------------


def _virtual(store: Store, dataset: h5py.Dataset, where: str, depth: int) -> Gathered:
    """Every part of a virtual data set, from its own file."""
    parts, lost = [], []
    shape = list(dataset.shape)
    for source in dataset.virtual_sources():
        for name, inner, target in _blocks(dataset, source):
            told = f"is made of {name}" if name != "." else f"is made of {inner}"
            try:
                space = source.src_space if source.src_space.shape else None
                goal = [len(i) for i in _index(target, None)] if space is None else None
                values = _part(store, dataset, name, inner, space, goal, told, depth)
                index = _index(target, values.size)
                parts.append((index, values))
                shape = [max(n, int(i.max()) + 1 if len(i) else 0) for n, i in zip(shape, index, strict=True)]
            except _Short as short:
                index = _index(target, int(np.prod(short.wanted)))
                lost.append((index[0][short.frames(len(index[0])) :], f"{told}, {short}"))
                parts.append((index, short.padded()))
            except BraggfillError as error:
                why = str(error).removeprefix(f"{name}: ")
                lost.append((_index(target, None)[0], why if why.startswith("is made of") else f"{told}: {why}"))
    array = np.zeros(shape, dataset.dtype)
    seen = np.zeros(shape, bool)
    for index, values in parts:
        box = _box(index)
        array[box] = _within(values, dataset.dtype).reshape(array[box].shape)
        seen[box] = True
    if seen.all():
        return Gathered(array, lost)
    whole = seen.reshape(len(seen), -1).any(1) if seen.ndim else np.array([True])
    never = np.setdiff1d(np.flatnonzero(~whole), np.concatenate([f for f, _ in lost]) if lost else [])
    if never.size:
        lost.append((never, "the detector wrote none of the others"))
    return Gathered(array, lost, ~seen & whole.reshape(-1, *(1,) * (seen.ndim - 1)))


def _within(values: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Numbers of a source in the data set's type, as HDF5 converts them: what is too large is the largest there is."""
    if kind.kind not in "iu" or values.dtype.kind not in "iuf" or np.can_cast(values.dtype, kind, "safe"):
        return values
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            return np.where(values >= high, high, np.clip(np.nan_to_num(values), low, high).astype(kind)).astype(kind)
    given = np.iinfo(values.dtype)
    return np.clip(values, max(low, given.min), min(high, given.max)).astype(kind)


class _Short(BraggfillError):
    """A source that holds fewer frames than the virtual data set takes from it."""

    def __init__(self, values: np.ndarray, wanted: tuple[int, ...], why: str = ""):
        self.values, self.wanted = values, wanted
        super().__init__(why or f"which holds {len(values)} of the {wanted[0]} frames that are taken from it")

    def frames(self, length: int) -> int:
        """How many of ``length`` frames of the virtual data set are there."""
        return len(self.values) * length // self.wanted[0]

    def padded(self) -> np.ndarray:
        found = np.zeros(self.wanted, self.values.dtype)
        found[tuple(slice(0, n) for n in self.values.shape)] = self.values
        return found


def _part(
    store: Store,
    dataset: h5py.Dataset,
    name: str,
    inner: str,
    space: Any,
    goal: list[int] | None,
    told: str,
    depth: int,
) -> np.ndarray:
    """The numbers that one source gives: those that ``space`` selects, else as many as ``goal`` along each axis."""
    if name == ".":
        node = store.at(dataset.file, "/" + inner.lstrip("/")).node
    else:
        node = store.elsewhere(dataset.file, name, inner, told).node
    if not isinstance(node, h5py.Dataset) or node.shape is None:
        raise Broken(f"{told}, where {inner} is no dataset; name another dataset")
    if goal is not None and len(goal) != len(node.shape) and np.prod(goal) == node.size:
        goal = list(node.shape)
    index = _index(space, None, node.shape) if goal is None else [np.arange(n) for n in goal]
    if len(index) != len(node.shape):
        raise Broken(
            f"{told}, where {inner} has {len(node.shape)} axes and not {len(index)}; the file is not its source"
        )
    wanted = tuple(len(i) for i in index)
    within = [i[i < n] for i, n in zip(index, node.shape, strict=True)]
    if any(len(w) < len(i) for w, i in zip(within[1:], index[1:], strict=True)) or not len(within[0]):
        raise Broken(f"{told}, where {inner} is {_size(node)}, too small for what is taken from it; copy it again")
    found = gather(store, node, f"{name}::{inner}", depth + 1)
    if found.unmapped is not None:
        found.array = _marked(found.array, found.unmapped)
    values = found.array[_box(within)]
    bad = np.concatenate([f for f, _ in found.lost]) if found.lost else np.array([], int)
    hit = np.isin(within[0], bad)
    if hit.any():
        why = found.lost[0][1]
        if not hit.argmax():
            raise Broken(f"{told}, which {why}")
        values = values[: int(hit.argmax())]
        raise _Short(values, wanted, f"which {why}" if why.startswith("is made of") else "")
    if len(values) < wanted[0]:
        raise _Short(values, wanted)
    return values


def _blocks(dataset: h5py.Dataset, source: Any) -> list[tuple[str, str, Any]]:
    """File, dataset and place of each part: one, or of names with a number (%b) as many as there are.

    Raises
    ------
    Broken : a number is left out, or there is none.
    """
    name, inner = source.file_name, source.dset_name
    if not re.search(r"(?<!%)(%%)*%b", name + "\0" + inner):
        return [(name.replace("%%", "%"), inner.replace("%%", "%"), source.vspace)]
    start, stride, count, block = (list(part) for part in source.vspace.get_regular_hyperslab())
    axis = next((a for a, n in enumerate(count) if _endless(n)), 0)

    def numbered(number: int) -> tuple[str, str]:
        return tuple(text.replace("%b", str(number)).replace("%%", "%") for text in (name, inner))

    found = []
    last = _last(dataset, name, inner)
    known = -(-(dataset.shape[axis] - start[axis]) // stride[axis])
    for number in range(max(last + 1, known, 1)):
        space = h5py.h5s.create_simple(tuple(max(n, 1) for n in _grown(start, stride, block, axis, number, dataset)))
        first = list(start)
        first[axis] += number * stride[axis]
        once = [1 if a == axis else n for a, n in enumerate(count)]
        space.select_hyperslab(tuple(first), tuple(once), tuple(stride), tuple(block))
        found.append((*numbered(number), space))
    return found


def _grown(start: list, stride: list, block: list, axis: int, number: int, dataset: h5py.Dataset) -> list[int]:
    shape = list(dataset.shape)
    shape[axis] = max(shape[axis], start[axis] + number * stride[axis] + block[axis])
    return shape


def _last(dataset: h5py.Dataset, name: str, inner: str) -> int:
    """The greatest number for which there is a file (or a dataset, where the number is in its name), -1 for none."""
    if "%b" in name:
        pattern = re.compile(re.escape(Path(name).name).replace("%b", r"(\d+)").replace("%%", "%"))
        folder = Path(dataset.file.filename).parent / Path(name).parent
        names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    else:
        path = find(name, Path(dataset.file.filename)) if name != "." else Path(dataset.file.filename)
        pattern = re.compile(re.escape(inner.rpartition("/")[2]).replace("%b", r"(\d+)"))
        if path is None:
            return -1
        with h5py.File(path, "r", locking=False) as file:
            names = list(file[inner.rpartition("/")[0] or "/"])
    hits = [pattern.fullmatch(each) for each in names]
    return max((int(hit[1]) for hit in hits if hit), default=-1)


def _endless(number: int) -> bool:
    return number < 0 or number > UNLIMITED


def _index(space: Any, size: int | None, shape: tuple[int, ...] | None = None) -> list[np.ndarray]:
    """Indices along each axis that a selection takes; of one without end as many as ``size`` numbers fill, or as the
    dataset of ``shape`` has."""
    whole = tuple(space.shape)
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return [np.arange(n) for n in whole]
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS:
        raise Broken("a part is chosen by single points, which no detector writes; name the source itself")
    if not space.is_regular_hyperslab():
        low, high = space.get_select_bounds()
        found = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
        if np.prod([len(i) for i in found]) != space.get_select_npoints():
            raise Broken("a part is chosen in a way that is not known here; name the source itself")
        return found
    slab = [list(map(int, part)) for part in space.get_regular_hyperslab()]
    start, stride, count, block = slab
    endless = [a for a in range(len(whole)) if _endless(count[a]) or _endless(block[a])]
    for a in endless:
        if shape is not None:
            room = shape[a] - start[a]
        elif size is None:
            room = max(whole[a] - start[a], 0)
        else:
            others = np.prod([count[b] * block[b] for b in range(len(whole)) if b != a], dtype=int)
            room = size // max(int(others), 1)
            room = room if _endless(block[a]) else room // block[a] * stride[a]
        if _endless(block[a]):
            count[a], block[a] = 1, max(room, 0)
        else:
            count[a] = max(-(-room // stride[a]), 0)
    steps = zip(start, stride, count, block, strict=True)
    return [(s + t * np.arange(c)[:, None] + np.arange(b)).ravel() for s, t, c, b in steps]


def _box(index: list[np.ndarray]) -> tuple[Any, ...]:
    """Indices as slices where they follow each other, which is quick."""
    plain = [
        slice(int(i[0]), int(i[-1]) + 1) if len(i) and int(i[-1]) - int(i[0]) + 1 == len(i) else None for i in index
    ]
    return tuple(plain) if all(p is not None for p in plain) else np.ix_(*index)
