"""The command line: what it fills, which network it takes, what it says, and how fast it starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import tifffile
from braggfill import scans
from braggfill.cli import main
from command_line import COUNTS, FRAME, MASK, SHAPE, fill, here, network, run

__all__ = ["here", "network"]  # fixtures

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


def test_info_of_a_troubled_scan_says_what_is_wrong_and_succeeds(here, capsys):
    troubled = COUNTS.astype(float)
    troubled[0, 0, 0], troubled[1, 1, 1] = np.nan, -5
    np.savez("scan.npz", data=troubled)
    assert main(["info", "scan.npz"]) == 0
    out = capsys.readouterr().out
    assert "1 voxels not finite" in out
    assert "1 voxels negative" in out
    assert main(["info", "scan.npz", "--mask", "mask.npy"]) == 0
    out = capsys.readouterr().out
    assert "1 voxels outside the mask are not finite" in out
    assert "1 voxels outside the mask are negative" in out


def test_hot_pixels_are_pointed_out_and_a_bright_peak_is_none(here, capsys):
    assert main(["info", "scan.npz", "--mask", "mask.npy"]) == 0
    assert "hot" not in capsys.readouterr().out
    glowing = COUNTS.copy()
    for row, column in ((3, 5), (30, 33)):
        glowing[:, row, column] = 5000
    np.savez("scan.npz", data=glowing)
    assert main(["info", "scan.npz", "--mask", "mask.npy"]) == 0
    assert "look hot, bright in every frame: 2;" in capsys.readouterr().out
    assert fill() == 0
    assert "look hot, bright in every frame: 2;" in capsys.readouterr().err
    np.save("mask.npy", FRAME | (glowing.min(0) >= 5000))
    assert fill("--force") == 0
    assert "hot" not in capsys.readouterr().err


def test_info_into_a_closed_pipe_is_no_error(here):
    command = f"{sys.executable} -m braggfill info scan.npz | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# The program --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "part"), [("--help", "braggfill compare SCAN"), ("--version", "braggfill 0.")])
def test_help_and_version_load_nothing_heavy(here, arguments, part):
    """What keeps them quick: not even NumPy is loaded."""
    heavy = ["numpy", "h5py", "torch", "scipy", "pydantic", "matplotlib", "pyFAI"]
    script = f"""
import sys
from braggfill.cli import main
try:
    main(sys.argv[1:])
except SystemExit as leaving:
    assert not leaving.code
assert not [name for name in {heavy} if name in sys.modules]
"""
    done = subprocess.run([sys.executable, "-c", script, arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert part in done.stdout


def test_help_shows_commands_that_parse(here, capsys):
    """Every example of the help is made of arguments that the program knows."""
    import shlex

    from braggfill.cli import _parser, texts

    told = [*texts.INPAINT.splitlines(), *texts.INFO.splitlines(), *texts.COMPARE.splitlines()]
    examples = [line.strip() for line in told if line.startswith("  braggfill ")]
    assert len(examples) >= 12
    for example in examples:
        _parser().parse_args(shlex.split(example)[1:])


def test_a_wrong_option_points_to_the_help(here):
    done = run("inpaint", "scan.npz", "--colour")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "'braggfill inpaint --help'" in done.stderr
