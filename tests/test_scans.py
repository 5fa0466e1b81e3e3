"""Scans: every format gives the same array, every mask convention ends as True = missing, and back again."""

from __future__ import annotations

from collections import defaultdict

import h5py
import numpy as np
import pytest
from braggfill import scans
from scan_files import COUNTS, FRAME, MASK, SHAPE, hdf5, make, tiffs, told

FORMATS = [
    *("npz, the first", "npz, compressed, data", "npz, named", "npy", "npy, Fortran order", "hdf5, named"),
    *("hdf5, the only one", "hdf5, the largest", "hdf5, one entry more", "hdf5, in a named group", "cxi"),
    *("nexus default", "hdf5, linked twice", "hdf5, in another file", "hdf5, virtual", "hdf5, bitshuffle and LZ4"),
    *("tiff, one file", "tiff, pages", "tiff, folder", "tiff, pattern"),
]


@pytest.mark.parametrize("kind", ["u4", "i4", "f4"])
@pytest.mark.parametrize("how", FORMATS)
def test_every_format_gives_the_same_array(tmp_path, how, kind):
    array = COUNTS.astype(kind)
    got = scans.read(make(tmp_path, how, array))
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize("how", ["npy", "hdf5, the only one", "tiff, one file"])
def test_foreign_byte_order_is_made_native(tmp_path, how):
    got = scans.read(make(tmp_path, how, COUNTS.astype(">u4")))
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, COUNTS)


def test_frames_are_taken_in_their_natural_order(tmp_path):
    frames = np.arange(12, dtype=np.uint16)[:, None, None] * np.ones((1, 4, 5), np.uint16)
    np.testing.assert_array_equal(scans.read(tiffs(tmp_path / "unpadded", frames)), frames)
    np.testing.assert_array_equal(scans.read(tiffs(tmp_path / "padded", frames, "S54_{:05d}.tif")), frames)


def test_where_it_came_from_is_said(tmp_path):
    assert scans.load(make(tmp_path, "cxi", COUNTS)).where == f"{tmp_path}/a.cxi::/entry_1/data_1/data"
    assert scans.load(make(tmp_path, "npz, the first", COUNTS)).where == f"{tmp_path}/a.npz::counts"
    assert scans.load(make(tmp_path, "tiff, folder", COUNTS)).where == f"{tmp_path}/frames (5 frames)"


def test_a_dataset_may_be_named_apart(tmp_path):
    make(tmp_path, "hdf5, named", COUNTS)
    np.testing.assert_array_equal(scans.read(tmp_path / "a.h5", "x/y"), COUNTS)


# Masks --------------------------------------------------------------------------------------------------------------

CONVENTIONS = {
    "true and false": (lambda m: m, False),
    "whole numbers": (lambda m: m.astype(np.uint8), False),
    "a flag": (lambda m: m.astype(np.int32) * 8, False),
    "minus one": (lambda m: -m.astype(np.int8), False),
    "fractions": (lambda m: m.astype(np.float32), False),
    "not a number": (lambda m: np.where(m, np.nan, 0.0), False),
    "inverted": (lambda m: (~m).astype(np.uint8), True),
}


@pytest.mark.parametrize("one_frame", [False, True])
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_convention_ends_as_true_is_missing(tmp_path, convention, one_frame):
    convert, invert = CONVENTIONS[convention]
    np.save(tmp_path / "mask.npy", convert(FRAME if one_frame else MASK))
    mask = scans.load_mask(tmp_path / "mask.npy", SHAPE, invert=invert).array
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, MASK)


def test_a_cxi_mask_is_a_bit_field_and_signal_is_no_fault(tmp_path):
    bits = np.zeros(SHAPE, np.uint32)
    bits[:, 0, 0], bits[:, 1, 1], bits[:, 2, 2], bits[:, 3, 3] = 1, 0x1000, 0x1008, 0x200
    path = hdf5(tmp_path / "a.cxi", entry_1__data_1__data=COUNTS, entry_1__instrument_1__detector_1__mask=bits)
    expected = np.zeros(SHAPE, bool)
    expected[:, 0, 0] = expected[:, 2, 2] = expected[:, 3, 3] = True
    np.testing.assert_array_equal(scans.load_mask(path, SHAPE).array, expected)
    np.testing.assert_array_equal(scans.own_mask(path, SHAPE).array, expected)


@pytest.mark.parametrize("how", ["npz", "pixel_mask", "mask beside", "filled by braggfill"])
def test_the_scan_s_own_mask_is_found(tmp_path, how):
    if how == "npz":
        path = tmp_path / "a.npz"
        np.savez(path, data=COUNTS, mask=MASK)
    elif how == "pixel_mask":
        path = hdf5(tmp_path / "a.nxs", entry__detector__data=COUNTS, entry__detector__pixel_mask=FRAME.astype("u4"))
    elif how == "mask beside":
        path = hdf5(tmp_path / "a.h5", data=COUNTS, mask=MASK)
    else:
        path = tmp_path / "a.cxi"
        scans.write(path, COUNTS, MASK)
    np.testing.assert_array_equal(scans.own_mask(path, SHAPE).array, MASK)
    np.testing.assert_array_equal(scans.load_mask(path, SHAPE).array, MASK)


@pytest.mark.parametrize("how", ["npy", "npz, the first", "hdf5, the only one without mask", "tiff, folder"])
def test_a_scan_without_a_mask_has_none(tmp_path, how):
    if how == "hdf5, the only one without mask":
        path = hdf5(tmp_path / "a.h5", x__y=COUNTS)
    else:
        path = make(tmp_path, how, COUNTS)
    assert scans.own_mask(path, SHAPE) is None


def test_a_filled_file_serves_as_a_mask_by_its_name_alone(tmp_path):
    for suffix in (".npz", ".cxi", ".h5"):
        scans.write(tmp_path / f"filled{suffix}", COUNTS, MASK)
        np.testing.assert_array_equal(scans.load_mask(tmp_path / f"filled{suffix}", SHAPE).array, MASK)


# Writing ------------------------------------------------------------------------------------------------------------

SIGMA = np.where(MASK, np.float32(2.5), np.float32(np.nan))


@pytest.mark.parametrize("kind", ["u4", "i4", "f4", "f8"])
@pytest.mark.parametrize("suffix", [".npz", ".npy", ".cxi", ".h5", ".hdf5", ".nxs"])
def test_what_is_written_comes_back_bit_for_bit(tmp_path, suffix, kind):
    data = COUNTS.astype(kind) + (np.array(0.1).astype(kind) if kind[0] == "f" else 0)
    path = tmp_path / "new" / f"filled{suffix}"
    scans.write(path, data, MASK, SIGMA, provenance={"method": "linear"})
    got = scans.read(path)
    assert got.dtype == data.dtype
    np.testing.assert_array_equal(got, data)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_npz_holds_data_mask_sigma(tmp_path):
    scans.write(tmp_path / "a.npz", COUNTS, MASK, SIGMA)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert set(file.files) == {"data", "mask", "sigma", "free", "provenance"}
        assert file["mask"].dtype == bool
        np.testing.assert_array_equal(file["mask"], MASK)
        np.testing.assert_array_equal(file["sigma"], SIGMA)
    scans.write(tmp_path / "b.npz", COUNTS, MASK)
    with np.load(tmp_path / "b.npz") as file:
        assert np.isnan(file["sigma"]).all()
        assert file["sigma"].shape == SHAPE


def test_cxi_says_what_was_filled_and_how(tmp_path):
    scans.write(tmp_path / "a.cxi", COUNTS, MASK, SIGMA, provenance={"method": "linear", "filled_voxels": 80})
    with h5py.File(tmp_path / "a.cxi") as file:
        np.testing.assert_array_equal(file["entry_1/data_1/data"], COUNTS)
        np.testing.assert_array_equal(file["entry_1/data_1/filled"], MASK)
        np.testing.assert_array_equal(file["entry_1/data_1/sigma"], SIGMA)
        assert not file["entry_1/instrument_1/detector_1/mask"][()].any()
        assert file["entry_1/process_1/program"].asstr()[()] == "braggfill"
        assert file["entry_1/process_1/configuration/method"].asstr()[()] == "linear"
        assert file["entry_1/process_1/configuration/filled_voxels"][()] == 80


def test_cxi_keeps_what_phase_retrieval_needs_of_the_scan(tmp_path):
    source = hdf5(
        tmp_path / "scan.cxi",
        entry_1__data_1__data=COUNTS,
        entry_1__instrument_1__source_1__energy=1.44e-15,
        entry_1__instrument_1__detector_1__distance=0.695,
    )
    scans.write(tmp_path / "a.cxi", COUNTS, MASK, like=source)
    with h5py.File(tmp_path / "a.cxi") as file:
        assert file["entry_1/instrument_1/source_1/energy"][()] == 1.44e-15
        assert file["entry_1/instrument_1/detector_1/distance"][()] == 0.695


@pytest.mark.pynx
@pytest.mark.parametrize("suffix", [".cxi", ".h5", ".npz", ".npy"])
def test_pynx_opens_it_and_masks_nothing(tmp_path, suffix, monkeypatch):
    monkeypatch.setenv("PYNX_PU", "cpu")
    runner = pytest.importorskip("pynx.cdi.runner.runner")
    path = tmp_path / f"filled{suffix}"
    scans.write(path, COUNTS, MASK, SIGMA)
    one = runner.CDIRunnerScan.__new__(runner.CDIRunnerScan)
    one.params = defaultdict(lambda: None, data=str(path))
    one.timings, one.mask, one.iobs = {}, None, None
    one.load_data()
    one.init_mask()
    np.testing.assert_array_equal(one.iobs, COUNTS.astype(np.float32))
    assert not one.mask.any()


def test_an_existing_file_stays_without_force(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"precious")
    told(lambda: scans.write(path, COUNTS, MASK), "exists already")
    assert path.read_bytes() == b"precious"
    scans.write(path, COUNTS, MASK, force=True)
    np.testing.assert_array_equal(scans.read(path), COUNTS)


@pytest.mark.parametrize("name", ["a.dat", "a", "a.tif", "scan.npz", "file/a.npz"])
def test_outputs_that_cannot_be_are_told_before_the_work(tmp_path, name):
    scan = tmp_path / "scan.npz"
    np.savez(scan, data=COUNTS)
    (tmp_path / "file").write_text("a file where a folder would be")
    parts = {"scan.npz": "an input", "file/a.npz": "no folder that can be written"}
    part = parts.get(name, "unknown output format")
    told(lambda: scans.check_output(tmp_path / name, force=True, inputs=(f"{scan}::data",)), part)
