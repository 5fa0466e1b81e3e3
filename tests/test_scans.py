"""Scans: every format gives the same array, every mask convention ends as True = missing, damage is one line."""

from __future__ import annotations

import os
from collections import defaultdict

import h5py
import hdf5plugin
import numpy as np
import pytest
import tifffile
from braggfill import scans
from braggfill.errors import BraggfillError
from braggfill.seeds import generator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SHAPE = (5, 8, 9)
COUNTS = generator(1, "test/scans").poisson(20.0, SHAPE).astype(np.uint32)
FRAME = np.zeros(SHAPE[1:], bool)
FRAME[:, 4:6] = True
MASK = np.broadcast_to(FRAME, SHAPE)


def hdf5(path, **datasets):
    """An HDF5 file with datasets at paths, `__` for `/`."""
    with h5py.File(path, "w") as file:
        for name, array in datasets.items():
            file[name.replace("__", "/")] = array
    return path


def tiffs(folder, frames, name="frame_{}.tif"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames):
        tifffile.imwrite(folder / name.format(index), frame)
    return folder


def make(tmp_path, how, array):
    """A file that holds an array, and the spec that names it."""
    if how == "npz, the first":
        np.savez(tmp_path / "a.npz", counts=array, other=np.zeros(3))
        return tmp_path / "a.npz"
    if how == "npz, compressed, data":
        np.savez_compressed(tmp_path / "a.npz", other=np.zeros(3), data=array)
        return tmp_path / "a.npz"
    if how == "npz, named":
        np.savez(tmp_path / "a.npz", data=np.zeros(3), here=array)
        return f"{tmp_path}/a.npz::here"
    if how == "npy":
        np.save(tmp_path / "a.npy", array)
        return tmp_path / "a.npy"
    if how == "npy, Fortran order":
        np.save(tmp_path / "a.npy", np.asfortranarray(array))
        return tmp_path / "a.npy"
    if how == "hdf5, named":
        return f"{hdf5(tmp_path / 'a.h5', x__y=array, big=np.zeros((9, 9, 99)))}::/x/y"
    if how == "hdf5, the only one":
        return hdf5(tmp_path / "a.hdf5", x__y=array, flat=np.zeros((99, 99)), x__mask=array > 0)
    if how == "hdf5, the largest":
        return hdf5(tmp_path / "a.h5", x__y=array, small=np.zeros((3, 3, 3)), amplitude=np.zeros((9, 9, 9), complex))
    if how == "hdf5, one entry more":
        return hdf5(tmp_path / "a.h5", data=array[None])
    if how == "hdf5, in a named group":
        return f"{hdf5(tmp_path / 'a.h5', one__y=array, two__y=array)}::one"
    if how == "cxi":
        return hdf5(tmp_path / "a.cxi", entry_1__data_1__data=array, other=np.zeros((20, 20, 20)))
    if how == "nexus default":
        path = hdf5(tmp_path / "a.nxs", scan__plot__counts=array, other=np.zeros((20, 20, 20)))
        with h5py.File(path, "r+") as file:
            file.attrs["default"] = "scan"
            file["scan"].attrs["default"] = "plot"
            file["scan/plot"].attrs["signal"] = "counts"
        return path
    if how == "hdf5, linked twice":
        path = hdf5(tmp_path / "a.h5", instrument__detector=array)
        with h5py.File(path, "r+") as file:
            file["hard"] = file["instrument/detector"]
            file["soft"] = h5py.SoftLink("/instrument/detector")
            file["loop"] = h5py.SoftLink("/")
            file["broken"] = h5py.SoftLink("/nowhere")
        return path
    if how == "hdf5, in another file":
        hdf5(tmp_path / "frames.h5", entry__data=array)
        with h5py.File(tmp_path / "master.h5", "w") as file:
            file["1.1/measurement/detector"] = h5py.ExternalLink("frames.h5", "/entry/data")
        return f"{tmp_path}/master.h5::/1.1/measurement/detector"
    if how == "hdf5, virtual":
        hdf5(tmp_path / "frames.h5", data=array)
        layout = h5py.VirtualLayout(array.shape, array.dtype)
        layout[:] = h5py.VirtualSource("frames.h5", "data", array.shape)
        with h5py.File(tmp_path / "virtual.h5", "w") as file:
            file.create_virtual_dataset("data", layout)
        return tmp_path / "virtual.h5"
    if how == "hdf5, bitshuffle and LZ4":
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("data", data=array, chunks=(1, *array.shape[1:]), **hdf5plugin.Bitshuffle())
        return tmp_path / "a.h5"
    if how == "tiff, one file":
        tifffile.imwrite(tmp_path / "a.tif", array)
        return tmp_path / "a.tif"
    if how == "tiff, pages":
        with tifffile.TiffWriter(tmp_path / "a.tiff") as file:
            for frame in array:
                file.write(frame, contiguous=False)
        return tmp_path / "a.tiff"
    folder = tiffs(tmp_path / "frames", array)
    (folder / "notes.txt").write_text("not a frame")
    return folder if how == "tiff, folder" else f"{folder}/*.tif"


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


# What is wrong is told in one line ----------------------------------------------------------------------------------


def told(call, *parts):
    with pytest.raises(BraggfillError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    for part in parts:
        assert part in line, line
    return line


def test_ambiguous_files_list_what_they_hold(tmp_path):
    path = hdf5(tmp_path / "a.h5", one=COUNTS, two__x=COUNTS, small=np.zeros((2, 2, 2)))
    told(lambda: scans.read(path), "several scans", "/one (5 × 8 × 9)", "/two/x", "a.h5::/one")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("/entry/dta", ["did you mean /entry/data?"]),
        ("/nowhere", ["no dataset /nowhere", "/ holds", "entry"]),
        ("/entry/data/more", ["/entry/data is a dataset itself"]),
        ("/soft", ["/soft links to /gone"]),
        ("/away/x", ["/away links to gone.h5"]),
    ],
)
def test_a_path_that_is_not_there(tmp_path, name, parts):
    path = hdf5(tmp_path / "a.h5", entry__data=COUNTS)
    with h5py.File(path, "r+") as file:
        file["soft"] = h5py.SoftLink("/gone")
        file["away"] = h5py.ExternalLink("gone.h5", "/")
    told(lambda: scans.read(path, name), "a.h5", *parts)


def test_frames_of_a_virtual_dataset_that_are_away_do_not_pass_for_zeros(tmp_path):
    make(tmp_path, "hdf5, virtual", COUNTS)
    (tmp_path / "frames.h5").unlink()
    told(lambda: scans.read(tmp_path / "virtual.h5"), "frames.h5, which is not there")


def write_bytes(path, content):
    path.write_bytes(content)
    return path


BAD = {
    "missing": (lambda p: p / "no.npz", "no such file"),
    "empty name": (lambda p: "", "name"),
    "half a spec": (lambda p: f"{p}/a.h5::", "after it"),
    "unknown suffix": (lambda p: write_bytes(p / "a.dat", b"x"), "unknown format .dat"),
    "empty file": (lambda p: write_bytes(p / "a.npy", b""), "empty file"),
    "empty folder": (lambda p: p, "no TIFF file"),
    "pattern without files": (lambda p: f"{p}/*.tif", "no TIFF file"),
    "text called npz": (lambda p: write_bytes(p / "a.npz", b"hello" * 50), "a.npz"),
    "text called h5": (lambda p: write_bytes(p / "a.h5", b"hello" * 50), "not a readable HDF5 file"),
    "text called tif": (lambda p: write_bytes(p / "a.tif", b"hello" * 50), "not a readable TIFF file"),
    "npy called npz": (lambda p: npy_as(p / "a.npz"), "suffix .npy"),
    "npz called npy": (lambda p: npz_as(p / "a.npy"), "suffix .npz"),
    "npz without arrays": (lambda p: savez(p / "a.npz"), "holds no array"),
    "npz without that array": (lambda p: f"{savez(p / 'a.npz', one=COUNTS)}::two", "it holds one"),
    "objects": (lambda p: save(p / "a.npy", np.array([{}], dtype=object)), "pickled"),
    "objects in npz": (lambda p: savez(p / "a.npz", data=np.array([{}], dtype=object)), "pickled"),
    "complex": (lambda p: save(p / "a.npy", COUNTS.astype(complex)), "complex"),
    "text": (lambda p: save(p / "a.npy", COUNTS.astype(str)), "not numbers"),
    "dates": (lambda p: save(p / "a.npy", COUNTS.astype("M8[s]")), "not numbers"),
    "true and false": (lambda p: save(p / "a.npy", COUNTS > 20), "as the mask"),
    "one frame": (lambda p: save(p / "a.npy", COUNTS[0]), "2D"),
    "four axes": (lambda p: save(p / "a.npy", np.stack([COUNTS, COUNTS])), "4D"),
    "a number": (lambda p: save(p / "a.npy", np.array(3.0)), "0D"),
    "no frames": (lambda p: save(p / "a.npy", COUNTS[:0]), "is empty"),
    "hdf5 without arrays": (lambda p: hdf5(p / "a.h5", x=1.0), "no array at all"),
    "hdf5 with frames only": (lambda p: hdf5(p / "a.h5", x=COUNTS[0]), "no 3D dataset"),
    "hdf5 with text": (lambda p: f"{hdf5(p / 'a.h5', x=np.array(['a', 'b'], 'S1'))}::x", "not numbers"),
    "hdf5 with a record": (lambda p: f"{hdf5(p / 'a.h5', x=np.zeros(3, 'i4,f4'))}::x", "not numbers"),
    "named array in npy": (lambda p: f"{save(p / 'a.npy', COUNTS)}::x", "drop '::x'"),
    "frames of two shapes": (lambda p: uneven(p / "frames"), "does not continue"),
    "stacks in a folder": (lambda p: tiffs(p / "stacks", [COUNTS, COUNTS]), "one frame each"),
    "colour image": (lambda p: colour(p / "a.tif"), "colour"),
    "pattern of other files": (lambda p: f"{save(p / 'a.npy', COUNTS).parent}/*.npy", "no TIFF file"),
}


def save(path, array):
    np.save(path, array, allow_pickle=True)
    return path


def savez(path, **arrays):
    np.savez(path, **arrays)
    return path


def npy_as(path):
    with open(path, "wb") as file:
        np.save(file, COUNTS)
    return path


def npz_as(path):
    with open(path, "wb") as file:
        np.savez(file, COUNTS)
    return path


def uneven(folder):
    return tiffs(folder, [COUNTS[0], COUNTS[1], COUNTS[2, :, :-1]])


def colour(path):
    tifffile.imwrite(path, np.zeros((8, 9, 3), np.uint8), photometric="rgb")
    return path


@pytest.mark.parametrize("how", BAD)
def test_what_is_no_scan_is_told(tmp_path, how):
    build, part = BAD[how]
    told(lambda: scans.read(build(tmp_path)), part)


BAD_MASKS = {
    "another shape": (np.zeros((5, 8, 8), bool), "5 × 8 × 8 does not fit the scan's 5 × 8 × 9"),
    "one frame of another shape": (np.zeros((9, 8), bool), "8 × 9"),
    "one row": (np.zeros(9, bool), "does not fit"),
    "complex": (MASK.astype(complex), "complex128"),
    "text": (MASK.astype(str), "a mask holds"),
    "counts": (np.arange(360).reshape(SHAPE), "is it a scan?"),
}


@pytest.mark.parametrize("how", BAD_MASKS)
def test_what_is_no_mask_is_told(tmp_path, how):
    array, part = BAD_MASKS[how]
    told(lambda: scans.load_mask(save(tmp_path / "mask.npy", array), SHAPE), "mask.npy", part)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = save(tmp_path / "a.npy", COUNTS)
    path.chmod(0)
    told(lambda: scans.read(path), "a.npy", "permission")


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_is_told_or_harmless_never_a_crash(tmp_path, data):
    """Truncated anywhere, or with any byte changed: the array, or one line."""
    suffix = data.draw(st.sampled_from([".npz", ".npy", ".tif", ".h5"]))
    path = tmp_path / f"scan{suffix}"
    whole = WHOLE.setdefault(suffix, _whole(path))
    cut = data.draw(st.integers(0, len(whole) - 1))
    if suffix == ".h5" or data.draw(st.booleans()):
        path.write_bytes(whole[:cut])
    else:
        path.write_bytes(whole[:cut] + bytes([data.draw(st.integers(0, 255))]) + whole[cut + 1 :])
    line = ""
    try:
        assert scans.read(path).ndim == 3
    except BraggfillError as error:
        line = str(error)
    assert "\n" not in line


WHOLE: dict[str, bytes] = {}


def _whole(path):
    if path.suffix == ".npz":
        np.savez_compressed(path, data=COUNTS)
    elif path.suffix == ".npy":
        np.save(path, COUNTS)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, COUNTS, compression="zlib")
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("data", data=COUNTS, compression="gzip")
    return path.read_bytes()


# Checks before filling ----------------------------------------------------------------------------------------------


def test_sound_input_passes_whatever_the_missing_voxels_hold():
    for kind, bad in (("f4", np.nan), ("f4", -1), ("i4", -1), ("u4", 2**32 - 1), ("i4", 2**31 - 1)):
        array = COUNTS.astype(kind)
        array[MASK] = bad
        scans.check(array, MASK)


@pytest.mark.parametrize(
    ("change", "kind", "part"),
    [
        (np.nan, "f4", "not finite, the first nan at (2, 3, 1)"),
        (np.inf, "f8", "not finite"),
        (-1, "i4", "1 measured voxel is negative, the first -1 at (2, 3, 1)"),
        (-0.5, "f4", "negative"),
        (2**32 - 1, "u4", "mark of a gap"),
        (2**31 - 1, "i4", "mark of a gap"),
    ],
)
def test_a_measured_voxel_that_is_no_count_is_told(change, kind, part):
    array = COUNTS.astype(kind)
    array[2, 3, 1] = change
    told(lambda: scans.check(array, MASK, "here.npz", "mask.npy"), "here.npz", part)


def test_masks_that_leave_nothing_to_do_are_told():
    told(lambda: scans.check(COUNTS, np.ones(SHAPE, bool), "a", "here.npy"), "here.npy", "every voxel is missing")
    told(lambda: scans.check(COUNTS, np.zeros(SHAPE, bool), "a", "here.npy"), "here.npy", "no voxel is missing")
    told(lambda: scans.check(np.where(MASK, COUNTS, 0), MASK, "here.npz"), "here.npz", "every measured voxel is zero")


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
        assert set(file.files) == {"data", "mask", "sigma", "provenance"}
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
    path = write_bytes(tmp_path / "a.npz", b"precious")
    told(lambda: scans.write(path, COUNTS, MASK), "exists already")
    assert path.read_bytes() == b"precious"
    scans.write(path, COUNTS, MASK, force=True)
    np.testing.assert_array_equal(scans.read(path), COUNTS)


@pytest.mark.parametrize("name", ["a.dat", "a", "a.tif", "scan.npz", "file/a.npz"])
def test_outputs_that_cannot_be_are_told_before_the_work(tmp_path, name):
    scan = savez(tmp_path / "scan.npz", data=COUNTS)
    (tmp_path / "file").write_text("a file where a folder would be")
    parts = {"scan.npz": "an input", "file/a.npz": "no folder that can be written"}
    part = parts.get(name, "unknown output format")
    told(lambda: scans.check_output(tmp_path / name, force=True, inputs=(f"{scan}::data",)), part)
