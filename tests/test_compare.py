"""Artificial gaps in a scan's own good region: fair to every method, and never over what is missing."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from braggfill import filling, networks
from braggfill.cli import main
from braggfill.errors import BraggfillError
from braggfill.filling import compare
from braggfill.patterns import gaps
from braggfill.runs.seeds import generator

SHAPE = (40, 76, 84)
GRID = np.ix_(*(np.arange(n) - n // 2 for n in SHAPE))
EXPECTED = 3e3 * np.cos(0.5 * GRID[2] + 0.3 * GRID[1]) ** 2 / (1 + 0.01 * sum(g**2 for g in GRID)) + 0.2
COUNTS = generator(1, "test/compare").poisson(EXPECTED).astype(np.int32)
MISSING = gaps.cross(SHAPE, 4, (60, 5))
NOTHING = np.zeros(SHAPE, bool)


def linear(intensity, mask):
    return filling.inpaint(intensity, mask, method="linear", most_missing=True).data


def knows(truth):
    return lambda intensity, mask: np.where(mask, truth, intensity)


def test_a_perfect_filling_scores_one_and_a_poor_one_less():
    slow = np.rint(300 * (1.1 + np.cos(0.2 * GRID[2]) * np.cos(0.1 * GRID[1])) + 0 * GRID[0])
    rows = compare.compare(slow, NOTHING, {"perfect": knows(slow), "linear": linear}, widths=[3, 18], patches=12)
    for row in rows:
        assert row.patches == 12 or row.selection == "bright"
        if row.method == "perfect":
            assert (row.pcc, row.pcc_low, row.pcc_high) == pytest.approx((1, 1, 1))
        else:
            assert row.pcc_low <= row.pcc <= row.pcc_high < 1
    score = {(row.method, row.gap_px): row.pcc for row in rows if row.selection == "bright"}
    assert score["linear", 18] < score["linear", 3]


def test_knowing_the_expectation_reaches_the_ceiling():
    rows = compare.compare(COUNTS, NOTHING, {"expectation": knows(EXPECTED)}, widths=[6], patches=40)
    for row in rows:
        assert row.pcc == pytest.approx(row.ceiling, abs=0.03)


def test_nobody_sees_what_lies_in_a_gap():
    """Neither the artificial gap nor what is missing reaches a method."""
    seen = []

    def spy(intensity, mask):
        seen.append((intensity, mask))
        return linear(intensity, mask)

    troubled = np.where(MISSING, 10**8, COUNTS)
    rows = compare.compare(troubled, MISSING, {"spy": spy}, widths=[6], patches=6)
    for intensity, mask in seen:
        assert not intensity[mask].any()
        assert intensity.max() <= COUNTS.max()
        np.testing.assert_array_equal(intensity[~mask & ~MISSING], COUNTS[~mask & ~MISSING])
    assert rows == compare.compare(COUNTS, MISSING, {"spy": linear}, widths=[6], patches=6)


@pytest.mark.parametrize("axis", [1, 2])
def test_patches_are_whole_and_the_gap_lies_in_their_middle(axis):
    size = (32, 32, 32)
    places = compare._places(COUNTS, MISSING, size, axis, 20, 0)
    assert sum(map(len, places)) == 20
    for origins in places:
        for origin in origins:
            assert not MISSING[tuple(slice(o, o + 32) for o in origin)].any()
        sheets = np.unique(origins[:, axis])
        assert (np.diff(sheets) >= 32).all()


def test_every_method_gets_the_same_patches_and_the_seed_decides():
    rows = compare.compare(COUNTS, MISSING, {"a": linear, "b": linear}, widths=[4], patches=8)
    for one, other in zip(rows[::2], rows[1::2], strict=True):
        assert (one.pcc, one.patches, one.ceiling) == (other.pcc, other.patches, other.ceiling)
    again = compare.compare(COUNTS, MISSING, {"a": linear}, widths=[4], patches=8, seed=1)
    assert again[0].pcc != rows[0].pcc


def test_scans_shorter_than_a_patch_are_compared_and_fractions_have_no_ceiling():
    small = COUNTS[:20, :40] * 0.37
    rows = compare.compare(small, NOTHING[:20, :40], {"linear": linear}, widths=[3], patches=4)
    assert rows[0].patches == 4
    assert np.isnan(rows[0].ceiling)


def test_a_small_scan_with_a_gap_is_compared_in_smaller_patches():
    some = (slice(40), slice(44), slice(20, 68))
    missing = gaps.plane((40, 44, 48), 6, start=22)
    rows = compare.compare(COUNTS[some], missing, {"linear": linear}, widths=[6], patches=6)
    assert rows[0].patches > 0


@pytest.mark.parametrize(
    ("intensity", "missing", "widths", "part"),
    [
        (COUNTS, MISSING, [0], "1 to 24"),
        (COUNTS, MISSING, [30], "1 to 24"),
        (COUNTS[..., :20], MISSING[..., :20], [18], "does not fit"),
        (COUNTS[:20], gaps.plane((20, 76, 84), 3, axis=0, start=8), [3], "wholly measured"),
    ],
)
def test_what_cannot_be_compared_is_told(intensity, missing, widths, part):
    with pytest.raises(BraggfillError) as caught:
        compare.compare(intensity, missing, {"linear": linear}, widths=widths)
    assert part in str(caught.value)


# The command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    np.savez(tmp_path / "scan.npz", data=np.where(MISSING, 0, COUNTS), mask=MISSING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRAGGFILL_NETWORK", raising=False)
    monkeypatch.setattr(networks, "WEIGHTS", tmp_path / "weights")
    return tmp_path


def test_the_command_prints_a_table_writes_it_and_draws_it(here, capsys):
    more = ["--method", "linear", "--method", "nearest", "--patches", "6", "--width", "3", "6", "--axis", "1"]
    assert main(["compare", "scan.npz", *more, "-o", "t.csv", "--figure", "f.png", "-q"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for part in ("linear", "nearest", "ceiling", "3 px", "6 px"):
        assert part in out
    with open("t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2
    assert {row["method"] for row in rows} == {"linear", "nearest"}
    shown = f"{float(rows[0]['pcc']):.3f}".lstrip("0")
    assert shown in out
    from matplotlib.image import imread

    assert imread("f.png").std() > 0.05


BAD = {
    "the table exists": (lambda: open("t.csv", "w").close(), ["-o", "t.csv"], "exists already"),
    "the table is no csv": (None, ["-o", "t.txt"], ".csv"),
    "the figure is no picture": (None, ["--figure", "f.txt"], "a preview is"),
    "no patches": (None, ["--patches", "0"], "at least one patch"),
    "a negative seed": (None, ["--seed", "-1"], "not negative"),
    "a width of nothing": (None, ["--width", "0"], "1 to 24"),
    "a width that is no number": (None, ["--width", "six"], "six"),
    "an unknown method": (None, ["--method", "magic"], "magic"),
    "an axis that is none of the detector's": (None, ["--axis", "0"], "--axis"),
    "a network that is not there": (None, ["--network", "gone.safetensors"], "gone.safetensors"),
    "a network where there is none": (None, ["--method", "braggfill"], "no network"),
}


@pytest.mark.parametrize("how", BAD)
def test_what_is_wrong_is_one_line(here, capsys, how):
    prepare, given, part = BAD[how]
    if prepare:
        prepare()
    before = sorted((file.name, file.stat().st_mtime_ns) for file in here.iterdir())
    if "--method" not in given and "--network" not in given:
        given = [*given, "--method", "linear"]
    try:
        status = main(["compare", "scan.npz", *given])
    except SystemExit as leaving:
        status = leaving.code
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].startswith("braggfill: error: ")
    assert part in err.splitlines()[-1]
    assert sorted((file.name, file.stat().st_mtime_ns) for file in here.iterdir()) == before


def test_it_says_how_long_it_takes_and_how_far_it_is(monkeypatch):
    told = []
    monkeypatch.setattr(compare, "SHORT", 0.0)
    monkeypatch.setattr(compare, "EVERY", 0.0)
    fills = {"one": knows(COUNTS), "two": knows(EXPECTED)}
    compare.compare(COUNTS, NOTHING, fills, widths=[3, 6], patches=12, say=told.append)
    total = int(told[0].split()[2])
    assert [line.split(";")[0] for line in told] == [f"{k} of {total} fillings" for k in range(1, total)]
    assert all(line.endswith("left") for line in told)
    told.clear()
    compare.compare(COUNTS, NOTHING, fills, widths=[3, 6], patches=12, say=told.append, progress=True)
    assert len(told) == 1
