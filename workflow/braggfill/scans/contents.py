"""What an HDF5 file holds: its arrays, numbered blocks joined, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.scans.store import Absent, Broken, Place, Store, key

DEPTH = 16
BLOCK = re.compile(r"(.*?)_?(\d{4,})")
"""Names of numbered blocks: padded with zeros; two detectors called data_02 and data_10 are none."""
MASK_NAME = re.compile(r"(^|_)(mask|flags)(_|$|\d)", re.IGNORECASE)
CHANNELS = 30
"""Frames this many times longer than wide are no frames but spectra: a fluorescence detector's (element, channel)."""
FEW = 64
"""A mask of numbers holds at most so many different values."""


@dataclass
class Chosen:
    """A dataset, or numbered blocks that make one."""

    places: list[Place]
    name: str
    """Path in the file that was asked for."""
    lost: list[str] = field(default_factory=list)
    """Blocks that are not there, and why."""
    sound: int = 0
    """Blocks before the first that is not there, if one is not."""

    @property
    def first(self) -> h5py.Dataset:
        return self.places[0].node

    @property
    def shape(self) -> tuple[int, ...]:
        shape = self.first.shape
        if len(self.places) == 1:
            return shape
        if len(shape) == 2:
            return (len(self.places), *shape)
        return (sum(place.node.shape[0] for place in self.places), *shape[1:])


def arrays(store: Store, start: Place) -> tuple[list[Chosen], list[str]]:
    """Every dataset with at least two axes, once each, whichever links lead to it, blocks joined; and broken links."""
    seen: set[tuple[int, int]] = set()
    found: list[Chosen] = []
    broken: list[str] = []

    def walk(place: Place, depth: int) -> None:
        members: dict[str, Place] = {}
        lost: dict[str, str] = {}
        for name in place.node:
            try:
                members[name] = store.member(place.node, name, place.path)
            except Broken as error:
                lost[name] = str(error)
            except Absent:
                continue
        for one in joined(members, lost, place.path):
            keys = {key(member.node) for member in one.places}
            if not keys or keys - seen or one.lost:
                found.append(one)
            seen.update(keys)
        broken.extend(lost.values())
        for member in members.values():
            if isinstance(member.node, h5py.Group) and depth and (at := key(member.node)) not in seen:
                seen.add(at)
                walk(member, depth - 1)

    seen.add(key(start.node))
    walk(start, DEPTH)
    return [one for one in found if one.places or one.lost], broken


def joined(members: dict[str, Place], lost: dict[str, str], path: str) -> Iterator[Chosen]:
    """The datasets of a group, numbered blocks as one.

    A block that is not there is named in :attr:`braggfill.scans.contents.Chosen.lost`.
    """
    blocks: dict[str, dict[int, str]] = {}
    for name in [*members, *lost]:
        hit = BLOCK.fullmatch(name)
        place = members.get(name)
        if hit and (place is None or axes_of(place.node) >= 2):
            blocks.setdefault(hit[1], {})[int(hit[2])] = name
    done: set[str] = set()
    for stem, numbered in blocks.items():
        order = sorted(numbered)
        names = [numbered[number] for number in order]
        there = [members[name] for name in names if name in members]
        if len(order) < 2 and not lost.keys() & set(names):
            continue
        gone = [lost[name] for name in names if name in lost]
        holes = sorted(set(range(order[0], order[-1])) - set(order))
        if holes or order[0] > 1:
            absent = ((stem and f"{stem}_") or "") + f"{(holes or [1])[0]:0{len(names[0]) - len(stem) - bool(stem)}d}"
            gone.append(f"{path.rstrip('/')}/{absent} is missing among its blocks; copy it, too")
        done.update(names)
        gap = next((number for number in order if numbered[number] in lost), order[-1] + 1)
        gap = min([gap, *holes]) if order[0] < 2 else 0
        sound = sum(number < gap for number in order) if gone else 0
        shown = there[0].path if len(names) == 1 and there else f"{path.rstrip('/')}/{stem and stem + '_'}*"
        yield Chosen(there, shown, gone, sound)
    for name, place in members.items():
        if name not in done and axes_of(place.node) >= 2:
            yield Chosen([place], place.path)


def axes_of(node: h5py.Group | h5py.Dataset) -> int:
    return len(node.shape) if isinstance(node, h5py.Dataset) and node.shape is not None else 0


def axes(shape: Sequence[int]) -> int:
    shape = list(shape)
    while len(shape) > 3 and shape[0] == 1:
        shape.pop(0)
    return len(shape)


def may_be_scan(one: Chosen) -> bool:
    if not one.places:
        return False
    kind = one.first.dtype.kind
    return kind in "iuf" and axes(one.shape) == 3 and not is_mask(one.first, one.name) and not spectra(one)


def spectra(one: Chosen) -> bool:
    """Whether frames are so long and narrow that they are an axis of channels."""
    rows, columns = one.shape[-2:]
    return max(rows, columns) > CHANNELS * max(min(rows, columns), 1)


def is_mask(dataset: h5py.Dataset, name: str) -> bool:
    """By its type, or by a name that says so and values that do not contradict."""
    if dataset.dtype.kind == "b" or str(text(dataset.attrs.get("MATLAB_class"))) == "logical":
        return True
    if dataset.dtype.kind not in "iuf" or not MASK_NAME.search(name.rpartition("/")[2]):
        return False
    try:
        sample = dataset[len(dataset) // 2] if len(dataset.shape) > 2 else dataset[()]
    except (OSError, RuntimeError, ValueError, MemoryError):
        return True
    return len(np.unique(sample)) <= FEW


def at_detector(one: Chosen) -> bool:
    """Whether a group that holds the array is a NeXus detector."""
    return any(is_detector(group) for place in one.places for group, _ in place.homes)


def is_detector(group: h5py.Group) -> bool:
    return text(group.attrs.get("NX_class")) == "NXdetector"


def described(store: Store, one: Chosen) -> str:
    """Path, shape and, where it has one, the title of the entry."""
    title = title_of(store, one)
    return f"{one.name} ({times(one.shape)}{f', {title}' if title else ''})"


def title_of(store: Store, one: Chosen) -> str:
    """The title of the entry that an array belongs to, empty without one."""
    if not one.places or not one.places[0].homes:
        return ""
    file = one.places[0].homes[0][0].file
    found = reach(store, Place(file["/"], "/", ()), one.name.strip("/").partition("/")[0] + "/title")
    if found is None or not isinstance(found.node, h5py.Dataset):
        return ""
    try:
        value = found.node[()]
    except (OSError, RuntimeError):
        return ""
    value = value.flat[0] if isinstance(value, np.ndarray) and value.size else value
    return " ".join((text(value) or "").split())[:80]


def reach(store: Store, start: Place, path: str) -> Place | None:
    place = start
    for part in filter(None, path.split("/")):
        if not isinstance(place.node, h5py.Group):
            return None
        try:
            place = store.member(place.node, part, place.path)
        except BraggfillError:
            return None
    return place


def text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.size == 1:
        return text(value.flat[0])
    return str(value) if isinstance(value, str) else None


def times(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def some(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def matlab(dataset: h5py.Dataset) -> bool:
    """Whether MATLAB wrote it, whose axes HDF5 shows in reverse."""
    return "MATLAB_class" in dataset.attrs
