"""The mask that belongs to a scan in an HDF5 file: looked for where the *object* lives, not along the path in use.

Data are reached through links (NeXus' NXdata, CXI's data_1, BLISS' measurement), while the mask lies beside the dataset
itself, at the detector.  In this order:

1. each group that holds the object under any name, and those that the links on the way name: ``NAME_mask``,
   ``pixel_mask``, ``data_mask``, ``mask``, and what lies in ``detectorSpecific`` below;
2. where the object has no detector of its own: the detectors of the same entry;
3. the groups above, up to the root.

What else in the file is called a mask and has the right size is told, and not taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.scans import contents, nexus, sources
from braggfill.scans.contents import Chosen
from braggfill.scans.store import Broken, Place, Store, find, key

NAMES = ("pixel_mask", "mask", "pixel_mask_1", "mask_1")
BELOW = ("detectorSpecific", "detector_specific")
CALLED = re.compile(r"mask|(bad|dead|hot)_?pix", re.IGNORECASE)
"""Names of what may be a mask somewhere else in the file."""
FILLED = "entry_1/data_1/filled"
"""What braggfill marks as filled: a file of its own."""


def own_mask(store: Store, file: h5py.File, chosen: Chosen, shape: Sequence[int]) -> Place | None:
    """The dataset that says which voxels of ``chosen`` are missing, or None.

    One that has the size of the scan or of a frame goes before one of a whole detector.
    """
    start = Place(file["/"], "/", ())
    if chosen.name.startswith("/entry_1/"):
        own = contents.reach(store, start, FILLED)
        if own is not None and isinstance(own.node, h5py.Dataset):
            return own
    keys = {key(place.node) for place in chosen.places}
    groups = list(_holders(store, start, chosen, keys))
    found = [one for group, names in groups for one in _beside(store, group, names) if key(one.node) not in keys]
    if not any(contents.is_detector(group.node) for group, _ in groups) or not found:
        entry = chosen.name.strip("/").partition("/")[0]
        seen = {key(group.node) for group, _ in groups}
        # Where the data lie in a detector's group, another detector's mask is none of theirs.
        if not any(_detects(group) for group, _ in groups):
            found += _at_detectors(store, start, entry, seen, shape)
    fitting = [one for one in found if fits(one.node, shape)]
    larger = [one for one in found if covers(one.node, shape)]
    if not (fitting or larger):
        above = [one for one in _above(store, groups) if key(one.node) not in keys]
        fitting = [one for one in above if fits(one.node, shape)]
        larger = [one for one in above if covers(one.node, shape)]
    if not (fitting or larger) and not store.remarks:
        _hint(store, start, keys, {key(group.node) for group, _ in groups}, shape)
    return next(iter(fitting or larger), None)


def _above(store: Store, groups: list[tuple[Place, list[str]]]) -> Iterator[Place]:
    """Masks in the groups above those that hold the data, the nearest first."""
    seen: set[tuple[int, int]] = set()
    for held, _ in groups:
        group = held.node
        outside = held.path.partition("::")[0] + "::" if "::" in held.path else ""
        while group.name not in (None, "/"):
            group = group.parent
            if (at := key(group)) in seen:
                break
            seen.add(at)
            yield from _beside(store, Place(group, outside + group.name, ()), [])


def _hint(store: Store, start: Place, keys: set, homes: set, shape: Sequence[int]) -> None:
    """Say what else in the file is called a mask and has the right size."""
    told = []
    for one in contents.arrays(store, start)[0]:
        if one.places and CALLED.search(one.name.rpartition("/")[2]) and len(one.places) == 1:
            node = one.first
            another = any(
                _detects(Place(group, group.name, ())) and key(group) not in homes for group, _ in one.places[0].homes
            )
            if key(node) not in keys and not another and _usable(node) and fits(node, shape) and node.ndim < len(shape):
                told.append(one.name)
    if told:
        store.remarks.append(
            f"warning: may be a mask of the scan, but is not taken: {', '.join(told[:4])}; --mask FILE::PATH"
        )


def fits(mask: h5py.Dataset, shape: Sequence[int]) -> bool:
    """Whether a mask has the size of the scan or of one of its frames."""
    size = tuple(n for n in mask.shape[:-2] if n > 1) + tuple(mask.shape[-2:])
    if "MATLAB_class" in mask.attrs:
        size = (*size[:-2], size[-1], size[-2])
    return size in (tuple(shape), tuple(shape[1:]))


def covers(mask: h5py.Dataset, shape: Sequence[int]) -> bool:
    """Whether a mask is that of a larger detector, of which the scan's frames may be a part."""
    return all(m >= n for m, n in zip(mask.shape[-2:], shape[1:], strict=True))


def load(store: Store, mask: Place, told: str) -> np.ndarray:
    """The numbers of a mask; see :func:`braggfill.scans.sources.read`."""
    return nexus.whole(store, Chosen([mask], mask.path), told, slice(None))


def _holders(store: Store, start: Place, chosen: Chosen, keys: set) -> Iterator[tuple[Place, list[str]]]:
    """Groups that hold the object, with its names there: by the path in use, by links, by other hard links, and, of a
    virtual data set, those that hold its sources."""
    seen: set[tuple[int, int]] = set()

    def new(group: h5py.Group, name: str, path: str | None = None) -> Iterator[tuple[Place, list[str]]]:
        if (at := key(group)) not in seen:
            seen.add(at)
            yield Place(group, path or group.name, ()), [name]

    for place in chosen.places:
        for number, (group, name) in enumerate(place.homes):
            yield from new(group, name, place.path.rpartition("/")[0] or "/" if not number else None)
    for group, path in _groups(store, start):
        for name in group:
            try:
                if group.id.links.get_info(name.encode()).type == h5py.h5l.TYPE_HARD and key(group[name]) in keys:
                    yield from new(group, name, path)
            except (KeyError, OSError, RuntimeError, ValueError):
                continue
    for place in chosen.places[:1]:
        if not place.node.is_virtual:
            continue
        for source in place.node.virtual_sources()[:1]:
            file = place.node.file if source.file_name == "." else _file(store, place.node, source.file_name)
            try:
                inner = None if file is None else store.at(file, "/" + source.dset_name.lstrip("/"))
            except BraggfillError:
                continue
            for group, name in () if inner is None else inner.homes:
                yield from new(group, name, f"{Path(group.file.filename).name}::{group.name}")


def _file(store: Store, dataset: h5py.Dataset, name: str) -> h5py.File | None:
    path = find(name, Path(dataset.file.filename))
    try:
        return store.open(path) if path is not None and path.is_file() else None
    except BraggfillError:
        return None


def _groups(store: Store, start: Place) -> Iterator[tuple[h5py.Group, str]]:
    """Every group of the file itself, by hard links, once each."""
    seen = {key(start.node)}
    todo = [(start.node, "/")]
    while todo:
        group, path = todo.pop()
        yield group, path
        for name in group:
            try:
                if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
                    continue
                member = group[name]
            except (KeyError, OSError, RuntimeError, ValueError):
                continue
            if isinstance(member, h5py.Group) and (at := key(member)) not in seen:
                seen.add(at)
                todo.append((member, f"{path.rstrip('/')}/{name}"))


def _beside(store: Store, group: Place, names: list[str]) -> Iterator[Place]:
    """Masks in a group that holds the data under ``names``."""
    own = [f"{name}_{kind}" for name in names for kind in ("pixel_mask", "mask")]
    if any(name.startswith("data") for name in names):
        own.append("data_mask")
    for name in [*own, *NAMES, *(f"{below}/pixel_mask" for below in BELOW)]:
        one = _reached(store, group, name)
        if one is None or not isinstance(one.node, h5py.Dataset) or not _usable(one.node):
            continue
        if one.node.id.get_storage_size() or one.node.is_virtual or one.node.external:
            yield one
        else:
            store.remarks.append(f"warning: {one.path} was never written, and is not taken for a mask")


def _reached(store: Store, group: Place, name: str) -> Place | None:
    """A member of a group, or below one; a link that leads nowhere is told."""
    place = group
    try:
        for part in name.split("/"):
            if not isinstance(place.node, h5py.Group):
                return None
            place = store.member(place.node, part, place.path)
        return place
    except Broken as error:
        told = f"warning: a mask of the scan cannot be read: {error}"
        if told not in store.remarks:
            store.remarks.append(told)
    except BraggfillError:
        pass
    return None


def _usable(dataset: h5py.Dataset) -> bool:
    return dataset.shape is not None and len(dataset.shape) >= 2 and dataset.dtype.kind in "biuf"


def _detects(group: Place) -> bool:
    name = group.path.rpartition("/")[2].lower()
    return contents.is_detector(group.node) or name.startswith("detector")


def _at_detectors(store: Store, start: Place, entry: str, seen: set, shape: Sequence[int]) -> list[Place]:
    """Masks of the detectors of an entry; those of several detectors of the same size decide nothing."""
    top = contents.reach(store, start, entry)
    if top is None or not isinstance(top.node, h5py.Group):
        return []
    found: dict[tuple[int, int], list[Place]] = {}

    def walk(place: Place, depth: int) -> None:
        at = key(place.node)
        if at in seen:
            return
        seen.add(at)
        holds = any(name in place.node for name in NAMES)
        if (_detects(place) or holds) and (masks := list(_beside(store, place, ["data"]))):
            found[at] = masks
        for name in place.node if depth else ():
            try:
                member = store.member(place.node, name, place.path)
            except BraggfillError:
                continue
            if isinstance(member.node, h5py.Group):
                walk(member, depth - 1)

    walk(top, 6)
    distinct = {key(one.node): one for masks in found.values() for one in masks if fits(one.node, shape)}
    if len(distinct) > 1:
        same = [sources.gather(store, one.node, one.path).array != 0 for one in distinct.values()]
        if any(not np.array_equal(same[0], other) for other in same[1:]):
            names = ", ".join(one.path for one in distinct.values())
            store.remarks.append(f"warning: several masks may be the scan's: {names}; name one with --mask")
            return []
    return [one for masks in found.values() for one in masks]
