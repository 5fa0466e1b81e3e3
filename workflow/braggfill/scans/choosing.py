"""Which voxels of a scan are missing: by a mask's file, or by everything that scan and detector tell."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.scans.reading import Loaded, load_mask, own_mask


class Marked(NamedTuple):
    """Voxels that cannot be counts."""

    array: np.ndarray
    """Boolean, the scan's shape."""
    kinds: dict[str, int]
    """How many of which kind; kinds without any are left out."""


class Missing(NamedTuple):
    """What is missing in a scan, and who says so."""

    array: np.ndarray
    """Boolean, the scan's shape, True = missing."""
    where: str
    """In words, for the user: file, detector and place, or kind of voxel."""


def marked(intensity: np.ndarray) -> Marked:
    """Voxels that are not finite, negative, or hold the largest integer of their type (16 bits or more), by which Eiger
    files mark gaps."""
    kind, size = intensity.dtype.kind, intensity.dtype.itemsize
    found = np.zeros(intensity.shape, bool)
    kinds = {}

    def add(name: str, bad: np.ndarray) -> None:
        nonlocal found
        if number := int(np.count_nonzero(bad)):
            kinds[name] = number
            found = found | bad

    if kind == "f":
        add("not finite", ~np.isfinite(intensity))
    if kind in "if":
        with np.errstate(invalid="ignore"):
            add("negative", (intensity < 0) & ~found)
    if kind in "iu" and size >= (2 if kind == "u" else 4):
        largest = np.iinfo(intensity.dtype).max
        add(f"of {largest}, the largest integer of its type", intensity == largest)
    return Marked(found, kinds)


def missing(
    spec: str | Path,
    intensity: np.ndarray,
    *,
    mask: str | None = None,
    detector: str | None = None,
    roi: str | None = None,
    invert: bool = False,
    join: bool = False,
) -> Missing | None:
    """What is missing in a scan; None if nothing says that anything is.

    A ``mask`` that is named (and the ``detector``'s gaps, if that is named, too) is all that counts.  Without one, and
    to ``join`` it with the rest,
    everything that is known is joined: the ``detector``'s gaps at ``roi`` (:func:`braggfill.scans.detectors.placed`),
    the mask that the scan's own file holds, and the voxels that cannot be counts (:func:`marked`).

    Parameters
    ----------
    spec : the scan's file, see :mod:`braggfill.scans`; ``intensity`` is what was read from it.
    roi : where the scan lies on the detector, also for a ``mask`` of the whole detector.
    invert : the file of the mask, or without one the scan's own, is zero where a voxel is missing.

    Raises
    ------
    BraggfillError : see :func:`braggfill.scans.load_mask` and :func:`braggfill.scans.detectors.placed`; a region
    without
        a detector and without a mask.
    """
    from braggfill.scans import detectors

    if roi and not (detector or mask):
        raise BraggfillError(
            "--roi: tells where on the detector the scan lies; name it with --detector, or its mask with --mask"
        )
    array = np.zeros(intensity.shape, bool)
    told = []
    if detector:
        gaps, where = detectors.placed(detector, intensity.shape, roi)
        array |= gaps
        told.append(f"detector {where}")
    if mask:
        corner = detectors.corner(roi, intensity.shape[1:]) if roi else None
        named = load_mask(mask, intensity.shape, invert=invert, corner=corner, whole=not detector)
        array |= named.array
        told.append(named.where)
        if not join:
            return Missing(array, "; ".join(told))
    own: Loaded | None = own_mask(spec, intensity.shape)
    if own is not None:
        given = ~own.array if invert and not mask else own.array
        array |= given
        told.append(f"{own.where} (the scan's own)")
    elif invert and not mask:
        raise BraggfillError("--invert-mask: there is no mask to invert; name one with --mask")
    extra = marked(intensity)
    more = {name: number for name, number in extra.kinds.items() if (extra.array & ~array).any()}
    array |= extra.array
    told += [f"{number} voxels {name}" for name, number in more.items()]
    if not told:
        return None
    return Missing(array, "; ".join(told))
