"""Which voxels of a scan are missing: by a mask's file, or by everything that scan and detector tell."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.scans import detectors
from braggfill.scans.marks import Marked, marked
from braggfill.scans.reading import Loaded, load_mask, own_mask

__all__ = ["Marked", "Missing", "marked", "missing"]


class Missing(NamedTuple):
    """What is missing in a scan, and who says so."""

    array: np.ndarray
    """Boolean, the scan's shape, True = missing."""
    where: str
    """In words, for the user: file, detector and place, or kind of voxel."""
    marked: Marked | None = None
    """Which voxels cannot be counts, and which are noise below zero."""
    remarks: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    """Every file that was read for it."""


def missing(
    spec: str | Path,
    intensity: np.ndarray,
    *,
    mask: str | None = None,
    detector: str | None = None,
    roi: str | None = None,
    invert: bool = False,
    join: bool = False,
    placed: bool = False,
) -> Missing | None:
    """What is missing in a scan; None if nothing says that anything is.

    A ``mask`` that is named (and the ``detector``'s gaps, if that is named, too) is all that counts.  Without one, and
    to ``join`` it with the rest,
    everything that is known is joined: the ``detector``'s gaps at ``roi`` (:func:`braggfill.scans.detectors.placed`),
    the mask that the scan's own file holds, and the voxels that cannot be counts (:mod:`braggfill.scans.marks`).

    Parameters
    ----------
    spec : the scan's file, see :mod:`braggfill.scans`; ``intensity`` is what was read from it.
    roi : where the scan lies on the detector, also for a ``mask`` of the whole detector, the scan's own included.
    placed : something else is placed by ``roi``, too, which then needs no mask.
    invert : the file of the mask, or without one the scan's own, is zero where a voxel is missing.

    Raises
    ------
    BraggfillError : see :func:`braggfill.scans.load_mask` and :func:`braggfill.scans.detectors.placed`; a region
        without anything that it could cut.
    """
    array = np.zeros(intensity.shape, bool)
    told: list[str] = []
    files: tuple[Path, ...] = ()
    corner = detectors.corner(roi, intensity.shape[1:]) if roi else None
    extra = marked(intensity)
    if detector:
        gaps, where = detectors.placed(detector, intensity.shape, roi)
        array |= gaps
        told.append(f"detector {where}")
    if mask:
        named = load_mask(mask, intensity.shape, invert=invert, corner=corner, whole=not detector)
        array |= named.array
        told.append(named.where)
        files = named.files
        if not join:
            return Missing(array, "; ".join(told), extra, named.remarks, files)
    own: Loaded | None = own_mask(spec, intensity.shape, corner=corner)
    remarks = own.remarks if own is not None else ()
    if own is not None and own.where:
        given = ~own.array if invert and not mask else own.array
        array |= given
        told.append(f"{own.where} (the scan's own)")
        files += own.files
    elif invert and not mask:
        raise BraggfillError("--invert-mask: there is no mask to invert; name one with --mask")
    elif roi and not (detector or mask or placed):
        raise BraggfillError(
            "--roi: tells where on the detector the scan lies, but its file holds no mask of the whole detector; name "
            "the detector with --detector, or its mask with --mask"
        )
    more = {name: number for name, number in extra.kinds.items() if (extra.array & ~array).any()}
    array |= extra.array
    told += [f"{number} voxels {name}" for name, number in more.items()]
    if not told:
        return None if not remarks else Missing(array, "", extra, remarks, files)
    return Missing(array, "; ".join(told), extra, remarks, files)
