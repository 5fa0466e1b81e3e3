"""Tables of the evaluation: the protocol, the ceiling, the columns, and what is left out."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.ndimage
from braggfill.errors import BraggfillError
from braggfill.patterns import metrics
from braggfill.patterns.interpolate import METHODS, interpolate
from braggfill.runs import storage
from braggfill.settings.evaluate import EvaluateSettings
from braggfill.stages.evaluate.cases import CASE_COLUMNS, case_table
from braggfill.stages.evaluate.cut import crop_around_peak
from braggfill.stages.evaluate.fills import interpolation_fill, network_fill
from braggfill.stages.evaluate.patches import GAP_COLUMNS, gap_table, simulated_table
from braggfill.stages.evaluate.realism import REALISM_COLUMNS, modulus_fwhm, radial_exponent, realism_table
from settings_helpers import changed

FEW = EvaluateSettings(
    measured={"patches": 60},
    patches={"gap_widths_px": (3, 6)},
    crop_px=64,
    methods=METHODS,
    bootstrap_draws=100,
    ceiling_draws=1,
)


def pattern(shape, seed=0, photons=3e5):
    """Expectation of a diffraction pattern: fringes that fall with the distance from the peak."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"))
    radius = np.sqrt((grid**2).sum(axis=0))
    fringes = np.cos(0.25 * grid[0] + 0.35 * grid[1] - 0.3 * grid[2] + rng.uniform(0, 6)) ** 2 + 0.05
    return photons * fringes / (1 + (radius / 3) ** 3.5)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.h5"
    with storage.create(path) as file:
        file["data"] = np.random.default_rng(1).poisson(pattern((70, 72, 80))).astype(np.int32)
    return path


@pytest.fixture(scope="module")
def sweep(scan, tmp_path_factory):
    out = tmp_path_factory.mktemp("tables") / "measured.csv"
    gap_table(FEW, 3, scan, scan.with_name("none.safetensors"), out)
    return pd.read_csv(out)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A small network as it is before any training, one that is not a mere interpolation."""
    import torch
    from braggfill import networks

    torch.manual_seed(0)
    small = networks.build("braggfill", channels=(4, 8))
    path = tmp_path_factory.mktemp("network") / "small.safetensors"
    networks.save(path, small)
    return path


# The measured table ---------------------------------------------------------------------------------------------------


def test_every_axis_width_method_and_selection_has_its_row(sweep):
    assert list(sweep.columns) == GAP_COLUMNS
    rows = sweep.groupby(["gap_axis", "gap_px", "method", "selection"]).size()
    assert (rows == 1).all()
    assert len(rows) == 2 * 2 * len(METHODS) * 3
    assert set(sweep.source) == {"measured"}
    assert (sweep[sweep.selection == "all"].patches == 60).all()
    assert sweep.published.isna().all(), "published values belong to the network's rows"


def test_intervals_hold_the_mean_and_ceilings_lie_above(sweep):
    full = sweep[sweep.patches > 2]
    assert ((full.pcc_low <= full.pcc_mean) & (full.pcc_mean <= full.pcc_high)).all()
    assert (full.ceiling > full.pcc_mean).all()
    assert (full.ceiling <= 1).all()


def test_the_share_goes_from_linear_to_the_ceiling(sweep):
    linear = sweep[sweep.method == "linear"]
    np.testing.assert_allclose(linear.recovered_fraction.dropna(), 0, atol=1e-9)
    merged = sweep.merge(linear, on=["gap_axis", "gap_px", "selection"], suffixes=("", "_linear"))
    again = (merged.pcc_mean - merged.pcc_mean_linear) / (merged.ceiling - merged.pcc_mean_linear)
    np.testing.assert_allclose(again.dropna(), merged.recovered_fraction.dropna(), atol=1e-9)


def test_a_row_is_what_its_definition_says(scan, sweep):
    """One row computed anew, patch by patch, from the definition."""
    from braggfill.patterns import gaps, patching
    from braggfill.runs import seeds

    with storage.read(scan) as file:
        cube = crop_around_peak(storage.array(file, "data"), 64)
    origins = patching.random_origins(seeds.generator(3, "evaluate/measured"), cube.shape, 60, 32)
    scores, means = [], []
    for origin in origins:
        patch = cube[patching.window(origin, 32)]
        mask = gaps.plane(patch.shape, 6, axis=1)
        filled = interpolate(np.where(mask, 0, patch), mask, "cubic")
        scores.append(np.corrcoef(np.log1p(patch[mask]), np.log1p(filled[mask]))[0, 1])
        means.append(patch.mean())
    row = sweep.query("gap_axis == 1 and gap_px == 6 and method == 'cubic' and selection == 'all'").iloc[0]
    assert row.pcc_mean == pytest.approx(np.nanmean(scores))
    assert row.pcc_binned == pytest.approx(metrics.log_intensity_bins(means, scores, 20).average)


def test_the_same_seed_gives_the_same_table_and_batches_do_not_matter(scan, sweep, tmp_path):
    own = changed(FEW, batch_patches=7, patches={"gap_widths_px": (6,), "gap_axes": (2,)})
    gap_table(own, 3, scan, scan, tmp_path / "again.csv")
    again = pd.read_csv(tmp_path / "again.csv")
    same = sweep.query("gap_axis == 2 and gap_px == 6").reset_index(drop=True)
    pd.testing.assert_frame_equal(again, same, rtol=1e-9)
    gap_table(own, 4, scan, scan, tmp_path / "other.csv")
    assert not np.allclose(pd.read_csv(tmp_path / "other.csv").pcc_mean, again.pcc_mean, rtol=1e-6)


def test_the_crop_holds_the_peak_in_the_middle_or_as_near_as_can_be():
    counts = np.zeros((50, 40, 30), int)
    counts[25, 3, 25] = 9
    cube = crop_around_peak(counts, 16)
    assert cube.shape == (16, 16, 16)
    assert np.argwhere(cube == 9).tolist() == [[8, 3, 11]]
    assert crop_around_peak(counts, 64).shape == counts.shape


def test_a_scan_that_was_left_out_leaves_a_head_only(tmp_path):
    with storage.create(tmp_path / "scan.h5", left_out="no network"):
        pass
    gap_table(FEW, 3, tmp_path / "scan.h5", tmp_path / "none", tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv")
    assert len(table) == 0
    assert list(table.columns) == GAP_COLUMNS


def test_a_scan_smaller_than_a_patch_is_told(tmp_path):
    with storage.create(tmp_path / "scan.h5") as file:
        file["data"] = np.ones((20, 40, 40), int)
    with pytest.raises(BraggfillError, match="smaller than a patch"):
        gap_table(FEW, 3, tmp_path / "scan.h5", tmp_path / "none", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


# Linear interpolation and noise ceiling over the measured scan, patches of at least one count a voxel, as they were
# measured by other code at other random places (gap across axis 1, where the rod is interrupted and not hidden).
KNOWN = {3: (0.706, 0.862), 12: (0.659, 0.882)}


@pytest.mark.data
def test_linear_interpolation_meets_the_known_figures(measured, tmp_path):
    with np.load(measured / "aps34idc_Staff20-1a_S0054.npz") as file, storage.create(tmp_path / "scan.h5") as out:
        out["data"] = file["data"]
    own = changed(
        EvaluateSettings(),
        patches={"gap_axes": (1,), "gap_widths_px": tuple(KNOWN)},
        methods=("linear",),
        ceiling_draws=1,
    )
    gap_table(own, 1, tmp_path / "scan.h5", tmp_path / "none", tmp_path / "out.csv")
    rows = pd.read_csv(tmp_path / "out.csv").query("selection == 'ge1'").set_index("gap_px")
    for width, (linear, ceiling) in KNOWN.items():
        assert rows.pcc_mean[width] == pytest.approx(linear, abs=0.025)
        assert rows.ceiling[width] == pytest.approx(ceiling, abs=0.02)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_looking_only_near_the_gap_changes_nothing(axis, method):
    from braggfill.patterns import gaps

    counts = np.random.default_rng(axis).poisson(8, (5, 16, 17, 18))
    for width in (1, 4, 15):
        mask = gaps.plane(counts.shape[1:], width, axis=axis)
        near = interpolation_fill(method, 2)(counts, mask)
        np.testing.assert_allclose(near, interpolate(counts, mask, method)[:, mask], rtol=1e-12)


# The network ----------------------------------------------------------------------------------------------------------


def test_a_network_sees_nothing_of_the_gap_and_batches_do_not_matter(network):
    from braggfill.patterns import gaps

    counts = np.random.default_rng(0).poisson(20, (5, 32, 32, 32))
    mask = gaps.plane(counts.shape[1:], 6, axis=1)
    one = network_fill(network, 2)(counts, mask)
    two = network_fill(network, 5)(np.where(mask, 10**6, counts), mask)
    assert one.shape == (5, mask.sum())
    np.testing.assert_allclose(one, two, rtol=1e-4)
    assert (one >= 0).all()
    linear = interpolate(counts, mask, "linear")[:, mask]
    assert not np.allclose(one, linear, rtol=1e-3)


def test_the_published_network_is_shown_gaps_across_the_last_axis_alone(tmp_path, monkeypatch):
    import torch
    from braggfill import networks
    from braggfill.patterns import gaps

    torch.manual_seed(0)
    networks.save(tmp_path / "paper.safetensors", networks.build("paper"))
    fill = network_fill(tmp_path / "paper.safetensors", 4)
    counts = np.random.default_rng(0).poisson(20, (1, 32, 32, 32))
    across_two = fill(counts, gaps.plane((32, 32, 32), 6, axis=2))
    turned = fill(counts.swapaxes(1, 3), gaps.plane((32, 32, 32), 6, axis=0))
    shape = (32, 32, 6)
    np.testing.assert_allclose(across_two.reshape(shape), turned.reshape(shape[::-1]).swapaxes(0, 2), rtol=1e-5)


def test_published_values_stand_beside_the_network(scan, network, tmp_path):
    own = changed(FEW, methods=("network", "linear"), measured={"patches": 20}, patches={"gap_widths_px": (6, 7)})
    gap_table(own, 3, scan, network, tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv")
    rows = table[table.published.notna()]
    assert rows[["gap_axis", "gap_px", "method", "selection", "published"]].values.tolist() == [
        [2, 6, "network", "all", 0.977]
    ]
    assert rows.published_source.str.contains("Table 1").all()


# The simulated table --------------------------------------------------------------------------------------------------


def write_patches(path, number, seed, split):
    expectation = np.stack([pattern((32, 32, 32), seed * 100 + i, photons=10 ** (2 + i % 4)) for i in range(number)])
    with storage.create(path) as file:
        file["expectation"] = expectation.astype(np.float32)
        file["counts"] = np.random.default_rng(seed).poisson(expectation).astype(np.uint32)
        file["split"] = np.asarray(split, np.uint8)


def test_only_test_patches_count_whatever_the_chunks(tmp_path):
    write_patches(tmp_path / "a.h5", 8, 1, [0, 2, 1, 2, 2, 0, 2, 2])
    write_patches(tmp_path / "b.h5", 4, 2, [2, 0, 0, 2])
    write_patches(tmp_path / "c.h5", 2, 3, [0, 1])
    files = [tmp_path / name for name in ("a.h5", "b.h5", "c.h5")]
    simulated_table(FEW, 5, files, tmp_path / "none", tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv")
    every = table[table.selection == "all"]
    assert (every.patches == 7).all()
    assert set(table.against) == {"counts", "expectation"}
    assert (table[table.against == "expectation"].ceiling.dropna() == 1).all()
    both = every.pivot_table(index=["gap_px", "method"], columns="against", values="pcc_mean")
    assert (both.expectation > both.counts).all(), "noise can only hide agreement"
    few = changed(FEW, simulated={"patches": 3})
    simulated_table(few, 5, files, tmp_path / "none", tmp_path / "few.csv")
    assert (pd.read_csv(tmp_path / "few.csv").query("selection == 'all'").patches == 3).all()


def test_no_test_patch_leaves_a_head_only(tmp_path):
    write_patches(tmp_path / "a.h5", 2, 1, [0, 1])
    simulated_table(FEW, 5, [tmp_path / "a.h5"], tmp_path / "none", tmp_path / "out.csv")
    assert len(pd.read_csv(tmp_path / "out.csv")) == 0


# Whole gaps -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases(scan, tmp_path_factory):
    from braggfill.settings.inpaint import InpaintSettings
    from braggfill.stages import inpaint

    out = tmp_path_factory.mktemp("cases") / "cases.h5"
    own = InpaintSettings(
        crop_px=48, gap_widths_px=(3, 6), offset_px=(6, 8), methods=("linear", "nearest"), detector=""
    )
    inpaint.fill_cases(own, 1, scan, None, scan, out)
    return out


def test_cases_are_compared_with_the_scan_itself(scan, cases, tmp_path):
    case_table(FEW, 3, scan, cases, tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == CASE_COLUMNS
    assert sorted(set(table.case)) == ["cross-03", "cross-06", "plane-03", "plane-06"]
    with storage.read(scan) as file:
        counts = storage.array(file, "data")
    with storage.read(cases) as file:
        origin = file.attrs["crop_origin"]
        mask = storage.array(file["cross-06"], "mask")
        cube = counts[tuple(slice(o, o + n) for o, n in zip(origin, mask.shape, strict=True))]
        expected = np.corrcoef(np.log1p(cube[mask]), np.log1p(storage.array(file["cross-06/filled"], "linear")))[0, 1]
    row = table.query("case == 'cross-06' and method == 'linear'").iloc[0]
    assert row.pcc == pytest.approx(expected, rel=1e-6)
    assert row.voxels == mask.sum()
    assert row.photons == cube[mask].sum()
    assert row.recovered_fraction == 0
    assert (table.ceiling > table.pcc).all()


def test_the_stated_uncertainty_is_checked(scan, cases, tmp_path):
    """A Gaussian error of known width in the logarithm, stated as it is: 68 % lie within one standard deviation."""
    copy = tmp_path / "cases.h5"
    shutil.copy(cases, copy)
    with h5py.File(copy, "r+") as file:
        group = file["cross-06"]
        truth = group["truth"][...].astype(float)
        spread = 0.3
        error = spread * np.random.default_rng(0).normal(size=truth.shape)
        filled = np.expm1(np.abs(np.log1p(truth) + error))
        del group["filled/linear"]
        group["filled/linear"] = filled
        group["sigma/linear"] = (1 + filled) * np.sinh(np.full(truth.shape, spread))
    case_table(FEW, 3, scan, copy, tmp_path / "out.csv")
    row = pd.read_csv(tmp_path / "out.csv").query("case == 'cross-06' and method == 'linear'").iloc[0]
    bright = np.log1p(truth) > 5 * spread
    assert bright.mean() > 0.5
    expected = np.mean(np.where(bright, 0.683, np.abs(np.log1p(filled) - np.log1p(truth)) <= spread))
    assert row.within_sigma == pytest.approx(expected, abs=0.02)


def test_cases_of_another_scan_are_told(cases, tmp_path):
    with storage.create(tmp_path / "scan.h5") as file:
        file["data"] = np.ones((40, 40, 40), int)
    with pytest.raises(BraggfillError, match="another scan"):
        case_table(FEW, 3, tmp_path / "scan.h5", cases, tmp_path / "out.csv")


# Realism --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [2.5, 4.0])
def test_the_radial_exponent_is_found(exponent):
    grid = np.ogrid[-30:31, -32:33, -31:32]
    radius = np.sqrt(sum(axis.astype(float) ** 2 for axis in grid))
    intensity = 1e9 * np.where(radius < 1, 1, radius) ** -exponent
    intensity[30, 32, 31] *= 2
    found = radial_exponent(np.random.default_rng(0).poisson(intensity))
    assert found == pytest.approx(exponent, abs=0.15)
    assert np.isnan(radial_exponent(np.eye(5)[:, :, None] * np.ones(5)))


def test_the_width_of_the_modulus_is_that_of_its_distribution():
    """A normal distribution of moduli of width s has a histogram whose full width at half maximum is 2.355 s."""
    rng = np.random.default_rng(0)
    obj = np.zeros((60, 60, 60), complex)
    obj[10:50, 10:50, 10:50] = rng.normal(1, 0.06, (40, 40, 40))
    top = np.abs(obj).max()
    assert modulus_fwhm(obj) == pytest.approx(2.355 * 0.06 / top, rel=0.1)
    assert modulus_fwhm(obj * np.exp(1j * 2) * 1e3) == pytest.approx(modulus_fwhm(obj))
    flat = np.where(np.abs(obj) > 0, 1.0, 0.0)
    assert modulus_fwhm(flat) < 0.03
    assert np.isnan(modulus_fwhm(np.zeros((4, 4, 4))))


def test_realism_takes_what_there_is(scan, tmp_path):
    expectation = pattern((48, 48, 48))
    with storage.create(tmp_path / "patterns.h5") as file:
        for view in range(2):
            file[f"000000/{view:02d}/counts"] = np.random.default_rng(view).poisson(expectation / 10**view)
    smooth = scipy.ndimage.gaussian_filter(np.pad(np.ones((12, 12, 12)), 8), 1.0)
    with storage.create(tmp_path / "steps.h5") as file:
        file["000000/00/ideal"], file["000000/00/perturbed"] = smooth + 0j, smooth * 2j
    with storage.create(tmp_path / "obj.h5", left_out="not to be had"):
        pass
    places = {"steps": tmp_path / "steps.h5", "obj": tmp_path / "obj.h5"}
    realism_table(FEW, 1, tmp_path / "patterns.h5", scan, tmp_path / "out.csv", **places)
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == REALISM_COLUMNS
    found = {(row.quantity, row.source): row for row in table.itertuples()}
    assert ("modulus_fwhm", "measured") not in found
    assert found["modulus_fwhm", "simulated, as scattered"].published == 0.117
    empty = found["empty_share", "simulated, perturbed"]
    assert empty.patterns == 2
    assert empty.lowest < empty.mean < empty.highest
    with storage.read(scan) as file:
        cube = crop_around_peak(storage.array(file, "data"), 64)
    assert found["empty_share", "measured"].mean == pytest.approx((cube == 0).mean())
    realism_table(FEW, 1, tmp_path / "patterns.h5", scan, tmp_path / "bare.csv")
    assert set(pd.read_csv(tmp_path / "bare.csv").quantity) == {"empty_share", "radial_exponent"}
