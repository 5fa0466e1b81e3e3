"""The script that installs PyNX: what it says, what it leaves alone, and that it never fails a build."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from braggfill.runs import external

SCRIPT = Path(__file__).parents[1] / "envs" / "pynx.sh"
NEEDED = ("bash", "dirname", "id", "mktemp", "rm", "cat", "sed", "awk", "head", "tail", "grep", "sha256sum", "mkdir")


def call(*arguments, folder: Path, path: str | None = None) -> subprocess.CompletedProcess:
    environment = {**os.environ, "TMPDIR": str(folder), **({"PATH": path} if path else {})}
    return subprocess.run(
        [shutil.which("bash"), str(SCRIPT), *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def empty(tmp_path) -> Path:
    """An environment in which nothing can be imported but the standard library."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    python.chmod(0o755)
    return tmp_path / "venv"


@pytest.fixture
def bare(tmp_path) -> str:
    """A PATH of a machine that has no apt-get and no dpkg."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).symlink_to(shutil.which(name))
    return str(folder)


def test_help(tmp_path):
    done = call("--help", folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: envs/pynx.sh")


def test_a_folder_that_is_no_environment_is_an_error(tmp_path):
    done = call(tmp_path / "nothing", folder=tmp_path)
    assert done.returncode == 2
    assert "not a virtual environment" in done.stderr
    assert not (tmp_path / "nothing").exists()


def test_where_it_cannot_be_had_one_line_says_so(tmp_path, empty, bare):
    done = call(empty, folder=tmp_path, path=bare)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert "not to be had here (no apt-get on this machine)" in done.stdout
    assert (empty / ".pynx").read_text().startswith("left out")


@pytest.mark.skipif(not shutil.which("dpkg"), reason="dpkg is not at hand")
def test_another_package_is_refused(tmp_path, empty):
    wrong = tmp_path / "python3-pynx.deb"
    wrong.write_bytes(b"!<arch>\nsomething else")
    done = call(empty, wrong, folder=tmp_path)
    assert done.returncode == 0
    assert "not the package expected" in done.stdout
    assert sorted(path.name for path in empty.iterdir()) == [".pynx", "bin"]


def test_nothing_is_left_behind(tmp_path, empty, bare):
    before = set(tmp_path.iterdir())
    call(empty, tmp_path / "missing.deb", folder=tmp_path, path=bare)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.skipif(not external.have_pynx(), reason="PyNX is not installed")
def test_where_it_is_nothing_is_done(tmp_path, bare):
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (venv / "bin" / "python").chmod(0o755)
    done = call(venv, folder=tmp_path, path=bare)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (venv / ".pynx").read_text() == "installed\n"
