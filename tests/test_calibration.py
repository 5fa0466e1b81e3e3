"""The distribution behind a stated uncertainty, its intervals, and the table that judges them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from braggfill import filling, networks
from braggfill.errors import BraggfillError
from braggfill.filling.finite import Finite
from braggfill.patterns import coverage, distribution
from braggfill.patterns.coverage import between, held
from braggfill.patterns.distribution import Predictive, of_filled, predictive
from braggfill.runs import storage
from braggfill.settings.evaluate import EvaluateSettings
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.evaluate import calibration as table_room
from braggfill.stages.evaluate.calibration import CALIBRATION_COLUMNS, calibration_table
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from settings_helpers import changed

MEANS = st.floats(0.01, 1e6)
SPREADS = st.one_of(st.just(0.0), st.floats(1e-5, 5))


def own_moments(distribution: Predictive) -> tuple[float, float]:
    """<log(1 + λ)> by quantiles of the gamma, <(log(1 + n) - mu)²> by summing over n: both from scipy's functions."""
    mean, spread = float(distribution.mean), float(distribution.spread)
    counts = np.arange(0, int(mean + 60 * np.sqrt(mean + spread * mean**2) + 60))
    if spread == 0:
        mu, chance = np.log1p(mean), stats.poisson.pmf(counts, mean)
    else:
        shares = (np.arange(40_000) + 0.5) / 40_000
        mu = np.log1p(special.gammaincinv(1 / spread, shares) * spread * mean).mean()
        chance = stats.nbinom.pmf(counts, 1 / spread, 1 / (1 + spread * mean))
    return mu, float(chance @ (np.log1p(counts) - mu) ** 2)


@pytest.mark.parametrize("mu", [0.02, 0.3, 1.0, 2.5, 6.0, 8.5])
@pytest.mark.parametrize("sigma", [0.3, 0.6, 1.2])
def test_it_has_the_moments_that_were_stated(mu, sigma):
    found = predictive(np.array(mu), np.array(sigma))
    level, moment = own_moments(found)
    assert level == pytest.approx(mu, rel=5e-3)
    if found.spread > 99:  # more than any spread that there is
        assert moment <= sigma**2
    elif found.spread > 0:
        assert moment == pytest.approx(sigma**2, rel=2e-2)
    else:  # less was stated than counting noise alone makes
        assert moment >= sigma**2 * 0.99


@pytest.mark.parametrize("level", [10.0, 100.0, 1e4])
@pytest.mark.parametrize("doubt", [0.1, 0.3, 0.5])
def test_a_bright_voxel_is_filled_with_the_square_of_its_expected_amplitude(level, doubt):
    """Drawn: expectations whose log(1 + photons) is normal, and counts of them."""
    rng = np.random.default_rng(0)
    logs = np.maximum(np.log1p(level) + doubt * rng.normal(size=400_000), 0)
    counts = rng.poisson(np.expm1(logs))
    mu = logs.mean()
    filled = distribution.photons(mu, np.sqrt(((np.log1p(counts) - mu) ** 2).mean()))
    aim = np.sqrt(np.expm1(logs)).mean() ** 2
    assert filled == pytest.approx(aim, rel=0.02)
    if doubt > 0.1:
        assert abs(filled - aim) < 0.5 * abs(np.expm1(mu) - aim)


@given(st.floats(0, 1e9), st.floats(0, 1e3))
def test_what_is_filled_is_never_less_and_at_most_half_more(least, deviation):
    filled = distribution.photons(np.array(np.log1p(least)), np.array(deviation))
    assert least * (1 - 1e-9) <= filled <= 1.5 * least * (1 + 1e-9)
    if least <= 1 or deviation**2 <= least / (1 + least) ** 2:
        assert filled == pytest.approx(least)


@given(st.floats(0, 20), st.floats(1e-3, 5), st.sampled_from([np.float32, np.float64]))
def test_what_was_stated_is_found_again_in_what_was_filled(mu, deviation, kind):
    filled = distribution.photons(np.array([mu], kind), np.array([deviation], kind))
    assert filled.dtype == kind
    again, spread = distribution.stated(filled, (1 + filled) * np.sinh(np.array([deviation], kind)))
    assert again == pytest.approx(mu, abs=1e-5)
    assert spread == pytest.approx(deviation, rel=1e-5)


@given(st.floats(0.01, 15), st.floats(1e-3, 3))
def test_phase_retrieval_is_given_no_more_than_the_photons_of_the_mean_logarithm(mu, deviation):
    filled = distribution.photons(np.array([mu]), np.array([deviation]))
    given_ = distribution.amplitude_of_filled(filled, (1 + filled) * np.sinh(deviation))
    assert 0 <= given_ <= np.expm1(mu) * (1 + 1e-9)


def test_a_filling_that_was_corrected_is_taken_at_its_word():
    """Its photons are no network's: nothing is taken back of them."""
    data, sigma = np.full((4, 4, 4), 1000.0), np.full((4, 4, 4), 900.0)
    found = Finite(data.ravel(), 0.1, 0.3, 0.1)
    one = filling.Filled(data, np.ones(data.shape, bool), sigma)
    other = filling.Filled(data, np.ones(data.shape, bool), sigma, found)
    lows = [filled.interval(0.5)[0][0, 0, 0] for filled in (one, other)]
    assert lows[0] < lows[1]
    wanted = predictive(np.log1p(data[:1, 0, 0]), np.arcsinh(sigma[:1, 0, 0] / 1001)).interval(0.5)
    assert lows[1] == wanted[0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("data", [1e38, 1e200, 1.7e308])
def test_photons_beyond_all_counts_stay_numbers(data):
    data, sigma = np.array([data, data]), np.array([0.0, data])
    mu, spread = distribution.stated(data, sigma)
    assert np.isfinite(mu).all()
    assert np.isfinite(spread).all()
    assert np.isfinite(distribution.amplitude_of_filled(data, sigma)).all()


def test_photons_beyond_all_bounds_stay_so():
    with np.errstate(over="raise", invalid="raise"):
        found = distribution.photons(np.array([0, 100, 500], np.float32), np.array([0, 1, 0], np.float32))
    assert found.tolist() == [0, np.inf, np.inf]


def test_without_doubt_it_is_poisson_s():
    found = predictive(np.log1p([0.1, 3.0, 50.0]), np.zeros(3))
    assert not found.spread.any()
    np.testing.assert_allclose(found.mean, [0.1, 3.0, 50.0], rtol=1e-2)
    np.testing.assert_allclose(found.cdf(np.array([0, 3, 50])), stats.poisson.cdf([0, 3, 50], found.mean))


def test_more_doubt_is_more_spread():
    sigma = np.linspace(0.05, 3, 60)
    for mu in (0.01, 0.7, 3.0, 12.0):
        found = predictive(np.full(60, mu), sigma)
        assert (np.diff(found.spread) >= 0).all()
        assert (np.diff(found.mean) >= -1e-9 * found.mean[1:]).all()


@given(MEANS, SPREADS, st.floats(0.001, 0.999))
def test_a_quantile_is_the_first_count_that_reaches_it(mean, spread, share):
    one = Predictive(np.array([mean]), np.array([spread]))
    found = one.quantile(share)
    assert found[0] == int(found[0]) >= 0
    assert one.cdf(found)[0] >= share > one.cdf(found - 1)[0]


@given(st.floats(0.01, 300), SPREADS, st.floats(0.05, 0.99))
def test_its_own_counts_are_held_as_often_as_it_says(mean, spread, level):
    """Exactly: over all counts, weighted with their probability, whatever is expected."""
    counts = np.arange(0, int(mean + 80 * np.sqrt(mean + spread * mean**2) + 80))
    one = Predictive(np.full(len(counts), mean), np.full(len(counts), spread))
    before, upto = one.pit(counts)
    assert float((upto - before) @ held(one, counts, level)) == pytest.approx(level, abs=1e-4)


@given(MEANS, SPREADS, st.floats(0.05, 0.99))
def test_an_interval_holds_at_least_its_level(mean, spread, level):
    one = Predictive(np.array([mean]), np.array([spread]))
    low, high = one.interval(level)
    assert (one.cdf(high) - one.cdf(low - 1))[0] >= level - 1e-9
    assert low <= high


def test_too_little_or_too_much_doubt_shows():
    rng = np.random.default_rng(0)
    mean, spread = np.full(20_000, 40.0), np.full(20_000, 0.2)
    counts = rng.poisson(rng.gamma(1 / spread, mean * spread))
    for factor, low, high in ((1.0, 0.66, 0.70), (0.25, 0.0, 0.60), (4.0, 0.80, 1.0)):
        assert low < held(Predictive(mean, factor * spread), counts, 0.68).mean() < high


def test_dark_voxels_are_judged_fairly():
    """Where hardly anything is expected the literal interval of the logarithm holds far too much."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.05, 50_000)
    mu = np.full(counts.shape, np.log1p(0.05))
    sigma = np.full(counts.shape, np.sqrt(np.mean((np.log1p(counts) - mu) ** 2)))
    assert held(predictive(mu, sigma), counts, 0.68).mean() == pytest.approx(0.68, abs=0.02)
    assert coverage.held_by_gaussian(mu, sigma, counts, 0.68).mean() > 0.9


def test_unsigned_counts_are_counts():
    one = Predictive(np.array([0.5, 0.5]), np.array([0.1, 0.1]))
    for kind in (np.uint8, np.uint32, np.int64, np.float32):
        np.testing.assert_array_equal(one.pit(np.array([0, 2], kind)), one.pit(np.array([0.0, 2.0])))


def test_far_tails_are_out_and_points_are_judged_by_their_place():
    one = Predictive(np.array([1e4, 1e4]), np.array([0.0, 0.0]))
    np.testing.assert_array_equal(held(one, np.array([0, 10**6]), 0.95), [0, 0])
    assert between(np.array([0.5]), np.array([0.5]), 0.68)[0] == 1


def test_photons_and_their_deviation_say_the_same():
    mu, sigma = np.array([0.1, 2.0, 8.0]), np.array([0.4, 0.7, 0.3])
    data = distribution.photons(mu, sigma)
    one, other = predictive(mu, sigma), of_filled(data, (1 + data) * np.sinh(sigma))
    np.testing.assert_allclose(one.mean, other.mean)
    np.testing.assert_allclose(one.spread, other.spread)


@pytest.mark.parametrize("spread", [0.0, 1e-3, 0.1, 1.0, 4.0])
@pytest.mark.parametrize("mean", [1e-7, 1e-3, 0.1, 1.0, 7.0, 90.0, 3e3])
def test_the_expected_amplitude_is_the_mean_root_of_counts(mean, spread):
    """Summed over n, with scipy's distributions."""
    counts = np.arange(int(mean + 60 * np.sqrt(mean + spread * mean**2) + 60))
    if spread == 0:
        chance = stats.poisson.pmf(counts, mean)
    else:
        chance = stats.nbinom.pmf(counts, 1 / spread, 1 / (1 + spread * mean))
    found = Predictive(np.array(mean), np.array(spread)).amplitude()
    assert float(found) == pytest.approx(chance @ np.sqrt(counts), rel=2e-3)


def test_very_many_and_no_photons_have_an_amplitude():
    found = Predictive(np.array([0.0, 1e12, 1e12]), np.array([0.0, 0.0, 0.5])).amplitude()
    np.testing.assert_allclose(found, [0, 1e6, 1e6 * special.gamma(2.5) / special.gamma(2) / np.sqrt(2)], rtol=2e-3)


@given(st.floats(0, 1e5), st.floats(0, 1e5))
def test_a_filled_voxel_is_never_phased_brighter_than_expected(data, sigma):
    found = distribution.amplitude_of_filled(np.array([data]), np.array([sigma]))
    assert 0 <= found[0] <= data


def test_what_states_no_uncertainty_is_phased_as_it_is():
    data, sigma = np.array([0.1, 5.0, 0.1]), np.array([np.nan, np.nan, np.sqrt(0.1)])
    found = distribution.amplitude_of_filled(data, sigma)
    np.testing.assert_array_equal(found[:2], data[:2])
    assert 0.009 < found[2] < 0.013  # one count in ten, each of amplitude 1: (0.1)²


def test_what_is_filled_has_an_interval():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = networks.build("braggfill", channels=(4, 8))
    counts = np.random.default_rng(0).poisson(5.0, (32, 32, 32))
    mask = np.zeros(counts.shape, bool)
    mask[:, :, 14:18] = True
    filled = filling.inpaint(counts, mask, network=network)
    low, high = filled.interval(0.9)
    assert np.isnan(low[~mask]).all()
    assert np.isnan(high[~mask]).all()
    inner = filled.interval(0.5)
    assert (low[mask] <= inner[0][mask]).all()
    assert (inner[1][mask] <= high[mask]).all()
    phased = filled.for_phasing()
    np.testing.assert_array_equal(phased[~mask], filled.data[~mask])
    wanted = distribution.amplitude_of_filled(filled.data[mask], filled.sigma[mask])
    np.testing.assert_allclose(phased[mask], wanted, rtol=1e-6)
    assert (phased[mask] <= filled.data[mask]).all()
    linear = filling.inpaint(counts, mask, method="linear")
    np.testing.assert_array_equal(linear.for_phasing(), linear.data)
    with pytest.raises(BraggfillError, match="no uncertainty"):
        linear.interval()


@pytest.mark.parametrize("wrong", [([np.nan], [1.0]), ([1.0], [np.inf]), ([1.0], [-0.1])])
def test_what_is_no_uncertainty_is_told(wrong):
    with pytest.raises(BraggfillError, match="calibration"):
        predictive(*map(np.array, wrong))


@pytest.mark.parametrize("level", [0, 1, -0.5, 2])
def test_a_level_that_is_none_is_told(level):
    with pytest.raises(BraggfillError, match="level"):
        Predictive(np.ones(2), np.ones(2)).interval(level)


def test_coverage_weighs_voxels_and_resamples_patches():
    rng = np.random.default_rng(0)
    alike = coverage.coverage(np.full(30, 6.0), rng, number=np.full(30, 10))
    np.testing.assert_allclose(alike, 0.6)
    value, low, high = coverage.coverage(np.array([0.0, 90.0, 0.0]), rng, number=np.array([10, 90, 0]))
    assert value == pytest.approx(0.9)
    assert low < value <= high
    number = rng.integers(1, 50, 2000)
    shares = np.stack([rng.binomial(number, p) for p in (0.3, 0.8)], axis=1)
    value, low, high = coverage.coverage(shares, rng, number=number)
    for k, p in enumerate((0.3, 0.8)):
        assert low[k] < value[k] < high[k]
        expected = 1.96 * np.sqrt(p * (1 - p) / number.sum())
        assert (high[k] - low[k]) / 2 == pytest.approx(expected, rel=0.25)
    assert np.isnan(coverage.coverage(np.zeros(3), rng, number=np.zeros(3))[0])


# The table ------------------------------------------------------------------------------------------------------------

FEW = EvaluateSettings(
    methods=("network", "linear"),
    crop_px=48,
    patches={"gap_widths_px": (3, 6)},
    calibration={"patches": 16, "voxels": 100, "levels": (0.5, 0.68, 0.95)},
    bootstrap_draws=100,
)
SPREAD = 0.3


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Test patches whose expectation is gamma distributed from voxel to voxel, a scan, and an untrained network."""
    import torch

    top = tmp_path_factory.mktemp("calibration")
    rng = np.random.default_rng(0)
    bright = np.geomspace(0.05, 3000, 24).reshape(-1, 1, 1, 1)
    rate = rng.gamma(1 / SPREAD, SPREAD * bright, (24, 32, 32, 32))
    with storage.create(top / "patches.h5") as file:
        file["counts"] = rng.poisson(rate).astype(np.uint32)
        file["expectation"] = rate.astype(np.float32)
        file["split"] = np.full(24, 2, np.uint8)
    with storage.create(top / "scan.h5") as file:
        file["data"] = rng.poisson(2.0, (48, 48, 48)).astype(np.int32)
    torch.manual_seed(0)
    networks.save(top / "model.safetensors", networks.build("braggfill", channels=(4, 8)))
    networks.save(top / "silent.safetensors", networks.build("braggfill", channels=(4, 8)), {"uncertainty": False})
    return top


def made(files, out, settings=FEW, scan="scan.h5", model="model.safetensors", seed=3):
    calibration_table(settings, seed, [files / "patches.h5"], files / scan, files / model, out)
    return pd.read_csv(out)


@pytest.fixture(scope="module")
def table(files, tmp_path_factory):
    return made(files, tmp_path_factory.mktemp("out") / "calibration.csv")


def test_every_source_width_distribution_selection_and_level_has_its_row(table):
    assert list(table.columns) == CALIBRATION_COLUMNS
    keys = ["source", "gap_axis", "gap_px", "method", "distribution", "selection", "level"]
    assert (table.groupby(keys).size() == 1).all()
    every = table[table.selection == "all"]
    assert len(every) == (1 + 2) * 2 * 2 * 3
    assert set(table.method) == {"network"}
    assert (every.voxels == 16 * 100).all()
    assert ((table.coverage_low <= table.coverage) & (table.coverage <= table.coverage_high)).all()
    assert table.coverage.between(0, 1).all()
    bins = table[~table.selection.isin(["all", "ge1"])]
    total = bins.groupby(["source", "gap_axis", "gap_px", "distribution", "level"]).voxels.sum()
    assert (total == 16 * 100).all()


def test_the_same_seed_gives_the_same_table(files, table, tmp_path):
    again = made(files, tmp_path / "again.csv", FEW.model_copy(update={"batch_patches": 5}))
    pd.testing.assert_frame_equal(again, table, rtol=1e-3)


def test_an_honest_statement_is_found_right_and_a_bold_one_wrong(files, tmp_path, monkeypatch):
    def honest(boldness):
        def state(counts, mask):
            bright = np.geomspace(0.05, 3000, 24)[:, None] * np.ones(int(mask.sum()))
            rng = np.random.default_rng(1)
            rate = rng.gamma(1 / SPREAD, SPREAD * bright[:, :1], (24, 20_000))
            mu = np.log1p(rate).mean(axis=1, keepdims=True)
            sigma = np.sqrt(np.mean((np.log1p(rng.poisson(rate)) - mu) ** 2, axis=1, keepdims=True))
            return mu * np.ones_like(bright), boldness * sigma * np.ones_like(bright)

        return state

    settings = changed(FEW, calibration={"patches": 24, "voxels": 1000})
    with storage.create(tmp_path / "gone.h5", left_out="no data"):
        pass
    for boldness in (1.0, 0.5):
        monkeypatch.setattr(table_room, "_state", lambda s, m, p, b=boldness: honest(b) if m == "network" else None)
        out = tmp_path / "calibration.csv"
        calibration_table(settings, 3, [files / "patches.h5"], tmp_path / "gone.h5", files / "none", out)
        found = pd.read_csv(out)
        found = found[(found.distribution == "counts") & (found.voxels > 2000)]
        if boldness == 1:
            np.testing.assert_allclose(found.coverage, found.level, atol=0.02)
        else:
            assert (found[found.photons_low >= 10].coverage < found[found.photons_low >= 10].level - 0.03).all()


def test_what_states_nothing_or_was_left_out_has_no_rows(files, tmp_path):
    assert not len(made(files, tmp_path / "silent.csv", model="silent.safetensors"))
    with storage.create(tmp_path / "gone.h5", left_out="no data"):
        pass
    calibration_table(
        FEW, 3, [tmp_path / "gone.h5"], files / "scan.h5", files / "model.safetensors", tmp_path / "c.csv"
    )
    assert set(pd.read_csv(tmp_path / "c.csv").source) == {"measured"}
    small = FEW.model_copy(update={"crop_px": 32})
    with storage.create(tmp_path / "small.h5") as file:
        file["data"] = np.ones((20, 40, 40), np.int32)
    with pytest.raises(BraggfillError, match="smaller than a patch"):
        calibration_table(small, 3, [], tmp_path / "small.h5", files / "model.safetensors", tmp_path / "small.csv")
    assert not (tmp_path / "small.csv").exists()


def test_the_figure_is_drawn_where_there_is_something_to_show(table, tmp_path):
    from braggfill.stages.figures import tables
    from braggfill.stages.figures.calibration import reliability

    table.to_csv(tmp_path / "calibration.csv", index=False)
    written = reliability(FiguresSettings(), tmp_path / "calibration", tmp_path / "calibration.csv")
    assert [path.suffix for path in written] == [".png", ".svg"]
    assert all(path.stat().st_size > 5000 for path in written)
    table[:0].to_csv(tmp_path / "empty.csv", index=False)
    assert reliability(FiguresSettings(), tmp_path / "empty", tmp_path / "empty.csv") is None
    (tmp_path / "evaluate").mkdir()
    table.to_csv(tmp_path / "evaluate/calibration.csv", index=False)
    shown = [table for table in tables.gaps(tmp_path) if table is not None]
    assert [t.title for t in shown] == ["Coverage of the intervals"]
    assert len(shown[0].rows) == (1 + 2) * 2
