r"""Displacement and strain in a reconstructed object.

With :math:`A(q) = \sum_r O(r)\, e^{-2\pi i q \cdot r}` (:mod:`braggfill.physics.fourier`), a crystal whose atoms are
displaced by :math:`u` has the phase :math:`\varphi = -2\pi\, G \cdot u`, where :math:`G` is the reciprocal vector of
the reflection, :math:`|G| = 1/d_{hkl}`.  What is seen is the projection of :math:`u` on :math:`\hat{q} = G/|G|`, and
the heterogeneous strain is its derivative along the same direction:

.. math::
    u_{hkl} = -\frac{\varphi\, d_{hkl}}{2\pi}, \qquad
    \varepsilon_{hkl} = \frac{\partial u_{hkl}}{\partial \hat{q}}

The phase is unwrapped inside the support, its mean over the support is set to zero, and derivatives are finite
differences between voxels that both lie in the support: central where both neighbours do, one-sided at the surface.

Source: Masto et al. (2024), section 2.6, supplement S7; Masto, thesis, 3.8; Carnis et al., Sci. Rep. 9, 17357 (2019).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braggfill.physics.support import bounding_box


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


def from_differences(obj: np.ndarray, inside: np.ndarray, weights: Sequence[float] | np.ndarray) -> np.ndarray:
    r""":math:`\sum_j w_j\, \partial\varphi / \partial n_j`, from wrapped phase differences of neighbouring voxels.

    The difference is :math:`\arg(O_{n+1} O_n^*)`, so that no phase has to be unwrapped and a defect, around which the
    phase winds, spoils nothing but the voxels next to it.  It is right as long as the phase changes by less than
    :math:`\pi` from voxel to voxel.

    Parameters
    ----------
    obj : complex, three axes.
    inside : boolean support; differences are taken between voxels that both lie in it, both sides averaged.
    weights : one for each array axis; for the strain along :math:`\hat q` see :func:`strain_weights`.

    Returns
    -------
    NaN outside the support, and where a voxel has no neighbour inside along an axis whose weight counts.
    """
    box = bounding_box(inside)
    part, where = np.where(inside, obj, 0)[box], inside[box]
    total = np.zeros(where.shape)
    for axis, weight in enumerate(weights):
        if abs(weight) > 1e-9 * np.max(np.abs(weights)):
            ahead, behind = (np.moveaxis(part, axis, 0)[s] for s in (slice(1, None), slice(None, -1)))
            total += weight * _mean_step(np.angle(ahead * behind.conj()), where, axis)
    result = np.full(inside.shape, np.nan, np.float32)
    result[box] = np.where(where, total, np.nan)
    return result


def strain_weights(voxels: np.ndarray, scattering_vector: np.ndarray, d_spacing_angstrom: float) -> np.ndarray:
    r"""Weights that make :func:`from_differences` the strain along the scattering vector.

    With the voxels' edges as columns of :math:`A`, :math:`\nabla\varphi = A^{-T} (\partial\varphi / \partial n)`, and
    :math:`\varepsilon = -\frac{d}{2\pi}\, \hat q \cdot \nabla\varphi`.

    Parameters
    ----------
    voxels : (xyz, 3 array axes), Å; ``scattering_vector`` : xyz, any length.
    """
    direction = np.asarray(scattering_vector, float) / np.linalg.norm(scattering_vector)
    return -d_spacing_angstrom / (2 * np.pi) * np.linalg.inv(voxels) @ direction


def defects(obj: np.ndarray, inside: np.ndarray) -> int:
    """Squares of four neighbouring voxels inside the support around which the phase winds by 2 pi or more.

    Zero for a phase that can be unwrapped; a line of them is a dislocation, or a phase that was not found.
    """
    if not inside.any():
        return 0
    box = bounding_box(inside)
    part, where = obj[box], inside[box]
    number = 0
    for first, second in ((0, 1), (0, 2), (1, 2)):
        corners = []
        for i, j in ((0, 0), (1, 0), (1, 1), (0, 1)):
            cut = [slice(None)] * 3
            cut[first] = slice(i, i - 1 or None)
            cut[second] = slice(j, j - 1 or None)
            corners.append((part[tuple(cut)], where[tuple(cut)]))
        turn = sum(np.angle(corners[(k + 1) % 4][0] * corners[k][0].conj()) for k in range(4))
        number += int(np.count_nonzero((np.abs(turn) > np.pi) & np.all([w for _, w in corners], axis=0)))
    return number


def rms(values: np.ndarray, where: np.ndarray | None = None) -> float:
    """Root mean square over ``where``, voxels that are NaN left out; NaN if there are none."""
    values = _finite(values, where)
    return float(np.sqrt(np.mean(values**2))) if values.size else float("nan")


def mean_and_std(values: np.ndarray, where: np.ndarray | None = None) -> tuple[float, float]:
    """Mean and standard deviation over ``where``, voxels that are NaN left out; NaN if there are none."""
    values = _finite(values, where)
    return (float(values.mean()), float(values.std())) if values.size else (float("nan"), float("nan"))


def phase_std(obj: np.ndarray, inside: np.ndarray, truth: np.ndarray | None = None) -> float:
    """Standard deviation, over the support, of the phase of ``obj`` against that of ``truth``, in radians.

    The mean is taken out as a phase offset.  Without ``truth`` the true phase is zero.
    """
    difference = obj[inside] if truth is None else obj[inside] * truth[inside].conj()
    return float(np.angle(difference * np.exp(-1j * np.angle(difference.sum()))).std())


def inhomogeneity(obj: np.ndarray, inside: np.ndarray) -> float:
    """Standard deviation of the modulus over its mean, inside the support: 0 for a homogeneous crystal."""
    modulus = np.abs(obj[inside])
    return float(modulus.std() / modulus.mean())


def _finite(values: np.ndarray, where: np.ndarray | None) -> np.ndarray:
    chosen = values if where is None else values[where]
    return chosen[np.isfinite(chosen)]


def _derivative(values: np.ndarray, where: np.ndarray, axis: int) -> np.ndarray:
    """Differences between neighbours that both lie inside, the mean of the two sides; NaN where there is none."""
    return _mean_step(np.diff(np.moveaxis(values, axis, 0), axis=0), where, axis)


def _mean_step(step: np.ndarray, where: np.ndarray, axis: int) -> np.ndarray:
    """Mean of the steps to both neighbours, those between voxels inside alone; NaN where there is none.

    ``step`` has the differences along ``axis``, which is its first one here.
    """
    where = np.moveaxis(where, axis, 0)
    pair = where[1:] & where[:-1]
    step = np.where(pair, step, 0.0)
    total, number = np.zeros(where.shape), np.zeros(where.shape)
    for part in (slice(1, None), slice(None, -1)):
        total[part] += step
        number[part] += pair
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / number
    return np.moveaxis(mean, 0, axis)
