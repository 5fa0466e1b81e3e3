r"""What intensities do not tell, taken out in one way; and what several runs say together.

Intensities leave an object's shift, phase offset, phase ramp (where the peak lies) and the choice between it and its
twin :math:`O^*(-r)` open.  :func:`canonical` fixes all four; :func:`align_all` lays runs over the best one; their
singular value decomposition gives modes with weights, their scatter the spread a voxel, and the mean of their
amplitudes against the measured ones the phase retrieval transfer function.

Source: Favre-Nicolin et al., J. Appl. Cryst. 53, 1404 (2020) for modes; Chapman et al., J. Opt. Soc. Am. A 23, 1179
(2006) for the transfer function.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braggfill.phasing import pattern
from braggfill.physics import align, boxes, fourier

ASYMMETRY = 1e-3
"""Below this normalised third moment an axis does not tell an object from its twin."""


def canonical(obj: np.ndarray, support: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The object and its support, with shift, twin, ramp and offset in their canonical places.

    The centre of mass of the squared modulus inside the support is moved, by whole voxels, to ``n // 2``; the mean
    phase step between neighbouring voxels inside is zero along each axis; the mean of the object has phase zero; and
    the first axis along which the squared modulus is skew (else: the phase) is so positively.  What has been made
    canonical stays as it is, up to rounding.
    """
    if not support.any():
        return obj.astype(np.complex64), support
    for _ in range(3):  # The circular mean may be off by a voxel for objects that reach across the border.
        shift = _to_centre(np.where(support, np.abs(obj) ** 2, 0))
        if not any(shift):
            break
        obj, support = (np.roll(values, shift, axis=range(obj.ndim)) for values in (obj, support))
    obj = obj.astype(np.complex128)
    axes = range(obj.ndim)
    grid = fourier.grid(obj.shape)
    inside = np.where(support, obj, 0)
    steps = [np.angle(np.vdot(_cut(inside, a, slice(None, -1)), _cut(inside, a, slice(1, None)))) for a in axes]
    obj = obj * np.exp(-1j * sum(s * g for s, g in zip(steps, grid, strict=True)))
    obj = obj * np.exp(-1j * np.angle(obj[support].sum()))
    if _skewness(np.where(support, obj, 0)) < 0:
        obj = align.twin(obj)
        support = align.twin(support.astype(float)).real > 0.5
        # Even axes: the centre of mass may have moved by the voxel that the flip moves.
        shift = _to_centre(np.where(support, np.abs(obj) ** 2, 0))
        obj, support = np.roll(obj, shift, axis=axes), np.roll(support, shift, axis=axes)
        obj = obj * np.exp(-1j * np.angle(obj[support].sum()))
    return obj.astype(np.complex64), support


def _to_centre(weights: np.ndarray) -> list[int]:
    """Whole voxels by which the centre of mass has to be moved to ``n // 2``, periodically."""
    shift = []
    for axis, n in enumerate(weights.shape):
        line = weights.sum(axis=tuple(a for a in range(weights.ndim) if a != axis), dtype=float)
        place = np.arange(n) - n // 2
        first = int(np.rint(np.angle((line * np.exp(2j * np.pi * place / n)).sum()) * n / (2 * np.pi)))
        line = np.roll(line, -first)
        shift.append(-first - int(np.rint((line * place).sum() / line.sum())))
    return shift


def _skewness(obj: np.ndarray) -> float:
    """Normalised third moment of the squared modulus along the first axis that is skew, else that of the phase."""
    weights = np.abs(obj) ** 2
    odd = np.angle(obj) * weights
    for values in (weights, odd):
        for axis, n in enumerate(obj.shape):
            across = tuple(a for a in range(obj.ndim) if a != axis)
            line, mass = values.sum(axis=across, dtype=float), weights.sum(axis=across, dtype=float)
            place = np.arange(n) - (mass * np.arange(n)).sum() / mass.sum()
            spread = np.sqrt((mass * place**2).sum() / mass.sum())
            skew = (line * place**3).sum() / max(mass.sum() * spread**3, 1e-30)
            if abs(skew) > ASYMMETRY:
                return float(skew)
    return 0.0


def _cut(values: np.ndarray, axis: int, part: slice) -> np.ndarray:
    return values[tuple(part if a == axis else slice(None) for a in range(values.ndim))]


def align_all(objs: Sequence[np.ndarray], reference: np.ndarray, support: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Objects laid over a reference: an array (objects, three axes), and the correlation of each, 0 to 1."""
    (base, inside, *small), shift = _cut_out([reference, support, *objs])
    done = [align.align(obj, base, inside) for obj in small]
    back = [-s for s in shift]
    whole = [np.roll(pattern.pad(a.obj, reference.shape), back, axis=range(reference.ndim)) for a in done]
    return np.stack(whole), np.array([a.correlation for a in done])


def correlation(obj: np.ndarray, reference: np.ndarray, support: np.ndarray) -> float:
    """Correlation of an object with a reference inside the reference's support, 0 to 1, ramps left in."""
    (base, inside, small), _ = _cut_out([reference, support, obj])
    return align.align(small, base, inside, ramp=False).correlation


def _cut_out(arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """Arrays centred and cut to a box that leaves each of them half as much again of zeros, where there are any; and
    the shift of the first, by which the second was moved, too.  To align objects takes time for every voxel around."""
    shifts = [_to_centre(np.abs(a).astype(float) ** 2) if a.any() else [0] * a.ndim for a in arrays]
    shifts[1] = shifts[0]
    moved = [np.roll(a, shift, axis=range(a.ndim)) for a, shift in zip(arrays, shifts, strict=True)]
    reach = [[1] * moved[0].ndim]
    for array in moved:
        if array.any():
            box = boxes.bounding_box(array)
            reach.append([max(n // 2 - s.start, s.stop - n // 2) for s, n in zip(box, array.shape, strict=True)])
    shape = [min(n, 2 * ((3 * r + 1) // 2 + 2)) for r, n in zip(np.max(reach, axis=0), moved[0].shape, strict=True)]
    return [pattern.crop(a, shape) for a in moved], shifts[0]


def modes(aligned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Orthogonal modes of aligned objects and their shares of the photons.

    With the objects as rows of a matrix, :math:`M = U \Sigma V`, mode k is :math:`\Sigma_k V_k / \sqrt{n}` and its
    weight :math:`\Sigma_k^2 / \sum \Sigma^2`.  The first mode is what the runs have in common; its phase is that of
    the mean.

    Returns
    -------
    Modes (runs, three axes), the strongest first, and weights that add up to 1.
    """
    flat = aligned.reshape(len(aligned), -1)
    values, vectors = np.linalg.eigh(flat @ flat.conj().T)
    order = np.argsort(values)[::-1]
    values, vectors = np.maximum(values[order], 0), vectors[:, order]
    found = (vectors.conj().T @ flat) / np.sqrt(len(flat))
    found *= np.exp(-1j * np.angle(found @ flat.mean(axis=0).conj()))[:, None]
    return found.reshape(aligned.shape).astype(np.complex64), values / max(values.sum(), 1e-30)


def spread(aligned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation over aligned objects of the modulus, and of the phase in radians, in each voxel.

    The phase's is that of the deviation from the mean object, so it knows no jumps of 2 pi.  Zero for one object.
    """
    mean = aligned.mean(axis=0)
    turned = np.angle(aligned * np.exp(-1j * np.angle(mean)))
    freedom = max(len(aligned) - 1, 1)
    moduli = np.abs(aligned)
    return (
        np.sqrt(((moduli - moduli.mean(axis=0)) ** 2).sum(axis=0) / freedom).astype(np.float32),
        np.sqrt((turned**2).sum(axis=0) / freedom).astype(np.float32),
    )


def transfer(
    aligned: np.ndarray, intensity: np.ndarray, known: np.ndarray, centre: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    r"""Phase retrieval transfer function: :math:`|\langle A \rangle| / \langle |A| \rangle` over runs, averaged over
    shells of the reciprocal grid about the peak; 1 where all runs agree on the phase.

    Parameters
    ----------
    aligned : complex (runs, three axes).
    intensity, known : photons, and True where they were counted; shells are weighted by :math:`\sqrt{I}`.
    centre : index of the peak.

    Returns
    -------
    Radii in cycles a voxel (0.5 is the array's edge), and the function.
    """
    amplitudes = np.stack([fourier.forward(obj) for obj in aligned])
    ratio = np.abs(amplitudes.mean(axis=0)) / np.maximum(np.abs(amplitudes).mean(axis=0), 1e-12)
    axes = np.ix_(*((np.arange(n) - c) / n for n, c in zip(intensity.shape, centre, strict=True)))
    radius = np.sqrt(sum(q**2 for q in axes))
    shell = np.minimum(radius * min(intensity.shape), max(intensity.shape)).astype(int).ravel()
    weight = (np.sqrt(np.maximum(intensity, 0)) * known).ravel()
    total = np.bincount(shell, weight)
    values = np.bincount(shell, weight * ratio.ravel()) / np.maximum(total, 1e-30)
    radii = (np.arange(len(total)) + 0.5) / min(intensity.shape)
    seen = (total > 0) & (radii <= 0.5)
    return radii[seen], values[seen]


def resolution(radii: np.ndarray, values: np.ndarray, level: float = 1 / np.e) -> float:
    """Period in voxels at which the transfer function falls below ``level``; 2 where it never does; NaN for none."""
    if not len(radii):
        return float("nan")
    below = np.flatnonzero(values < level)
    return float(1 / radii[below[0]]) if len(below) else 2.0
