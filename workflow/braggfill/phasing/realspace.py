r"""A phased object in nanometres: displacement and strain along the scattering vector, in an orthogonal frame.

With :math:`\varphi = -2\pi\, G \cdot u`, the displacement along the scattering vector is
:math:`u = -\varphi d / 2\pi` and the strain :math:`\varepsilon = \partial u / \partial \hat q`: **positive where the
lattice is wider than the crystal's mean**, whose own strain is zero because the phase has no ramp.  The strain comes
from wrapped phase differences of neighbouring voxels (:func:`braggfill.physics.strain.from_differences`) in the
detector's frame, before anything is interpolated.  An object and its twin have the same strain, mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from braggfill.phasing.result import Phased
from braggfill.physics import geometry, strain, support
from braggfill.physics.geometry import Geometry

KNOWN = 0.5
"""Least share of an interpolated voxel that has to come from inside the support."""


@dataclass(frozen=True)
class RealSpace:
    """An object in the laboratory's frame.  Arrays have axes z (along the beam), y (up), x (left along the beam)."""

    obj: np.ndarray = field(repr=False)
    """Complex, interpolated."""
    support: np.ndarray = field(repr=False)
    """Boolean."""
    strain: np.ndarray = field(repr=False)
    """Along the scattering vector, NaN outside the support."""
    displacement_pm: np.ndarray = field(repr=False)
    """Along the scattering vector, its mean zero, NaN outside the support; jumps of ``d`` end at defects."""
    phase_std: np.ndarray = field(repr=False)
    """Standard deviation of the phase between runs, radians, NaN outside the support."""
    detector_strain: np.ndarray = field(repr=False)
    """The strain in the detector's frame, axes as the scan's, not interpolated; NaN outside the support."""
    voxel_nm: float
    """Edge of the orthogonal voxels."""
    edges_nm: np.ndarray
    """Edges (xyz, 3 array axes) of a voxel in the detector's frame."""
    spacing_angstrom: float
    """Lattice spacing that displacement and strain are reckoned with."""
    geometry: Geometry
    size_nm: tuple[float, float, float]
    """Extent of the support along z, y, x."""
    volume_nm3: float
    defects: int
    """Squares of voxels below the surface around which the phase winds (:func:`braggfill.physics.strain.defects`)."""

    @property
    def direction(self) -> np.ndarray:
        """Unit vector (x, y, z) of the scattering vector."""
        return self.geometry.scattering_vector * self.geometry.spacing


def real_space(found: Phased, measured: Geometry, spacing_angstrom: float | None = None) -> RealSpace | None:
    """Sizes, displacement and strain of a phased object; None if it has no object.

    Parameters
    ----------
    spacing_angstrom : lattice spacing; by default that which the detector's angles give, 1 / |Q|.

    Raises
    ------
    BraggfillError : the geometry spans no space.
    """
    if not found.support.any():
        return None
    d = spacing_angstrom or measured.spacing
    inside = found.support
    voxels = measured.voxels(inside.shape)
    edge = float(abs(np.linalg.det(voxels)) ** (1 / 3))
    weights = strain.strain_weights(voxels, measured.scattering_vector, d)
    local = strain.from_differences(found.obj, inside, weights)
    unwrapped = strain.displacement_pm(strain.unwrap(found.obj, inside), d)
    shape = geometry.laboratory_shape(inside, voxels, edge)

    def laboratory(values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Interpolated among what is known alone; NaN where that is too little."""
        share = geometry.laboratory(known.astype(np.float32), voxels, shape, edge)
        total = geometry.laboratory(np.where(known, values, 0).astype(np.float32), voxels, shape, edge)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(share >= KNOWN, total / share, np.nan).astype(np.float32)

    there = geometry.laboratory(inside.astype(np.float32), voxels, shape, edge) >= KNOWN
    z, y, x = (n * edge / 10 for n in support.extent(there)) if there.any() else (0.0, 0.0, 0.0)
    return RealSpace(
        obj=geometry.laboratory(found.obj, voxels, shape, edge).astype(np.complex64),
        support=there,
        strain=np.where(there, laboratory(local, np.isfinite(local)), np.nan),
        displacement_pm=np.where(there, laboratory(unwrapped, inside), np.nan),
        phase_std=np.where(there, laboratory(found.phase_std, inside), np.nan),
        detector_strain=local,
        voxel_nm=edge / 10,
        edges_nm=voxels / 10,
        spacing_angstrom=float(d),
        geometry=measured,
        size_nm=(z, y, x),
        volume_nm3=float(inside.sum() * (edge / 10) ** 3),
        defects=strain.defects(found.obj, support.interior(inside, 1)),
    )
