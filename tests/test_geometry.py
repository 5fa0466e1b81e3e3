"""Geometry: against closed forms and another program; strain of known fields, at defects too, in any frame."""

from __future__ import annotations

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.physics import align, fourier, geometry, strain, support
from braggfill.physics.geometry import HC, HORIZONTAL, VERTICAL, Geometry

GIVEN = {"energy_ev": 9000.0, "distance_m": 0.8, "pixel_m": (55e-6, 60e-6), "rocking_step_deg": 0.012}


def coplanar(delta=34.0, **more) -> Geometry:
    return Geometry(**{**GIVEN, "delta_deg": delta, **more})


def test_coplanar_rocking_has_its_closed_form():
    """A crystal turned about the axis across the scattering plane: angle theta between frames and detector."""
    found, shape = coplanar(), (80, 100, 120)
    wavelength, theta = HC / 9000, np.radians(17)
    assert found.spacing == pytest.approx(wavelength / (2 * np.sin(theta)))
    assert found.two_theta_deg == pytest.approx(34)
    rocking, vertical, horizontal = found.steps
    pixel = 1 / (0.8 * wavelength)
    assert np.linalg.norm(rocking) == pytest.approx(np.radians(0.012) / found.spacing)
    assert np.linalg.norm(vertical) == pytest.approx(55e-6 * pixel)
    assert np.linalg.norm(horizontal) == pytest.approx(60e-6 * pixel)
    cosine = rocking @ vertical / (np.linalg.norm(rocking) * np.linalg.norm(vertical))
    assert abs(cosine) == pytest.approx(np.sin(theta))
    # Voxels: the oblique pair is stretched by 1 / cos theta, the third is not.
    lengths = np.linalg.norm(found.voxels(shape), axis=0)
    assert lengths[0] == pytest.approx(found.spacing / (80 * np.radians(0.012)) / np.cos(theta))
    assert lengths[1] == pytest.approx(1 / (100 * 55e-6 * pixel) / np.cos(theta))
    assert lengths[2] == pytest.approx(1 / (120 * 60e-6 * pixel))


def test_the_mirror_image_of_a_scan_in_the_horizontal_plane_has_the_same_voxels():
    upright = coplanar().voxels((64, 64, 64))
    pitch = (60e-6, 55e-6)
    lying = Geometry(**{**GIVEN, "pixel_m": pitch}, nu_deg=34.0, rocking_axis=VERTICAL).voxels((64, 64, 64))
    np.testing.assert_allclose(np.linalg.norm(lying, axis=0)[[0, 2, 1]], np.linalg.norm(upright, axis=0))
    assert np.linalg.det(upright) == pytest.approx(-np.linalg.det(lying)) or np.linalg.det(upright) == pytest.approx(
        np.linalg.det(lying)
    )


@pytest.mark.parametrize(("delta", "nu", "axis"), [(34, 0, "y-"), (30, 11, "y-"), (-12, 25, "z-"), (20, -15, "z-")])
def test_reciprocal_space_is_that_of_xrayutilities(delta, nu, axis):
    """Its frame is x along the beam, z up: (y, z, x) there are (x, y, z) here."""
    xu = pytest.importorskip("xrayutilities", reason="xrayutilities is not installed")
    found = Geometry(**GIVEN, delta_deg=delta, nu_deg=nu, rocking_axis={"y-": HORIZONTAL, "z-": VERTICAL}[axis])
    other = xu.QConversion([axis], ["z-", "y-"], [1, 0, 0])
    other.init_area("z-", "y-", cch1=0, cch2=0, Nch1=2, Nch2=2, pwidth1=55e-6, pwidth2=60e-6, distance=0.8)
    frames = np.array([0, GIVEN["rocking_step_deg"]])
    q = np.array(other.area(frames, np.full(2, nu), np.full(2, delta), wl=found.wavelength, deg=True)) / (2 * np.pi)
    q = q[[1, 2, 0]]
    np.testing.assert_allclose(q[:, 0, 0, 0], found.scattering_vector, atol=1e-9)
    steps = np.array([q[:, 1, 0, 0], q[:, 0, 1, 0], q[:, 0, 0, 1]]) - q[:, 0, 0, 0]
    np.testing.assert_allclose(steps, found.steps, atol=2e-4 * np.abs(found.steps).max())


def test_voxels_are_what_the_fourier_transform_makes_of_the_array():
    """A plane wave in real space has its peak at the reciprocal voxel that the geometry says."""
    found, shape = coplanar(nu_deg=7.0), (20, 24, 28)
    voxels, place = found.voxels(shape), np.array([3, -5, 6])
    q = place @ found.steps
    n = np.stack(np.broadcast_arrays(*fourier.grid(shape)), axis=-1)
    wave = np.exp(2j * np.pi * (n @ voxels.T) @ q)
    peak = np.unravel_index(np.argmax(np.abs(fourier.forward(wave))), shape)
    np.testing.assert_array_equal(np.array(peak) - np.array(shape) // 2, place)


def sphere(shape, voxels, radius):
    n = np.stack(np.broadcast_arrays(*fourier.grid(shape)), axis=-1)
    r = n @ voxels.T
    return np.linalg.norm(r, axis=-1) < radius, r


def test_a_known_strain_comes_back_in_the_detectors_frame_and_in_the_laboratorys():
    """u along Q = e r.q + b (r.q)^2: the strain is e + 2 b r.q."""
    found, shape = coplanar(delta=40.0, nu_deg=10.0, rocking_step_deg=0.02), (40, 48, 44)
    voxels, d = found.voxels(shape), found.spacing
    inside, r = sphere(shape, voxels, 9 * np.linalg.norm(voxels, axis=0).min())
    along = r @ found.scattering_vector * d
    e, b = 5e-4, 2e-7
    obj = inside * np.exp(-2j * np.pi / d * (e * along + b * along**2))
    weights = strain.strain_weights(voxels, found.scattering_vector, d)
    got = strain.from_differences(obj, inside, weights)
    deep = np.isfinite(got) & inside & (np.linalg.norm(r, axis=-1) < 6 * np.linalg.norm(voxels, axis=0).min())
    np.testing.assert_allclose(got[deep], (e + 2 * b * along)[deep], atol=2e-6)
    edge = abs(np.linalg.det(voxels)) ** (1 / 3)
    size = geometry.laboratory_shape(inside, voxels, edge)
    lab = geometry.laboratory(np.where(inside, np.nan_to_num(got), 0), voxels, size, edge)
    z, y, x = np.broadcast_arrays(*fourier.grid(size))
    place = np.stack([x, y, z], axis=-1) * edge
    central = support.interior(inside, 1)  # where differences are of second order
    there = geometry.laboratory(central.astype(float), voxels, size, edge) > 0.999
    assert there.sum() > 50
    want = e + 2 * b * place @ found.scattering_vector * d
    np.testing.assert_allclose(lab[there], want[there], atol=5e-6)


def test_the_laboratory_frame_keeps_shape_and_volume():
    found, shape = coplanar(nu_deg=12.0, rocking_step_deg=0.02), (48, 48, 48)
    voxels = found.voxels(shape)
    edge = abs(np.linalg.det(voxels)) ** (1 / 3)
    inside, _ = sphere(shape, voxels, 8 * edge)
    size = geometry.laboratory_shape(inside, voxels, edge)
    lab = geometry.laboratory(inside.astype(float), voxels, size, edge)
    assert lab.sum() == pytest.approx(inside.sum(), rel=0.02)
    z, y, x = fourier.grid(size)
    radius = np.sqrt(z**2 + y**2 + x**2)
    assert (lab[radius < 7] > 0.5).all()
    assert (lab[radius > 9.2] < 0.5).all()


def test_strain_near_a_defect_is_right_and_the_defect_is_counted():
    shape, d = (16, 32, 32), 2.0
    z, y, x = fourier.grid(shape)
    winding = np.arctan2(y + 0.5, x + 0.5)
    inside = np.broadcast_to((np.abs(z) < 6) & (y**2 + x**2 < 144), shape)
    obj = inside * np.exp(1j * winding)
    got = strain.from_differences(obj, inside, [0, 0, -d / (2 * np.pi)])
    gradient = -(y + 0.5) / ((y + 0.5) ** 2 + (x + 0.5) ** 2)
    far = inside & (y**2 + x**2 > 25) & (y**2 + x**2 < 100)
    want = np.broadcast_to(-d / (2 * np.pi) * gradient, shape)
    np.testing.assert_allclose(got[far], want[far], atol=3e-3 * d)
    assert strain.defects(obj, inside) == int(inside.any(axis=(1, 2)).sum())
    assert strain.defects(inside * np.exp(0.4j * x), inside) == 0


def test_the_twin_has_the_same_strain_mirrored():
    shape = (20, 21, 22)
    z, y, x = fourier.grid(shape)
    inside = (z**2 + y**2 + x**2 < 49) & (x + y < 6)
    obj = inside * np.exp(1j * (0.1 * x**2 / 5 + 0.2 * y))
    weights = [0.1, 0.3, -0.5]
    one = strain.from_differences(obj, inside, weights)
    other = strain.from_differences(_twin(obj), _twin(inside), weights)
    np.testing.assert_allclose(np.nan_to_num(_twin(one)), np.nan_to_num(other), atol=1e-6)


def _twin(values):
    found = align.twin(values.astype(complex))
    return found if values.dtype == complex else found.real.astype(values.dtype)


def test_bragg_law_and_cubic_spacings():
    d = geometry.cubic_spacing(3.924, (1, 1, 1))
    assert d == pytest.approx(2.2655, abs=1e-4)
    angle = geometry.two_theta(9000, d)
    assert coplanar(delta=angle).spacing == pytest.approx(d)
    assert coplanar(delta=0, nu_deg=angle).spacing == pytest.approx(d)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"energy_ev": 0}, "energy"),
        ({"distance_m": float("nan")}, "distance"),
        ({"pixel_m": (55e-6, -1)}, "pixel"),
        ({"rocking_step_deg": 0}, "rocking step"),
        ({"directions": ("y-", "y+")}, "detector axes"),
        ({"directions": ("up", "x+")}, "detector axes"),
        ({"rocking_axis": (0, 0, 0)}, "rocking axis"),
        ({"delta_deg": 0}, "detector angles"),
    ],
)
def test_what_is_no_geometry_is_told_in_one_line(more, told):
    with pytest.raises(BraggfillError, match=told) as error:
        coplanar(**more)
    assert "\n" not in str(error.value)


def test_turning_about_the_scattering_vector_is_told():
    found = coplanar()
    turned = coplanar(rocking_axis=tuple(found.scattering_vector))
    with pytest.raises(BraggfillError, match="rocking"):
        turned.voxels((8, 8, 8))
    with pytest.raises(BraggfillError, match="cannot diffract"):
        geometry.two_theta(9000, 0.5)
    with pytest.raises(BraggfillError, match="no reflection"):
        geometry.cubic_spacing(4, (0, 0, 0))
