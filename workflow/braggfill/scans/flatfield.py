r"""The flat field of a detector: what its pixels count of an even beam.

Pixels of one detector differ by several per cent in how many photons they count.  No object explains that, and phase
retrieval puts it somewhere: into a halo around the object.  The photons of a pixel are its counts :math:`n` over its
gain,

.. math:: I = \frac{n}{g}, \qquad g = \frac{F}{\operatorname{median} F}

of the flat field :math:`F`, the median over the pixels that count at all; a pixel with :math:`g` below one third or
above three is no pixel to rely on, and counts as missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.scans import detectors, numpy_files
from braggfill.scans.reading import load_frame

LEAST, MOST = 1 / 3, 3.0
"""Gains between which a pixel is relied on."""
ENOUGH = 400
"""Counts over all frames from which a pixel's own noise, 5 %, tells something of its gain."""
PIXELS = 200
"""So many such pixels tell whether a flat field fits the scan."""
NAMES = {"flatfield", "flat_field", "whitefield", "white_field"}
APPLIED = ("flatfield_applied", "flatfield_correction_applied")
BETTER = 0.9
"""A correction is taken to fit where it leaves less than this share of the differences between neighbours."""


class FlatField(NamedTuple):
    """A flat field, cut to the frames of a scan."""

    gain: np.ndarray
    """What each pixel counts of one photon, relative to most; float32, a frame; 1 where bad."""
    bad: np.ndarray
    """True where the pixel is not to be relied on; a frame."""
    where: str = "flat field"
    """The file, and the array in it."""
    files: tuple[Path, ...] = ()
    """Every file that was read."""

    def photons(self, counts: np.ndarray) -> np.ndarray:
        """Counts (frames, rows, columns) over the gain; float32, or float64 if the counts are."""
        kind = np.float64 if counts.dtype == np.float64 else np.float32
        return np.divide(counts, self.gain, dtype=kind)


def load(spec: str, shape: Sequence[int], roi: str | None = None, *, factors: bool = False) -> FlatField:
    """The flat field in a file.

    Parameters
    ----------
    spec : see :mod:`braggfill.scans`; one frame, or several, of which the mean is taken.
    shape : the scan's.  roi : where its frames lie on the detector, for a flat field of the whole detector.
    factors : the file holds what counts are to be multiplied by, 1 / g.

    Raises
    ------
    BraggfillError : it cannot be read, does not fit, or is no flat field.
    """
    loaded = load_frame(spec, shape, detectors.corner(roi, shape[1:]) if roi else None)
    return of(loaded.array, shape, loaded.where, loaded.files, factors=factors)


def of(
    array: np.ndarray,
    shape: Sequence[int],
    where: str = "flat_field",
    files: tuple[Path, ...] = (),
    *,
    factors: bool = False,
) -> FlatField:
    """The flat field in an array, a frame of the scan's size or a stack of them; see :func:`load`."""
    array = np.asarray(array)
    frames = array.ndim in (2, 3) and array.shape[-2:] == tuple(shape[-2:])
    if array.dtype.kind not in "iuf" or not frames or not array.size:
        size = " × ".join(map(str, array.shape))
        raise BraggfillError(
            f"{where}: {size} {array.dtype}; a flat field is a frame of {shape[-2]} × {shape[-1]} real numbers, or a "
            "stack of them"
        )
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        frame = np.asarray(array if array.ndim == 2 else array.mean(0, dtype=np.float64), np.float64)
        if factors:
            frame = 1 / frame
        live = np.isfinite(frame) & (frame > 0)
        if not live.any():
            raise BraggfillError(f"{where}: no value in it is above zero; name a flat field")
        frame = frame / frame[live].max()  # so that no sum of two overflows
        gain = frame / np.median(frame[live])
        bad = ~(live & (gain >= LEAST) & (gain <= MOST))
    if bad.mean() > 0.5:
        raise BraggfillError(
            f"{where}: {bad.mean():.0%} of its pixels are below a third or above three times the median; that is no "
            "flat field"
        )
    return FlatField(np.where(bad, 1, gain).astype(np.float32), bad, where, files)


def doubts(field: FlatField, counts: np.ndarray, mask: np.ndarray) -> str:
    """What speaks against a flat field in the scan itself; empty for nothing, or where the scan is too dim to tell.

    In the right units neighbouring pixels are more alike than in counts.
    """
    total = np.where(mask, 0, counts).sum(0, dtype=np.float64)
    usable = (total >= ENOUGH) & ~mask.any(0) & ~field.bad
    ways = {"counts": total, "divided": total / field.gain, "multiplied": total * field.gain}
    rough = {way: _roughness(values, usable) for way, values in ways.items()}
    if min(rough.values()) < 0:
        return ""
    told = ", ".join(f"{value:.1%} {way}" for way, value in rough.items())
    if rough["divided"] <= min(rough["counts"], rough["multiplied"]):
        return ""
    if rough["multiplied"] < BETTER * rough["counts"]:
        advice = "does it hold the factors of a correction (--flat-field-factors), or the other way round?"
    elif rough["counts"] < BETTER * rough["divided"]:
        advice = "has it been applied already, or does it lie elsewhere on the detector (--roi)?"
    else:
        return ""
    return f"{field.where}: neighbouring pixels are less alike with it than without ({told}); {advice}"


def _roughness(total: np.ndarray, usable: np.ndarray) -> float:
    """Median difference of the logarithm of pixels from the mean of their two neighbours; -1 where too few tell."""
    found = []
    for axis in (0, 1):
        values, here = np.moveaxis(total, axis, 0), np.moveaxis(usable, axis, 0)
        three = here[:-2] & here[1:-1] & here[2:]
        logs = np.log(np.where(here, values, 1))
        found.append(np.abs(logs[1:-1] - (logs[:-2] + logs[2:]) / 2)[three])
    joined = np.concatenate(found)
    return float(np.median(joined)) if joined.size >= PIXELS else -1.0


def beside(where: str) -> str:
    """The spec of a flat field that lies beside a scan and was not applied; empty without one.

    ``whitefield`` or ``flatfield`` of a ``.npz``; of HDF5 a ``flatfield`` in the group of the data, unless the file
    says that it was applied (``flatfield_applied``, NeXus; ``flatfield_correction_applied``, Dectris).
    """
    file, _, name = where.partition("::")
    if file.endswith(".npz"):
        found = sorted(NAMES & set(numpy_files.names(Path(file))))
        return f"{file}::{found[0]}" if found else ""
    if not name or not Path(file).is_file():
        return ""
    import h5py

    try:
        with h5py.File(file, "r", locking=False) as opened:
            group = opened[name].parent
            for place in (group, group.get("detectorSpecific")):
                applied = any(bool(np.any(place[flag][()])) for flag in APPLIED if place is not None and flag in place)
                if applied:
                    return ""
            found = sorted(NAMES & set(group))
            return f"{file}::{group.name.rstrip('/')}/{found[0]}" if found else ""
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError):
        return ""
