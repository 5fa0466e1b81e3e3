"""Detectors by name: against real masks, published gap widths, and their place on a scan."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.scans import detectors
from hypothesis import given, settings
from hypothesis import strategies as st


def bands(missing):
    """(first, width) of each run of wholly missing lines."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(int), [0]])))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


@pytest.mark.data
@pytest.mark.parametrize(("name", "real"), [("maxipix", "id01_maxipix_mask"), ("merlin", "nanomax_merlin_mask")])
def test_the_gaps_are_those_of_the_real_masks(measured, name, real):
    with np.load(measured / "detector_masks.npz") as file:
        wanted = file[real].astype(bool)
    found = detectors.mask(name)
    assert found.shape == wanted.shape
    for axis in (0, 1):
        assert bands(found.all(axis)) == bands(wanted.all(axis))
    assert wanted[found].all()  # what the real mask has more are dead pixels of that one detector
    assert np.count_nonzero(wanted & ~found) < 200


@pytest.mark.parametrize(
    ("name", "shape", "rows", "columns"),
    [
        ("Eiger 1M", (1065, 1030), [37], []),
        ("eiger4m", (2167, 2070), [37] * 3, [10]),
        ("EIGER-9M", (3269, 3110), [37] * 5, [10] * 2),
        ("eiger16m", (4371, 4150), [37] * 7, [10] * 3),
        ("eiger2_4m", (2162, 2068), [38] * 3, [12]),
        ("pilatus1m", (1043, 981), [17] * 4, [7]),
        ("pilatus300k", (619, 487), [17] * 2, []),
        ("lambda750k", (516, 1556), [4], [4] * 5),
        ("maxipix5x1", (256, 1296), [], [4] * 4),
    ],
)
def test_detectors_of_pyfai_have_their_published_gaps(name, shape, rows, columns):
    """Shapes and gap widths as their makers publish them."""
    pytest.importorskip("pyFAI")
    found = detectors.mask(name)
    assert found.shape == shape
    assert [width for _, width in bands(found.all(1))] == rows
    assert [width for _, width in bands(found.all(0))] == columns


def test_the_eiger_of_id01_has_four_modules():
    found = bands(detectors.mask("eiger2m").all(1))
    assert [width for _, width in found if width > 30] == [41] * 3
    assert np.diff([first for first, width in found if width > 30]).tolist() == [550, 550]


def test_case_and_separators_of_a_name_make_no_difference():
    for name in ("Maxipix", "MAXIPIX", "maxi-pix", " maxipix "):
        np.testing.assert_array_equal(detectors.mask(name), detectors.mask("maxipix"))
    assert {"maxipix", "merlin", "eiger2m"} <= set(detectors.names())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 216), st.integers(1, 216))
def test_row_and_column_name_the_pixel_of_the_detector_that_is_the_scans_first(row, column, rows, columns):
    whole = detectors.mask("maxipix")
    wanted = whole[row : row + rows, column : column + columns]
    if not wanted.any():
        return
    both = (f"{row},{column}", f"{row}:{row + rows}, {column}:{column + columns}")
    for roi in both:
        found, where = detectors.placed("maxipix", (3, rows, columns), roi)
        assert found.shape == (3, rows, columns)
        assert (found == wanted).all()
        assert f"rows {row} to {row + rows - 1}, columns {column} to {column + columns - 1}" in where


def test_whole_frames_need_no_region():
    found, _ = detectors.placed("merlin", (2, 515, 515))
    assert (found == detectors.mask("merlin")).all()


@pytest.mark.parametrize(
    ("name", "shape", "roi", "part"),
    [
        ("maxipxi", (2, 516, 516), None, "did you mean maxipix"),
        ("maxipix", (2, 100, 100), None, "--roi ROW,COLUMN"),
        ("maxipix", (2, 100, 100), "450,0", "beyond the detector's 516 × 516"),
        ("maxipix", (2, 100, 100), "10", "not understood"),
        ("maxipix", (2, 100, 100), "-5,3", "not understood"),
        ("maxipix", (2, 100, 100), "200:301,200:300", "101 rows"),
        ("maxipix", (2, 100, 100), "200:300,200:290", "90 columns"),
        ("maxipix", (2, 100, 100), "0,0", "no gap there"),
        ("timepix", (2, 256, 256), None, "no gap there"),
    ],
)
def test_what_cannot_be_placed_is_told(name, shape, roi, part):
    with pytest.raises(BraggfillError, match="--") as caught:
        detectors.placed(name, shape, roi)
    assert part in str(caught.value)


def test_without_pyfai_own_detectors_work_and_others_are_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyFAI", None)
    assert detectors.mask("maxipix").any()
    with pytest.raises(BraggfillError, match=r"braggfill\[detectors\]"):
        detectors.mask("eiger4m")


def test_no_window_system_is_loaded():
    pytest.importorskip("pyFAI")
    script = "from braggfill.scans import detectors; detectors.mask('eiger1m'); import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"PySide6", "PyQt5", "PyQt6", "tkinter"} & {name.partition(".")[0] for name in done.stdout.split()}
