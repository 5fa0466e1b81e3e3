"""Where phase retrieval may begin: the object that a network sees in the middle of a pattern.

The network knows one size, 32 voxels a side, and oversamplings of 2 to 4.  A pattern is centred, binned along each axis
until its oversampling is in that range, and cut to its middle; what the network says is taken back to the pattern's own
grid by way of the object, which is exact: the object ends within the binned array, so zeros around it interpolate its
amplitude.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import i0e, i1e

from braggfill.errors import BraggfillError
from braggfill.patterns import oversampling as estimated
from braggfill.physics import fourier
from braggfill.physics.crystals import embedded

if TYPE_CHECKING:
    from braggfill.networks.phase.braggphase import Braggphase

LEAST = 2.2
"""Oversampling that binning leaves: 2, and a margin for the error of the estimate."""
MEASURED = 0.5
"""Fraction of a bin that must be measured; with less it counts as missing."""


@dataclass(frozen=True)
class Canonical:
    """A pattern as the network sees it.

    counts : float32 photons, (32, 32, 32), measured voxels of each bin scaled up to the whole bin.
    missing : boolean, same shape.  factors : (3,) voxels a bin.  centre : (3,) voxel of the pattern at its middle.
    """

    counts: np.ndarray
    missing: np.ndarray
    factors: tuple[int, ...]
    centre: tuple[int, ...]


@dataclass(frozen=True)
class Prediction:
    """What a network makes of a pattern.

    obj : complex64, the pattern's shape, origin ``n // 2``: the expected object, at the resolution of what was seen.
    phase, concentration : float32 (32, 32, 32), of the canonical pattern; ``canonical`` : that pattern.
    """

    obj: np.ndarray
    phase: np.ndarray
    concentration: np.ndarray
    canonical: Canonical


def predict(
    network: Braggphase,
    intensity: np.ndarray,
    missing: np.ndarray | None = None,
    *,
    oversampling: Sequence[float] | None = None,
) -> Prediction:
    r"""The object that a network expects of a pattern of any size.

    Its amplitude is the mean over the phase that the network states,
    :math:`\sqrt I\, I_1(\kappa) / I_0(\kappa)\, e^{i \hat\varphi}`: what it is not sure of counts little.

    Parameters
    ----------
    network : the network.
    intensity : photons, three axes; ``missing`` : boolean, True where missing.
    oversampling : along each axis; estimated from the pattern by default.

    Raises
    ------
    BraggfillError : no photons were measured, or the pattern has not three axes.
    """
    import torch

    counts = np.asarray(intensity, np.float32)
    if counts.ndim != 3:
        raise BraggfillError(f"the pattern has {counts.ndim} axes; give one with three")
    gone = np.zeros(counts.shape, bool) if missing is None else np.asarray(missing, bool)
    gone = gone | ~np.isfinite(counts)
    counts = np.where(gone, np.float32(0), counts).clip(min=0)
    if not (counts > 0).any():
        raise BraggfillError("no photons were measured; check pattern and mask")
    seen = canonical(counts, gone, oversampling or estimated.estimate(counts, gone), network.size)
    log_intensity, mask = (torch.from_numpy(x)[None] for x in (np.log1p(seen.counts), seen.missing))
    phase, concentration = (x[0].numpy() for x in network.predict(log_intensity, mask))
    return Prediction(restore(seen, phase, concentration, counts.shape), phase, concentration, seen)


def canonical(
    counts: np.ndarray, missing: np.ndarray, oversampling: Sequence[float | None], side: int = 32
) -> Canonical:
    """The middle of a pattern, centred and binned; see the module.

    Bin j of an axis holds the voxels from j b - b // 2 on, b of them, counted from the centre: for an even b its middle
    is half a voxel off, which :func:`restore` takes into account.  What lies beyond the pattern is missing.

    Parameters
    ----------
    counts : photons, zero where ``missing``.
    oversampling : along each axis; None leaves the axis as it is.
    """
    factors = tuple(
        max(1, min(int((s or 1) / LEAST), n // side)) for s, n in zip(oversampling, counts.shape, strict=True)
    )
    middle = centre(counts, [side * b for b in factors])
    total, measured = counts, (~missing).astype(np.float32)
    for axis, (b, c) in enumerate(zip(factors, middle, strict=True)):
        first = c - (side // 2) * b - b // 2
        total, measured = (_binned(x, axis, first, b, side) for x in (total, measured))
    whole = float(np.prod(factors))
    gone = measured < MEASURED * whole
    scaled = np.where(gone, 0, total * whole / np.maximum(measured, 1))
    return Canonical(scaled.astype(np.float32), gone, factors, middle)


def centre(counts: np.ndarray, box: Sequence[int]) -> tuple[int, ...]:
    """Voxel of the intensity's centre of mass, within a box laid around it, at first around the brightest voxel."""
    place = np.array(np.unravel_index(np.argmax(counts), counts.shape))
    for _ in range(3):
        window = tuple(slice(max(p - b // 2, 0), max(p - b // 2, 0) + b) for p, b in zip(place, box, strict=True))
        inside = counts[window]
        total = inside.sum(dtype=np.float64)
        for axis, n in enumerate(inside.shape):
            line = inside.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)
            place[axis] = round(window[axis].start + float(line @ np.arange(n)) / total)
    return tuple(int(p) for p in place)


def restore(seen: Canonical, phase: np.ndarray, concentration: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The object on the pattern's own grid, complex64 of ``shape``, from the phase of its canonical pattern.

    Its transform is centred where the pattern is.
    """
    sure = (i1e(concentration) / i0e(concentration)).astype(np.float32)
    amplitude = np.sqrt(seen.counts) * sure * np.exp(1j * phase)
    made = fourier.inverse(amplitude.astype(np.complex64))
    side = made.shape[0]
    wide = tuple(side * b for b in seen.factors)
    made = made * _ramps(made.shape, [((b - 1) / 2 - b // 2) / b / side for b in seen.factors])
    fine = fourier.forward(embedded(made, wide))
    whole = _middle(fine, shape)
    offset = [c - n // 2 for c, n in zip(seen.centre, shape, strict=True)]
    made = fourier.inverse(whole) * _ramps(tuple(shape), [o / n for o, n in zip(offset, shape, strict=True)])
    return made.astype(np.complex64)


def _binned(values: np.ndarray, axis: int, first: int, factor: int, side: int) -> np.ndarray:
    """Sums over ``side`` bins of ``factor`` voxels from ``first`` on; zeros where there is nothing."""
    moved = np.moveaxis(values, axis, 0)
    start, stop = max(first, 0), min(first + side * factor, len(moved))
    whole = np.zeros((side * factor, *moved.shape[1:]), np.float32)
    whole[start - first : stop - first] = moved[start:stop]
    return np.moveaxis(whole.reshape(side, factor, *moved.shape[1:]).sum(axis=1), 0, axis)


def _middle(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The array cut, or filled up with zeros, to a shape, the origins on each other."""
    for axis, n in enumerate(shape):
        m = values.shape[axis]
        if m > n:
            values = np.take(values, np.arange(m // 2 - n // 2, m // 2 - n // 2 + n), axis)
    return embedded(values, shape)


def _ramps(shape: tuple[int, ...], turns: Sequence[float]) -> np.ndarray:
    """A phase ramp of so many turns a voxel along each axis, 1 at the origin."""
    lines = [np.exp(2j * np.pi * t * g) for t, g in zip(turns, fourier.grid(shape), strict=True)]
    return (lines[0] * lines[1] * lines[2]).astype(np.complex64)
