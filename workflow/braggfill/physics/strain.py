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
