"""How far two reconstructed objects are apart, once what intensities do not tell is taken out.

An object reconstructed from intensities alone is known up to a shift, the twin :math:`O^*(-r)`, a phase offset and, for
a pattern whose centre is not known to a fraction of a voxel, a phase ramp; :func:`align` takes these out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.physics import fourier, support


@dataclass(frozen=True)
class Aligned:
    """An object laid over another one."""

    obj: np.ndarray
    """The object, shifted, conjugated and turned; same shape."""
    shift: tuple[float, ...]
    """Voxels that it was moved by along each axis."""
    twin: bool
    """Whether it was the twin, and was flipped."""
    offset: float
    """Radians that its phase was turned by."""
    ramp: tuple[float, ...]
    """Radians a voxel along each axis that were taken out of its phase."""
    correlation: float
    """Modulus of the normalised complex correlation inside the support, 0 to 1."""


def twin(obj: np.ndarray) -> np.ndarray:
    r"""The other solution of the same intensities, :math:`O^*(-r)`, about the origin at ``n // 2``."""
    flipped = np.flip(obj).conj()
    even = [axis for axis, n in enumerate(obj.shape) if n % 2 == 0]
    return np.roll(flipped, [1] * len(even), axis=even)


def shifted(obj: np.ndarray, shift: Sequence[float] | np.ndarray) -> np.ndarray:
    """``obj`` moved by ``shift`` voxels along each axis, fractions included, by the shift theorem (periodic)."""
    if not np.any(shift):
        return obj
    spectrum = fourier.forward(obj)
    for axis, (s, q) in enumerate(zip(shift, fourier.grid(obj.shape), strict=True)):
        spectrum = spectrum * np.exp(-2j * np.pi * s * q / obj.shape[axis])
    return fourier.inverse(spectrum)


def align(obj: np.ndarray, truth: np.ndarray, inside: np.ndarray | None = None, *, ramp: bool = True) -> Aligned:
    """Take out of ``obj`` what intensities do not tell: shift, twin, phase offset, and ramp if asked.

    The shift is that of the largest cross-correlation, of the moduli to a voxel and of the complex objects to 1/50 of
    one; the better correlated of the object and its twin is taken.  Offset and ramp are those of the phase difference
    inside the support.

    Parameters
    ----------
    obj, truth : complex arrays of the same shape.
    inside : support of the truth; by default :func:`braggfill.physics.support.from_modulus` of it.

    Raises
    ------
    BraggfillError : the shapes differ.
    """
    if obj.shape != truth.shape:
        raise BraggfillError(f"object: shape {obj.shape} against the truth's {truth.shape}; crop or pad one of them")
    inside = support.from_modulus(truth) if inside is None else inside
    tried = [_overlay(obj, truth, inside, False, ramp), _overlay(twin(obj), truth, inside, True, ramp)]
    return max(tried, key=lambda aligned: aligned.correlation)


def _overlay(obj: np.ndarray, truth: np.ndarray, inside: np.ndarray, flipped: bool, ramp: bool) -> Aligned:
    """``obj`` moved onto the truth, its ramp and its offset taken out; see :func:`align`."""
    product = fourier.forward(np.abs(truth)) * fourier.forward(np.abs(obj)).conj()
    peak = np.unravel_index(np.argmax(fourier.inverse(product).real), obj.shape)
    shift = np.array([p - n // 2 for p, n in zip(peak, obj.shape, strict=True)], dtype=float)
    moved = np.roll(obj, shift.astype(int), axis=tuple(range(obj.ndim)))
    slope = np.zeros(obj.ndim)
    for _ in range(3 if ramp else 1):  # A ramp moves the maximum of the correlation a little, and the other way round.
        if ramp:
            step = _slope(moved, truth, inside)
            moved = moved * np.exp(-1j * sum(s * r for s, r in zip(step, fourier.grid(obj.shape), strict=True)))
            slope += step
        more = _subpixel(moved, truth)
        moved = shifted(moved, more)
        shift += more
    offset = -float(np.angle(np.vdot(truth[inside], moved[inside])))
    moved = (moved * np.exp(1j * offset)).astype(np.result_type(obj.dtype, np.complex64), copy=False)
    fit = _correlation(moved[inside], truth[inside])
    return Aligned(moved, tuple(map(float, shift)), flipped, offset, tuple(map(float, slope)), fit)


def _subpixel(obj: np.ndarray, truth: np.ndarray, reach: float = 1.0) -> np.ndarray:
    """The fraction of a voxel by which ``obj`` still has to move: the correlation on ever finer grids around zero."""
    product = fourier.forward(truth) * fourier.forward(obj).conj()
    best, step = np.zeros(obj.ndim), reach / 2
    while step > 0.02:
        trial = [best[axis] + step * np.arange(-2, 3) for axis in range(obj.ndim)]
        field = product
        for axis, places in enumerate(trial):
            n = obj.shape[axis]
            kernel = np.exp(2j * np.pi * np.outer(places, np.arange(n) - n // 2) / n)
            field = np.moveaxis(np.tensordot(kernel, field, axes=(1, axis)), 0, axis)
        place = np.unravel_index(np.argmax(np.abs(field)), field.shape)
        best = np.array([t[p] for t, p in zip(trial, place, strict=True)])
        step /= 2
    return best


def _slope(obj: np.ndarray, truth: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Phase ramp of ``obj`` against the truth, radians a voxel: the mean phase of neighbouring voxels' ratios."""
    field = np.where(inside, obj * truth.conj(), 0)
    steps = []
    for axis in range(field.ndim):
        ahead, behind = (np.moveaxis(field, axis, 0)[part] for part in (slice(1, None), slice(None, -1)))
        steps.append(np.angle(np.vdot(behind, ahead)))
    return np.array(steps)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.abs(np.vdot(b, a)) / norm) if norm else 0.0
