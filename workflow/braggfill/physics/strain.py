r"""Displacement and strain in a reconstructed object, and how far two objects are apart.

With :math:`A(q) = \sum_r O(r)\, e^{-2\pi i q \cdot r}` (``braggfill.physics.fourier``), a crystal whose atoms are
displaced by
:math:`u` has the phase :math:`\varphi = -2\pi\, G \cdot u`, where :math:`G` is the reciprocal vector of the reflection,
:math:`|G| = 1/d_{hkl}`.  What is seen is the projection of :math:`u` on :math:`\hat{q} = G/|G|`, and the heterogeneous
strain is its derivative along the same direction:

.. math::
    u_{hkl} = -\frac{\varphi\, d_{hkl}}{2\pi}, \qquad
    \varepsilon_{hkl} = \frac{\partial u_{hkl}}{\partial \hat{q}}

The phase is unwrapped inside the support, its mean over the support is set to zero, and derivatives are finite
differences between voxels that both lie in the support: central where both neighbours do, one-sided at the surface.

An object reconstructed from intensities alone is known up to a shift, the twin :math:`O^*(-r)`, a phase offset and, for
a pattern whose centre is not known to a fraction of a voxel, a phase ramp; :func:`align` takes these out.

Source: paper section 2.6, supplement S7, thesis 3.8; Carnis et al., Sci. Rep. 9, 17357 (2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.physics import boxes, fourier


def support(obj: np.ndarray, threshold: float = 0.3) -> np.ndarray:
    """The particle: the largest connected set of voxels whose modulus is above ``threshold`` of the largest modulus.

    Parameters
    ----------
    obj : complex or real, any number of axes.
    threshold : above 0, below 1.

    Raises
    ------
    BraggfillError : the object is zero everywhere or not finite.
    """
    import scipy.ndimage

    modulus = np.abs(obj)
    top = modulus.max()
    if not np.isfinite(top) or top == 0:
        raise BraggfillError("object: zero everywhere or not finite, so it has no support; check what it was made from")
    labels, number = scipy.ndimage.label(modulus > threshold * top)
    if number == 1:
        return labels > 0
    sizes = np.bincount(labels.ravel())
    return labels == 1 + np.argmax(sizes[1:])


def extent(inside: np.ndarray) -> tuple[int, ...]:
    """Size in voxels of a support's bounding box along each axis."""
    return tuple(s.stop - s.start for s in bounding_box(inside))


def oversampling(inside: np.ndarray) -> tuple[float, ...]:
    """Size of the array over size of the support along each axis: 2 is the least that phase retrieval needs."""
    return tuple(n / e for n, e in zip(inside.shape, extent(inside), strict=True))


def unwrap(obj: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Phase of ``obj`` without jumps of 2 pi, its mean over ``inside`` zero; radians, NaN outside.

    Parameters
    ----------
    obj : complex, 2 or 3 axes; its phase is what counts.
    inside : boolean support of the same shape.  The parts of a support that is not connected are unwrapped each by
        itself, and jumps of 2 pi between them stay.
    """
    from skimage.restoration import unwrap_phase

    box = bounding_box(inside)
    part, where = obj[box], inside[box]
    # Turned so that the mean phase is zero, most objects have no jump left.
    turned = part * np.exp(-1j * np.angle(part[where].sum()))
    wrapped = np.angle(turned)
    if np.abs(wrapped[where]).max() > np.pi / 2:
        wrapped = np.asarray(unwrap_phase(np.ma.masked_array(wrapped, ~where), rng=0))
    phase = np.full(obj.shape, np.nan)
    phase[box][where] = wrapped[where] - wrapped[where].mean()
    return phase


def displacement_pm(phase: np.ndarray, d_spacing_angstrom: float) -> np.ndarray:
    r"""Displacement along the scattering vector, :math:`u = -\varphi d / 2\pi`, in picometres."""
    return -phase * d_spacing_angstrom * 100 / (2 * np.pi)


def strain(
    phase: np.ndarray,
    inside: np.ndarray,
    *,
    d_spacing_angstrom: float,
    voxel_angstrom: float | Sequence[float],
    direction: int | Sequence[float],
) -> np.ndarray:
    r"""Heterogeneous strain :math:`\varepsilon = \hat{q} \cdot \nabla u`, from the unwrapped phase.

    Parameters
    ----------
    phase : unwrapped, radians; only its values inside the support are used.
    inside : boolean support of the same shape.
    d_spacing_angstrom : lattice spacing of the reflection.
    voxel_angstrom : length of a voxel, one number or one for each axis (of an orthogonal grid).
    direction : the scattering vector: an array axis, or its components along the array axes (any length).

    Returns
    -------
    Strain (no unit), NaN outside the support and where a voxel has no neighbour inside along an axis that counts.
    """
    weights = np.eye(phase.ndim)[direction] if isinstance(direction, int | np.integer) else np.asarray(direction, float)
    weights = weights / np.linalg.norm(weights)
    voxels = np.broadcast_to(np.asarray(voxel_angstrom, float), (phase.ndim,))
    box = bounding_box(inside)
    where = inside[box]
    values = np.where(where, phase[box], 0.0)
    slope = np.zeros(where.shape)
    for axis in np.flatnonzero(weights):
        slope += weights[axis] / voxels[axis] * _derivative(values, where, int(axis))
    result = np.full(phase.shape, np.nan)
    result[box] = np.where(where, -slope * d_spacing_angstrom / (2 * np.pi), np.nan)
    return result


def interior(inside: np.ndarray, layers: int) -> np.ndarray:
    """The support without its outer ``layers`` of voxels (by faces); with 1, every difference is a central one."""
    import scipy.ndimage

    return scipy.ndimage.binary_erosion(inside, iterations=layers) if layers > 0 else inside.copy()


def rms(values: np.ndarray, where: np.ndarray | None = None) -> float:
    """Root mean square over ``where``, voxels that are NaN left out; NaN if there are none."""
    values = _finite(values, where)
    return float(np.sqrt(np.mean(values**2))) if values.size else float("nan")


def mean_and_spread(values: np.ndarray, where: np.ndarray | None = None) -> tuple[float, float]:
    """Mean and standard deviation over ``where``, voxels that are NaN left out; NaN if there are none."""
    values = _finite(values, where)
    return (float(values.mean()), float(values.std())) if values.size else (float("nan"), float("nan"))


def phase_spread(obj: np.ndarray, inside: np.ndarray, truth: np.ndarray | None = None) -> float:
    """Standard deviation, over the support, of the phase of ``obj`` against that of ``truth``, in radians.

    The mean is taken out as a phase offset.  Without ``truth`` the true phase is zero.
    """
    difference = obj[inside] if truth is None else obj[inside] * truth[inside].conj()
    return float(np.angle(difference * np.exp(-1j * np.angle(difference.sum()))).std())


def inhomogeneity(obj: np.ndarray, inside: np.ndarray) -> float:
    """Standard deviation of the modulus over its mean, inside the support: 0 for a homogeneous crystal."""
    modulus = np.abs(obj[inside])
    return float(modulus.std() / modulus.mean())


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


def shifted(obj: np.ndarray, shift: Sequence[float]) -> np.ndarray:
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
    inside : support of the truth; by default :func:`support` of it.

    Raises
    ------
    BraggfillError : the shapes differ.
    """
    if obj.shape != truth.shape:
        raise BraggfillError(f"object: shape {obj.shape} against the truth's {truth.shape}; crop or pad one of them")
    inside = support(truth) if inside is None else inside
    tried = [_overlay(obj, truth, inside, False, ramp), _overlay(twin(obj), truth, inside, True, ramp)]
    return max(tried, key=lambda aligned: aligned.correlation)


def bounding_box(inside: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds the support; BraggfillError if it is empty."""
    if not inside.any():
        raise BraggfillError("support: empty; lower its threshold")
    return boxes.bounding_box(inside)


def _finite(values: np.ndarray, where: np.ndarray | None) -> np.ndarray:
    chosen = values if where is None else values[where]
    return chosen[np.isfinite(chosen)]


def _derivative(values: np.ndarray, where: np.ndarray, axis: int) -> np.ndarray:
    """Differences between neighbours that both lie inside, the mean of the two sides; NaN where there is none."""
    values, where = np.moveaxis(values, axis, 0), np.moveaxis(where, axis, 0)
    pair = where[1:] & where[:-1]
    step = np.where(pair, values[1:] - values[:-1], 0.0)
    total, number = np.zeros(values.shape), np.zeros(values.shape)
    for part in (slice(1, None), slice(None, -1)):
        total[part] += step
        number[part] += pair
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / number
    return np.moveaxis(mean, 0, axis)


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
