"""Stage fetch: the same arrays from every source, nothing damaged accepted, nothing half-done, quick to give up."""

from __future__ import annotations

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.runs import storage
from braggfill.settings.fetch import FetchSettings
from braggfill.stages import fetch
from braggfill.stages.fetch import download
from braggfill.stages.fetch.catalogue import DataSet

APS_FOLDER = "example_data/AD34idcTIM2_example/Staff20-1a_S0054"
SMALL = {"counts": np.arange(60, dtype=np.int32).reshape(3, 4, 5), "bad": np.eye(4, 5, dtype=np.uint8)}


@pytest.fixture(autouse=True)
def _no_named_folder_and_no_proxy(monkeypatch):
    monkeypatch.delenv("BRAGGFILL_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def source():
    """What the public source of the data set ``small`` does; a test may replace ``answer``."""

    class Source:
        calls = 0
        answer = SMALL

        def __call__(self, settings):
            self.calls += 1
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

    return Source()


@pytest.fixture
def small(monkeypatch, source):
    """A small data set, ``small``, known to the stage by its digest."""
    canonical = {"data": SMALL["counts"], "mask": SMALL["bad"] != 0}
    entry = DataSet(
        file="small.npz",
        arrays={"data": ("counts", np.int32), "mask": ("bad", bool)},
        sha256=fetch.digest(canonical),
        source="a public place",
        license="CC0-1.0",
        download=source,
    )
    monkeypatch.setitem(fetch.DATA_SETS, "small", entry)
    return canonical


def settings(tmp_path, **changes):
    return FetchSettings(
        **{"folders": (str(tmp_path / "here"),), "download_folder": str(tmp_path / "kept"), "timeout_s": 0.5} | changes
    )


def local(folder, **arrays):
    folder.mkdir(exist_ok=True, parents=True)
    np.savez_compressed(folder / "small.npz", **(arrays or SMALL))
    return folder / "small.npz"


def whole(path, expected):
    with storage.read(path) as file:
        assert set(file) == set(expected)
        for name, array in expected.items():
            assert file[name].dtype == array.dtype
            np.testing.assert_array_equal(file[name][()], array)
        return dict(file.attrs)


# Where it is looked for ---------------------------------------------------------------------------------------------


def test_a_local_file_is_taken_and_says_where_it_comes_from(tmp_path, small, source):
    local(tmp_path / "here")
    fetch.fetch(settings(tmp_path), "small", tmp_path / "out.h5", code="abc")
    attributes = whole(tmp_path / "out.h5", small)
    assert attributes["sha256"] == fetch.digest(small)
    assert attributes["source"] == "a public place"
    assert (attributes["license"], attributes["code"]) == ("CC0-1.0", "abc")
    assert source.calls == 0


def test_the_named_folder_goes_first(tmp_path, small, monkeypatch, capsys):
    local(tmp_path / "here", counts=SMALL["counts"] + 1, bad=SMALL["bad"])
    local(tmp_path / "named")
    monkeypatch.setenv("BRAGGFILL_DATA", str(tmp_path / "named"))
    fetch.fetch(settings(tmp_path), "small", tmp_path / "out.h5")
    whole(tmp_path / "out.h5", small)
    assert capsys.readouterr().err == ""


def test_relative_folders_are_those_of_the_current_folder(tmp_path, small, source, monkeypatch):
    local(tmp_path / "checkout" / "data")
    monkeypatch.chdir(tmp_path / "checkout")
    fetch.fetch(FetchSettings(), "small", tmp_path / "out.h5")
    whole(tmp_path / "out.h5", small)
    assert source.calls == 0


def test_the_folder_beside_the_project_is_among_the_defaults(tmp_path, small, source, monkeypatch):
    local(tmp_path / "shared" / "data")
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    fetch.fetch(FetchSettings(download_folder=str(tmp_path / "kept")), "small", tmp_path / "out.h5")
    whole(tmp_path / "out.h5", small)
    assert source.calls == 0


def test_a_named_folder_that_is_not_there_is_said(tmp_path, small, monkeypatch, capsys):
    monkeypatch.setenv("BRAGGFILL_DATA", str(tmp_path / "nowhere"))
    local(tmp_path / "here")
    fetch.fetch(settings(tmp_path), "small", tmp_path / "out.h5")
    whole(tmp_path / "out.h5", small)
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_a_download_is_made_once(tmp_path, small, source):
    for _ in range(2):
        fetch.fetch(settings(tmp_path), "small", tmp_path / "out.h5")
        whole(tmp_path / "out.h5", small)
    assert source.calls == 1
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["small.npz"]


def test_a_download_that_cannot_be_kept_is_used_all_the_same(tmp_path, small, capsys):
    (tmp_path / "kept").write_text("a file where the folder should be")
    fetch.fetch(settings(tmp_path), "small", tmp_path / "out.h5")
    whole(tmp_path / "out.h5", small)
    assert "could not be kept" in capsys.readouterr().err


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(BraggfillError, match="aps_staff20_s0054, id01_s11, id01_s978, detector_masks"):
        fetch.fetch(settings(tmp_path), "aps", tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


# What is not the published content ----------------------------------------------------------------------------------


def damage(path, how):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "another format":
        path.write_bytes(b"this is no archive" * 20)
    elif how == "one array instead of an archive":
        with open(path, "wb") as file:
            np.save(file, SMALL["counts"])
    elif how == "one bit":
        middle = len(content) // 3
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif how == "one voxel":
        changed = SMALL["counts"].copy()
        changed[1, 2, 3] += 1
        np.savez_compressed(path, counts=changed, bad=SMALL["bad"])
    elif how == "an array missing":
        np.savez_compressed(path, counts=SMALL["counts"])
    elif how == "another shape":
        np.savez_compressed(path, counts=SMALL["counts"].reshape(3, 5, 4), bad=SMALL["bad"])
    elif how == "pickled":
        np.savez_compressed(path, counts=np.array([{"a": 1}], dtype=object), bad=SMALL["bad"])


DAMAGES = [
    "truncated",
    "empty",
    "another format",
    "one array instead of an archive",
    "one bit",
    "one voxel",
    "an array missing",
    "another shape",
    "pickled",
]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_local_file_is_passed_over_with_a_warning(tmp_path, small, source, capsys, how):
    damage(local(tmp_path / "here"), how)
    fetch.fetch(settings(tmp_path), "small", tmp_path / "out.h5")
    whole(tmp_path / "out.h5", small)
    assert source.calls == 1
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert str(tmp_path / "here" / "small.npz") in warnings[0]


def test_a_damaged_file_and_no_source_is_left_out(tmp_path, small, source, capsys):
    damage(local(tmp_path / "here"), "one voxel")
    source.answer = download.NotToBeHad("the server is away")
    fetch.fetch(settings(tmp_path), "small", tmp_path / "out.h5")
    reason = storage.left_out(tmp_path / "out.h5")
    assert "the server is away" in reason
    assert "small.npz" in reason
    assert "\n" not in reason
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()


def test_a_source_that_changed_is_left_out_and_not_kept(tmp_path, small, source):
    source.answer = SMALL | {"counts": SMALL["counts"][::-1]}
    fetch.fetch(settings(tmp_path), "small", tmp_path / "out.h5")
    assert "sha256" in storage.left_out(tmp_path / "out.h5")
    assert not (tmp_path / "kept").exists()


def test_downloading_can_be_switched_off(tmp_path, small, source):
    fetch.fetch(settings(tmp_path, download=False), "small", tmp_path / "out.h5")
    assert "fetch.download is off" in storage.left_out(tmp_path / "out.h5")
    assert source.calls == 0


# The digest and the rule's parameter --------------------------------------------------------------------------------


def test_the_digest_sees_names_types_shapes_and_bytes_and_nothing_else():
    array = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    digest = fetch.digest({"a": array, "b": array})
    assert digest == fetch.digest({"b": array, "a": array})
    assert digest == fetch.digest({"a": np.asfortranarray(array), "b": array.astype(">i4")})
    others = [{"a": array}, {"a": array, "c": array}, {"a": array.astype(np.int64), "b": array}]
    others += [{"a": array.reshape(2, 4, 3), "b": array}, {"a": array + (array == 7), "b": array}]
    assert len({digest, *map(fetch.digest, others)}) == 1 + len(others)


def test_locate_changes_with_the_local_file_and_not_with_a_download(tmp_path, small):
    one = settings(tmp_path)
    before = fetch.locate("small", one)
    fetch.fetch(one, "small", tmp_path / "out.h5")
    assert fetch.locate("small", one) == before
    local(tmp_path / "here")
    found = fetch.locate("small", one)
    assert found != before
    (tmp_path / "here").rename(tmp_path / "there")
    assert fetch.locate("small", settings(tmp_path, folders=(str(tmp_path / "there"),))) == found
    local(tmp_path / "there", counts=np.arange(1000), bad=SMALL["bad"])
    assert fetch.locate("small", settings(tmp_path, folders=(str(tmp_path / "there"),))) != found


def test_locate_of_data_that_are_there_never_changes_and_of_data_left_out_does(tmp_path, small, source):
    """What is there is held to its sha256; what was left out is looked for again when a file appears."""
    one, out = settings(tmp_path), tmp_path / "out.h5"
    source.answer = download.NotToBeHad("no network")
    told = fetch.locate("small", one, out)
    fetch.fetch(one, "small", out, told=told)
    assert storage.left_out(out)
    assert fetch.locate("small", one, out) == told
    file = local(tmp_path / "here")
    told = fetch.locate("small", one, out)
    assert told != "public source"
    fetch.fetch(one, "small", out, told=told)
    assert fetch.locate("small", one, out) == told
    local(tmp_path / "here", counts=np.arange(1000), bad=SMALL["bad"])
    assert fetch.locate("small", one, out) == told
    file.unlink()
    assert fetch.locate("small", one, out) == told
    out.unlink()
    assert fetch.locate("small", one, out) == "public source"
