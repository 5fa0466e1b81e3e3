"""Sweeps of the evaluation: what a perfect or a blind method must give, and that shards and gaps cover all, once."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest
from braggfill.errors import BraggfillError
from braggfill.patterns import metrics
from braggfill.runs import storage
from braggfill.settings.evaluate import EvaluateSettings
from braggfill.stages.evaluate.claims import CLAIM_COLUMNS, claims_table
from braggfill.stages.evaluate.fills import Methods
from braggfill.stages.evaluate.intensity import intensity_rows
from braggfill.stages.evaluate.join import COLUMNS, join_tables
from braggfill.stages.evaluate.patches import GAP_COLUMNS, gap_table
from braggfill.stages.evaluate.scan import GAPS_COLUMNS, SKIP_COLUMNS, gaps_table, skip_table
from braggfill.stages.evaluate.whole import (
    OVERSAMPLING_COLUMNS,
    POSITION_COLUMNS,
    oversampling_table,
    places,
    position_table,
    predicted,
    starts,
)
from hypothesis import given
from hypothesis import strategies as st
from settings_helpers import changed

INTERPOLATED = ("linear", "cubic", "nearest")
FEW = EvaluateSettings(
    measured={"patches": 30},
    patches={"gap_widths_px": (2, 3, 6)},
    crop_px=48,
    methods=INTERPOLATED,
    whole={"methods": INTERPOLATED},
    bootstrap_draws=100,
    ceiling_draws=1,
    oversampling={"gap_widths_px": (3, 5)},
    position={"gap_widths_px": (3,), "spacing_px": 8},
    skip={"crop_px": 40, "steps_px": (9, 31)},
    gaps={"widths_px": ((6, 2), (0, 12)), "offset_px": (6, 7)},
)


def pattern(shape, photons=1e5):
    """Fringes that fall with the distance from the peak: the expectation, photons."""
    grid = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"))
    fringes = np.cos(0.3 * grid[0] + 0.2 * grid[1] - 0.35 * grid[2]) ** 2 + 0.05
    return photons * fringes / (1 + (np.sqrt((grid**2).sum(axis=0)) / 3) ** 3)


def write_patterns(path, shapes, oversamplings):
    with storage.create(path) as file:
        for particle in (1_000_000, 1_000_001):
            for number, (shape, sampling) in enumerate(zip(shapes, oversamplings, strict=True)):
                group = file.create_group(f"{particle:06d}/{number:02d}")
                expectation = pattern(shape)
                group["expectation"] = expectation.astype(np.float32)
                group["counts"] = np.random.default_rng(particle + number).poisson(expectation).astype(np.uint32)
                group.attrs.update(
                    particle=particle, view=number, oversampling=np.array([sampling, 1.5 * sampling, sampling])
                )
    return path


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.h5"
    with storage.create(path) as file:
        file["data"] = np.random.default_rng(1).poisson(pattern((50, 52, 56))).astype(np.int32)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    import torch
    from braggfill import networks

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "small.safetensors"
    networks.save(path, networks.build("braggfill", channels=(4, 8)))
    return path


# A gap that is shifted ------------------------------------------------------------------------------------------------


@given(st.integers(0, 12), st.integers(1, 40), st.integers(1, 16), st.integers(0, 12))
def test_the_shifted_gap_covers_every_plane_once(front, edge, width, back):
    length = front + edge + back
    if width >= length:
        return
    window = slice(front, front + edge)
    seen = np.zeros(length, int)
    for start, new in starts(window, width, length):
        assert 0 <= start <= length - width
        assert start <= new.start
        assert new.stop <= start + width
        seen[new] += 1
    assert (seen[window] == 1).all()
    assert seen.sum() == edge


@pytest.mark.parametrize("width", [1, 3, 7])
def test_a_perfect_method_gives_the_pattern_back_and_sees_nothing_of_the_gap(width):
    counts = np.random.default_rng(0).poisson(9, (5, 6, 40))
    window, asked = slice(4, 35), []

    def perfect(part, mask):
        assert (part[mask] == 0).all()
        assert mask.any(axis=(0, 1)).sum() == width
        first = next(i for i in range(41) if (counts[..., i : i + part.shape[2]][~mask] == part[~mask]).all())
        asked.append(first)
        return counts[..., first : first + part.shape[2]]

    found = predicted(counts, width, window, perfect)
    assert (found == counts[..., window]).all()
    assert metrics.pcc(counts[..., window].ravel(), found.ravel()) == pytest.approx(1)
    assert len(asked) == -(-31 // width)


@given(st.integers(20, 80), st.integers(1, 12), st.integers(1, 20), st.data())
def test_places_are_inside_and_one_is_on_the_peak(length, width, spacing, data):
    peak = data.draw(st.integers(0, length - 1))
    found = places(length, width, peak, spacing)
    assert all(0 <= place <= length - width for place in found)
    assert set(np.diff(found)) <= {spacing}
    middle = peak - width // 2
    assert (middle in found) == (0 <= middle <= length - width)
    assert len(found) >= (length - width + 1) // spacing


# Tables ---------------------------------------------------------------------------------------------------------------


def test_whole_patterns_are_compared_with_counts_and_expectation(tmp_path):
    shapes = [(20, 20, 36), (30, 30, 54)]
    path = write_patterns(tmp_path / "patterns.h5", shapes, (2.0, 3.0))
    oversampling_table(FEW, 1, path, path, tmp_path / "out.csv", tmp_path / "images.h5")
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == OVERSAMPLING_COLUMNS
    assert len(table) == 2 * 2 * 2 * 3 * 2
    assert (table.groupby("oversampling").edge_px.first() == [20, 30]).all()
    assert (table.voxels == table.edge_px**3).all()
    assert set(table.oversampling) == {2.0, 3.0}, "that along the longest side"
    assert (table[table.against == "expectation"].ceiling == 1).all()
    assert (table.pcc < table.ceiling).all()
    wide = table.pivot_table("pcc", "gap_px", "method")
    assert wide.linear[3] > wide.linear[5], "a wider gap is harder"
    np.testing.assert_allclose(table[table.method == "linear"].recovered_fraction, 0, atol=1e-9)
    with h5py.File(tmp_path / "images.h5") as file:
        assert sorted(file) == ["2.000", "3.000"]
        assert file["3.000/truth"].shape == file["3.000/03/linear"].shape == (30, 30)


def test_gap_positions_have_their_rows(tmp_path):
    path = write_patterns(tmp_path / "patterns.h5", [(24, 24, 40)] * 2, (3.0, 3.0))
    position_table(FEW, 1, path, path, tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == POSITION_COLUMNS
    assert set(table["view"]) == {0}, "as many views as asked for"
    assert set(table.distance_px) == {-16, -8, 0, 8, 16}
    assert len(table) == 2 * 5 * 3
    assert (table.place_px + 1 - 20 == table.distance_px).all()
    photons = table.groupby(table.distance_px.abs()).photons_per_voxel.mean()
    assert (np.diff(photons) < 0).all()


def test_skipped_pixels_change_the_time_and_hardly_the_result(scan, network, tmp_path):
    own = changed(FEW, whole={"methods": ("network", "linear")})  # an interpolation does not slide
    skip_table(own, 1, scan, network, tmp_path / "out.csv", tmp_path / "images.h5")
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == SKIP_COLUMNS
    assert table[["method", "step_px", "skip_px"]].values.tolist() == [["network", 9, 8], ["network", 31, 30]]
    assert (table.seconds > 0).all()
    assert table.pcc.min() == pytest.approx(table.pcc.max(), abs=0.1)
    with h5py.File(tmp_path / "images.h5") as file:
        truth, filled, missing = file["truth"][...], file["network/09"][...], file["missing"][...]
    assert missing.all(), "the plane inside the gap"
    assert truth.shape == filled.shape == (40, 40)


def test_published_times_stand_beside_the_same_skips(scan, network, tmp_path):
    own = changed(FEW, whole={"methods": ("network",)}, skip={"steps_px": (5, 31)})
    skip_table(own, 1, scan, network, tmp_path / "out.csv", tmp_path / "images.h5")
    table = pd.read_csv(tmp_path / "out.csv").set_index("skip_px")
    assert table.published_seconds[4] == 91
    assert np.isnan(table.published_seconds[30])
    assert table.published_source.notna().all()


def test_unequal_and_wide_gaps(scan, tmp_path):
    gaps_table(FEW, 1, scan, scan, tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == GAPS_COLUMNS
    assert table.gap.unique().tolist() == ["6 × 2 px cross", "12 px across axis 2"]
    voxels = table.groupby("gap", sort=False).voxels.first().tolist()
    assert voxels == [48 * (6 * 48 + 2 * 48 - 12), 48 * 48 * 12]
    assert (table.pcc < table.ceiling).all()
    wide = changed(FEW, gaps={"widths_px": ((0, 48),)})
    with pytest.raises(BraggfillError, match=r"gaps\.widths_px"):
        gaps_table(wide, 1, scan, scan, tmp_path / "wide.csv")
    assert not (tmp_path / "wide.csv").exists()


def test_what_was_left_out_leaves_heads_only(tmp_path):
    with storage.create(tmp_path / "none.h5", left_out="no network"):
        pass
    none = tmp_path / "none.h5"
    skip_table(FEW, 1, none, none, tmp_path / "skip.csv", tmp_path / "skip.h5")
    gaps_table(FEW, 1, none, none, tmp_path / "gaps.csv")
    position_table(FEW, 1, none, none, tmp_path / "position.csv")
    oversampling_table(FEW, 1, none, none, tmp_path / "oversampling.csv", tmp_path / "images.h5")
    for name in ("skip", "gaps", "position", "oversampling"):
        table = pd.read_csv(tmp_path / f"{name}.csv")
        assert len(table) == 0
        assert list(table.columns) == COLUMNS[name]
    assert storage.left_out(tmp_path / "skip.h5") == "no network"


# Intensity ------------------------------------------------------------------------------------------------------------


def test_a_perfect_method_has_one_in_every_bin_and_bins_are_the_same_for_all():
    rng = np.random.default_rng(0)
    mean = 10 ** rng.uniform(-2, 3, 400)
    noisy = rng.uniform(0, 1, 400)
    noisy[:50] = np.nan
    scores = {"perfect": np.ones(400), "noisy": noisy}
    rows = pd.DataFrame(intensity_rows(FEW, 1, {"gap_px": 6}, scores, np.ones(400), mean))
    perfect = rows[rows.method == "perfect"]
    assert (perfect[["pcc_mean", "pcc_low", "pcc_high", "ceiling"]] == 1).all(axis=None)
    assert perfect.patches.sum() == 400
    assert rows[rows.method == "noisy"].patches.sum() == 350
    edges = rows.groupby("bin")[["photons_per_voxel_from", "photons_per_voxel_to"]].nunique()
    assert (edges == 1).all(axis=None)
    np.testing.assert_allclose(np.diff(np.log(perfect.photons_per_voxel_from)), np.log(mean.max() / mean.min()) / 20)
    first = perfect.iloc[0]
    inside = (mean >= first.photons_per_voxel_from * 0.999) & (mean < first.photons_per_voxel_to)
    assert first.patches == inside.sum()


# Methods, shards and parts --------------------------------------------------------------------------------------------


def test_the_published_kind_is_left_out_in_one_line_or_taken_at_its_widths(tmp_path, capsys):
    without = Methods.of(("linear", "paper"), tmp_path / "m", {})
    assert without.names == ("linear",)
    assert capsys.readouterr().err.count("\n") == 1
    given_one = Methods.of(("linear", "paper"), tmp_path / "m", {6: "p.safetensors"})
    assert given_one.at(6) == ["linear", "paper"]
    assert given_one.at(3) == ["linear"]
    assert given_one.network("paper", 6).name == "p.safetensors"
    assert given_one.network("linear", 6) is None
    assert given_one.network("network", 6) == tmp_path / "m"
    assert capsys.readouterr().err == ""


def test_a_published_network_has_rows_at_its_width_alone(scan, tmp_path):
    import torch
    from braggfill import networks

    torch.manual_seed(0)
    networks.save(tmp_path / "p.safetensors", networks.build("paper"))
    own = changed(
        FEW,
        methods=("paper", "linear"),
        measured={"patches": 20},
        patches={"gap_axes": (2,)},
        paper_networks={6: str(tmp_path / "p.safetensors")},
    )
    gap_table(own, 1, scan, scan, tmp_path / "out.csv")
    table = pd.read_csv(tmp_path / "out.csv")
    assert set(table[table.method == "paper"].gap_px) == {6}
    assert set(table[table.method == "linear"].gap_px) == {2, 3, 6}
    assert table[(table.method == "paper") & (table.selection == "all")].published.tolist() == [0.977]


@pytest.fixture(scope="module")
def joined(scan, tmp_path_factory):
    """The measured sweep in one piece, and in three shards, both joined."""
    top = tmp_path_factory.mktemp("joined")
    made = {}
    for shards in (1, 3):
        parts = {"measured": [], "intensity": []}
        for shard in range(shards):
            files = {name: top / f"{name}-{shard}-{shards}.csv" for name in parts}
            gap_table(FEW, 1, scan, scan, files["measured"], files["intensity"], (shard, shards))
            for name, path in files.items():
                parts[name].append(path)
        out = {name: top / f"{shards}" / f"{name}.csv" for name in (*COLUMNS, "claims")}
        join_tables(FEW, parts, {name: out[name] for name in COLUMNS})
        claims_table({name: out[name] for name in COLUMNS}, out["claims"])
        made[shards] = {name: pd.read_csv(path) for name, path in out.items()}
    return made


def test_shards_change_no_number(joined):
    for name, table in joined[1].items():
        pd.testing.assert_frame_equal(table, joined[3][name], check_exact=True)


def test_every_table_is_there_with_its_columns(joined):
    for name, columns in COLUMNS.items():
        assert list(joined[1][name].columns) == columns
        assert (len(joined[1][name]) > 0) == (name in ("measured", "intensity"))
    axes = joined[1]["measured"].groupby("gap_axis").gap_px.unique()
    assert axes[2].tolist() == [2, 3, 6]
    assert axes[1].tolist() == [3, 6], "published widths across the other axis"


def test_a_part_of_another_version_is_told(tmp_path):
    pd.DataFrame({"x": [1]}).to_csv(tmp_path / "part.csv", index=False)
    with pytest.raises(BraggfillError, match="other columns"):
        join_tables(FEW, {"skip": [tmp_path / "part.csv"]}, {"skip": tmp_path / "skip.csv"})


# Claims ---------------------------------------------------------------------------------------------------------------


def tables_with(better):
    """Tables in which the shipped network is ahead of linear by ``better`` everywhere."""
    empty = {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
    rows = []
    for width, published in ((3, 0.989), (6, 0.977), (9, 0.955), (12, 0.946)):
        for method, gain in (("braggfill", better), ("linear", 0.0)):
            score = 0.95 - 0.01 * width + gain
            row = {"source": "measured", "against": "counts", "gap_axis": 2, "gap_px": width, "method": method}
            row |= {"selection": "all", "patches": 9, "pcc_mean": score, "pcc_binned": score, "ceiling_binned": 0.99}
            rows.append(row | {"published": published if method == "braggfill" else np.nan})
    empty["measured"] = pd.DataFrame(rows).reindex(columns=GAP_COLUMNS)
    return empty


def test_claims_hold_where_the_tables_say_so():
    from braggfill.stages.evaluate.claims import claims

    good = pd.DataFrame(claims(tables_with(0.1)))
    assert list(good.columns) == CLAIM_COLUMNS
    table_1 = good[good.source == "paper, Table 1"]
    # 0.95 - 0.01 w + 0.1 beside 0.989, 0.977, 0.955, 0.946
    assert table_1.holds.tolist() == ["yes", "yes", "yes", "no"]
    assert good[good.claim.str.startswith("Ahead of linear")].holds.tolist() == ["yes"]
    assert good[good.claim.str.startswith("The accuracy falls")].holds.tolist() == ["yes"]
    poor = pd.DataFrame(claims(tables_with(-0.1)))
    behind = poor[poor.claim.str.startswith("Ahead of linear")].iloc[0]
    assert behind.holds == "no"
    assert "0 of 4" in behind.ours
    assert "3 px" in behind.ours, "where it is not ahead is said"
    assert (poor[poor.source == "paper, Table 1"].holds == "no").all()


def test_no_data_no_claims():
    from braggfill.stages.evaluate.claims import claims

    assert claims({name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}) == []
