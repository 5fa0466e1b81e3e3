"""Where detectors have no pixels: geometries by name, and their place on a scan.

pyFAI's library of detectors knows most of them; what it lacks, or has without the pixels at the chips' edges that are
masked in practice, is in :data:`OWN`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.patterns import gaps

Bands = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Layout:
    """A detector as bands that are missing from border to border."""

    shape: tuple[int, int]
    """Rows (vertical) and columns (horizontal)."""
    rows: Bands
    """(first, one past the last) of each band of missing rows."""
    columns: Bands
    source: str

    def mask(self) -> np.ndarray:
        """Boolean (rows, columns), True where missing."""
        mask = np.zeros(self.shape, bool)
        for first, last in self.rows:
            mask[first:last] = True
        for first, last in self.columns:
            mask[:, first:last] = True
        return mask


OWN = {
    "maxipix": Layout(
        (516, 516),
        ((255, 261),),
        ((255, 261),),
        "ESRF ID01's 2 x 2 Maxipix: chips of 256, 4 px between them, and the large pixels at the chips' edges. pyFAI's "
        "Maxipix2x2 has the 4 px alone; the mask in use at ID01 (pyCXIM, detector_mask) has 6",
    ),
    "merlin": Layout(
        (515, 515),
        ((255, 260),),
        ((255, 260),),
        "Merlin Quad, chips of 256, 3 px between them, and the edge pixels (NanoMAX's mask in pyCXIM, detector_mask)",
    ),
    "eiger2m": Layout(
        (2164, 1030),
        ((255, 259), (511, 552), (804, 809), (1061, 1102), (1355, 1359), (1611, 1652), (1905, 1909)),
        ((255, 259), (513, 517), (771, 775)),
        "ESRF ID01's Eiger 2M of four modules, with the large pixels between chips (the bcdi package's Eiger2M)",
    ),
    "timepix": Layout((256, 256), (), (), "a single chip, without a gap"),
}
"""What is not taken from pyFAI."""
BLISS = {
    **dict.fromkeys(("mpx", "mpx4", "mpx1x4", "mpx2x2", "mpx22", "mpxgaas", "mpx4inr", "maxipix4"), "maxipix"),
    **dict.fromkeys(("merlinquad", "merlin4"), "merlin"),
    **dict.fromkeys(("eiger2mid01", "id01eiger2m"), "eiger2m"),
}
"""What beamlines call them in their files: ID01's Maxipix of four chips is mpx1x4, mpxgaas or mpx4inr there."""
COUNTING = ("eiger", "pilatus", "maxipix", "lambda", "merlin", "jungfrau", "xpad", "timepix")
"""Families whose frames are looked through for those of a scan."""
NEARLY = 0.95
"""Share of a detector's rows and columns from which on frames are all of it, or another detector's."""
KNOWN = (
    "maxipix",
    "merlin",
    "eiger2m",
    "eiger1m",
    "eiger4m",
    "eiger9m",
    "eiger16m",
    "eiger2_1m",
    "eiger2_4m",
    "pilatus1m",
)
"""Names for a help text; :func:`names` has all of them."""


def mask(name: str, frame: Sequence[int] | None = None) -> np.ndarray:
    """Where a detector has no pixels, boolean (rows, columns), True where missing; empty for one without a gap.

    Parameters
    ----------
    name : as users type it: case, spaces, dots and dashes make no difference (``"Eiger 4M"``, ``"pilatus-1m"``); also
        as BLISS calls it (``"mpx1x4"``).
    frame : rows and columns of the scan, to find the right name if it is unknown.

    Raises
    ------
    BraggfillError : the name is unknown, or pyFAI, which would know it, is not installed.
    """
    key = BLISS.get(_key(name), _key(name))
    if key in OWN:
        return OWN[key].mask()
    library = _pyfai()
    if library is None:
        raise BraggfillError(
            f"--detector {name}: is not one of {', '.join(sorted(OWN))}, and others need pyFAI; "
            "pip install 'braggfill[detectors]'"
        )
    if key not in library:
        near = with_frames(frame) if frame is not None else []
        near = near or get_close_matches(key, sorted({*OWN, *library}), 3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(KNOWN)} …"
        raise BraggfillError(f"--detector {name}: no such detector; {hint}")
    return _from_pyfai(name, library[key])


def names() -> list[str]:
    """Every name that :func:`mask` knows here, sorted."""
    return sorted({*OWN, *(_pyfai() or {})})


def with_frames(frame: Sequence[int]) -> list[str]:
    """Names of the detectors with gaps whose frames have exactly these rows and columns, braggfill's own first."""
    frame = tuple(int(n) for n in frame)
    own = [name for name, layout in OWN.items() if layout.shape == frame and (layout.rows or layout.columns)]
    if own:
        return own
    found = []
    for kind in dict.fromkeys((_pyfai() or {}).values()):
        shape = tuple(int(n) for n in getattr(kind, "MAX_SHAPE", ()))
        plain = str((getattr(kind, "aliases", None) or [kind.__name__])[0])
        if shape == frame and _key(plain).startswith(COUNTING) and _from_pyfai(plain, kind).any():
            found.append("_".join(re.findall(r"[a-z0-9]+", plain.lower())))
    return found


def placed(name: str, shape: Sequence[int], roi: str | None = None) -> tuple[np.ndarray, str]:
    """A detector's mask on a scan, and where it lies, in words.

    Parameters
    ----------
    name : see :func:`mask`.
    shape : of the scan (frames, vertical, horizontal).
    roi : where the scan's frames lie on the detector, counted from 0: ``"ROW,COLUMN"`` of the scan's pixel (0, 0), or
        ``"ROW:ROW,COLUMN:COLUMN"``, first and one past the last as in Python, which must fit the frames. Not needed
        for frames of the whole detector.

    Returns
    -------
    The mask, boolean of ``shape``, True where missing; and e.g. ``"maxipix, rows 0 to 515, columns 0 to 515"``.

    Raises
    ------
    BraggfillError : the detector is unknown, the region is needed, makes no sense, or reaches beyond the detector, or
        there is no gap in it.
    """
    frame = tuple(int(n) for n in shape[1:])
    detector = mask(name, frame)
    nearly = all(NEARLY * d <= f <= d / NEARLY for f, d in zip(frame, detector.shape, strict=True))
    if frame != detector.shape and (roi is None or nearly) and (others := with_frames(frame)):
        raise BraggfillError(
            f"--detector {name}: has {_times(detector.shape)} pixels, but the scan's frames of {_times(frame)} are "
            f"those of {' or '.join(others[:3])}; --detector {others[0]}"
        )
    if roi is None:
        if frame != detector.shape:
            raise BraggfillError(
                f"--detector {name}: has {_times(detector.shape)} pixels and the scan's frames {_times(frame)}; say "
                "with --roi ROW,COLUMN which pixel of the detector the scan's first one is"
            )
        row, column = 0, 0
    else:
        row, column = corner(roi, frame)
    try:
        found = gaps.place_detector(detector, shape, (row, column))
    except BraggfillError:
        raise BraggfillError(
            f"--roi {roi}: frames of {_times(frame)} from row {row}, column {column} reach beyond the detector's "
            f"{_times(detector.shape)}; check --roi and --detector"
        ) from None
    where = f"{name}, rows {row} to {row + frame[0] - 1}, columns {column} to {column + frame[1] - 1}"
    if not found.any():
        raise BraggfillError(f"--detector {where}: has no gap there; check --roi, or name a mask with --mask")
    return found, where


def corner(roi: str, frame: Sequence[int]) -> tuple[int, int]:
    """Row and column of the scan's first pixel on the detector; ``frame`` has the rows and columns of the scan.

    Raises
    ------
    BraggfillError : ``roi`` is neither ``ROW,COLUMN`` nor ``ROW:ROW,COLUMN:COLUMN``, or of another size than the frame.
    """
    parts = re.fullmatch(r"\s*(\d+)(?::(\d+))?\s*,\s*(\d+)(?::(\d+))?\s*", roi)
    if parts is None:
        raise BraggfillError(f"--roi {roi}: not understood; write ROW,COLUMN or ROW:ROW,COLUMN:COLUMN, e.g. 140,98")
    top, left = int(parts[1]), int(parts[3])
    for first, last, length, what in ((top, parts[2], frame[0], "rows"), (left, parts[4], frame[1], "columns")):
        if last is not None and int(last) - first != length:
            raise BraggfillError(
                f"--roi {roi}: {int(last) - first} {what}, but the scan's frames have {length}; check it"
            )
    return top, left


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _pyfai() -> dict[str, type] | None:
    """pyFAI's detectors of a fixed shape by their simplified names; None if it is not installed."""
    import logging

    try:
        logging.getLogger("pyFAI").setLevel(logging.ERROR)  # it remarks on optional packages when it is imported
        from pyFAI import detectors
    except ImportError:
        return None
    found: dict[str, type] = {}
    for name, kind in detectors.ALL_DETECTORS.items():
        if getattr(kind, "MAX_SHAPE", None) is not None and not getattr(kind, "HAVE_TAPER", False):
            for one in (name, kind.__name__):
                found.setdefault(_key(one), kind)
    return found


def _from_pyfai(name: str, kind: type) -> np.ndarray:
    try:
        detector = kind()
        found = detector.mask
        shape = tuple(int(n) for n in detector.max_shape)
    except Exception as error:  # each detector is a class of its own, and some want a file
        raise BraggfillError(f"--detector {name}: pyFAI cannot make its mask ({error}); use --mask") from error
    return np.zeros(shape, bool) if found is None else np.asarray(found).astype(bool)


def _times(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
