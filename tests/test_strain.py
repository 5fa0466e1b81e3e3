"""Laws of displacement, strain and alignment."""

from __future__ import annotations

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.physics import align, fourier, strain, support

SHAPE = (24, 26, 27)
D = 2.265  # angstrom
VOXEL = (31.0, 25.0, 40.0)  # angstrom


def ball(shape=SHAPE, radii=(8, 7, 9), centre=(0.0, 0.0, 0.0)) -> np.ndarray:
    """An ellipsoid, by default about the origin."""
    grid = fourier.grid(shape)
    return sum(((r - c) / a) ** 2 for r, c, a in zip(grid, centre, radii, strict=True)) <= 1


def lopsided(shape=SHAPE) -> np.ndarray:
    """A particle that is not its own mirror image, with a phase of its own: complex, smooth enough to be shifted."""
    z, y, x = fourier.grid(shape)
    modulus = ball(shape, (7, 6, 8)) * (1 + 0.03 * z) * ~((x > 3) & (y > 2))
    spectrum = fourier.forward(modulus * np.exp(1j * (0.02 * z**2 - 0.015 * x * y + 0.01 * y**2)))
    soft = np.exp(-sum((q / (0.3 * n)) ** 2 for q, n in zip(fourier.grid(shape), shape, strict=True)))
    return fourier.inverse(spectrum * soft)


def phase_of(displacement_angstrom: np.ndarray) -> np.ndarray:
    return -2 * np.pi * displacement_angstrom / D


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_linear_displacement_is_a_uniform_strain(axis):
    inside = ball()
    u = 3e-4 * VOXEL[axis] * fourier.grid(SHAPE)[axis] * np.ones(SHAPE)
    found = strain.strain(phase_of(u), inside, d_spacing_angstrom=D, voxel_angstrom=VOXEL, direction=axis)
    np.testing.assert_allclose(found[np.isfinite(found)], 3e-4, rtol=1e-9)
    assert np.isfinite(found[support.interior(inside, 1)]).all()
    assert np.isnan(found[~inside]).all()


def test_a_quadratic_displacement_is_a_linear_strain():
    inside = ball()
    x = VOXEL[2] * fourier.grid(SHAPE)[2] * np.ones(SHAPE)
    found = strain.strain(phase_of(1e-6 * x**2), inside, d_spacing_angstrom=D, voxel_angstrom=VOXEL, direction=2)
    middle = support.interior(inside, 1)
    np.testing.assert_allclose(found[middle], 2e-6 * x[middle], atol=1e-12)
    surface = inside & ~middle & np.isfinite(found)  # One-sided differences are half a voxel off.
    assert np.abs(found[surface] - 2e-6 * x[surface]).max() <= 1.0001e-6 * VOXEL[2]


def test_only_the_component_along_the_scattering_vector_counts():
    inside = ball()
    r = [v * g for v, g in zip(VOXEL, fourier.grid(SHAPE), strict=True)]
    slopes = np.array([2e-4, -1e-4, 5e-4])
    phase = phase_of(sum(s * x for s, x in zip(slopes, r, strict=True)) * np.ones(SHAPE))
    direction = np.array([1.0, 2.0, -2.0])
    found = strain.strain(phase, inside, d_spacing_angstrom=D, voxel_angstrom=VOXEL, direction=direction)
    np.testing.assert_allclose(found[np.isfinite(found)], slopes @ direction / 3, rtol=1e-9)


def test_voxels_outside_never_enter():
    inside = ball()
    phase = np.where(inside, 0.2, np.random.default_rng(1).normal(size=SHAPE) * 100)
    found = strain.strain(phase, inside, d_spacing_angstrom=D, voxel_angstrom=10, direction=0)
    assert np.nanmax(np.abs(found)) == 0


def test_displacement_has_the_published_size():
    # Paper, section 2.6.1: 0.2 rad are 7 pm for the 111 reflection of Pt.
    assert abs(strain.displacement_pm(np.array(0.2), D)) == pytest.approx(7, abs=0.3)
    # Atoms moved along the scattering vector have a negative phase.
    assert strain.displacement_pm(phase_of(np.array(0.05)), D) == pytest.approx(5)


def test_displaced_atoms_give_back_their_strain():
    # From a direct sum over atoms: the definition is that of braggfill's own patterns.
    n, d, voxel, stretch = 48, 2.0, 10.0, 2e-3
    atoms = d * np.arange(-60, 61)
    q = 1 / d + (np.arange(n) - n // 2) / (n * voxel)
    amplitude = np.exp(-2j * np.pi * np.outer(q, atoms * (1 + stretch))).sum(axis=1)
    obj = fourier.inverse(amplitude)
    inside = support.interior(support.from_modulus(obj, 0.5), 3)
    found = strain.strain(
        strain.unwrap(obj[:, None], inside[:, None]),
        inside[:, None],
        d_spacing_angstrom=d,
        voxel_angstrom=voxel,
        direction=0,
    )
    assert np.nanmean(found) == pytest.approx(stretch, rel=0.03)


def test_unwrap_recovers_many_turns():
    inside = ball()
    z, y, x = fourier.grid(SHAPE)
    phase = (0.9 * z + 0.05 * y**2 - 0.6 * x) * np.ones(SHAPE)
    assert np.ptp(phase[inside]) > 4 * np.pi
    obj = np.where(inside, np.exp(1j * phase), 1e-3 * np.exp(5j * z))
    found = strain.unwrap(obj, inside)
    np.testing.assert_allclose(found[inside], phase[inside] - phase[inside].mean(), atol=1e-6)
    assert np.isnan(found[~inside]).all()


def test_support_is_the_largest_part():
    obj = 1.0 * ball() + 0.9 * ball(radii=(1, 1, 1), centre=(11, 12, 12))
    np.testing.assert_array_equal(support.from_modulus(obj, 0.5), ball())
    assert support.extent(ball()) == (17, 15, 19)
    assert support.oversampling(ball()) == pytest.approx((24 / 17, 26 / 15, 27 / 19))


@pytest.mark.parametrize("shape", [(24, 26, 28), (24, 25, 27)])
def test_a_twin_has_the_same_intensities_and_is_its_own_inverse(shape):
    obj = lopsided(shape)
    other = align.twin(obj)
    np.testing.assert_allclose(np.abs(fourier.forward(other)), np.abs(fourier.forward(obj)), atol=1e-10)
    np.testing.assert_array_equal(align.twin(other), obj)


def test_shift_theorem():
    obj = lopsided()
    np.testing.assert_allclose(align.shifted(obj, (2, -3, 1)), np.roll(obj, (2, -3, 1), (0, 1, 2)), atol=1e-12)
    there = align.shifted(obj, (0.3, -0.4, 0.25))
    np.testing.assert_allclose(align.shifted(there, (-0.3, 0.4, -0.25)), obj, atol=1e-12)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("slope", [(0.0, 0.0, 0.0), (0.21, -0.13, 0.08)])
def test_align_undoes_what_intensities_do_not_tell(flip, slope):
    truth = lopsided()
    obj = align.shifted(truth, (3.3, -2.6, 1.4)) * np.exp(0.7j)
    obj = obj * np.exp(1j * sum(s * g for s, g in zip(slope, fourier.grid(SHAPE), strict=True)))
    found = align.align(align.twin(obj) if flip else obj, truth)
    assert found.twin is flip
    inside = support.from_modulus(truth)
    assert found.correlation > 0.9995
    assert strain.phase_std(found.obj, inside, truth) < 0.02
    assert np.abs(np.abs(found.obj) - np.abs(truth))[inside].max() < 0.03 * np.abs(truth).max()
    if not flip:
        np.testing.assert_allclose(found.shift, (-3.3, 2.6, -1.4), atol=0.04)
        np.testing.assert_allclose(found.ramp, slope, atol=5e-3)


def test_align_of_itself_changes_nothing():
    truth = lopsided()
    found = align.align(truth, truth)
    assert (found.twin, found.correlation) == (False, pytest.approx(1))
    np.testing.assert_allclose(found.obj, truth, atol=1e-9)


def test_align_keeps_a_ramp_where_asked():
    truth = lopsided()
    tilted = truth * np.exp(0.05j * fourier.grid(SHAPE)[0])
    assert strain.phase_std(align.align(tilted, truth, ramp=False).obj, support.from_modulus(truth), truth) > 0.1


def test_spread_of_a_known_phase():
    inside = ball()
    noise = 0.1 * np.random.default_rng(2).normal(size=SHAPE)
    truth = np.exp(1j * fourier.grid(SHAPE)[1] / 3) * np.ones(SHAPE)
    assert strain.phase_std(truth * np.exp(1j * (noise + 2)), inside, truth) == pytest.approx(noise[inside].std())
    assert strain.inhomogeneity(truth * 3, inside) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: support.from_modulus(np.zeros(SHAPE)), "no support"),
        (lambda: support.from_modulus(np.full(SHAPE, np.nan)), "not finite"),
        (lambda: support.extent(np.zeros(SHAPE, bool)), "empty"),
        (lambda: align.align(np.ones((4, 4, 4)), np.ones((4, 4, 5))), "shape"),
    ],
)
def test_bad_input_is_told_in_one_line(call, says):
    with pytest.raises(BraggfillError, match=says) as error:
        call()
    assert "\n" not in str(error.value)
