"""Scans that are damaged, ambiguous or no scans at all: one clear line, never a crash."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest
import tifffile
from braggfill import scans
from braggfill.errors import BraggfillError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scan_files import COUNTS, MASK, SHAPE, hdf5, make, tiffs, told


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
    "three frames that differ": (np.arange(3)[:, None, None] * np.ones((8, 9), "u1"), "3 × 8 × 9 does not fit"),
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
