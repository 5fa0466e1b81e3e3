"""Laws of trust: which filled voxels phase retrieval should take, and which it should find itself."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from braggfill import filling
from braggfill.cli import main
from braggfill.errors import BraggfillError
from braggfill.filling import finite, trust
from braggfill.patterns import distribution
from braggfill.settings.reconstruct import ReconstructSettings
from braggfill.stages.reconstruct import cases, objects, treatments
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from patterns import ellipsoid

photons = arrays.arrays(np.float64, (3, 4, 5), elements=st.floats(0, 1e6))
masks = arrays.arrays(bool, (3, 4, 5))


def test_the_uncertainty_is_one_where_only_counting_noise_is_left():
    expected = np.array([99.0, 9999.0])
    np.testing.assert_allclose(trust.uncertainty(expected, np.sqrt(expected + trust.DARK)), 1)
    assert trust.uncertainty(np.array([1e4]), np.array([1e3]))[0] > 9


def test_what_is_dark_stays_filled_and_an_uncertain_photon_does_not():
    """A voxel of 0.05 expected photons is as uncertain as a count of it; one of a photon may be a tenth more so, and no
    more."""
    data, sigma = np.array([0.05, 1.0, 1.0]), np.array([np.sqrt(0.05), 1.1, 1.3])
    assert trust.uncertain(data, sigma, np.ones(3, bool)).tolist() == [False, False, True]


@given(photons, photons, masks)
def test_what_was_measured_is_never_masked(data, sigma, mask):
    found = trust.uncertain(data, sigma, mask)
    assert not (found & ~mask).any()


@given(photons, photons, masks, st.floats(0, 100), st.floats(0, 100))
def test_who_believes_more_masks_less(data, sigma, mask, one, other):
    low, high = sorted((one, other))
    assert not (trust.uncertain(data, sigma, mask, high) & ~trust.uncertain(data, sigma, mask, low)).any()


def test_a_filling_without_an_uncertainty_is_masked():
    mask = np.ones((2, 2, 2), bool)
    mask[0] = False
    np.testing.assert_array_equal(trust.uncertain(np.ones(mask.shape), np.full(mask.shape, np.nan), mask), mask)


def test_the_summary_counts_voxels_and_photons():
    data = np.full((4, 4, 4), 3.0)
    data[0] = 999.0
    sigma = np.full(data.shape, 2.0)
    sigma[0] = 500.0
    mask = np.ones(data.shape, bool)
    mask[3] = False
    told = trust.summary(data, sigma, mask)
    assert "33% of the filled voxels" in told
    assert "99% of the filled photons" in told
    assert trust.summary(data, sigma, ~mask).startswith("phase retrieval should mask 0%")
    assert trust.summary(data, sigma, np.zeros(data.shape, bool)) == "nothing is filled"


def test_advice_on_a_gap_goes_by_speckles():
    told = [trust.of_gap(width, 4.0) for width in (3, 6, 12)]
    assert [line.split(" speckles")[0] for line in told] == ["0.8", "1.5", "3.0"]
    assert len({line.partition("; ")[2] for line in told}) == 3
    assert trust.of_gap(6, 2.0).partition("; ")[2] == told[2].partition("; ")[2]


# What phase retrieval is given: Python, the command line and the workflow ask the same function -----------------------


@pytest.fixture(scope="module")
def case():
    """A pattern with a cross gap, in photons."""
    expectation = np.abs(ellipsoid((32, 32, 32))) ** 2
    expectation *= 2e3 / expectation.max()
    counts = np.random.default_rng(3).poisson(expectation).astype(float)
    geometry = objects.Geometry(2.3, (100.0, 100.0, 100.0), (1.0, 0.0, 0.0), 1)
    return cases.Case("known", counts, expectation, geometry, None, 3, (5, 5))


def corrected(accepted):
    """A correction to a finite crystal that takes a tenth off what was filled, or was refused."""

    def correct(filled, mask, sigma, fill, workers=None):
        values = filled[mask].astype(np.float32) * (0.9 if accepted else 1)
        return finite.Finite(values, 0.2 if accepted else float("nan"), 0.3, 0.1 if accepted else 0.29)

    return correct


@pytest.mark.parametrize("method", ["linear", "braggfill", "accepted", "refused"])
def test_python_command_line_and_workflow_give_the_same(case, method, tmp_path, monkeypatch):
    """Voxel by voxel, what they hold and whether they are masked: also of a correction that was refused."""
    monkeypatch.setattr(finite, "make_finite", corrected(method == "accepted"))
    method = "finite" if method in ("accepted", "refused") else method
    empty = np.where(case.mask, 0.0, case.counts)
    filled = filling.inpaint(empty, case.mask, method=method)
    recipe = {"treatments": ("sure", method), "filled_by": method}
    settings = ReconstructSettings(retrieval=recipe)
    ways = treatments.fill(case.counts, case.mask, settings.retrieval, tmp_path / "no.model", settings)
    with h5py.File(tmp_path / "cases.h5", "w") as file:
        cases.store(file.create_group("known"), case, ways)
        again = cases.restore(file["known"])[1]
    for gapped in (treatments.Gapped(case.counts, case.mask, w, settings.retrieval) for w in (ways, again)):
        np.testing.assert_array_equal(treatments.start(method, gapped)["intensity"], filled.for_phasing())
        sure = treatments.start("sure", gapped)
        np.testing.assert_array_equal(sure["intensity"], filled.for_phasing())
        if method != "linear":
            np.testing.assert_array_equal(sure["missing"], filled.mask_for_phasing())
    np.savez(tmp_path / "scan.npz", data=empty)
    np.save(tmp_path / "mask.npy", case.mask)
    out = tmp_path / "out.cxi"
    command = ["inpaint", tmp_path / "scan.npz", "--mask", tmp_path / "mask.npy", "-o", out, "--method", method]
    assert main([*map(str, command), "-q"]) == 0
    with h5py.File(out) as file:
        np.testing.assert_array_equal(file["entry_1/data_1/data"][...], filled.for_phasing())
        masked = file["entry_1/instrument_1/detector_1/mask"][...].astype(bool)
        np.testing.assert_array_equal(masked, filled.mask_for_phasing())
    assert not (filled.mask_for_phasing() & ~case.mask).any()
    assert filled.mask_for_phasing().any() == (method != "linear")


def test_an_accepted_correction_is_phased_with_counting_noise_and_a_refused_one_by_its_own_uncertainty(case):
    data, sigma = case.expectation, np.where(case.mask, 3 * np.sqrt(case.expectation) + 1, np.nan)
    took = trust.for_phasing(data, case.mask, sigma, corrected=True).data
    left = trust.for_phasing(data, case.mask, sigma).data
    for found, spread in ((took, np.sqrt(data)), (left, sigma)):
        wanted = distribution.amplitude_of_filled(data[case.mask], spread[case.mask])
        np.testing.assert_array_equal(found[case.mask], wanted.astype(data.dtype))
    assert (took != left)[case.mask].any()
    np.testing.assert_array_equal(took[~case.mask], data[~case.mask])
    alone = trust.for_phasing(data, case.mask, np.full(data.shape, np.nan), corrected=True)
    np.testing.assert_array_equal(alone.data, took)
    assert (alone.value, alone.rule) == ("amplitude", "none")


def test_what_is_asked_for_is_given():
    data, mask = np.full((2, 2, 2), 0.1), np.zeros((2, 2, 2), bool)
    mask[0] = True
    sigma = np.where(mask, 0.5, np.nan)
    assert (trust.for_phasing(data, mask, sigma, value="expectation").data == data).all()
    np.testing.assert_array_equal(trust.for_phasing(data, mask, sigma, masked="filled").masked, mask)
    assert not trust.for_phasing(data, mask, sigma, masked="none").masked.any()
    with pytest.raises(BraggfillError, match="value: 'amplitudes' is unknown; use one of expectation, amplitude"):
        trust.for_phasing(data, mask, sigma, value="amplitudes")
    with pytest.raises(BraggfillError, match="masked: 'unsure' is unknown; use one of none, uncertain, filled"):
        trust.for_phasing(data, mask, sigma, masked="unsure")
