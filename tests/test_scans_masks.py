"""Masks and scans found by object, where NeXus, CXI, BLISS, Dectris and others keep them; the choice of several."""

from __future__ import annotations

import gzip
import sys

import h5py
import numpy as np
import pytest
from braggfill import scans
from braggfill.scans import detectors
from scan_files import COUNTS, FRAME, MASK, SHAPE, hdf5, told

BITS = FRAME.astype("u4")
BITS[1, 2] = 16
DET = "entry/instrument/detector"


def layout(path, how):
    """A scan with its mask, and links as the programs of the field make them."""
    with h5py.File(path, "w") as f:
        data = {"cxi": "entry_1/instrument_1/detector_1/data", "image": "entry_1/image_1/data", "suffix": "e/d/counts"}
        place = data.get(how.split(",")[0], f"{DET}/data")
        f[place] = COUNTS
        masks = {
            "cxi": "entry_1/instrument_1/detector_1/mask",
            "image": "entry_1/image_1/mask",
            "suffix": "e/d/counts_mask",
        }
        f[masks.get(how.split(",")[0], f"{DET}/pixel_mask")] = BITS
        if how in ("soft", "hard", "class"):
            f["entry/data/data"] = h5py.SoftLink(f"/{place}") if how == "soft" else f[place]
        if how == "external":
            with h5py.File(path.with_name("data.h5"), "w") as other:
                other["entry/data/data"] = COUNTS
            del f[place]
            f[place] = h5py.ExternalLink("data.h5", "/entry/data/data")
            f["entry/data/data"] = h5py.SoftLink(f"/{place}")
        if how == "entry":  # data in NXdata, the mask at the detector
            f.move(place, "entry/data/data")
            f[DET].attrs["NX_class"] = "NXdetector"
        if how == "dectris":
            f.move(f"{DET}/pixel_mask", f"{DET}/detectorSpecific/pixel_mask")
        if how == "bliss":
            f["1.1/measurement/eiger"] = h5py.SoftLink(f"/{place}")
        if how == "cxi, linked":
            f["entry_1/data_1"] = h5py.SoftLink("/entry_1/instrument_1/detector_1")
        if "entry/data" in f:
            f["entry/data"].attrs["signal"], f["entry"].attrs["default"], f.attrs["default"] = "data", "data", "entry"
    return path


@pytest.mark.parametrize(
    "how",
    ["soft", "hard", "external", "entry", "dectris", "bliss", "cxi", "cxi, linked", "image", "suffix", "beside"],
)
def test_a_mask_is_found_where_the_object_lives(tmp_path, how):
    path = layout(tmp_path / ("a.cxi" if how.startswith(("cxi", "image")) else "a.nxs"), how)
    np.testing.assert_array_equal(scans.read(path), COUNTS)
    found = scans.missing(path, COUNTS)
    np.testing.assert_array_equal(found.array[0], BITS > 0)
    assert "(the scan's own)" in found.where
    if how == "bliss":
        np.testing.assert_array_equal(scans.missing(f"{path}::/1.1/measurement/eiger", COUNTS).array[0], BITS > 0)


def test_dead_pixels_of_the_file_are_joined_with_gaps_that_the_scan_marks(tmp_path):
    scan = np.where(FRAME, 2**32 - 1, COUNTS).astype("u4")
    scan[:, 1, 2] = 0
    with h5py.File(layout(tmp_path / "a.nxs", "soft"), "r+") as file:
        file[f"{DET}/data"][...] = scan
    np.testing.assert_array_equal(scans.missing(tmp_path / "a.nxs", scan).array[0], BITS > 0)


def test_another_detector_s_mask_is_none(tmp_path):
    path = hdf5(tmp_path / "a.nxs", entry__detector_1__data=COUNTS, entry__detector_2__pixel_mask=BITS)
    assert scans.missing(path, COUNTS) is None


@pytest.mark.parametrize("place", ["entry/instrument/pixel_mask", "entry/mask", "mask"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_mask_in_a_group_above_is_the_scan_s(tmp_path, place, whole):
    bits = np.pad(BITS, ((3, 2), (4, 1))) if whole else BITS
    path = hdf5(tmp_path / "a.nxs", **{f"{DET}/data": COUNTS, place: bits})
    with h5py.File(path, "r+") as file:
        file[DET].attrs["NX_class"] = "NXdetector"
    found = scans.missing(path, COUNTS, roi="3,4" if whole else None)
    np.testing.assert_array_equal(found.array[0], BITS > 0)


def test_a_mask_elsewhere_in_the_file_is_named_and_not_taken(tmp_path):
    for name in ("masks/data/pixel_mask", f"{DET}/bad_pixels"):
        path = hdf5(tmp_path / "a.nxs", **{f"{DET}/data": COUNTS, name: BITS})
        found = scans.missing(path, COUNTS)
        assert not found.array.any()
        assert f"not taken: /{name}" in found.remarks[0]
        path.unlink()


def test_a_mask_that_was_never_written_is_none(tmp_path):
    path = hdf5(tmp_path / "a.nxs", **{f"{DET}/data": COUNTS})
    with h5py.File(path, "r+") as file:
        file.create_dataset(f"{DET}/pixel_mask", SHAPE[1:], "u4")
    found = scans.missing(path, COUNTS)
    assert not found.where
    assert "was never written" in found.remarks[0]
    told(lambda: scans.load_mask(f"{path}::{DET}/pixel_mask", SHAPE), "was never written")


def test_a_whole_detector_s_own_mask_is_cut_by_the_region(tmp_path):
    whole = np.zeros((40, 50), "u4")
    whole[10 : 10 + SHAPE[1], 20 : 20 + SHAPE[2]] = BITS
    path = hdf5(tmp_path / "a.nxs", entry__detector__data=COUNTS, entry__detector__pixel_mask=whole)
    told(lambda: scans.missing(path, COUNTS), "40 × 50", "--roi")
    np.testing.assert_array_equal(scans.missing(path, COUNTS, roi="10,20").array[0], BITS > 0)


# Masks of other programs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["data", "entry__image__image", "mask_0"])
@pytest.mark.parametrize("kind", ["u1", "?", "i4"])
def test_a_mask_of_one_frame_in_a_file_of_its_own(tmp_path, name, kind):
    path = hdf5(tmp_path / "m.h5", **{name: FRAME.astype(kind)})
    np.testing.assert_array_equal(scans.load_mask(path, SHAPE).array, MASK)
    spec = f"silx:{path}?path=/{name.replace('__', '/')}"
    np.testing.assert_array_equal(scans.load_mask(spec, SHAPE).array, MASK)


def test_of_several_arrays_the_one_of_the_frame_s_size_is_the_mask(tmp_path):
    path = hdf5(tmp_path / "m.h5", flat=np.ones((3, 4)), here=FRAME.astype("u1"))
    np.testing.assert_array_equal(scans.load_mask(path, SHAPE).array, MASK)


@pytest.mark.parametrize("suffix", [".edf", ".edf.gz", ".msk", ".cbf"])
def test_masks_that_fabio_reads(tmp_path, suffix):
    fabio = pytest.importorskip("fabio")
    path = tmp_path / f"m{suffix}"
    if suffix == ".msk":
        fabio.fit2dmaskimage.Fit2dMaskImage(data=FRAME.astype("u1")).write(str(path))
    elif suffix == ".cbf":
        fabio.cbfimage.CbfImage(data=FRAME.astype("i4")).write(str(path))
    else:
        fabio.edfimage.EdfImage(data=FRAME.astype("u1")).write(str(tmp_path / "m.edf"))
        if suffix == ".edf.gz":
            path.write_bytes(gzip.compress((tmp_path / "m.edf").read_bytes()))
    np.testing.assert_array_equal(scans.load_mask(path, SHAPE).array, MASK)


def test_frames_that_fabio_reads_are_a_scan(tmp_path):
    fabio = pytest.importorskip("fabio")
    (tmp_path / "frames").mkdir()
    for k, frame in enumerate(COUNTS):
        fabio.edfimage.EdfImage(data=frame).write(str(tmp_path / "frames" / f"f_{k}.edf"))
    np.testing.assert_array_equal(scans.read(tmp_path / "frames"), COUNTS)
    np.testing.assert_array_equal(scans.read(f"{tmp_path}/frames/*.edf"), COUNTS)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
def test_stacks_that_fabio_reads_are_whole_or_refused(tmp_path, packed, share):
    fabio = pytest.importorskip("fabio")
    image = fabio.edfimage.EdfImage(data=COUNTS[0])
    for frame in COUNTS[1:]:
        image.append_frame(data=frame)
    image.write(str(tmp_path / "s.edf"))
    content = (tmp_path / "s.edf").read_bytes()
    content = gzip.compress(content) if packed else content
    path = tmp_path / ("s.edf.gz" if packed else "s.edf")
    path.write_bytes(content)
    np.testing.assert_array_equal(scans.read(path), COUNTS)
    path.write_bytes(content[: int(share * len(content))])
    told(lambda: scans.read(path), path.name, "not whole")


def test_without_fabio_and_with_a_file_that_is_none_the_way_on_is_told(tmp_path, monkeypatch):
    for name in ("m.edf", "m.edf.gz", "m.msk"):
        (tmp_path / name).write_bytes(b"{\n}\n")
        told(lambda name=name: scans.load_mask(tmp_path / name, SHAPE), name, "fabio cannot read it")
        monkeypatch.setitem(sys.modules, f"fabio.{'fit2dmaskimage' if name == 'm.msk' else 'edfimage'}", None)
        told(lambda name=name: scans.load_mask(tmp_path / name, SHAPE), name, "braggfill[formats]")
        monkeypatch.undo()


def test_matlab_s_axes_are_turned(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        for name, array, kind in (("data", COUNTS, b"double"), ("mask", FRAME.astype("u1"), b"logical")):
            file[name] = np.swapaxes(array, -1, -2)
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
    np.testing.assert_array_equal(scans.read(tmp_path / "a.mat"), COUNTS)
    np.testing.assert_array_equal(scans.missing(tmp_path / "a.mat", COUNTS).array, MASK)


# The choice ---------------------------------------------------------------------------------------------------------

BRIGHT = np.concatenate([COUNTS, COUNTS])[:7] * 50


def test_of_several_scans_the_brightest_is_taken_and_the_others_are_told(tmp_path):
    path = hdf5(tmp_path / "a.h5", **{"1.1__measurement__mpx": np.concatenate([COUNTS, COUNTS])})
    with h5py.File(path, "r+") as file:
        file["2.1/measurement/mpx"], file["1.1/title"], file["2.1/title"] = BRIGHT, "ascan eta", "fine"
    loaded = scans.load(path)
    np.testing.assert_array_equal(loaded.array, BRIGHT)
    assert len(loaded.remarks) == 1
    for part in ("/2.1/measurement/mpx (7 × 8 × 9, fine)", "/1.1/measurement/mpx (10 × 8 × 9, ascan eta)"):
        assert part in loaded.remarks[0]
    np.testing.assert_array_equal(scans.read(f"{path}::2.1"), BRIGHT)


def test_spectra_are_no_frames_and_a_detector_goes_first(tmp_path):
    path = hdf5(tmp_path / "a.h5", entry__det__frames=COUNTS, entry__xspress3__data=np.ones((5, 4, 512), "u4"))
    loaded = scans.load(path)
    np.testing.assert_array_equal(loaded.array, COUNTS)
    assert "xspress3" in loaded.remarks[0]
    path = hdf5(tmp_path / "b.h5", entry__det__frames=COUNTS, entry__sum__data=BRIGHT)
    with h5py.File(path, "r+") as file:
        file["entry/det"].attrs["NX_class"] = "NXdetector"
    np.testing.assert_array_equal(scans.read(path), COUNTS)


def test_a_name_with_mask_in_it_does_not_make_a_mask(tmp_path):
    rich = np.arange(np.prod(BRIGHT.shape), dtype="u4").reshape(BRIGHT.shape) + 1000
    for name in ("masked_data", "counts_mask_applied"):
        np.testing.assert_array_equal(scans.read(hdf5(tmp_path / "a.h5", **{name: rich, "raw": COUNTS})), rich)


def test_two_detectors_of_one_size_are_asked_about(tmp_path):
    told(lambda: scans.read(hdf5(tmp_path / "a.h5", d__data_02=COUNTS, d__data_10=COUNTS)), "several scans", "data_10")


# Detectors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mpx1x4", "mpxgaas", "MPX_4"])
def test_detectors_are_known_by_the_names_of_bliss(name):
    np.testing.assert_array_equal(detectors.mask(name), detectors.mask("maxipix"))


@pytest.mark.parametrize(
    ("name", "frame", "roi", "right"),
    [
        ("eiger4m", (2162, 2068), "0,0", "eiger2_4m"),
        ("eiger4m", (2162, 2068), None, "eiger2_4m"),
        ("eiger2_1m", (1065, 1030), "0,0", "eiger_1m"),
        ("maxipix1x1", (516, 516), None, "maxipix"),
        ("nothing_like_it", (516, 516), None, "maxipix"),
    ],
)
def test_a_detector_with_exactly_these_frames_is_named(name, frame, roi, right):
    pytest.importorskip("pyFAI")
    line = told(lambda: detectors.placed(name, (2, *frame), roi))
    assert right in line
    detectors.placed(right, (2, *frame))  # the advice is good


def test_a_mask_of_one_frame_that_stands_there_several_times_is_taken(tmp_path):
    frame = np.zeros(SHAPE[1:], bool)
    frame[2, 1:] = True
    np.save(tmp_path / "mask.npy", np.stack([frame] * 3))
    taken = scans.load_mask(tmp_path / "mask.npy", SHAPE).array
    assert taken.shape == SHAPE
    assert (taken == frame).all()
