r"""From detector pixels and frames to reciprocal and real space.

Laboratory frame, right-handed, as in CXI: **z** along the beam, **y** up, **x** to the left as seen along the beam.
The scattering vector of a pixel is :math:`q = (\hat s - \hat z) / \lambda` (cycles per Å), with :math:`\hat s` from the
sample to the pixel.  The frame that turns with the crystal and equals the laboratory's in the middle of the rocking
curve sees it turn the other way, so one step along the array's axes changes :math:`q` by

.. math::
    \delta q_0 = -\Delta\theta\; \hat w \times Q, \qquad
    \delta q_{1, 2} = \frac{p_{1, 2}}{D \lambda}\, \hat e_{1, 2}

where :math:`\hat w` is the axis that the crystal turns about, :math:`\hat e` the directions of rows and columns, p the
pixel's pitch, D the distance.  They are taken at the Bragg peak and for all pixels alike.  The Fourier transform of an
array of :math:`N_j` voxels has voxels :math:`a_j` with :math:`N_i\, \delta q_i \cdot a_j = \delta_{ij}`: three edges of
a parallelepiped, in general not orthogonal.

Signs: ``delta`` raises the detector; ``nu`` carries ``delta`` and turns the detector to the right as seen along the
beam (as at ESRF ID01); a rocking step is positive in the sense in which the angle of its plane grows: about the
horizontal axis that of ``delta``, about the vertical one that of ``nu``.

Source: Lo, Zhao & Harder, J. Appl. Cryst. 50, 1607 (2017); Maddali et al., J. Appl. Cryst. 53, 393 (2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from braggfill.errors import BraggfillError

HC = 12398.41984
"""Planck's constant times the speed of light, eV Å."""
AXES = {"x+": (1, 0, 0), "x-": (-1, 0, 0), "y+": (0, 1, 0), "y-": (0, -1, 0), "z+": (0, 0, 1), "z-": (0, 0, -1)}
"""Directions of the laboratory, as (x, y, z)."""
HORIZONTAL, VERTICAL = AXES["x-"], AXES["y-"]
"""Axes that the crystal turns about, so that the step has the sign that is stated above."""
LEAST_VOLUME = 1e-3
"""Below this share of a box's volume, the three steps are taken to lie in a plane."""


@dataclass(frozen=True)
class Geometry:
    """How a scan was measured, see the module."""

    energy_ev: float
    distance_m: float
    pixel_m: tuple[float, float]
    """Pitch along array axes 1 (vertical) and 2 (horizontal)."""
    rocking_step_deg: float
    delta_deg: float = 0.0
    """Elevation of the detector's arm where it looks at the Bragg peak."""
    nu_deg: float = 0.0
    """Its azimuth, which carries the elevation."""
    rocking_axis: tuple[float, float, float] = HORIZONTAL
    """Axis (x, y, z) that the crystal turns about, right-handed for a positive step; any length."""
    directions: tuple[str, str] = ("y-", "x-")
    """Where array axes 1 and 2 point with the arm at zero: rows downwards, columns to the right along the beam."""

    def __post_init__(self) -> None:
        for name, value in (("energy", self.energy_ev), ("distance", self.distance_m), ("pixel", min(self.pixel_m))):
            if not (np.isfinite(value) and value > 0):
                raise BraggfillError(f"{name}: {value:g}; give a number above zero")
        if not np.isfinite(self.rocking_step_deg) or self.rocking_step_deg == 0:
            raise BraggfillError(f"rocking step: {self.rocking_step_deg:g}; give the step between frames in degrees")
        named = [d for d in self.directions if d not in AXES]
        if named or self.directions[0][0] == self.directions[1][0]:
            told = ",".join(self.directions)
            raise BraggfillError(f"detector axes: {told!r}; give two directions across each other, such as y-,x-")
        if not np.linalg.norm(self.rocking_axis) > 0:
            raise BraggfillError("rocking axis: has no length; give horizontal, vertical or three numbers")
        if np.linalg.norm(self.scattering_vector) * self.wavelength < 1e-3:
            raise BraggfillError(
                "detector angles: both are zero, where there is no Bragg peak; give --delta, --nu, or the lattice "
                "spacing, from which the angle follows"
            )

    @property
    def wavelength(self) -> float:
        """Å."""
        return HC / self.energy_ev

    @property
    def arm(self) -> np.ndarray:
        """Rotation (3, 3) of the detector's arm."""
        from scipy.spatial.transform import Rotation

        turns = np.array([[0, -self.nu_deg, 0], [-self.delta_deg, 0, 0]])
        outer, inner = Rotation.from_rotvec(turns, degrees=True)
        return (outer * inner).as_matrix()

    @property
    def scattering_vector(self) -> np.ndarray:
        r""":math:`Q`, cycles per Å, at the Bragg peak."""
        return (self.arm @ [0, 0, 1] - np.array([0, 0, 1])) / self.wavelength

    @property
    def spacing(self) -> float:
        r"""Lattice spacing :math:`1 / |Q|`, Å."""
        return float(1 / np.linalg.norm(self.scattering_vector))

    @property
    def two_theta_deg(self) -> float:
        """Scattering angle."""
        return float(np.degrees(2 * np.arcsin(min(self.wavelength / (2 * self.spacing), 1.0))))

    @property
    def steps(self) -> np.ndarray:
        r""":math:`\delta q` (3 array axes, xyz): change of q, cycles per Å, for a step along each array axis."""
        axis = np.asarray(self.rocking_axis, float) / np.linalg.norm(self.rocking_axis)
        rocking = -np.radians(self.rocking_step_deg) * np.cross(axis, self.scattering_vector)
        pixels = [
            pitch / (self.distance_m * self.wavelength) * self.arm @ AXES[direction]
            for pitch, direction in zip(self.pixel_m, self.directions, strict=True)
        ]
        return np.array([rocking, *pixels])

    def reciprocal(self, shape: Sequence[int]) -> np.ndarray:
        """Sides (3 array axes, xyz) of the array in reciprocal space, cycles per Å.

        Raises
        ------
        BraggfillError : they lie in a plane, as where the crystal turns about its own scattering vector.
        """
        found = self.steps * np.asarray(shape, float)[:, None]
        lengths = np.linalg.norm(found, axis=1)
        if abs(np.linalg.det(found)) <= LEAST_VOLUME * lengths.prod() or not lengths.all():
            raise BraggfillError(
                "geometry: the rocking curve does not leave the detector's plane in reciprocal space; check "
                "--rocking-axis, --delta and --nu"
            )
        return found

    def voxels(self, shape: Sequence[int]) -> np.ndarray:
        """Edges (xyz, 3 array axes) of a voxel of the reconstructed object, Å: column j belongs to array axis j."""
        return np.linalg.inv(self.reciprocal(shape))


def two_theta(energy_ev: float, spacing_angstrom: float) -> float:
    r"""Scattering angle, degrees, from :math:`\lambda = 2 d \sin\theta`.

    Raises
    ------
    BraggfillError : the wavelength is more than twice the spacing.
    """
    sine = HC / energy_ev / (2 * spacing_angstrom)
    if not 0 < sine < 1:
        raise BraggfillError(
            f"spacing: {spacing_angstrom:g} Å cannot diffract {energy_ev / 1e3:g} keV ({HC / energy_ev:.3g} Å); "
            "check --energy (keV) and --spacing, --hkl (Å)"
        )
    return float(np.degrees(2 * np.arcsin(sine)))


def cubic_spacing(lattice_angstrom: float, hkl: Sequence[float]) -> float:
    r""":math:`d = a / \sqrt{h^2 + k^2 + l^2}`, Å, of a cubic lattice."""
    norm = float(np.linalg.norm(hkl))
    if not norm:
        raise BraggfillError("hkl: 0, 0, 0 is no reflection; give its indices, such as 1,1,1")
    return lattice_angstrom / norm


def laboratory(values: np.ndarray, voxels: np.ndarray, shape: Sequence[int], edge: float, *, order: int = 1):
    """Values interpolated into an orthogonal frame whose array axes are z, y, x of the laboratory.

    Parameters
    ----------
    values : three axes, real or complex, origin at ``n // 2``; zero beyond them.
    voxels : (xyz, 3 array axes), Å, see :meth:`braggfill.physics.geometry.Geometry.voxels`.
    shape : of the result, origin at ``n // 2``.
    edge : of its voxels, Å.
    order : of the spline, 1 for linear.
    """
    import scipy.ndimage

    matrix = np.linalg.inv(voxels)[:, ::-1] * edge  # zyx steps of the result -> steps of the input
    offset = [n // 2 for n in values.shape] - matrix @ [n // 2 for n in shape]

    def one(part: np.ndarray) -> np.ndarray:
        return scipy.ndimage.affine_transform(part, matrix, offset, tuple(shape), order=order, mode="grid-constant")

    return one(values.real) + 1j * one(values.imag) if np.iscomplexobj(values) else one(values)


def laboratory_shape(inside: np.ndarray, voxels: np.ndarray, edge: float, margin: int = 3) -> tuple[int, int, int]:
    """Shape (z, y, x) that holds the support in the orthogonal frame, with ``margin`` voxels around it."""
    from braggfill.physics.support import bounding_box

    sides = [
        np.array([s.start - 0.5, s.stop - 0.5]) - n // 2
        for s, n in zip(bounding_box(inside), inside.shape, strict=True)
    ]
    corners = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 3)
    reach = np.abs(corners @ voxels.T).max(axis=0)[::-1] / edge
    z, y, x = (2 * (int(np.ceil(r)) + margin) for r in reach)
    return z, y, x
