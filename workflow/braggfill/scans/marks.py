"""Which values of a scan cannot be counts: one rule for every command.

======================================  ================================================================================
a voxel that                            is
======================================  ================================================================================
is not finite                           missing
holds the largest integer of its type   missing (16 bits or more; how Eiger files mark gaps), also where integers were
                                        converted: 2^16 - 1, 2^31 - 1, 2^32 - 1 in every frame of a pixel
holds the one below                     missing: Dectris' sign for a bad pixel; of 16 bits in every frame of a pixel
is negative, the same in every frame    missing: a detector's sign
is negative, one of few                 missing
is negative, one of many that scatter   **noise** around zero, left by a dark level that was subtracted: measured
is negative, a fraction, or the lowest  zero less a constant that was subtracted: measured, too
of several whole numbers, in pixels
that count in other frames
======================================  ================================================================================
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SIGNS = (2**16 - 1, 2**31 - 1, 2**32 - 1, 2**16 - 2, 2**32 - 2)
"""Largest integers, of a gap, and those below, of a bad pixel (Dectris)."""
MANY = 1e-3
"""Share of the voxels from which on negative values can be noise."""
FEW = 64
"""Values below zero that counts less a constant have at most: one, or one a frame."""
OUTLIER = 8.0
"""Standard deviations of the noise beyond which a negative value is a sign."""


class Marked(NamedTuple):
    """Voxels that cannot be counts."""

    array: np.ndarray
    """Boolean, the scan's shape, True = missing."""
    kinds: dict[str, int]
    """How many of which kind; kinds without any are left out."""
    noise: np.ndarray | None = None
    """True where a measured value scatters below zero; None for nowhere."""


def marked(intensity: np.ndarray) -> Marked:
    """Find what cannot be a count, and what is noise below zero; see :mod:`braggfill.scans.marks`."""
    kind, size = intensity.dtype.kind, intensity.dtype.itemsize
    found = np.zeros(intensity.shape, bool)
    kinds: dict[str, int] = {}
    noise = None

    def add(name: str, bad: np.ndarray) -> None:
        bad &= ~found
        if number := int(np.count_nonzero(bad)):
            kinds[name] = number
            np.logical_or(found, bad, out=found)

    if kind == "f":
        add("not finite", ~np.isfinite(intensity))
    if kind in "iu" and size >= (2 if kind == "u" else 4):
        largest = np.iinfo(intensity.dtype).max
        add(f"of {largest}, the largest integer of its type", intensity == largest)
        if kind == "u" and size >= 4:
            add(f"of {largest - 1}, the sign of a bad pixel", intensity == largest - 1)
    for _ in range(2 if kind in "iuf" and intensity.ndim == 3 else 0):
        sign = _converted(intensity, found)
        if sign is not None:
            what = "the largest integer of the detector's type" if int(sign) % 2 else "the sign of a bad pixel"
            add(f"of {int(sign)}, {what}", intensity == sign)
    if kind in "if":
        with np.errstate(invalid="ignore"):
            below = intensity < 0
        below &= ~found
        if below.any():
            noise = _subtracted(intensity, below)
            noise = _noise(intensity, below) if noise is None else noise
            add("negative", below & ~noise if noise is not None else below)
    return Marked(found, kinds, noise)


def _converted(intensity: np.ndarray, found: np.ndarray) -> float | None:
    """The largest integer of another type that marks whole pixels: the greatest value of the scan, in every frame."""
    if len(intensity) < 3:
        return None
    usable = np.where(found[0], 0, intensity[0])
    top = float(usable.max(initial=0))
    rounded = {float(np.float32(sign)): sign for sign in SIGNS} | {float(sign): sign for sign in SIGNS}
    if top not in rounded:
        return None
    pixels = usable == usable.max()
    others = [frame[pixels] for frame in (intensity[len(intensity) // 2], intensity[-1])]
    return usable.max() if all((other == usable.max()).mean() > 0.5 for other in others) else None


def _subtracted(intensity: np.ndarray, below: np.ndarray) -> np.ndarray | None:
    """Which of the negative voxels are counts less a constant; None for none of them.

    They hold few values: fractions, which no detector has for a sign, or whole numbers from -1 down, the lowest of
    which is the most frequent; and their pixels count in other frames.
    """
    if intensity.ndim != 3 or len(intensity) < 3:
        return None
    some, every = below.any(axis=0), below.all(axis=0)
    changing = below & (some & ~every)
    if np.count_nonzero(some & ~every) < 0.02 * np.count_nonzero(some):
        return None
    held, often = np.unique(intensity[changing], return_counts=True)
    if often.sum() < max(10, MANY * intensity.size) or len(held) > FEW:
        return None
    if (held != np.rint(held)).all():
        return below & np.isin(intensity, held)
    steps = [*often.tolist(), *(np.count_nonzero(intensity == k) for k in (0, 1))]
    follow = len(held) > 1 and np.array_equal(held, np.arange(-len(held), 0))
    return below & np.isin(intensity, held) if follow and steps == sorted(steps, reverse=True) and steps[-1] else None


def _noise(intensity: np.ndarray, below: np.ndarray) -> np.ndarray | None:
    """Which of the negative voxels are noise; None for none of them."""
    rest = below.copy()
    if intensity.ndim == 3 and len(intensity) > 2:
        constant = np.asarray(below.all(axis=0))
        if constant.any():  # the sign of a pixel: one value in every frame
            constant[constant] = (intensity[:, constant] == intensity[0, constant]).all(axis=0)
            rest &= ~constant
    number = int(np.count_nonzero(rest))
    if number < MANY * intensity.size:
        return None
    values = intensity[rest].astype(np.float64)
    several, times = np.unique(values, return_counts=True)
    if len(several) < 3 and not _scattered(intensity, rest):
        return None
    # A value that many voxels share among others that hardly repeat is a sign, too.
    sign = several[times > max(10, 0.01 * number)] if np.median(times) < 3 else np.array([])
    spread = float(np.median(-values)) / 0.6745
    rest &= ~(np.isin(intensity, sign) | (intensity < -OUTLIER * spread))
    values = intensity[rest]
    number = len(values)
    if number < MANY * intensity.size:
        return None
    # Noise around zero has as many small values above it as below, or more; whole numbers fall off from -1 on.
    with np.errstate(invalid="ignore"):
        above = np.count_nonzero((intensity > 0) & (intensity <= OUTLIER * spread))
    if above < number / 2:
        return None
    if (values == np.rint(values)).all():
        few = [int(np.count_nonzero(values == -k)) for k in (1, 2, 3)]
        if len(several) < 5 and not few[0] > few[1] > few[2] > 0 and not _scattered(intensity, rest):
            return None
    return rest


def _scattered(intensity: np.ndarray, below: np.ndarray) -> bool:
    """Whether small whole numbers below zero are noise that was rounded: many, as many ones above, and no regions.

    Signs lie together; of noise a neighbour is below zero in less than half of all cases, along every axis.
    """
    number = np.count_nonzero(below)
    if below.ndim != 3 or number < 10 * MANY * below.size or np.count_nonzero(intensity == 1) < number / 2:
        return False
    along = (np.moveaxis(below, axis, 0) for axis in range(3))
    return all(np.count_nonzero(one[1:] & one[:-1]) < 0.5 * np.count_nonzero(one[1:]) for one in along)
