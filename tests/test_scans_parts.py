"""Scans in parts: blocks, virtual data sets, raw files, chunks.  What cannot be read never passes for counts."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from braggfill import scans
from braggfill.runs import storage
from scan_files import COUNTS, FRAME, SHAPE, hdf5, told

LONG = np.concatenate([COUNTS, COUNTS[::-1] + 1, COUNTS + 2])  # 15 frames
PLACE = "entry/data/data"


def source(path, frames, name=PLACE):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=frames, chunks=(1, *frames.shape[1:]))
    return path


def dectris(folder, sizes=(5, 5, 5), present=None, numbered=True):
    """A master file and its data files of so many frames each."""
    first = 0
    with h5py.File(folder / "s_master.h5", "w") as master:
        for k, size in enumerate(sizes, 1):
            if present is None or k in present:
                path = source(folder / f"s_data_{k:06d}.h5", LONG[first : first + size])
                if numbered:
                    with h5py.File(path, "r+") as file:
                        file[PLACE].attrs.update(image_nr_low=first + 1, image_nr_high=first + size)
            master[f"entry/data/data_{k:06d}"] = h5py.ExternalLink(f"s_data_{k:06d}.h5", PLACE)
            first += size
        master["entry/instrument/detector/detectorSpecific/pixel_mask"] = FRAME.astype("u4")
    return folder / "s_master.h5"


# Blocks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(5, 5, 5), (10, 5), (15,)])
def test_numbered_blocks_are_one_scan(tmp_path, sizes):
    loaded = scans.load(dectris(tmp_path, sizes))
    np.testing.assert_array_equal(loaded.array, LONG)
    assert loaded.where.startswith(f"{tmp_path}/s_master.h5::/entry/data/data_")
    assert {path.name for path in loaded.files} >= {"s_master.h5", "s_data_000001.h5"}
    np.testing.assert_array_equal(scans.own_mask(tmp_path / "s_master.h5", LONG.shape).array[0], FRAME)


@pytest.mark.parametrize("absent", [1, 2, 3])
def test_a_block_that_is_absent_is_named(tmp_path, absent):
    path = dectris(tmp_path, present={1, 2, 3} - {absent})
    told(lambda: scans.read(path), "s_master.h5", f"data_00000{absent} links to s_data_00000{absent}.h5", "not there")


def test_all_blocks_absent_names_the_first(tmp_path):
    told(lambda: scans.read(dectris(tmp_path, present=())), "s_data_000001.h5, which is not there")


def test_a_number_left_out_and_frames_that_do_not_follow_are_told(tmp_path):
    path = dectris(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["entry/data/data_000002"]
    told(lambda: scans.read(path), "data_000002 is missing")
    with h5py.File(path, "r+") as file:
        file["entry/data/data_000002"] = h5py.ExternalLink("s_data_000003.h5", PLACE)
    told(lambda: scans.read(path), "begins with frame 11, but the block before ends with 5")


def test_one_block_may_be_named_and_it_is_said_that_there_are_more(tmp_path):
    loaded = scans.load(f"{dectris(tmp_path)}::/entry/data/data_000002")
    np.testing.assert_array_equal(loaded.array, LONG[5:10])
    assert "one of 3 blocks" in loaded.remarks[0]


@pytest.mark.parametrize(("name", "sizes"), [("data_{}", (5, 5, 5)), ("part{:02d}", (10, 5)), ("data_{:03d}", (5, 10))])
@pytest.mark.parametrize("first", [0, 1])
def test_arrays_that_may_be_blocks_are_asked_about_and_the_advice_joins_them(tmp_path, name, sizes, first):
    with h5py.File(tmp_path / "m.h5", "w") as master:
        for k, part in enumerate(np.split(LONG, np.cumsum(sizes)[:-1]), first):
            source(tmp_path / "in parts" / f"{k}.h5", part)
            master[f"entry/data/{name.format(k)}"] = h5py.ExternalLink(f"in parts/{k}.h5", PLACE)
    line = told(lambda: scans.read(tmp_path / "m.h5"), "blocks of one scan are joined by m.h5::")
    advice = line.partition("joined by ")[2].partition(";")[0]
    np.testing.assert_array_equal(scans.read(f"{tmp_path}/{advice}"), LONG)


def test_attributes_of_blocks_may_be_anything(tmp_path):
    path = dectris(tmp_path)
    with h5py.File(tmp_path / "s_data_000002.h5", "r+") as file:
        file[PLACE].attrs["image_nr_low"], file[PLACE].attrs["image_nr_high"] = b"abc", [1, 2]
    np.testing.assert_array_equal(scans.read(path), LONG)


def test_blocks_of_another_name_are_joined_by_a_pattern_and_frames_by_their_numbers(tmp_path):
    path = hdf5(tmp_path / "a.h5", scan__part2=LONG[5:10], scan__part10=LONG[10:], scan__part1=LONG[:5])
    np.testing.assert_array_equal(scans.read(f"{path}::/scan/part*"), LONG)
    np.testing.assert_array_equal(scans.read(f"{path}::/scan/part*[3:12]"), LONG[3:12])
    np.testing.assert_array_equal(scans.read(f"silx:{path}?path=/scan/part1&slice=1:4"), LONG[1:4])
    frames = hdf5(tmp_path / "b.h5", **{f"entry__frame_{k:04d}": frame for k, frame in enumerate(LONG)})
    np.testing.assert_array_equal(scans.read(frames), LONG)


# Virtual data sets --------------------------------------------------------------------------------------------------


def virtual(path, files, name=PLACE, place="1.1/instrument/det/data", block=5):
    layout = h5py.VirtualLayout((block * len(files), *SHAPE[1:]), COUNTS.dtype)
    for k, file in enumerate(files):
        layout[k * block : (k + 1) * block] = h5py.VirtualSource(file, name, (block, *SHAPE[1:]))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset(place, layout)
        file["1.1/measurement/det"] = h5py.SoftLink(f"/{place}")
    return path


def three(folder):
    return [f"raw/{source(folder / 'raw' / f'd_{k}.h5', LONG[5 * k : 5 * k + 5]).name}" for k in range(3)]


def test_a_virtual_data_set_is_put_together(tmp_path):
    loaded = scans.load(virtual(tmp_path / "ds.h5", three(tmp_path)))
    np.testing.assert_array_equal(loaded.array, LONG)
    assert {path.name for path in loaded.files} == {"ds.h5", "d_0.h5", "d_1.h5", "d_2.h5"}


def test_through_a_symbolic_link_sources_lie_beside_the_real_file(tmp_path):
    (tmp_path / "data").mkdir()
    virtual(tmp_path / "data" / "ds.h5", three(tmp_path / "data"))
    (tmp_path / "mine.h5").symlink_to("data/ds.h5")
    np.testing.assert_array_equal(scans.read(tmp_path / "mine.h5"), LONG)


def breaks(how, folder):
    path = folder / "raw/d_1.h5"
    if how == "absent":
        path.unlink()
    elif how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "another name":
        source(path, LONG[5:10], "entry_0001/data")
    elif how == "aborted":
        source(path, LONG[5:8])
    elif how == "smaller frames":
        source(path, LONG[5:10, 1:])
    elif how == "never written":
        with h5py.File(path, "w") as file:
            file.create_dataset(PLACE, (5, *SHAPE[1:]), COUNTS.dtype, chunks=(1, *SHAPE[1:]))
    elif how == "another format":
        path.write_text("text" * 99)
    elif how == "a pipe":
        path.unlink()
        os.mkfifo(path)


BREAKS = {
    "absent": "d_1.h5, which is not there",
    "truncated": "breaks off after",
    "another name": "holds no entry/data/data",
    "aborted": "holds 13 of 15 frames",
    "smaller frames": "too small",
    "never written": "never written",
    "another format": "does not begin as one",
    "a pipe": "is no file",
}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("how", BREAKS)
def test_a_source_that_cannot_be_read_is_told_and_never_passes_for_zeros(tmp_path, how, nested):
    path = virtual(tmp_path / "ds.h5", three(tmp_path))
    breaks(how, tmp_path)
    if nested:
        layout = h5py.VirtualLayout(LONG.shape, LONG.dtype)
        layout[:] = h5py.VirtualSource("ds.h5", "1.1/instrument/det/data", LONG.shape)
        path = tmp_path / "all.h5"
        with h5py.File(path, "w") as file:
            file.create_virtual_dataset("1.1/measurement/det", layout)
    line = told(lambda: scans.read(path), path.name)
    assert BREAKS[how] in line or (nested and "raw/d_1.h5" in line), line
    if not nested:
        np.testing.assert_array_equal(scans.read(f"{path}::/1.1/measurement/det[0:5]"), LONG[:5])


def test_frames_that_no_source_was_written_for_are_told_and_pixels_are_missing(tmp_path):
    layout = h5py.VirtualLayout(LONG.shape, LONG.dtype)
    layout[:8] = h5py.VirtualSource(source(tmp_path / "s.h5", LONG[:8]), PLACE, (8, *SHAPE[1:]))
    with h5py.File(tmp_path / "ds.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    told(lambda: scans.read(tmp_path / "ds.h5"), "holds 8 of 15 frames", "ds.h5::/data[0:8]")
    # Two modules with a gap between them, which no file has.
    layout = h5py.VirtualLayout(LONG.shape, LONG.dtype)
    for k, columns in enumerate((slice(0, 4), slice(6, 9))):
        file = source(tmp_path / f"m{k}.h5", LONG[:, :, columns])
        layout[:, :, columns] = h5py.VirtualSource(file, PLACE, LONG[:, :, columns].shape)
    with h5py.File(tmp_path / "modules.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    array = scans.read(tmp_path / "modules.h5")
    gap = np.zeros(LONG.shape, bool)
    gap[:, :, 4:6] = True
    np.testing.assert_array_equal(scans.missing(tmp_path / "modules.h5", array).array, gap)
    np.testing.assert_array_equal(array[~gap], LONG[~gap])


def printf(path, name, inner, blocks, block=5):
    """A virtual data set of as many numbered sources as there are, the way areaDetector's writers make them."""
    shape = (block, *SHAPE[1:])
    space = h5py.h5s.create_simple((0, *SHAPE[1:]), (h5py.h5s.UNLIMITED, *SHAPE[1:]))
    space.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), shape, shape)
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_virtual(space, name.encode(), inner.encode(), h5py.h5s.create_simple(shape))
    with h5py.File(path, "w") as file:
        whole = h5py.h5s.create_simple((block * blocks, *SHAPE[1:]), (h5py.h5s.UNLIMITED, *SHAPE[1:]))
        h5py.h5d.create(file.id, b"data", h5py.h5t.py_create(COUNTS.dtype), whole, made)
    return path


@pytest.mark.parametrize("missing", [None, 0, 1])
def test_sources_by_number_are_all_there(tmp_path, missing):
    three(tmp_path)
    path = printf(tmp_path / "ds.h5", "raw/d_%b.h5", PLACE, 3)
    if missing is None:
        np.testing.assert_array_equal(scans.read(path), LONG)
    else:
        (tmp_path / f"raw/d_{missing}.h5").unlink()
        told(lambda: scans.read(path), f"raw/d_{missing}.h5, which is not there")


@pytest.mark.parametrize(("inner", "outer"), [("u4", "u2"), ("f4", "u2"), ("i4", "u1"), ("u2", "f4")])
def test_numbers_too_large_for_a_virtual_data_set_are_what_hdf5_makes_of_them(tmp_path, inner, outer):
    data = COUNTS.astype(inner)
    data[2, 3, 4] = 60000 if inner == "u2" else 70000
    data[1, 1, 1] = -3 if inner in ("i4", "f4") else 3
    source(tmp_path / "s.h5", data)
    layout = h5py.VirtualLayout(SHAPE, outer)
    layout[:] = h5py.VirtualSource("s.h5", PLACE, SHAPE)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    with h5py.File(tmp_path / "v.h5") as file:
        expected = file["data"][()]
    np.testing.assert_array_equal(scans.read(tmp_path / "v.h5"), expected)


def test_virtual_data_sets_in_a_circle_are_told(tmp_path):
    layout = h5py.VirtualLayout(SHAPE, COUNTS.dtype)
    layout[:] = h5py.VirtualSource("b.h5", "data", SHAPE)
    for name, other in (("a.h5", "b.h5"), ("b.h5", "a.h5")):
        layout = h5py.VirtualLayout(SHAPE, COUNTS.dtype)
        layout[:] = h5py.VirtualSource(other, "data", SHAPE)
        with h5py.File(tmp_path / name, "w") as file:
            file.create_virtual_dataset("data", layout)
    told(lambda: scans.read(tmp_path / "a.h5"), "circle")


# One file -----------------------------------------------------------------------------------------------------------


def test_raw_files_are_as_long_as_they_must_be(tmp_path):
    raw = LONG.tobytes()
    (tmp_path / "one.raw").write_bytes(b"head" + raw[:1000])
    (tmp_path / "two.raw").write_bytes(raw[1000:])
    parts = [("one.raw", 4, 1000), ("two.raw", 0, h5py.h5f.UNLIMITED)]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("data", LONG.shape, LONG.dtype, external=parts)
    loaded = scans.load(tmp_path / "a.h5")
    np.testing.assert_array_equal(loaded.array, LONG)
    assert {path.name for path in loaded.files} == {"a.h5", "one.raw", "two.raw"}
    os.truncate(tmp_path / "two.raw", 500)
    told(lambda: scans.read(tmp_path / "a.h5"), "two.raw ends after 500 of")
    (tmp_path / "two.raw").unlink()
    told(lambda: scans.read(tmp_path / "a.h5"), "two.raw, which is not there")


@pytest.mark.parametrize("chunk", [1, 2])
def test_chunks_that_were_never_written_are_no_zeros(tmp_path, chunk):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("data", LONG.shape, LONG.dtype, chunks=(chunk, *SHAPE[1:]))
        made[:8] = LONG[:8]
        file.create_dataset("flat", LONG.shape, LONG.dtype)
    told(lambda: scans.read(f"{tmp_path}/a.h5::/data"), "holds 8 of 15 frames", "never written", "a.h5::/data[0:8]")
    np.testing.assert_array_equal(scans.read(f"{tmp_path}/a.h5::/data[0:8]"), LONG[:8])
    told(lambda: scans.read(f"{tmp_path}/a.h5::/flat"), "never written")


def test_a_filter_that_nobody_has_is_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((1, *SHAPE[1:]))
        made.set_filter(32123, h5py.h5z.FLAG_OPTIONAL, ())
        h5py.h5d.create(file.id, b"data", h5py.h5t.py_create(COUNTS.dtype), h5py.h5s.create_simple(SHAPE), made)
        file["data"].id.write_direct_chunk((0, 0, 0), b"packed")
    told(lambda: scans.read(tmp_path / "a.h5"), "filter 32123", "HDF5_PLUGIN_PATH")


def test_links_that_lead_in_a_circle_or_nowhere_are_told(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"], file["two"] = h5py.SoftLink("/two"), h5py.SoftLink("/one")
        file["away"] = h5py.ExternalLink("gone.h5", "/data")
    told(lambda: scans.read(f"{tmp_path}/a.h5::/one"), "circle")
    told(lambda: scans.read(tmp_path / "a.h5"), "gone.h5, which is not there")
    os.mkfifo(tmp_path / "gone.h5")
    told(lambda: scans.read(tmp_path / "a.h5"), "gone.h5, which is no file")


# Locks --------------------------------------------------------------------------------------------------------------


def test_a_file_that_another_holds_locked_is_read_and_written_files_ask_for_no_lock(tmp_path, monkeypatch):
    path = hdf5(tmp_path / "a.h5", data=COUNTS)
    held = os.open(path, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    try:
        np.testing.assert_array_equal(scans.read(path), COUNTS)
        with storage.read(path) as file:
            np.testing.assert_array_equal(storage.array(file, "data"), COUNTS)
    finally:
        os.close(held)
    asked = []
    true = h5py.File
    monkeypatch.setattr(h5py, "File", lambda *a, **k: asked.append(k.get("locking")) or true(*a, **k))
    with storage.create(tmp_path / "b.h5") as file:
        file["x"] = 1
    assert asked == [False]


@pytest.mark.parametrize("number", [37, 38])  # ENOLCK, ENOSYS: file systems without locks
def test_without_locks_on_the_file_system_all_is_read_and_written(tmp_path, monkeypatch, number):
    asked = []

    def refusing(true):
        def call(*arguments, **options):
            fapl = options.get("fapl")
            asked.append(fapl)
            memory = fapl is not None and fapl.get_driver() == h5py.h5fd.fileobj_driver
            if fapl is None or (fapl.get_file_locking()[0] and not memory):
                raise OSError(number, f"unable to lock file, errno = {number}, error message = '{os.strerror(number)}'")
            return true(*arguments, **options)

        return call

    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    for name in ("open", "create"):
        monkeypatch.setattr(h5py.h5f, name, refusing(getattr(h5py.h5f, name)))
    with pytest.raises(OSError, match="unable to lock"):
        h5py.File(tmp_path / "no.h5", "w", locking=True)
    with storage.create(tmp_path / "a.h5") as file:
        file["data"] = COUNTS
    with storage.read(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(storage.array(file, "data"), COUNTS)
    scans.write(tmp_path / "f.cxi", COUNTS.astype("f4"), np.broadcast_to(FRAME, SHAPE))
    np.testing.assert_array_equal(scans.read(tmp_path / "f.cxi"), COUNTS)
    np.testing.assert_array_equal(scans.read(tmp_path / "a.h5"), COUNTS)
    assert len(asked) >= 5


WRITER = """
import h5py, sys, os, numpy as np
f = h5py.File(sys.argv[1], "w", libver="latest")
f.create_dataset("data", data=np.load(sys.argv[2]), chunks=(1, 8, 9), maxshape=(None, 8, 9))
f.swmr_mode = True
f["data"].flush()
print("ready", flush=True)
sys.stdin.readline()
os._exit(0)
"""


def test_a_writer_at_work_or_dead_is_read_as_far_as_it_came(tmp_path):
    np.save(tmp_path / "c.npy", COUNTS)
    command = [sys.executable, "-c", WRITER, str(tmp_path / "a.h5"), str(tmp_path / "c.npy")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        alive = scans.load(tmp_path / "a.h5")
        process.stdin.write("\n")
    dead = scans.load(tmp_path / "a.h5")
    for loaded in (alive, dead):
        np.testing.assert_array_equal(loaded.array, COUNTS)
        assert "being written" in loaded.remarks[0]
