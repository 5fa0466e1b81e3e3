"""Objects to diffraction patterns: a window of the centred transform, photons, counts, and the phase that is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from braggfill.errors import BraggfillError


@dataclass(frozen=True)
class Pattern:
    """One diffraction pattern; arrays of one shape, the peak's centre at ``n // 2``.

    counts : uint32 photons; expectation : float32, what they were drawn from; phase : float32, the reciprocal-space
    phase (RSP) in (-pi, pi], zero at the centre; photons : of the brightest voxel's expectation.
    """

    counts: np.ndarray
    expectation: np.ndarray
    phase: np.ndarray
    photons: float


def amplitude(made: np.ndarray, shape: Sequence[int], period: int | Sequence[int]) -> np.ndarray:
    r"""The middle of the centred transform of an object in an array of ``period`` voxels, complex64 of ``shape``.

    .. math:: A(q) = N^{-1/2} \sum_r O(r)\, e^{-2 \pi i\, q \cdot r / n}, \qquad |q_a| \le \mathrm{shape}_a / 2,

    n the period: what :func:`braggfill.physics.fourier.forward` gives for the object with zeros around it, cut to
    ``shape``, without the zeros being transformed.  The oversampling is the period over the object's extent.

    Parameters
    ----------
    made : complex object, origin at ``n // 2``, no axis longer than its period.

    Raises
    ------
    BraggfillError : the period is shorter than the window or the object.
    """
    periods = np.broadcast_to(np.asarray(period, int), (made.ndim,))
    if any(p < max(n, m) for p, n, m in zip(periods, shape, made.shape, strict=True)):
        raise BraggfillError(
            f"a transform of {tuple(periods)} voxels is smaller than the pattern {tuple(shape)} or the object "
            f"{made.shape}; raise the oversampling or the crystal's extent"
        )
    found = np.asarray(made, np.complex64)
    for n, p in zip(shape, periods, strict=True):
        # The first axis is transformed and becomes the last one, so that after all axes the order is the old one.
        waves = _waves(int(n), found.shape[0], int(p))
        found = (waves @ found.reshape(len(waves[0]), -1)).reshape(-1, *found.shape[1:])
        found = found.transpose(*range(1, found.ndim), 0)
    return np.ascontiguousarray(found)


@lru_cache(maxsize=64)
def _waves(n: int, m: int, period: int) -> np.ndarray:
    """(n, m) the transform from m voxels to the middle n of ``period``, complex64."""
    turns = np.outer(np.arange(n) - n // 2, np.arange(m) - m // 2) / period
    return (np.exp(-2j * np.pi * turns) / np.sqrt(period)).astype(np.complex64)


def expose(found: np.ndarray, photons: float, rng: np.random.Generator | None) -> Pattern:
    """Counts and phase of an amplitude.

    Parameters
    ----------
    photons : expectation of the brightest voxel.
    rng : source of the counts (Poisson); None rounds the expectation instead, a pattern without noise.

    Raises
    ------
    BraggfillError : the amplitude is zero everywhere or not finite.
    """
    intensity = found.real**2 + found.imag**2
    brightest = float(intensity.max(initial=0))
    if not np.isfinite(brightest) or brightest == 0:
        raise BraggfillError("the amplitude is zero everywhere or not finite; make the object again")
    expectation = intensity * np.float32(photons / brightest)
    counts = np.rint(expectation) if rng is None else rng.poisson(expectation)
    centre = found[tuple(n // 2 for n in found.shape)]
    phase = np.angle(found * np.conj(centre / max(abs(centre), 1e-30)))
    return Pattern(counts.astype(np.uint32), expectation, phase.astype(np.float32), float(photons))
