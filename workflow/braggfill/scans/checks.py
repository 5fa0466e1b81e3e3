"""What a scan and its mask must be before anything is filled, and what looks wrong with a scan that could be filled."""

from __future__ import annotations

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.scans.marks import Marked, marked

HOT = 20.0
LIT = 20.0
"""Counts that a dead pixel, row or frame would have had by its neighbours."""
SURE = 100.0
"""The same for a row or column of one frame, of which there are many."""
FULL = 1000.0
"""Greatest count from which on several voxels that share it are more likely saturated than alike."""
CHANGE = 30.0
"""A frame with so many times less than both its neighbours was not recorded as they were."""


def check(
    intensity: np.ndarray, mask: np.ndarray, scan: str = "scan", named: str = "mask", known: Marked | None = None
) -> None:
    """Stop at what no filling can be right for; values in missing voxels may be anything.

    Parameters
    ----------
    intensity : 3D, real; mask : same shape, True = missing; ``scan`` and ``named`` tell them in an error.
    known : what :func:`braggfill.scans.marked` found, if that is at hand.

    Raises
    ------
    BraggfillError : the mask is full or empty; a measured voxel cannot be a count (:mod:`braggfill.scans.marks`; noise
        below zero can); every measured voxel is zero.
    """
    missing = int(np.count_nonzero(mask))
    if missing == mask.size:
        raise BraggfillError(f"{named}: every voxel is missing, there is nothing to fill from; is the mask inverted?")
    if not missing:
        raise BraggfillError(f"{named}: no voxel is missing, there is nothing to fill; is it the right mask?")
    found = marked(intensity) if known is None else known
    if found.kinds:
        bad = found.array & ~mask
        number = int(np.count_nonzero(bad))
        if number:
            first = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))
            one = f"{number} measured voxel is" if number == 1 else f"{number} measured voxels are"
            raise BraggfillError(
                f"{scan}: {one} {kind_of(intensity[first])}, the first {intensity[first]} at {first}; "
                "add them to the mask, or join it with what is marked (--join)"
            )
    if not any(bool(np.any(frame[~hidden])) for frame, hidden in zip(intensity, mask, strict=True)):
        raise BraggfillError(f"{scan}: every measured voxel is zero; is it the right array?")


def kind_of(value: np.integer | np.floating) -> str:
    """Why a value that is marked cannot be a count."""
    if not np.isfinite(value):
        return "not finite"
    return "negative" if value < 0 else "the largest integer of their type, the mark of a gap"


def least(intensity: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Least value of each pixel over the frames in which it is usable, float32 (rows, columns); else NaN."""
    always, ever = bad.all(axis=0), bad.any(axis=0)
    found = intensity.min(axis=0).astype(np.float32)
    changing = ever & ~always
    if changing.any():  # few pixels, and only they need a look at every frame
        found[changing] = np.where(bad[:, changing], np.inf, intensity[:, changing]).min(axis=0)
    found[always] = np.nan
    return found


def hot(intensity: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Pixels that look hot, (rows, columns): in no measured frame below 20 counts plus 20 times what is usual in their
    neighbourhood (the median of 5 x 5 pixels' least counts).  A suspicion; fewer than five frames give none."""
    found = np.zeros(intensity.shape[1:], bool)
    if len(intensity) < 5:
        return found
    bad = mask | ~np.isfinite(intensity) if intensity.dtype.kind == "f" else mask
    with np.errstate(invalid="ignore"):
        lowest = least(intensity, bad)
        rows, columns = np.nonzero(lowest > HOT)
    if not len(rows):
        return found
    usual = _median(lowest, rows, columns)
    found[rows, columns] = lowest[rows, columns] > HOT * (1 + np.maximum(usual, 0))
    return found


def _median(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, edge: int = 5, share: float = 0.5) -> np.ndarray:
    """Median, or another quantile, of the numbers among the 5 x 5 pixels around each place; all places at once."""
    around = np.pad(image, edge // 2, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(around, (edge, edge))
    found = np.empty(len(rows), image.dtype)
    for first in range(0, len(rows), 100_000):
        some = slice(first, first + 100_000)
        ordered = np.sort(windows[rows[some], columns[some]].reshape(-1, edge * edge), axis=1)
        number = np.count_nonzero(~np.isnan(ordered), axis=1)
        pick = np.arange(len(ordered))
        last = np.maximum(number - 1, 0) * share
        found[some] = (ordered[pick, np.floor(last).astype(int)] + ordered[pick, np.ceil(last).astype(int)]) / 2
    return found


def suspicions(intensity: np.ndarray, mask: np.ndarray, known: Marked | None = None) -> list[str]:
    """What looks wrong with the frames and pixels of a scan that could be filled all the same, a line each.

    Hot pixels; frames that hold nothing, or are missing as a whole, or repeat the one before; rows, columns and pixels
    that never count although their neighbours do.  Suspicions: a line says what to add to the mask if it is right.
    """
    found = marked(intensity) if known is None else known
    bad = mask | found.array
    nothing = bad if found.noise is None else bad | found.noise
    lines = []
    if number := int(np.count_nonzero(hot(intensity, bad))):
        lines.append(f"pixels that look hot, bright in every frame: {number}; if they are, add them to the mask")
    # One pass over the frames: a scan may be far larger than what a processor keeps at hand.
    light = np.zeros(len(intensity))
    same = np.zeros(len(intensity), bool)
    total = np.zeros(intensity.shape[1:])
    counted = np.zeros(intensity.shape[1:], bool)
    empty = np.zeros(len(intensity), bool)
    rows, columns = (np.zeros((len(intensity), n), np.float32) for n in intensity.shape[1:])
    top, often = 0.0, 0
    for k, (frame, hidden) in enumerate(zip(intensity, nothing, strict=True)):
        shown = np.where(hidden, 0, frame)
        rows[k], columns[k] = shown.sum(1, dtype=np.float64), shown.sum(0, dtype=np.float64)
        light[k] = shown.sum(dtype=np.float64)
        total += shown
        if (most := float(shown.max())) >= top:
            often = int(np.count_nonzero(shown == most)) + (often if most == top else 0)
            top = most
        lit = shown != 0
        empty[k] = not lit.any()
        counted |= lit
        if k and light[k] == light[k - 1] >= LIT:
            same[k] = np.array_equal(frame, intensity[k - 1])
    gone = bad.reshape(len(bad), -1).all(axis=1)
    if top >= FULL and often > 3:
        lines.append(f"the greatest value, {top:.12g}, stands in {often} voxels; if it is saturation, mask them")
    if len(intensity) > 2:
        lines += _frames(light, empty & ~gone, gone, same & ~gone)
        lines += _parts(rows, bad.all(axis=2), "rows") + _parts(columns, bad.all(axis=1), "columns")
    return lines + _dead(total, ~counted, bad.all(axis=0))


def _frames(light: np.ndarray, empty: np.ndarray, gone: np.ndarray, same: np.ndarray) -> list[str]:
    """Frames that hold nothing, are missing as a whole, repeat the one before, or are far too dark."""
    lines = []
    good = ~(gone | empty)
    usual = float(np.median(light[good])) if good.any() else 0.0
    if usual >= LIT and empty.any():
        stop = len(empty) - int(np.argmin(empty[::-1]))
        tail = f" (the scan seems to have stopped after {stop} of {len(empty)})" if stop < len(empty) else ""
        lines.append(f"{_which(empty)} no count at all{tail}; if not recorded, {_add(empty)}")
    if gone.any() and not gone.all():
        lines.append(f"frames missing as a whole: {_numbers(gone)}; only those beside them tell what they held")
    if same.any():
        lines.append(f"frames that repeat the one before: {_numbers(same)}; if not recorded, {_add(same)}")
    # A frame among others, far darker than both: lost in part, or without beam.
    dark = np.zeros(len(light), bool)
    low = np.minimum(light[:-2], light[2:])
    dark[1:-1] = (light[1:-1] * CHANGE < low) & (low >= LIT * CHANGE) & good[:-2] & good[1:-1] & good[2:]
    if dark.any():
        lines.append(f"frames far darker than both beside them: {_numbers(dark)}; if they are no good, {_add(dark)}")
    return lines


def _parts(light: np.ndarray, masked: np.ndarray, what: str) -> list[str]:
    """Rows or columns that hold nothing in some frames only, between frames in which they hold much.

    Parameters
    ----------
    light : counts of each (frame, row or column); masked : True where all of it is missing, same shape.
    """
    every = light.sum(axis=1, keepdims=True)
    dark = (light == 0) & ~masked & (every > 0)
    # What the nearest frames that have something there, on either side, let expect for as much light.
    count = len(light)
    numbers = np.arange(count)[:, None]
    last = np.maximum.accumulate(np.where(light > 0, numbers, -1))
    following = np.minimum.accumulate(np.where(light > 0, numbers, count)[::-1])[::-1]
    share = light / np.maximum(every, 1)
    before = np.take_along_axis(share, np.maximum(last, 0), 0)
    after = np.take_along_axis(share, np.minimum(following, count - 1), 0)
    lost = dark & (last >= 0) & (following < count) & (np.minimum(before, after) * every >= SURE)
    if not lost.any():
        return []
    frames, lines = lost.any(axis=1), lost.any(axis=0)
    place = f"mask[{_span(frames)}, {'' if what == 'rows' else ':, '}{_span(lines)}] = True"
    told = f"{what} without a count in some frames only: {_numbers(lines)} in frames {_numbers(frames)}"
    return [f"{told}; if lost, add {place}"]


def _dead(total: np.ndarray, never: np.ndarray, always: np.ndarray) -> list[str]:
    """Rows, columns and pixels without a count where those beside them have many.

    Parameters
    ----------
    total : counts of each pixel over the frames; never : True without one; always : True where masked in every frame.
    """
    nothing = ~always & never
    lines = []
    counted = nothing.copy()
    for axis, name in ((1, "rows"), (0, "columns")):
        usable = (~always).sum(axis)
        light = np.where(always, 0, total).sum(axis)
        dark = (usable > 0) & ((nothing | always).all(axis))
        beside = _beside(light, dark | (usable == 0))
        found = dark & (beside >= LIT)
        if found.any():
            where = f"mask[:, {_pick(found)}]" if axis == 1 else f"mask[:, :, {_pick(found)}]"
            lines.append(f"{name} without a count in any frame: {_numbers(found)}; if dead, add {where} = True")
            counted[(found, slice(None)) if axis == 1 else (slice(None), found)] = False
    rows, columns = np.nonzero(counted)
    if len(rows):
        known = np.where(always, np.inf, total)
        known[always | _small(counted, known)] = np.nan
        usual = _median(known, rows, columns, share=0.2)
        if number := int(np.count_nonzero(usual >= LIT)):
            lines.append(f"pixels that look dead, no count among neighbours that have: {number}; if so, mask them")
    return lines


def _small(dark: np.ndarray, total: np.ndarray, most: int = 4) -> np.ndarray:
    """Groups of dark pixels, of at most so many rows and columns, all of whose neighbours have many counts: others may
    be the zero of a fringe."""
    from scipy.ndimage import binary_dilation, find_objects, label

    named, _ = label(dark)
    found = np.zeros(dark.shape, bool)
    for number, box in enumerate(find_objects(named), 1):
        if all(side.stop - side.start <= most for side in box):
            wide = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
            group = named[wide] == number
            ring = binary_dilation(group, np.ones((3, 3))) & ~group
            found[wide] |= group & bool((total[wide][ring] >= LIT).all())
    return found


def _beside(light: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """The least of the next lines on either side that are not dark themselves; at a border a fifth of the only one."""
    found = np.zeros(len(light))
    lit = np.flatnonzero(~dark)
    for k in np.flatnonzero(dark):
        below, above = lit[lit < k], lit[lit > k]
        if len(below) and len(above):
            found[k] = min(light[below[-1]], light[above[0]])
        elif len(lit):
            found[k] = light[below[-1] if len(below) else above[0]] / 5
    return found


def _which(which: np.ndarray) -> str:
    number = int(np.count_nonzero(which))
    return f"frame {_numbers(which)} holds" if number == 1 else f"frames {_numbers(which)} hold"


def _numbers(which: np.ndarray) -> str:
    """1, 4 to 6."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], which, [False]]).astype(np.int8)))
    runs = [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    told = [f"{a}" if a == b else f"{a} to {b}" for a, b in runs]
    return ", ".join(told[:6]) + (f" and {len(told) - 6} more" if len(told) > 6 else "")


def _pick(which: np.ndarray) -> str:
    """As an index of an array."""
    numbers = np.flatnonzero(which)
    first, last = int(numbers[0]), int(numbers[-1])
    if last - first + 1 == len(numbers):
        return f"{first}" if first == last else f"{first}:{last + 1}"
    return str([int(n) for n in numbers[:12]])


def _span(which: np.ndarray) -> str:
    """From the first to the last, as an index of an array."""
    numbers = np.flatnonzero(which)
    return f"{int(numbers[0])}:{int(numbers[-1]) + 1}"


def _add(which: np.ndarray) -> str:
    return f"add mask[{_pick(which)}] = True"
