"""Unpacking is all or nothing: whatever fails, is killed or does not belong, all is as it was."""

from __future__ import annotations

import errno
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from braggfill import bundle
from braggfill.cli import main
from braggfill.errors import BraggfillError
from bundle_helpers import bare_clone, contents_of_a_run, record, sealed, tree

# The modules: the package gives the functions of these names.
unpack = importlib.import_module("braggfill.bundle.unpack")
verify = importlib.import_module("braggfill.bundle.verify")
pytestmark = pytest.mark.long  # faults and attacks that are rare
COMMAND = [sys.executable, "-I", "-m", "braggfill"]


@pytest.fixture(scope="module")
def contents(top) -> dict[str, bytes]:
    """What a sound bundle holds."""
    return contents_of_a_run(top)


@pytest.fixture
def clone(top, tmp_path) -> Path:
    """As much of a copy of the project as makes one, with a run of its own."""
    return bare_clone(top, tmp_path / "clone")


# Nothing of ours is lost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "results/demo/report.html", "results/x", "results/x/../demo/report.html", "../outside", "/tmp/outside",
        "results/x//a", "results/x/.hidden", ".snakemake/locks/0.input.lock", ".snakemake/incomplete/a",
        "results/x/a\\b",
        "results/x/\x1b[2Ja", "results/x/\u202ea", "./results/x/a", "results/x/report.html/a", "data/a.npz",
        *record("results/demo/report.html"), *record("results/x/../demo/report.html"), *record("config/default.yaml"),
        ".snakemake/metadata/not base64!",
    ],
)  # fmt: skip
def test_only_the_run_and_its_records_are_touched(contents, clone, tmp_path, name, capsys):
    path = sealed(tmp_path / "theirs.zip", {**contents, name: b"theirs"})
    before = tree(tmp_path)
    for place in (clone, tmp_path / "new"):
        assert main(["unpack", str(path), str(place)]) == 2
        told = capsys.readouterr().err
        assert "no part of run x" in told
        assert told.rstrip("\n").isprintable()
    assert main(["verify", str(path)]) == 2
    assert tree(tmp_path) == before


def test_into_a_project_only_results_and_records_go(contents, clone, tmp_path):
    path = sealed(tmp_path / "theirs.zip", {**contents, "Snakefile": b"theirs", "workflow/evil.py": b"theirs"})
    old = next(iter(record("results/x/report.html")))
    (clone / old).write_text("{}")  # of a run of that name that is gone
    before = tree(clone)
    bundle.unpack(path, clone)
    after = tree(clone)
    assert {name for name in before if after.get(name) != before[name]} == {old}
    new = [name for name in after.keys() - before.keys() if after[name] is not None]
    assert all(name.startswith(("results/x/", ".snakemake/metadata/")) for name in new)
    assert json.loads(after[old])["rule"] == "figures"
    with pytest.raises(BraggfillError, match="results/x: exists"):
        bundle.unpack(path, clone)


def _damaged(contents, monkeypatch):
    return {**contents, "results/x/z.h5": b"!"}, "is damaged"


def _no_room(contents, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))
    return contents, r"room enough \(.* MB are needed, 0.0 MB are free\)"


def _full_on_the_way(contents, monkeypatch):
    def full(place):
        if place.name == "report.html":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return create(place)

    create = unpack._create
    monkeypatch.setattr(unpack, "_create", full)
    return contents, "No space left on device"


def _not_to_be_moved(contents, monkeypatch):
    """The last of several renames fails."""

    def rename(place, target):
        if ".braggfill" in str(place) and (Path(target).name in ("x", "new", "workflow")):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(place, target)

    real = Path.rename
    monkeypatch.setattr(Path, "rename", rename)
    return contents, "Input/output error"


def _a_record_that_is_none(contents, monkeypatch):
    return {**contents, **record("results/x/a", starttime=float("nan"))}, "record of it is damaged"


@pytest.mark.parametrize("where", ["clone", "new", "empty", "far/away/new"])
@pytest.mark.parametrize("fault", [_damaged, _no_room, _full_on_the_way, _not_to_be_moved, _a_record_that_is_none])
def test_whatever_fails_all_is_as_it_was(contents, clone, tmp_path, monkeypatch, fault, where):
    (tmp_path / "empty").mkdir()
    (clone / next(iter(record("results/x/report.html")))).write_text("{}")
    with monkeypatch.context() as patched:
        changed, told = fault(contents, patched)
        path = sealed(tmp_path / "theirs.zip", changed)
        if fault is _damaged:
            _spoil(path, "results/x/z.h5")
        before = tree(tmp_path)
        with pytest.raises(BraggfillError, match=told) as error:
            bundle.unpack(path, tmp_path / where)
        assert ("damaged" in str(error.value)) == ("damaged" in told), "the true reason"
        assert tree(tmp_path) == before
    bundle.unpack(sealed(path, contents), tmp_path / where)
    assert (tmp_path / where / "results/x/report.html").read_bytes() == b"<!doctype html>"


def _spoil(path: Path, name: str) -> None:
    with zipfile.ZipFile(path) as file:
        contents = {each: file.read(each) for each in file.namelist()} | {name: b"?"}
    with zipfile.ZipFile(path, "w") as file:
        for each, content in contents.items():
            file.writestr(each, content)


KILLED = """
import os, sys
from braggfill.bundle import files
from braggfill.cli import program
number, count, real = int(sys.argv.pop()), 0, files.blocks
def blocks(bundle, name):
    global count
    count += name.startswith("results/") or name.startswith("workflow/")
    if count == 20 or name == "results/x/report.html":
        os.kill(os.getpid(), number)
    yield from real(bundle, name)
files.blocks = blocks
program()
"""


@pytest.mark.parametrize("where", ["clone", "empty"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_leaves_nothing_and_a_second_try_works(contents, clone, tmp_path, where, number):
    (tmp_path / "empty").mkdir()
    path = sealed(tmp_path / "theirs.zip", contents)
    before = tree(tmp_path)
    command = [sys.executable, "-I", "-c", KILLED, "unpack", str(path), str(tmp_path / where), str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if number == signal.SIGKILL:
        assert done.returncode == -signal.SIGKILL
        assert {k: v for k, v in tree(tmp_path).items() if unpack.STAGE not in k} == before
    else:
        assert done.returncode == 130, done.stderr
        assert tree(tmp_path) == before
    bundle.unpack(path, tmp_path / where)
    assert (tmp_path / where / "results/x/report.html").is_file()
    assert not [name for name in tree(tmp_path) if unpack.STAGE in name]


def test_what_expands_beyond_measure_is_not_read(contents, tmp_path):
    path = sealed(tmp_path / "bomb.zip", {**contents, "results/x/zeros.txt": bytes(300 << 20)})
    assert path.stat().st_size < 3e6
    for call in (lambda: bundle.verify(path, None), lambda: bundle.unpack(path, tmp_path / "new")):
        with pytest.raises(BraggfillError, match=r"would expand to 31\d\.\d MB"):
            call()
    assert not (tmp_path / "new").exists()


def test_odd_zips_are_refused(contents, tmp_path):
    path = sealed(tmp_path / "b.zip", contents)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("results/x/more.txt", "not listed")
    with pytest.raises(BraggfillError, match=r"results/x/more\.txt has no checksum"):
        bundle.verify(path, None)
    sealed(path, contents)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_LZMA) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(BraggfillError, match="is packed in another way"):
        bundle.verify(tmp_path / "c.zip", None)


def test_a_folder_with_links_is_no_bundle(contents, tmp_path):
    with zipfile.ZipFile(sealed(tmp_path / "b.zip", contents)) as file:
        file.extractall(tmp_path / "b")
    assert bundle.verify(tmp_path / "b", None).run == "x"
    (tmp_path / "elsewhere").write_bytes(contents["results/x/report.html"])
    (tmp_path / "b/results/x/report.html").unlink()
    (tmp_path / "b/results/x/report.html").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BraggfillError, match=r"results/x/report\.html is missing"):
        bundle.verify(tmp_path / "b", None)
