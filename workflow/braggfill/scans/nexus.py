"""Which dataset of an HDF5 file is the scan, or the mask that was asked for.

Order: what is named; CXI's place; what NeXus' ``default`` and ``signal`` lead to; else of all 3D arrays of numbers
those of a detector, and of these the one that holds most counts.  Numbered blocks, as Dectris detectors write them, are
one scan.  What was passed over is told.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from difflib import get_close_matches

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.scans import series, sources
from braggfill.scans.ambiguous import Ambiguous
from braggfill.scans.contents import (
    BLOCK,
    DEPTH,
    Chosen,
    arrays,
    at_detector,
    axes,
    axes_of,
    described,
    is_mask,
    matlab,
    may_be_scan,
    reach,
    some,
    text,
    times,
)
from braggfill.scans.store import Absent, Broken, Place, Store

CXI_DATA = ("entry_1/data_1/data", "entry_1/instrument_1/detector_1/data")
CXI_MASKS = ("entry_1/data_1/filled", "entry_1/instrument_1/detector_1/mask", "entry_1/data_1/mask")
"""Where a mask is looked for; the first is what braggfill marks as filled, see :mod:`braggfill.scans.output`."""
LOOK = 16
"""Frames of each array that are looked at to find the brightest."""


def choose(
    store: Store, file: h5py.File, name: str | None, role: str, shape: Sequence[int] | None, told: str
) -> Chosen:
    """The dataset ``name``, or the one in the file or in the group ``name`` that ``role`` ("scan", "mask") asks for.

    Parameters
    ----------
    shape : of the scan that a mask is for; None where it isn't known.
    told : the file's name, for errors.

    Raises
    ------
    BraggfillError : there is none, there are several, or a link on the way leads nowhere.
    """
    place = Place(file["/"], "/", ())
    if name and any(c in name.rpartition("/")[2] for c in "*?"):
        return _pattern(store, file, name, told)
    if name:
        place = _named(store, file, name, told)
    if isinstance(place.node, h5py.Dataset):
        _alone(store, place, told)
        return Chosen([place], place.path)
    usual = _usual_mask(store, place) if role == "mask" else _usual(store, place)
    if usual is not None:
        return usual
    inside = name or "the file"
    found, broken = arrays(store, place)
    if role == "mask":
        return _mask(found, broken, shape, inside, told)
    candidates = [one for one in found if may_be_scan(one)]
    if not candidates:
        if lost := [line for one in found for line in one.lost] or broken:
            raise BraggfillError(f"{told}: {lost[0]}")
        every = [f"{one.name} ({times(one.shape)} {one.first.dtype})" for one in found]
        has = f"has {some(every)}" if every else "has no array at all"
        if stacks := [one for one in found if len(one.shape) == 4 and one.first.dtype.kind in "iuf"]:
            way = f"of several scans name one, {_base(told)}::{stacks[0].name}[0:1]"
        else:
            way = f"name one: {_base(told)}::/path"
        raise BraggfillError(f"{told}: {inside} has no 3D dataset of numbers ({has}); {way}")
    others = [one for one in found if one.first.dtype.kind in "iuf" and len(one.shape) >= 3]
    return _best(store, candidates, others, broken, inside, told)


def whole(store: Store, chosen: Chosen, told: str, frames: slice) -> np.ndarray:
    """The numbers of what was chosen, its blocks joined in order.

    Raises
    ------
    BraggfillError : see :func:`braggfill.scans.sources.read`; a block is missing or of another shape.
    """
    places = chosen.places
    if chosen.lost:
        places = places[: chosen.sound]
        there = sum(_frames_of(place) for place in places)
        if frames.stop is None or not 0 <= frames.stop <= there:
            way = f"; or name the frames that are there, {_base(told)}::{chosen.name}[0:{there}]" if there > 1 else ""
            raise BraggfillError(f"{told}: {chosen.lost[0]}{way}")
    if len(chosen.places) == 1:
        array = sources.read(store, chosen.first, f"{told}::{chosen.name}", frames)
        if matlab(chosen.first) and array.ndim >= 2:
            store.remarks.append(f"{chosen.name} was written by MATLAB: taken as rows, columns, frames")
            array = np.swapaxes(array, -1, -2)
        return array
    first = chosen.first
    parts: list[np.ndarray] = []
    wanted = np.arange(sum(_frames_of(place) for place in places))[frames]
    before = 0
    for place in places:
        if place.node.shape[-2:] != first.shape[-2:] or place.node.dtype != first.dtype:
            raise BraggfillError(
                f"{told}: {place.path} is {times(place.node.shape)} {place.node.dtype} and does not continue "
                f"{chosen.places[0].path}, {times(first.shape)} {first.dtype}; name one block"
            )
        mine = wanted[(wanted >= before) & (wanted < before + _frames_of(place))] - before
        before += _frames_of(place)
        if len(mine) or not parts:
            some = slice(int(mine[0]), int(mine[-1]) + 1) if len(mine) else slice(0, 0)
            some = some if len(place.node.shape) == 3 else slice(None)
            part = sources.read(store, place.node, f"{told}::{place.path}", some)
            parts.append(part if part.ndim == 3 else part[None][: len(mine)])
    _in_order(places, told)
    return np.concatenate(parts)


def _frames_of(place: Place) -> int:
    return place.node.shape[0] if len(place.node.shape) == 3 else 1


def _in_order(places: list[Place], told: str) -> None:
    """Dectris numbers the frames of each block: they must follow each other."""
    last = None
    for place in places:
        low, high = (np.asarray(place.node.attrs.get(f"image_nr_{end}", "")) for end in ("low", "high"))
        if any(number.size != 1 or number.dtype.kind not in "iu" for number in (low, high)):
            return
        if last is not None and low.item() != last + 1:
            raise BraggfillError(
                f"{told}: {place.path} begins with frame {low.item()}, but the block before ends with {last}; frames "
                "are missing between them, or the files are of different scans"
            )
        last = high.item()


# The scan ------------------------------------------------------------------------------------------------------------


def _named(store: Store, file: h5py.File, name: str, told: str) -> Place:
    try:
        return store.at(file, "/" + name.lstrip("/"))
    except Absent as error:
        raise BraggfillError(f"{told}: {_near(store, file, name, error)}") from error
    except Broken as error:
        raise BraggfillError(f"{told}: {error}") from error


def _near(store: Store, file: h5py.File, name: str, error: Absent) -> str:
    """How far a path leads, and what would be near."""
    if "is a dataset itself" in str(error):
        return f"no dataset {name}: {error}"
    place = Place(file["/"], "/", ())
    for part in filter(None, name.split("/")):
        try:
            place = store.member(place.node, part, place.path)
        except BraggfillError:
            near = get_close_matches(part, list(place.node), 1)
            if near:
                return f"no dataset {name}; did you mean {place.path.rstrip('/')}/{near[0]}?"
            return f"no dataset {name}; {place.path} holds {some(list(place.node)) or 'nothing'}"
    return f"no dataset {name}; check its path"


def _pattern(store: Store, file: h5py.File, name: str, told: str) -> Chosen:
    """Blocks named by a pattern of the last part of their path, joined in the order of their numbers."""
    group, _, pattern = name.rpartition("/")
    place = _named(store, file, group or "/", told)
    names = fnmatch.filter(list(place.node) if isinstance(place.node, h5py.Group) else [], pattern)
    names.sort(key=series.natural)
    found = Chosen([], f"{place.path.rstrip('/')}/{pattern}")
    for each in names:
        try:
            one = store.member(place.node, each, place.path)
        except BraggfillError as error:
            found.sound = found.sound if found.lost else len(found.places)
            found.lost.append(str(error))
            continue
        if axes_of(one.node) >= 2:
            found.places.append(one)
    if not (found.places or found.lost):
        raise BraggfillError(f"{told}: no dataset {name}; {place.path} holds {some(list(place.node)) or 'nothing'}")
    if not found.places:
        raise BraggfillError(f"{told}: {found.lost[0]}")
    hole = series.left_out([one.path.rpartition("/")[2] for one in found.places]) if not found.lost else None
    if hole is not None:
        store.remarks.append(f"warning: the numbers of {found.name} leave some out, the first {hole}; is none missing?")
    return found


def _alone(store: Store, place: Place, told: str) -> None:
    """Say that a block that was named is one of several."""
    group, name = place.homes[0] if place.homes else (None, "")
    hit = BLOCK.fullmatch(name)
    if group is None or hit is None:
        return
    others = [each for each in group if (more := BLOCK.fullmatch(each)) and more[1] == hit[1]]
    if len(others) > 1:
        store.remarks.append(
            f"warning: {place.path} is one of {len(others)} blocks; {_base(told)}::{place.path.rpartition('/')[0]} "
            "joins them"
        )


def _usual(store: Store, start: Place) -> Chosen | None:
    """CXI's place of the data, else what NeXus' ``default`` and ``signal`` attributes lead to."""
    for path in CXI_DATA:
        found = reach(store, start, path)
        if found is not None and axes_of(found.node) and found.node.dtype.kind in "iuf":
            return Chosen([found], found.path)
    place = start
    for _ in range(DEPTH):
        signal = text(place.node.attrs.get("signal"))
        if signal is not None:
            found = reach(store, place, signal)
            if found is None or not axes_of(found.node) or found.node.dtype.kind not in "iuf":
                return None
            if axes(found.node.shape) != 3 or BLOCK.fullmatch(signal):
                return None
            return Chosen([found], found.path)
        default = text(place.node.attrs.get("default"))
        following = reach(store, place, default) if default else None
        if following is None or not isinstance(following.node, h5py.Group):
            return None
        place = following
    return None


def _best(
    store: Store, candidates: list[Chosen], others: list[Chosen], broken: list[str], inside: str, told: str
) -> Chosen:
    """The array to take; says which others there are."""
    ranked = [one for one in candidates if at_detector(one)] or candidates
    sizes = {one.name: int(np.prod(one.shape)) for one in ranked}
    best, why = ranked[0], "of a detector" if at_detector(ranked[0]) else "the only one that can be a scan"
    if len(ranked) > 1:
        if pattern := _numbered(ranked):
            names = some([described(store, one) for one in ranked])
            raise Ambiguous(
                f"{told}: {inside} has {names}: blocks of one scan are joined by {_base(told)}::{pattern}; of several "
                f"scans name one, {_base(told)}::{ranked[0].name}"
            )
        alike = [one for one in ranked if one.shape == ranked[0].shape]
        if len(alike) == len(ranked):
            names = some([described(store, one) for one in ranked])
            line = f"{told}: {inside} has several scans: {names}; name one, e.g. {_base(told)}::{ranked[0].name}"
            raise Ambiguous(line)
        light = {one.name: _light(store, one, told) for one in ranked[:20]}
        best = max(ranked, key=lambda one: (light.get(one.name, -1.0), sizes[one.name]))
        same = [one for one in ranked if one is not best and one.shape == best.shape]
        if same:
            names = some([described(store, one) for one in [best, *same]])
            raise Ambiguous(f"{told}: {inside} has several scans: {names}; name one, e.g. {_base(told)}::{best.name}")
        why = "which holds most counts"
    rest = [one for one in others if one is not best and not (one.places and is_mask(one.first, one.name))]
    if rest:
        names = some([described(store, one) for one in rest])
        store.remarks.append(
            f"warning: {_base(told)} holds several arrays; took {described(store, best)}, {why}; others: {names}; name "
            f"another with {_base(told)}::/path"
        )
    if not best.lost and (missed := [line for line in broken if line not in best.lost]):
        store.remarks.append(f"warning: passed over what cannot be reached: {some(missed, 2)}")
    return best


def _numbered(ranked: list[Chosen]) -> str:
    """The pattern of arrays of one group that may be blocks: frames of one size and type, names that differ by a number
    and count on; empty where they are none."""
    parts = [part for one in ranked if (part := re.fullmatch(r"(.*?)(\d+)", one.name))]
    if len(parts) < len(ranked) or len({part[1] for part in parts}) > 1 or "/" not in parts[0][1]:
        return ""
    numbers = sorted(int(part[2]) for part in parts)
    alike = {(one.shape[-2:], one.first.dtype) for one in ranked}
    return f"{parts[0][1]}*" if len(alike) == 1 and numbers == list(range(numbers[0], numbers[0] + len(parts))) else ""


def _light(store: Store, one: Chosen, told: str) -> float:
    """Counts in an array, from some of its frames; -1 where they cannot be had, 0 for values that are no counts."""
    from braggfill.scans.marks import marked

    try:
        array = one.first
        step = max(1, -(-len(array) // LOOK))
        part = array[::step] if not (array.is_virtual or array.external) else sources.gather(store, array, told).array
    except (BraggfillError, OSError, RuntimeError, ValueError, MemoryError):
        return -1.0
    part = np.where(marked(part).array, 0, part)
    if part.dtype.kind == "f" and (part != np.rint(part)).any():
        return 0.0
    return float(part.mean(dtype=np.float64)) * float(np.prod(one.shape))


# A mask that was asked for -------------------------------------------------------------------------------------------


def _usual_mask(store: Store, start: Place) -> Chosen | None:
    for path in CXI_MASKS:
        found = reach(store, start, path)
        if found is not None and isinstance(found.node, h5py.Dataset):
            return Chosen([found], found.path)
    return None


def _mask(found: list[Chosen], broken: list[str], shape: Sequence[int] | None, inside: str, told: str) -> Chosen:
    """The array that is a mask, by its name or type, else the only one that has the size of the scan or of a frame."""
    found = [one for one in found if one.places and one.first.dtype.kind in "biuf"]
    masks = [one for one in found if is_mask(one.first, one.name)]
    sizes = set() if shape is None else {tuple(shape), tuple(shape[1:]), (1, *shape[1:])}
    fitting = [one for one in masks if not sizes or one.shape in sizes] or [one for one in found if one.shape in sizes]
    choice = fitting or masks or found
    if len(choice) == 1:
        return choice[0]
    if not choice:
        why = broken[0] if broken else f"{inside} has no array that could be a mask; name one: {_base(told)}::/path"
        raise BraggfillError(f"{told}: {why}")
    names = some([f"{one.name} ({times(one.shape)})" for one in choice])
    raise BraggfillError(f"{told}: {inside} has several masks: {names}; name one, e.g. {_base(told)}::{choice[0].name}")


def _base(told: str) -> str:
    return told.rpartition("/")[2]
