"""Which voxels are missing where no mask is named."""

from __future__ import annotations

import numpy as np
import pytest
from braggfill import scans
from braggfill.scans import detectors
from scan_files import COUNTS, FRAME, MASK, SHAPE, hdf5, told


def test_a_mask_that_is_named_is_all_that_counts(tmp_path):
    np.save(tmp_path / "mask.npy", FRAME)
    np.savez(tmp_path / "a.npz", data=COUNTS, mask=~MASK)
    troubled = COUNTS.astype(float)
    troubled[0, 0, 0] = np.nan
    found = scans.missing(tmp_path / "a.npz", troubled, mask=str(tmp_path / "mask.npy"))
    np.testing.assert_array_equal(found.array, MASK)


def test_nothing_says_anything_and_nothing_is_missing(tmp_path):
    np.savez(tmp_path / "a.npz", data=COUNTS)
    assert scans.missing(tmp_path / "a.npz", COUNTS) is None


@pytest.mark.parametrize(
    ("kind", "value", "name"),
    [
        ("f4", np.nan, "not finite"),
        ("f8", -np.inf, "not finite"),
        ("f4", -2.0, "negative"),
        ("i4", -1, "negative"),
        ("u4", 2**32 - 1, "largest integer"),
        ("u2", 2**16 - 1, "largest integer"),
        ("i4", 2**31 - 1, "largest integer"),
    ],
)
def test_voxels_that_cannot_be_counts_are_missing(tmp_path, kind, value, name):
    data = COUNTS.astype(kind)
    data[MASK] = value
    np.save(tmp_path / "a.npy", data)
    found = scans.missing(tmp_path / "a.npy", data)
    np.testing.assert_array_equal(found.array, MASK)
    assert name in found.where
    assert str(np.count_nonzero(MASK)) in found.where


def test_an_8_bit_255_and_a_16_bit_signed_maximum_are_counts():
    for kind in ("u1", "i2"):
        data = np.full(SHAPE, np.iinfo(kind).max, kind)
        assert not scans.marked(data).array.any()


def test_what_is_known_is_joined_and_told(tmp_path):
    data = np.ones((2, 516, 516), np.float32)
    data[0, 5, 7] = np.nan
    own = np.zeros((516, 516), bool)
    own[40] = True
    path = hdf5(
        tmp_path / "a.cxi", entry_1__data_1__data=data, entry_1__instrument_1__detector_1__mask=own.astype("i1")
    )
    found = scans.missing(path, data, detector="maxipix")
    np.testing.assert_array_equal(found.array, (detectors.mask("maxipix") | own)[None] | np.isnan(data))
    for part in ("detector maxipix", "detector_1/mask (the scan's own)", "1 voxels not finite"):
        assert part in found.where


def test_marked_voxels_that_the_mask_covers_are_not_told_again(tmp_path):
    data = np.where(MASK, -1, COUNTS.astype("i4"))
    np.savez(tmp_path / "a.npz", data=data, mask=MASK)
    assert "negative" not in scans.missing(tmp_path / "a.npz", data).where


def test_contradictions_are_told(tmp_path):
    np.savez(tmp_path / "a.npz", data=COUNTS)
    path = tmp_path / "a.npz"
    told(lambda: scans.missing(path, COUNTS, roi="1,1"), "--detector")
    told(lambda: scans.missing(path, COUNTS, invert=True), "--invert-mask")
