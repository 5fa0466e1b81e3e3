"""Names that count on, and parts of a scan that are asked for: frames, blocks, addresses."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest
import tifffile
from braggfill import scans
from braggfill.cli import main
from braggfill.scans import series
from command_line import COUNTS as FULL
from command_line import FRAME as FULL_FRAME
from scan_files import COUNTS, FRAME, MASK, SHAPE, hdf5, make, tiffs, told

LONG = np.concatenate([COUNTS, COUNTS + 1, COUNTS + 2])  # 15 frames


def blocks(path, numbers, name="part{}"):
    with h5py.File(path, "w") as file:
        for k in numbers:
            file[f"entry/data/{name.format(k)}"] = LONG[5 * (k - 1) : 5 * k]
    return path


# Addresses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["path=/x/data", "path=/x/data&slice=4:20", "/x/data"])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_silx_address_is_a_scan_for_the_command_line_and_for_many(tmp_path, monkeypatch, query, absolute):
    monkeypatch.chdir(tmp_path)
    hdf5("scan.h5", x__data=FULL)
    np.save("mask.npy", FULL_FRAME)
    want = FULL[4:20] if "slice" in query else FULL
    address = f"silx:{'//' + str(tmp_path) + '/' if absolute else ''}scan.h5?{query}"
    common = ["--mask", "mask.npy", "--method", "linear"]
    assert main(["inpaint", address, "-o", "out.npz", *common]) == 0
    with np.load("out.npz") as file:
        np.testing.assert_array_equal(file["data"][~file["mask"]], want[~file["mask"]])
    assert main(["inpaint", address, "scan.h5::/x/data[0:12]", "-o", "many/", *common]) == 0
    assert len(list((tmp_path / "many").iterdir())) == 2
    assert main(["info", address, "--mask", "mask.npy"]) == 0


@pytest.mark.parametrize(
    "how", ["npz, named", "npy", "hdf5, named", "hdf5, virtual", "tiff, one file", "tiff, pattern"]
)
def test_frames_alone_of_every_format(tmp_path, how):
    spec = make(tmp_path, how, COUNTS)
    np.testing.assert_array_equal(scans.read(f"{spec}[1:4]"), COUNTS[1:4])
    np.testing.assert_array_equal(scans.read(f"{spec}[3:400]"), COUNTS[3:])
    told(lambda: scans.read(f"{spec}[80:90]"), "no frames [80:90]" if how != "tiff, pattern" else "none of its frames")


@pytest.mark.parametrize("cut", ["::2", "-3:", "1:5:2", "2"])
def test_frames_that_are_not_understood_are_told(tmp_path, cut):
    path = hdf5(tmp_path / "a.h5", x__data=COUNTS)
    told(lambda: scans.read(f"{path}::/x/data[{cut}]"), f"[{cut}] names no frames", "[8:40]")


def test_few_frames_of_a_data_set_larger_than_the_memory(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", (2**20, 1000, 1000), "u4", chunks=(1, 500, 500))
        data[:2, :, :] = 7
    assert scans.read(f"{tmp_path}/a.h5::data[0:2]").shape == (2, 1000, 1000)
    told(lambda: scans.read(f"{tmp_path}/a.h5::data[0:3]"), "holds 2 of 1048576 frames", "data[0:2]")


def test_of_four_axes_the_way_to_one_scan_is_told_and_works(tmp_path):
    path = hdf5(tmp_path / "a.h5", scan=np.stack([COUNTS, COUNTS + 1]))
    for spec in (path, f"{path}::scan"):
        line = told(lambda spec=spec: scans.read(spec), "of several scans name one")
        assert line.endswith("a.h5::/scan[0:1]")
    np.testing.assert_array_equal(scans.read(f"{path}::/scan[1:2]"), COUNTS + 1)


# Frames in files of their own ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["dark.tif", "background_0001.tif", "frame_0.tiff"])
@pytest.mark.parametrize("pattern", [False, True])
def test_a_frame_of_another_name_does_not_pass_for_one_of_the_scan(tmp_path, other, pattern):
    folder = tiffs(tmp_path / "S1", COUNTS)
    tifffile.imwrite(folder / other, COUNTS[0])
    line = told(lambda: scans.read(f"{folder}/*.tif*" if pattern else folder), "several names", "frame_#.tif (5)")
    if other != "frame_0.tiff":
        assert "background_#.tif (1)" in line or "dark.tif (1)" in line
    np.testing.assert_array_equal(scans.read(f"{folder}/frame_*.tif"), COUNTS)


def test_the_frames_of_two_scans_in_one_folder_are_not_joined(tmp_path):
    folder = tiffs(tmp_path / "both", COUNTS, "S54_{:03d}.tif")
    tiffs(folder, COUNTS + 1, "S55_{:03d}.tif")
    line = told(lambda: scans.read(folder), "several names", "S54_#.tif (5), S55_#.tif (5)")
    np.testing.assert_array_equal(scans.read(line.split("'")[1]), COUNTS)


def test_names_with_a_counter_and_more_are_one_scan(tmp_path):
    names = [f"S54_{k:03d}_{200 + k % 2}K.tif" for k in range(5)]
    assert not series.apart(names)
    assert not series.apart([f"img_{k}_{1700 + 3 * k}.tif" for k in range(5)])
    assert not series.apart(["a.tif"])
    assert series.left_out(["f_1.tif", "f_2.tif", "f_4.tif", "f_5.tif", "f_6.tif"]) == 3
    assert series.left_out(["f_10.tif", "f_20.tif", "f_30.tif"]) is None


def test_a_pipe_among_frames_is_told_and_not_waited_for(tmp_path):
    folder = tiffs(tmp_path / "S1", COUNTS[:2])
    os.mkfifo(folder / "frame_2.tif")
    told(lambda: scans.read(f"{folder}/*.tif"), "frame_2.tif: is no file")


def test_a_name_with_a_magic_letter_that_is_not_there(tmp_path):
    told(lambda: scans.read(tmp_path / "scan[1].npz"), "scan[1].npz: no such file")


# Blocks -------------------------------------------------------------------------------------------------------------


def test_a_hole_among_the_blocks_of_a_pattern_is_told(tmp_path):
    path = blocks(tmp_path / "a.h5", (1, 3))
    path = blocks(path, (1, 2, 3))
    assert not scans.load(f"{path}::/entry/data/part*").remarks
    with h5py.File(path, "r+") as file:
        file["entry/data/part5"] = LONG[:5]
    loaded = scans.load(f"{path}::/entry/data/part*")
    assert any("leave some out, the first 4" in line for line in loaded.remarks)


@pytest.mark.parametrize("how", ["hole", "gone", "truncated"])
def test_frames_before_a_block_that_is_lost_can_be_named(tmp_path, how):
    path = tmp_path / "m_master.h5"
    with h5py.File(path, "w") as master:
        for k in (1, 2, 3):
            if how != "hole" or k != 2:
                master[f"entry/data/data_{k:06d}"] = h5py.ExternalLink(f"m_{k}.h5", "/d")
            with h5py.File(tmp_path / f"m_{k}.h5", "w") as file:
                file["d"] = LONG[5 * (k - 1) : 5 * k]
    if how == "gone":
        (tmp_path / "m_2.h5").unlink()
    if how == "truncated":
        os.truncate(tmp_path / "m_2.h5", 1500)
    line = told(lambda: scans.read(path), "data_000002", "or name the frames that are there, m_master.h5::")
    way = line.rpartition("m_master.h5::")[2]
    assert way.endswith("[0:5]")
    np.testing.assert_array_equal(scans.read(f"{path}::/entry/data[0:5]"), LONG[:5])
    np.testing.assert_array_equal(scans.read(f"{path}::/entry/data[1:4]"), LONG[1:4])
    np.testing.assert_array_equal(scans.read(f"{path}::{way}"), LONG[:5])
    told(lambda: scans.read(f"{path}::/entry/data[0:6]"), "data_000002")


def test_frames_across_blocks(tmp_path):
    path = blocks(tmp_path / "a.h5", (1, 2, 3), "data_{:06d}")
    for cut in ((0, 15), (3, 12), (5, 10), (9, 11), (14, 99)):
        np.testing.assert_array_equal(scans.read(f"{path}::/entry/data[{cut[0]}:{cut[1]}]"), LONG[slice(*cut)])
    told(lambda: scans.read(f"{path}::/entry/data[15:20]"), "no frames [15:20]")


@pytest.mark.parametrize("change", ["type", "size"])
def test_blocks_that_do_not_continue_each_other_are_told(tmp_path, change):
    path = blocks(tmp_path / "a.h5", (1, 3), "data_{:06d}")
    with h5py.File(path, "r+") as file:
        file["entry/data/data_000002"] = LONG[5:10].astype("u2") if change == "type" else LONG[5:10, :, :4]
    told(lambda: scans.read(path), "data_000002 is", "does not continue")


def test_frames_before_a_source_that_is_lost_can_be_named_through_nested_virtual_data_sets_and_links(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "user").mkdir()
    layout = h5py.VirtualLayout((10, *SHAPE[1:]), "u4")
    for k in range(2):
        hdf5(tmp_path / "raw" / f"f{k}.h5", d=LONG[5 * k : 5 * k + 5])
        layout[5 * k : 5 * k + 5] = h5py.VirtualSource(f"f{k}.h5", "d", SHAPE)
    with h5py.File(tmp_path / "raw/ds.h5", "w") as file:
        file.create_virtual_dataset("d", layout)
    outer = h5py.VirtualLayout((10, *SHAPE[1:]), "u4")
    outer[:] = h5py.VirtualSource("./ds.h5", "d", (10, *SHAPE[1:]))
    with h5py.File(tmp_path / "raw/all.h5", "w") as file:
        file.create_virtual_dataset("d", outer)
    (tmp_path / "user/a.h5").symlink_to("../raw/all.h5")
    (tmp_path / "user/b.h5").symlink_to("a.h5")
    path = tmp_path / "user/b.h5"
    np.testing.assert_array_equal(scans.read(path), LONG[:10])
    (tmp_path / "raw/f1.h5").unlink()
    told(lambda: scans.read(path), "holds 5 of 10 frames", "f1.h5, which is not there", "b.h5::/d[0:5]")
    np.testing.assert_array_equal(scans.read(f"{path}::/d[0:5]"), LONG[:5])


# NumPy's archives, masks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [{"theta": np.arange(5.0)}, {"mask": FRAME}, {"amplitude": COUNTS * 1j}])
def test_of_an_archive_the_first_array_that_can_be_a_scan_is_taken(tmp_path, before):
    np.savez(tmp_path / "a.npz", **before, intensity=COUNTS)
    np.testing.assert_array_equal(scans.read(tmp_path / "a.npz"), COUNTS)
    np.savez(tmp_path / "b.npz", arr_0=COUNTS, arr_1=FRAME)
    np.testing.assert_array_equal(scans.load_mask(tmp_path / "b.npz", SHAPE).array, MASK)


@pytest.mark.parametrize(("good", "bad"), [(1, 2), (1, -1), (1.0, np.nan), (255, 254)])
@pytest.mark.parametrize("invert", [False, True])
def test_a_mask_of_two_values_that_are_both_not_zero_says_so(tmp_path, good, bad, invert):
    np.save(tmp_path / "m.npy", np.where(FRAME, bad, good))
    told(lambda: scans.load_mask(tmp_path / "m.npy", SHAPE, invert=invert), "but no zero", "zero where measured")


@pytest.mark.parametrize("value", [255, -1, 32])
def test_a_mask_of_zero_and_any_other_value(tmp_path, value):
    np.save(tmp_path / "m.npy", np.where(FRAME, value, 0).astype("i2"))
    np.testing.assert_array_equal(scans.load_mask(tmp_path / "m.npy", SHAPE).array, MASK)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("link", ["file", "circle"])
def test_a_mask_behind_a_link_that_leads_nowhere_is_told(tmp_path, named, link):
    path, place = tmp_path / "a.nxs", "entry/instrument/detector"
    with h5py.File(path, "w") as file:
        file[f"{place}/data"] = np.where(MASK, 2**32 - 1, COUNTS).astype("u4")
        other = {"file": h5py.ExternalLink("gone.h5", "/m"), "circle": h5py.SoftLink(f"/{place}/pixel_mask")}
        file[f"{place}/pixel_mask"] = other[link]
    spec = f"{path}::/{place}/data" if named else path
    found = scans.missing(spec, scans.read(spec))
    np.testing.assert_array_equal(found.array, MASK)
    assert any("cannot be read" in line for line in found.remarks)
