"""The command line with bad input: one line, exit status 2, and nothing written."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from braggfill import scans
from braggfill.cli import main
from braggfill.patterns import gaps
from command_line import COUNTS, FRAME, MASK, counts, fill, here, network, run

__all__ = ["here", "network"]  # fixtures


def save(name, array, **options):
    np.save(name, array, **options)


def hdf5(name, **datasets):
    with h5py.File(name, "w") as file:
        for place, array in datasets.items():
            file[place] = array


def cut(name):
    os.truncate(name, Path(name).stat().st_size // 2)


def text(name, content="text"):
    Path(name).write_text(content)


def folder(name):
    Path(name).mkdir()


def change(value, kind):
    array = COUNTS.astype(kind)
    array[1, 2, 3] = value
    np.savez("scan.npz", data=array)


# name: (what is done to a sound folder, the arguments, what the line says)
BAD = {
    "no such scan": (None, ["gone.npz"], "gone.npz: no such file"),
    "no such mask": (None, ["scan.npz", "--mask", "gone.npy"], "gone.npy: no such file"),
    "no mask": (None, ["scan.npz", "--mask="], "--mask"),
    "truncated npz": (lambda: cut("scan.npz"), [], "scan.npz: not a readable"),
    "truncated npy": (lambda: (save("a.npy", COUNTS), cut("a.npy")), ["a.npy"], "a.npy: not a readable"),
    "truncated hdf5": (lambda: (hdf5("a.h5", x=COUNTS), cut("a.h5")), ["a.h5"], "a.h5: not a readable"),
    "truncated tiff": (lambda: (tifffile.imwrite("a.tif", COUNTS), cut("a.tif")), ["a.tif"], "a.tif: not a readable"),
    "truncated mask": (lambda: cut("mask.npy"), [], "mask.npy: not a readable"),
    "empty file": (lambda: text("a.npy", ""), ["a.npy"], "a.npy: is an empty file"),
    "another format": (lambda: text("a.npz"), ["a.npz"], "a.npz"),
    "unknown suffix": (lambda: text("a.xyz"), ["a.xyz"], "unknown format .xyz"),
    "no frames in a folder": (lambda: folder("frames"), ["frames"], "no TIFF file"),
    "no such dataset": (lambda: hdf5("a.h5", data=COUNTS), ["a.h5::/dta"], "did you mean /data?"),
    "no such array": (None, ["scan.npz::dat"], "it holds data"),
    "several datasets": (lambda: hdf5("a.h5", one=COUNTS, two=COUNTS), ["a.h5"], "several scans: /one"),
    "mask of another shape": (lambda: save("mask.npy", MASK[:, 1:]), [], "does not fit the scan's 34 × 36 × 40"),
    "mask of another frame": (lambda: save("mask.npy", FRAME.T), [], "does not fit"),
    "mask covers everything": (lambda: save("mask.npy", np.ones_like(FRAME)), [], "every voxel is missing"),
    "mask covers nothing": (lambda: save("mask.npy", np.zeros_like(FRAME)), [], "no voxel is missing"),
    "mask of complex": (lambda: save("mask.npy", FRAME.astype(complex)), [], "complex"),
    "mask that is a scan": (None, ["scan.npz", "--mask", "scan.npz"], "is it a scan?"),
    "negative counts": (lambda: change(-3, "i4"), [], "1 measured voxel is negative, the first -3 at (1, 2, 3)"),
    "not a number": (lambda: change(np.nan, "f4"), [], "not finite"),
    "infinite": (lambda: change(np.inf, "f8"), [], "not finite"),
    "mark of a gap": (lambda: change(2**32 - 1, "u4"), [], "the mark of a gap"),
    "all zero": (lambda: np.savez("scan.npz", data=COUNTS * 0), [], "every measured voxel is zero"),
    "complex": (lambda: np.savez("scan.npz", data=COUNTS + 0j), [], "complex numbers"),
    "objects": (lambda: np.savez("scan.npz", data=np.array([{}, 1])), [], "pickled objects, which are never opened"),
    "pickled npy": (lambda: save("a.npy", np.array([{}]), allow_pickle=True), ["a.npy"], "never opened"),
    "text": (lambda: np.savez("scan.npz", data=COUNTS.astype(str)), [], "not numbers"),
    "a 2D image": (lambda: np.savez("scan.npz", data=COUNTS[0]), [], "is 2D"),
    "a 4D array": (lambda: np.savez("scan.npz", data=np.stack([COUNTS, COUNTS])), [], "is 4D"),
    "a mask as scan": (lambda: np.savez("scan.npz", data=MASK), [], "true and false, not counts"),
    "no voxels": (lambda: np.savez("scan.npz", data=COUNTS[:0]), [], "is empty"),
    "out exists": (lambda: text("old.npz"), ["scan.npz", "-o", "old.npz"], "exists already"),
    "out is a folder": (lambda: folder("a.npz"), ["scan.npz", "-o", "a.npz"], "is a folder"),
    "out of unknown format": (None, ["scan.npz", "-o", "out.mat"], "unknown output format .mat"),
    "out without suffix": (None, ["scan.npz", "-o", "out"], "unknown output format"),
    "out in a file": (None, ["scan.npz", "-o", "mask.npy/out.npz"], "no folder that can be written"),
    "out where none may write": (None, ["scan.npz", "-o", "/proc/out.npz"], "/proc"),
    "preview of unknown format": (None, ["scan.npz", "--preview", "look.txt"], "a preview is"),
    "preview exists": (lambda: text("look.png"), ["scan.npz", "--preview", "look.png"], "exists already"),
    "no network": (None, ["scan.npz", "--method", "braggfill"], "no network"),
    "no such network": (
        None,
        ["scan.npz", "--method", "braggfill", "--network", "gone.st"],
        "gone.st: no such network",
    ),
    "no such option": (None, ["scan.npz", "--maks", "mask.npy"], "--maks"),
    "no such method": (None, ["scan.npz", "--method", "magic"], "magic"),
}


def arguments_of(given):
    given = given or ["scan.npz"]
    given += [] if any(a.startswith("--mask") for a in given) else ["--mask", "mask.npy"]
    given += [] if "-o" in given else ["-o", "out.npz"]
    return ["inpaint", *given, *([] if any(a.startswith("--method") for a in given) else ["--method", "linear"])]


def contents(folder):
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in folder.rglob("*")}


@pytest.mark.parametrize("how", BAD)
def test_what_is_wrong_is_one_line_and_nothing_is_written(here, capsys, how):
    prepare, given, part = BAD[how]
    if prepare:
        prepare()
    before = contents(here)
    try:
        status = main(arguments_of(list(given)))
    except SystemExit as leaving:
        status = leaving.code
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    lines = [line for line in err.splitlines() if "error" in line]
    assert len(lines) == 1, err
    assert err.splitlines()[-1] == lines[0]
    assert lines[0].startswith("braggfill: error: ")
    assert part in lines[0], lines[0]
    assert "Traceback" not in err
    assert contents(here) == before


@pytest.mark.parametrize("how", ["another file", "a flipped header", "truncated", "no such device"])
def test_networks_that_do_not_serve_are_told(here, network, capsys, how):
    path, more = here / "bad.safetensors", []
    content = network.read_bytes()
    if how == "another file":
        path.write_text("not a network")
    elif how == "a flipped header":
        path.write_bytes(content[:3] + bytes([content[3] ^ 0xFF]) + content[4:])
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        path, more = network, ["--device", "cuda:99"]
    before = contents(here)
    assert fill("--network", path, *more, method="braggfill") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("braggfill: error: ")
    assert ("cuda:99" if more else "bad.safetensors") in lines[-1]
    assert contents(here) == before


@pytest.mark.parametrize("out", ["out.npz", "out.npy", "out.cxi"])
def test_a_full_disk_leaves_nothing_behind(here, out):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    before = contents(here)
    done = run(*arguments_of(["scan.npz", "-o", out]), preexec_fn=small_files)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"braggfill: error: {out}: cannot be written")
    assert "Traceback" not in done.stderr
    assert contents(here) == before


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_interrupted_it_says_so_and_leaves_nothing(here, network, name):
    np.savez("scan.npz", data=counts((160, 160, 160)))
    np.save("mask.npy", gaps.cross((160, 160, 160), 6)[0])
    before = contents(here)
    command = [*(sys.executable, "-m", "braggfill", "inpaint", "scan.npz", "--mask", "mask.npy", "-o", "out.npz")]
    options = {
        "stderr": subprocess.PIPE,
        "text": True,
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    }
    # What a shell starts in the background ignores SIGINT, and so does what that starts, these tests included.
    with subprocess.Popen([*command, "--network", str(network)], **options) as process:
        assert "scan.npz" in process.stderr.readline()  # by now it reads, fills or writes
        time.sleep(0.5)
        process.send_signal(getattr(signal, name))
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert rest.splitlines()[-1] == "braggfill: interrupted; nothing was written"
    assert "Traceback" not in rest
    assert contents(here) == before


def test_an_unexpected_fault_is_a_line_and_with_debug_the_whole_story(here, monkeypatch, capsys):
    def fault(*arguments, **options):
        raise KeyError("something\nstrange")

    monkeypatch.setattr(scans, "load", fault)
    assert fill() == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "unexpected KeyError" in lines[0]
    assert "--debug" in lines[0]
    with pytest.raises(KeyError):
        fill("--debug")
