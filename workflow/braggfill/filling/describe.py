"""A scan and its mask in words: size, counts, and the geometry of what is missing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from braggfill import scans
from braggfill.filling import trust
from braggfill.patterns import oversampling
from braggfill.scans import units

AXES = ("rocking", "vertical", "horizontal")


@dataclass(frozen=True)
class Geometry:
    """What a mask is made of."""

    missing: int
    """Missing voxels."""
    gaps: tuple[tuple[int, int, int], ...]
    """(axis, first, width) of every run of planes that are missing as a whole."""
    spots: int
    """Connected groups of missing pixels outside those planes, the same in all frames, edges and corners counted."""
    largest_spot: int
    """Pixels of the largest of them."""
    changing: int
    """Missing voxels outside the planes that are not missing in every frame."""


def geometry(mask: np.ndarray) -> Geometry:
    """Take a 3D mask (True = missing) apart: whole planes, spots of the detector, what changes from frame to frame."""
    from scipy import ndimage

    gaps = []
    rest = mask.copy()
    for axis in range(mask.ndim):
        whole = mask.all(axis=tuple(other for other in range(mask.ndim) if other != axis))
        gaps += [(axis, start, width) for start, width in runs(np.asarray(whole))]
        np.moveaxis(rest, axis, 0)[whole] = False
    # In frames that are not missing as a whole, what is missing in all of them belongs to the detector.
    frames = rest[~mask.all(axis=(1, 2))]
    always = frames.all(axis=0) if len(frames) else np.zeros(mask.shape[1:], bool)
    labels, spots = ndimage.label(always, structure=np.ones((3, 3)))
    largest = int(np.bincount(labels.ravel())[1:].max()) if spots else 0
    changing = int(np.count_nonzero(rest)) - int(np.count_nonzero(always)) * len(frames)
    return Geometry(int(np.count_nonzero(mask)), tuple(gaps), int(spots), largest, changing)


def runs(line: np.ndarray) -> list[tuple[int, int]]:
    """(first, length) of every run of True in a line."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(np.int8)))
    return [(int(start), int(stop - start)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def describe(
    intensity: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    photons: bool = False,
    gain: np.ndarray | None = None,
) -> list[tuple[str, str]]:
    """(what, value) lines about a scan and, with a mask, about what is missing and how far it lies from the peak.

    ``photons`` says that the values are known to be photons; else they are looked at.  ``gain`` is that of each pixel
    of a frame, which the oversampling is estimated without.
    """
    lines = [("size", f"{_times(intensity.shape)} ({', '.join(AXES)}), {intensity.dtype}")]
    measured = np.ones(intensity.shape, bool) if mask is None else ~mask
    known = scans.marked(intensity)
    marked = known.array & measured
    usable = measured & ~marked
    peak: tuple[int, ...] | None = None
    sampled: tuple[float | None, ...] = (None,) * intensity.ndim
    if usable.any():
        shown = np.where(usable, intensity, 0)
        peak = tuple(int(i) for i in np.unravel_index(int(np.argmax(shown)), shown.shape))
        zeros = np.count_nonzero(usable & (intensity == 0)) / np.count_nonzero(usable)
        total = float(shown.sum(dtype=np.float64))
        counts = f"{total:.4g} in all, {shown[peak]:.6g} at the peak {peak}, {zeros:.1%} of the voxels zero"
        lines.append(("counts", counts))
    lines += [("warning", line) for line in _impossible(intensity, known, measured)]
    if known.noise is not None and (number := int(np.count_nonzero(known.noise & measured))):
        share = number / np.count_nonzero(measured)
        lines.append(
            ("noise", f"{share:.1%} of the voxels scatter below zero: measured, and taken as zero for a filling")
        )
    if usable.any():
        if not photons:
            lines += [("warning", line) for line in units.lines(scans.unit(intensity, ~usable))]
        hidden = np.zeros(intensity.shape, bool) if mask is None else mask
        lines += [("warning", line) for line in scans.suspicions(intensity, hidden, known)]
        even = np.maximum(np.where(usable, intensity, 0), 0)
        sampled = oversampling.estimate(even if gain is None else even / gain, ~usable)
        lines += _oversampling(sampled)
    if mask is None:
        return lines
    found = geometry(mask)
    lines.append(("missing", f"{found.missing} voxels, {found.missing / mask.size:.2%}"))
    for axis, first, width in found.gaps:
        away = "" if peak is None else f", {_distance(peak[axis], first, width)}"
        planes = f"{first} to {first + width - 1}" if width > 1 else f"{first}"
        lines.append(("gap", f"{width} px across axis {axis} ({AXES[axis]}), at {planes}{away}"))
        if (along := sampled[axis]) is not None:
            lines.append(("", trust.of_gap(width, along)))
    if found.spots:
        lines.append(("spots", f"{found.spots}, missing in every frame, the largest of {found.largest_spot} px"))
    if found.changing:
        lines.append(("changing", f"{found.changing} voxels are missing in some frames only"))
    if found.missing > mask.size / 2:
        lines.append(("warning", "more than half is missing; is the mask inverted? (--invert-mask)"))
    return lines


def _impossible(intensity: np.ndarray, known: scans.Marked, measured: np.ndarray) -> list[str]:
    """Voxels outside the mask that cannot be counts, by kind."""
    lines = []
    for name in known.kinds:
        number = known.kinds[name]
        if not (inside := known.array & measured).any():
            continue
        if not measured.all():  # count anew what the mask leaves
            part = scans.marked(np.where(inside, intensity, 0).astype(intensity.dtype))
            number = part.kinds.get(name, 0)
        if number:
            lines.append(f"{number} voxels outside the mask are {name}; add them to the mask (--join)")
    return lines


def effort(intensity: np.ndarray, mask: np.ndarray, network: Path, device: str = "auto") -> list[tuple[str, str]]:
    """(what, value) lines about how a network would fill a scan, and how long that takes here: by filling a part.

    The part is a block of 64 voxels along each axis around the missing voxel nearest to the peak.  Time goes with the
    number of cells of 16 voxels along each axis that hold anything missing.
    """
    from braggfill import filling

    mask = mask | scans.marked(intensity).array
    shown = np.maximum(np.where(mask, 0, intensity), 0)
    if not shown.any():
        return []
    peak = np.unravel_index(int(np.argmax(shown)), shown.shape)
    places = np.argwhere(mask)
    near = places[np.argmin(((places - peak) ** 2).sum(1))]
    first = [int(np.clip(p - 32, 0, max(n - 64, 0))) for p, n in zip(near, mask.shape, strict=True)]
    box = tuple(slice(f, f + 64) for f in first)
    part, hole = shown[box], mask[box]
    if hole.all() or not part[~hole].any():
        return []
    filling.inpaint(part, hole, network=network, device=device, most_missing=True)  # loads what has to be loaded
    began = time.perf_counter()
    filling.inpaint(part, hole, network=network, device=device, most_missing=True)
    seconds = (time.perf_counter() - began) * _cells(mask) / max(_cells(hole), 1)
    return [
        ("plan", f"fill {int(np.count_nonzero(mask))} voxels by the network {network.name}"),
        ("time", f"about {_duration(seconds)} here, once everything is loaded"),
    ]


def _cells(mask: np.ndarray, edge: int = 16) -> int:
    """Cells of a grid that hold anything missing."""
    for axis in range(mask.ndim):
        mask = np.logical_or.reduceat(mask, np.arange(0, mask.shape[axis], edge), axis=axis)
    return int(np.count_nonzero(mask))


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{max(seconds, 0.1):.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _oversampling(found: Sequence[float | None]) -> list[tuple[str, str]]:
    if not any(found):
        return [("sampling", "oversampling cannot be told from this pattern")]
    told = [f"{name} {'?' if value is None else f'{value:.1f}'}" for name, value in zip(AXES, found, strict=True)]
    line = f"oversampling about {', '.join(told)} (± {oversampling.TOLERANCE:.0%}, from the autocorrelation)"
    return [("sampling", line)]


def _distance(peak: int, first: int, width: int) -> str:
    if peak < first:
        return f"{first - peak} px from the peak"
    return f"{peak - first - width + 1} px from the peak" if peak >= first + width else "through the peak"


def _times(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
