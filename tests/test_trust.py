"""Laws of trust: which filled voxels phase retrieval should take, and which it should find itself."""

from __future__ import annotations

import numpy as np
from braggfill.filling import trust
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

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
