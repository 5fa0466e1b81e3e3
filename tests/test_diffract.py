"""Laws of the patterns that the stage ``diffract`` makes."""

from __future__ import annotations

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.physics import crystals, diffraction, fourier
from braggfill.runs import storage
from braggfill.runs.splits import split_of
from braggfill.settings.crystal import CrystalSettings
from braggfill.settings.diffract import DiffractSettings
from braggfill.stages import crystal, diffract
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

few = settings(max_examples=20, deadline=None)
numbers = st.integers(0, 2**31)
CRYSTALS = CrystalSettings(extent_voxels=14.0, bodies=("hull",), modulus_noise=(0.0, 0.05))
SMALL = DiffractSettings(shape=(24, 24, 24), patterns=2, oversampling=(2.3, 3.0))


def contents(path):
    with storage.read(path) as file:
        return {name: storage.array(file, name) for name in file}


def random_object(seed, shape):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@given(numbers, st.sampled_from([(9, 8), (6, 7, 5)]), st.integers(0, 7), st.integers(0, 5))
@few
def test_the_window_is_the_middle_of_the_centred_transform(seed, shape, more, wider):
    made = random_object(seed, shape)
    window = tuple(n + wider for n in shape)
    period = max(window) + more
    whole = fourier.forward(crystals.embedded(made, (period,) * len(shape)).astype(complex))
    cut = tuple(slice(period // 2 - n // 2, period // 2 - n // 2 + n) for n in window)
    np.testing.assert_allclose(diffraction.amplitude(made, window, period), whole[cut], atol=2e-5)


@given(numbers, st.sampled_from([(16, 18), (10, 9, 12)]))
@few
def test_parseval(seed, shape):
    made = random_object(seed, shape)
    found = diffraction.amplitude(made, (21,) * len(shape), 21)
    assert np.sum(np.abs(found) ** 2) == pytest.approx(np.sum(np.abs(made) ** 2), rel=1e-5)


@given(numbers, st.sampled_from([(33, 33), (21, 21, 21)]))
@few
def test_a_real_object_has_friedels_symmetry(seed, shape):
    made = crystals.draw_object(np.random.default_rng(seed), shape, kind="none", oversampling=2.5)
    pattern = diffraction.expose(diffraction.amplitude(made.real, shape, max(shape)), 1e5, None)
    axes = tuple(range(len(shape)))
    np.testing.assert_allclose(np.flip(pattern.expectation, axes), pattern.expectation, atol=1e-1)
    bright = pattern.expectation > 10
    turned = pattern.phase + np.flip(pattern.phase, axes)
    assert np.abs(np.angle(np.exp(1j * turned[bright]))).max() < 1e-2


@given(numbers, st.tuples(st.integers(-3, 3), st.integers(-3, 3)))
@few
def test_a_shifted_object_has_the_same_intensity_and_a_ramp_in_its_phase(seed, shift):
    made = crystals.embedded(random_object(seed, (9, 9)), (18, 18))
    one, other = (diffraction.amplitude(x, (20, 20), 20) for x in (made, np.roll(made, shift, (0, 1))))
    q = fourier.grid((20, 20))
    ramp = np.exp(-2j * np.pi * sum(s * x for s, x in zip(shift, q, strict=True)) / 20)
    np.testing.assert_allclose(other, one * ramp, atol=1e-4)
    first, second = (diffraction.expose(a, 1e4, None) for a in (one, other))
    np.testing.assert_allclose(first.expectation, second.expectation, rtol=1e-3, atol=1e-2)


@given(numbers, st.floats(2, 7))
@few
def test_intensity_and_phase_give_the_object_back(seed, exponent):
    made = crystals.draw_object(np.random.default_rng(seed), (32, 32), oversampling=2.2)
    pattern = diffraction.expose(diffraction.amplitude(made, (32, 32), 32), 10**exponent, None)
    found = fourier.inverse(np.sqrt(pattern.expectation) * np.exp(1j * pattern.phase))
    overlap = np.vdot(found, made) / np.linalg.norm(found) / np.linalg.norm(made)
    assert abs(overlap) == pytest.approx(1, abs=1e-4)
    assert pattern.phase[16, 16] == pytest.approx(0, abs=1e-6)
    assert pattern.expectation.max() == pytest.approx(10**exponent, rel=1e-5)


def test_counts_are_poisson_numbers_of_the_expectation():
    found = diffraction.amplitude(random_object(1, (20, 20)), (64, 64), 64)
    pattern = diffraction.expose(found, 50.0, np.random.default_rng(2))
    bright = pattern.expectation > 5
    z = (pattern.counts[bright] - pattern.expectation[bright]) / np.sqrt(pattern.expectation[bright])
    assert z.mean() == pytest.approx(0, abs=0.1)
    assert z.std() == pytest.approx(1, abs=0.1)
    assert pattern.counts.dtype == np.uint32


def test_bad_input_is_told():
    with pytest.raises(BraggfillError, match="smaller than the pattern"):
        diffraction.amplitude(random_object(0, (8, 8)), (12, 12), 10)
    for bad in (0.0, np.nan):
        with pytest.raises(BraggfillError, match="zero everywhere or not finite"):
            diffraction.expose(np.full((4, 4), bad, np.complex64), 1e3, None)


# The stage ----------------------------------------------------------------------------------------------------------


def test_the_same_patterns_whatever_the_chunks(tmp_path):
    for name, indices in (("all", range(5)), ("a", [0, 1]), ("b", [2, 3, 4])):
        crystal.crystal_chunk(CRYSTALS, 3, indices, tmp_path / f"{name}.h5")
        diffract.diffract_chunk(SMALL, 3, tmp_path / f"{name}.h5", tmp_path / f"{name}-d.h5")
    whole, first, second = (contents(tmp_path / f"{name}-d.h5") for name in ("all", "a", "b"))
    assert len(whole["counts"]) == 10
    for name, values in whole.items():
        np.testing.assert_array_equal(values, np.concatenate([first[name], second[name]]))
    assert len(np.unique(whole["photons"])) == 10
    assert (whole["oversampling"].min(axis=1) >= 2.3).all()
    assert (whole["oversampling"].min(axis=1) <= 3.0 + 1 / 14).all()
    np.testing.assert_array_equal(whole["split"], [split_of(SMALL.fractions, 3, int(i)) for i in whole["crystal"]])
    np.testing.assert_array_equal(whole["pattern"], [0, 1] * 5)


def test_two_dimensions_without_noise(tmp_path):
    chosen = CrystalSettings(dimensions=2, extent_voxels=32.0)
    crystal.crystal_chunk(chosen, 1, range(70), tmp_path / "c.h5")
    seen = DiffractSettings(shape=(64, 64), counting=False)
    diffract.diffract_chunk(seen, 1, tmp_path / "c.h5", tmp_path / "d.h5")
    found = contents(tmp_path / "d.h5")
    assert found["counts"].shape == (70, 64, 64)
    np.testing.assert_allclose(found["counts"], found["expectation"], atol=0.5, rtol=2e-4)


def test_axes_that_do_not_agree_and_a_missing_file_are_told(tmp_path):
    crystal.crystal_chunk(CRYSTALS, 1, [0], tmp_path / "c.h5")
    with pytest.raises(BraggfillError, match=r"let diffract.shape and crystal.dimensions agree"):
        diffract.diffract_chunk(DiffractSettings(shape=(64, 64)), 1, tmp_path / "c.h5", tmp_path / "d.h5")
    with pytest.raises(BraggfillError, match=r"pattern 0 of crystal 000000: .* raise the oversampling"):
        diffract.diffract_chunk(DiffractSettings(), 1, tmp_path / "c.h5", tmp_path / "d.h5")
    with pytest.raises(BraggfillError, match="no such file"):
        diffract.diffract_chunk(SMALL, 1, tmp_path / "x.h5", tmp_path / "d.h5")
    assert not (tmp_path / "d.h5").exists()


def test_settings_that_cannot_be_are_told():
    for wrong in ({"shape": (4, 64, 64)}, {"split_validation": 0.4, "split_test": 0.2}, {"oversampling": (1.0, 2.0)}):
        with pytest.raises(ValidationError):
            DiffractSettings(**wrong)
