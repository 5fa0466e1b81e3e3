"""Metrics: identities, and the noise ceiling against a truth that is known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from braggfill.patterns import metrics
from hypothesis import given, settings
from hypothesis import strategies as st

numbers = st.integers(0, 2**31)


@given(numbers, st.floats(0.01, 100), st.floats(-50, 50))
@settings(max_examples=50, deadline=None)
def test_pcc_of_a_line_is_one_and_it_is_symmetric(seed, slope, offset):
    rng = np.random.default_rng(seed)
    truth, other = rng.normal(size=(2, 40))
    assert metrics.pcc(truth, slope * truth + offset) == pytest.approx(1)
    assert metrics.pcc(truth, -slope * truth + offset) == pytest.approx(-1)
    assert metrics.pcc(truth, other) == pytest.approx(metrics.pcc(other, truth))
    assert metrics.pcc(truth, other) == pytest.approx(np.corrcoef(truth, other)[0, 1])


def test_pcc_sees_only_the_gap_and_takes_batches():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(3, 4, 5, 6))
    prediction = truth + 0.3 * rng.normal(size=truth.shape)
    mask = rng.random((4, 5, 6)) < 0.5
    outside = np.where(mask, prediction, 1e6 * rng.normal(size=truth.shape))
    batch = metrics.pcc(truth, outside, mask)
    assert batch.shape == (3,)
    for i in range(3):
        assert batch[i] == pytest.approx(metrics.pcc(truth[i][mask], prediction[i][mask]))


def test_pcc_of_something_constant_is_not_a_number():
    assert np.isnan(metrics.pcc(np.ones(5), np.arange(5)))
    with pytest.raises(ValueError, match="shape"):
        metrics.pcc(np.ones(5), np.ones(4))


@pytest.mark.parametrize(("photons", "tolerance"), [(2, 0.015), (20, 0.01), (500, 0.005)])
def test_the_ceiling_is_what_the_true_expectation_reaches(photons, tolerance):
    """Poisson counts of a known, structured expectation, as in a diffraction pattern."""
    rng = np.random.default_rng(photons)
    field = scipy.ndimage.gaussian_filter(rng.normal(size=(60, 24, 24, 6)), (0, 2, 2, 1), mode="wrap")
    expectation = np.exp(1.2 * field / field.std())
    expectation *= photons / expectation.mean()
    counts = rng.poisson(expectation)
    reached = np.mean(metrics.pcc(np.log1p(counts), np.log1p(expectation), np.ones(counts.shape[1:], bool)))
    ceiling = np.mean(metrics.noise_ceiling(counts, np.ones(counts.shape[1:], bool), rng, draws=4))
    assert ceiling == pytest.approx(reached, abs=tolerance)


def test_the_ceiling_goes_from_none_to_one():
    rng = np.random.default_rng(1)
    flat = rng.poisson(5.0, (20, 4000))
    assert np.mean(metrics.noise_ceiling(flat, np.ones(4000, bool), rng, draws=8)) < 0.15
    steep = rng.poisson(np.geomspace(1e6, 1e9, 4000))
    assert metrics.noise_ceiling(steep, None, rng) > 0.9999
    assert np.isnan(metrics.noise_ceiling(np.zeros(10, int), None, rng))


def test_binomial_thinning_keeps_the_photons():
    """A ceiling of counts that cannot be split is nothing: single photons never show up in both halves."""
    rng = np.random.default_rng(2)
    single = (rng.random(5000) < 0.3).astype(int)
    assert metrics.noise_ceiling(single, None, rng, draws=5) == 0


@given(numbers, st.integers(2, 30))
@settings(max_examples=50, deadline=None)
def test_bins_hold_everything_once(seed, bins):
    rng = np.random.default_rng(seed)
    intensity, values = np.exp(rng.normal(0, 3, 80)), rng.random(80)
    found = metrics.log_intensity_bins(intensity, values, bins)
    assert found.count.sum() == 80
    full = found.count > 0
    assert (found.mean[full] * found.count[full]).sum() == pytest.approx(values.sum())
    assert found.edges[0] == pytest.approx(intensity.min())
    assert found.edges[-1] == pytest.approx(intensity.max())
    np.testing.assert_allclose(np.diff(np.log(found.edges)), np.log(found.edges[-1] / found.edges[0]) / bins)
    assert ((found.edges[:-1] < found.centres) & (found.centres < found.edges[1:])).all()
    assert values.min() - 1e-12 <= found.average <= values.max() + 1e-12


def test_the_mean_of_bins_is_not_the_mean_of_patches():
    intensity = np.r_[np.full(90, 1.0), np.full(10, 1e4)]
    values = np.r_[np.full(90, 0.2), np.full(10, 0.8)]
    assert metrics.log_intensity_bins(intensity, values, 20).average == pytest.approx(0.5)
    spread = metrics.log_intensity_bins(intensity, np.tile([0.0, 1.0], 50), 20)
    np.testing.assert_allclose(spread.deviation[spread.count > 0], 0.5)


def test_bins_leave_out_what_has_no_logarithm():
    found = metrics.log_intensity_bins(np.array([0.0, 1.0, 10.0]), np.array([9.0, np.nan, 0.4]), 5)
    assert found.count.sum() == 1
    assert found.average == pytest.approx(0.4)
    assert np.isnan(metrics.log_intensity_bins(np.zeros(3), np.ones(3), 5).average)


def test_the_bootstrap_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(300):
        low, high = metrics.bootstrap(rng.exponential(size=60), rng, draws=300)
        hits += low <= 1.0 <= high
    assert 0.89 <= hits / 300 <= 0.98


def test_the_bootstrap_narrows_as_the_root_of_the_number():
    rng = np.random.default_rng(5)
    few, many = (np.ptp(metrics.bootstrap(rng.normal(size=n), rng)) for n in (100, 10_000))
    assert few / many == pytest.approx(10, rel=0.3)
    assert np.isnan(metrics.bootstrap(np.array([np.nan]), rng)).all()


def test_rmse_is_the_root_of_the_mean_square():
    truth = np.zeros(4)
    assert metrics.rmse(truth, np.array([3.0, 4.0, 0.0, 0.0])) == pytest.approx(2.5)
    assert metrics.rmse(truth, np.array([3.0, 4.0, 9.0, 9.0]), np.array([1, 1, 0, 0], bool)) == pytest.approx(12.5**0.5)
