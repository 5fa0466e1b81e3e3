"""The command line: what it fills, and that whatever is wrong is one line, exit status 2, and nothing written."""

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
from braggfill import gaps, networks, scans
from braggfill.cli import main
from braggfill.seeds import generator

SHAPE = (34, 36, 40)
MASK = gaps.cross(SHAPE, 4, (8, 24))
FRAME = MASK[0]


def counts(shape=SHAPE, peak=1e4):
    grids = np.ix_(*(np.arange(n) - n // 2 for n in shape))
    return generator(1, "test/cli").poisson(peak / (1 + 0.05 * sum(g**2 for g in grids)) ** 1.5).astype(np.int32)


COUNTS = counts()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with a sound scan and mask, the current one."""
    np.savez(tmp_path / "scan.npz", data=COUNTS)
    np.save(tmp_path / "mask.npy", FRAME)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BRAGGFILL_NETWORK", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """A small network, never trained."""
    import torch

    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("network") / "small.safetensors"
    networks.save(path, networks.build("braggfill", channels=[4, 8]), {"uncertainty": True})
    return path


def fill(*arguments, out="out.npz", method="linear"):
    return main(["inpaint", "scan.npz", "--mask", "mask.npy", "-o", out, "--method", method, *map(str, arguments)])


def run(*arguments, **options):
    """The real program, in a process of its own."""
    return subprocess.run([sys.executable, "-m", "braggfill", *arguments], capture_output=True, text=True, **options)


# What it does -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["linear", "cubic", "nearest"])
def test_interpolations_fill_without_a_network(here, method):
    assert fill(method=method) == 0
    with np.load("out.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["data"][~MASK], COUNTS[~MASK])
        np.testing.assert_array_equal(file["mask"], MASK)
        assert np.isfinite(file["data"]).all()
        assert (file["data"] >= 0).all()
        assert np.isnan(file["sigma"]).all()


def test_the_network_fills_and_knows_its_uncertainty(here, network):
    assert fill("--network", network, "--device", "cpu", out="out.cxi", method="braggfill") == 0
    with h5py.File("out.cxi") as file:
        data, sigma = file["entry_1/data_1/data"][()], file["entry_1/data_1/sigma"][()]
        np.testing.assert_array_equal(data[~MASK], COUNTS[~MASK])
        np.testing.assert_array_equal(file["entry_1/data_1/filled"], MASK)
        assert (sigma[MASK] > 0).all()
        assert np.isnan(sigma[~MASK]).all()
        told = file["entry_1/process_1/configuration"]
        assert told["scan"].asstr()[()] == "scan.npz::data"
        assert told["network"].asstr()[()] == network.name
        assert len(told["network_sha256"].asstr()[()]) == 64


def test_the_command_line_and_python_fill_alike(here, network):
    import braggfill

    fill("--network", network, method="braggfill")
    filled = braggfill.inpaint(COUNTS, MASK, network=network)
    with np.load("out.npz") as file:
        np.testing.assert_array_equal(file["data"], filled.data)
        np.testing.assert_array_equal(file["sigma"], filled.sigma)


@pytest.mark.parametrize("form", ["npy", "h5", "cxi with its mask", "tiff", "folder of frames"])
def test_every_form_of_scan_is_filled_alike(here, form):
    fill()
    mask = ["--mask", "mask.npy"]
    if form == "npy":
        np.save("a.npy", COUNTS)
        spec = "a.npy"
    elif form == "h5":
        with h5py.File("a.h5", "w") as file:
            file["x/y"], file["x/z"] = COUNTS, COUNTS
        spec = "a.h5::/x/y"
    elif form == "cxi with its mask":
        with h5py.File("a.cxi", "w") as file:
            file["entry_1/data_1/data"] = COUNTS
            file["entry_1/instrument_1/detector_1/mask"] = MASK.astype(np.int8)
        spec, mask = "a.cxi", []
    elif form == "tiff":
        tifffile.imwrite("a.tif", COUNTS)
        spec = "a.tif"
    else:
        (here / "frames").mkdir()
        for index, frame in enumerate(COUNTS):
            tifffile.imwrite(here / "frames" / f"f{index}.tif", frame)
        spec = "frames"
    assert main(["inpaint", spec, *mask, "-o", "other.npz", "--method", "linear"]) == 0
    np.testing.assert_array_equal(scans.read("other.npz"), scans.read("out.npz"))


def test_a_mask_the_other_way_round(here):
    np.save("mask.npy", ~FRAME)
    assert fill("--invert-mask") == 0
    np.testing.assert_array_equal(scans.load_mask("out.npz", SHAPE).array, MASK)


def test_missing_voxels_may_hold_anything(here):
    for bad in (np.nan, -1.0, np.inf):
        np.savez("scan.npz", data=np.where(MASK, bad, COUNTS))
        assert fill("--force") == 0
        assert np.isfinite(scans.read("out.npz")).all()


def test_force_overwrites(here):
    (here / "out.npz").write_text("old")
    assert fill() == 2
    assert (here / "out.npz").read_text() == "old"
    assert fill("--force") == 0
    assert scans.read("out.npz").shape == SHAPE


def test_quiet_says_nothing_and_otherwise_it_says_what_it_took(here, capsys):
    fill("--quiet")
    assert capsys.readouterr() == ("", "")
    fill("--force")
    out, err = capsys.readouterr()
    assert out == ""
    for part in ("scan.npz::data", "mask.npy", "34 × 36 × 40", "out.npz"):
        assert part in err


def test_a_preview_is_a_picture_of_both(here, network):
    assert fill("--network", network, "--preview", "look.png", method="braggfill") == 0
    from matplotlib.image import imread

    picture = imread("look.png")
    assert min(picture.shape[:2]) > 400
    assert picture[..., :3].std() > 0.1
    assert sorted(file.name for file in here.iterdir()) == ["look.png", "mask.npy", "out.npz", "scan.npz"]


def test_an_input_is_never_overwritten(here, capsys):
    assert fill("--force", out="scan.npz") == 2
    assert "is an input" in capsys.readouterr().err
    np.testing.assert_array_equal(scans.read("scan.npz"), COUNTS)


# Which network ------------------------------------------------------------------------------------------------------


def test_the_newest_trained_network_is_taken_and_said(here, network, capsys):
    for age, run_name in ((100, "old"), (0, "new"), (50, "middle")):
        place = here / "results" / run_name / "train" / "model.safetensors"
        place.parent.mkdir(parents=True)
        place.write_bytes(network.read_bytes())
        os.utime(place, (time.time() - age,) * 2)
    assert fill(method="braggfill") == 0
    assert "results/new/train/model.safetensors" in capsys.readouterr().err


def test_the_environment_names_a_network_and_an_option_goes_first(here, network, monkeypatch, capsys):
    monkeypatch.setenv("BRAGGFILL_NETWORK", str(network))
    assert fill(method="braggfill") == 0
    assert "BRAGGFILL_NETWORK" in capsys.readouterr().err
    monkeypatch.setenv("BRAGGFILL_NETWORK", "gone.safetensors")
    assert fill("--force", "--network", network, method="braggfill") == 0
    assert fill("--force", method="braggfill") == 2
    assert "gone.safetensors" in capsys.readouterr().err


# Info ---------------------------------------------------------------------------------------------------------------


def test_info_tells_size_counts_and_the_geometry_of_the_gaps(here, capsys):
    mask = MASK.copy()
    mask[:, 2, 3] = mask[:, 3, 3] = True
    mask[5, 20, 20] = True
    np.save("mask.npy", mask)
    assert main(["info", "scan.npz", "--mask", "mask.npy"]) == 0
    out = capsys.readouterr().out
    peak = np.unravel_index(np.where(mask, 0, COUNTS).argmax(), SHAPE)
    assert "34 × 36 × 40" in out
    assert str(tuple(map(int, peak))) in out
    assert f"4 px across axis 1 (vertical), at 8 to 11, {peak[1] - 11} px from the peak" in out
    assert f"4 px across axis 2 (horizontal), at 24 to 27, {24 - peak[2]} px from the peak" in out
    assert "1, missing in every frame, the largest of 2 px" in out
    assert "1 voxels are missing in some frames only" in out


def test_info_of_a_troubled_scan_warns_and_succeeds(here, capsys):
    troubled = COUNTS.astype(float)
    troubled[0, 0, 0], troubled[1, 1, 1] = np.nan, -5
    np.savez("scan.npz", data=troubled)
    assert main(["info", "scan.npz"]) == 0
    out = capsys.readouterr().out
    assert "1 voxels outside the mask are NaN" in out
    assert "1 voxels outside the mask are negative" in out


def test_info_into_a_closed_pipe_is_no_error(here):
    command = f"{sys.executable} -m braggfill info scan.npz | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# What is wrong ------------------------------------------------------------------------------------------------------


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
    with subprocess.Popen([*command, "--network", str(network)], stderr=subprocess.PIPE, text=True) as process:
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


# The program --------------------------------------------------------------------------------------------------------


def test_help_and_version_come_within_half_a_second(here):
    for arguments, part in (["--help"], "braggfill inpaint SCAN"), (["--version"], "braggfill 0."):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            done = run(*arguments)
            times.append(time.perf_counter() - start)
            assert done.returncode == 0
            assert part in done.stdout
        assert min(times) < 0.5


def test_help_shows_commands_that_parse(here, capsys):
    """Every example of the help is made of arguments that the program knows."""
    import shlex

    from braggfill import cli

    examples = [
        line.strip() for line in [*cli.INPAINT.splitlines(), *cli.INFO.splitlines()] if line.startswith("  braggfill ")
    ]
    assert len(examples) >= 6
    for example in examples:
        cli._parser().parse_args(shlex.split(example)[1:])


def test_a_wrong_option_points_to_the_help(here):
    done = run("inpaint", "scan.npz", "--colour")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "'braggfill inpaint --help'" in done.stderr
