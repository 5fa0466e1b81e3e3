"""Gaps: boolean masks, True where a voxel is missing.

Axes are 0 = rocking angle, 1 = detector vertical, 2 = detector horizontal.  A line of missing detector pixels is a
plane of missing voxels, because every frame of the rocking curve has the same gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from braggfill.errors import BraggfillError

DEAD_MAX = 8
"""Most dead spots in a random gap."""


def plane(shape: Sequence[int], width: int, *, axis: int = 2, start: int | None = None) -> np.ndarray:
    """A gap across one axis: ``width`` neighbouring planes are missing.

    Parameters
    ----------
    shape : of the array, any number of axes.
    width : voxels, at least 1 and less than the length of the axis.
    axis : the axis that the gap interrupts; 2 is the paper's vertical gap.
    start : first missing plane, 0 to length - width; in the middle by default.

    Raises
    ------
    BraggfillError : the gap does not fit.
    """
    shape = tuple(shape)
    length = shape[axis]
    if not 1 <= width < length:
        raise BraggfillError(f"gap width: {width} does not fit an axis of {length}; use 1 to {length - 1}")
    start = (length - width) // 2 if start is None else int(start)
    if not 0 <= start <= length - width:
        raise BraggfillError(f"gap start: {start} is outside 0 to {length - width} (width {width}, axis of {length})")
    mask = np.zeros(shape, dtype=bool)
    index: list[slice] = [slice(None)] * len(shape)
    index[axis] = slice(start, start + width)
    mask[tuple(index)] = True
    return mask


def cross(
    shape: Sequence[int],
    widths: int | Sequence[int],
    starts: Sequence[int | None] | None = None,
    axes: Sequence[int] = (1, 2),
) -> np.ndarray:
    """Gaps across two axes, of equal or unequal widths: the union of two planes.  See :func:`plane`."""
    widths = (widths, widths) if isinstance(widths, int | np.integer) else tuple(widths)
    starts = (None, None) if starts is None else tuple(starts)
    if len(widths) != 2 or len(starts) != 2 or len(axes) != 2 or axes[0] == axes[1]:
        raise BraggfillError("cross gap: give two widths, two starts and two different axes")
    first, second = (plane(shape, int(w), axis=a, start=s) for w, a, s in zip(widths, axes, starts, strict=True))
    return first | second


def scattered(rng: np.random.Generator, shape: Sequence[int], fraction: float) -> np.ndarray:
    """Single voxels missing at random, each with probability ``fraction``."""
    return rng.random(tuple(shape)) < fraction


@dataclass(frozen=True)
class Gaps:
    """Random gaps of many patches, as numbers; :meth:`masks` makes arrays of them."""

    shape: tuple[int, int, int]
    start: np.ndarray
    """(n, 3) first missing plane along each axis."""
    width: np.ndarray
    """(n, 3) planes missing along each axis, 0 for none."""
    rocking: np.ndarray
    """(n,) the axis that dead pixels run along."""
    dead: np.ndarray
    """(n, DEAD_MAX, 3) corner on the two other axes, and size, 0 for none."""

    def __len__(self) -> int:
        return len(self.start)

    def masks(self, index: np.ndarray | slice | None = None) -> np.ndarray:
        """Masks of the chosen patches, boolean (m, *shape); of all of them by default."""
        which = np.arange(len(self))[slice(None) if index is None else index]
        masks = np.zeros((len(which), *self.shape), dtype=bool)
        for mask, i in zip(masks, which, strict=True):
            for axis in range(3):
                first, width = int(self.start[i, axis]), int(self.width[i, axis])
                np.moveaxis(mask, axis, 0)[first : first + width] = True
            frames = np.moveaxis(mask, int(self.rocking[i]), 0)
            for row, column, size in self.dead[i]:
                frames[:, row : row + size, column : column + size] = True
        return masks


def draw(
    rng: np.random.Generator,
    number: int,
    shape: Sequence[int] = (32, 32, 32),
    *,
    style: str = "any",
    widths: tuple[int, int] = (1, 16),
    cross_fraction: float = 0.2,
    dead_fraction: float = 0.1,
    turned: bool = False,
) -> Gaps:
    """Draw the gaps of ``number`` training patches.

    Parameters
    ----------
    style : ``"paper"``: a vertical gap in the middle, with probability ``cross_fraction`` a horizontal one of the same
        width at a random height (paper, section 2.2).  ``"any"``: across axis 1 or 2, half of them within 4 voxels of
        the middle and half anywhere (touching the border too), with probability ``cross_fraction`` a second one of
        its own width across the other axis, with probability ``dead_fraction`` 1 to 8 dead spots of 1 to 3 pixels.
    widths : narrowest and widest, voxels; never more than half of an axis.
    turned : the rocking axis is any of the three (style ``"any"`` only).

    Raises
    ------
    BraggfillError : an unknown style.
    """
    if style not in ("any", "paper"):
        raise BraggfillError(f"gap style: {style!r} is unknown; use any or paper")
    shape = n0, n1, n2 = tuple(shape)
    length = np.asarray(shape)
    pick = np.arange(number)
    crossed = rng.random(number) < cross_fraction
    rocking = rng.integers(0, 3, number) if turned and style == "any" else np.zeros(number, dtype=int)
    swap = rng.integers(0, 2, number) if style == "any" else np.ones(number, dtype=int)
    axis = (rocking + 1 + swap) % 3
    other = (rocking + 2 - swap) % 3
    drawn = rng.integers(widths[0], widths[1] + 1, (2, number))
    if style == "paper":
        drawn[1] = drawn[0]
    drawn = np.clip(drawn, 1, np.maximum(length[np.stack([axis, other])] // 2, 1))
    room = length[np.stack([axis, other])] - drawn
    place = rng.random((2, number))
    anywhere = np.floor(place * (room + 1)).astype(int)
    near = np.clip(room // 2 + np.floor(place * 9).astype(int) - 4, 0, room)
    central = rng.random((2, number)) < 0.5
    first = np.where(central, near, anywhere)
    if style == "paper":
        first = np.stack([room[0] // 2, anywhere[1]])
    start, width = np.zeros((number, 3), dtype=int), np.zeros((number, 3), dtype=int)
    start[pick, axis], width[pick, axis] = first[0], drawn[0]
    start[pick, other], width[pick, other] = first[1], np.where(crossed, drawn[1], 0)
    dead = np.zeros((number, DEAD_MAX, 3), dtype=int)
    if style == "any" and dead_fraction > 0:
        some = np.where(rng.random(number) < dead_fraction, rng.integers(1, DEAD_MAX + 1, number), 0)
        dead[..., :2] = rng.integers(0, max(shape), (number, DEAD_MAX, 2))
        dead[..., 2] = np.where(np.arange(DEAD_MAX) < some[:, None], rng.integers(1, 4, (number, DEAD_MAX)), 0)
    return Gaps((n0, n1, n2), start, width, rocking, dead)


def detector_centre(detector: np.ndarray) -> tuple[float, float]:
    """Row and column of the middle of a detector's central cross: the wholly missing line nearest to the centre.

    Raises
    ------
    BraggfillError : no row, or no column, is wholly missing.
    """
    detector = np.asarray(detector, dtype=bool)
    middle = []
    for axis, name in ((0, "row"), (1, "column")):
        lines = np.flatnonzero(detector.all(axis=1 - axis))
        if len(lines) == 0:
            raise BraggfillError(f"detector mask: no {name} is wholly missing, so no cross; choose another detector")
        blocks = np.split(lines, np.flatnonzero(np.diff(lines) > 1) + 1)
        centres = [(block[0] + block[-1]) / 2 for block in blocks]
        middle.append(min(centres, key=lambda c: abs(c - (detector.shape[axis] - 1) / 2)))
    return middle[0], middle[1]


def place_detector(detector: np.ndarray, shape: Sequence[int], origin: Sequence[int]) -> np.ndarray:
    """The part of a detector's mask that a scan's frames see, for every frame.

    Parameters
    ----------
    detector : boolean (rows, columns), True where missing.
    shape : of the scan, (frames, vertical, horizontal).
    origin : detector row and column of the scan's pixel (0, 0).

    Raises
    ------
    BraggfillError : the frames reach beyond the detector.
    """
    detector = np.asarray(detector, dtype=bool)
    frames, *frame = tuple(shape)
    rows, columns = (int(o) for o in origin)
    if rows < 0 or columns < 0 or rows + frame[0] > detector.shape[0] or columns + frame[1] > detector.shape[1]:
        raise BraggfillError(
            f"detector mask: frames of {frame[0]} x {frame[1]} at ({rows}, {columns}) reach beyond the detector's "
            f"{detector.shape[0]} x {detector.shape[1]}; choose another offset"
        )
    part = detector[rows : rows + frame[0], columns : columns + frame[1]]
    return np.broadcast_to(part, (frames, *frame)).copy()
