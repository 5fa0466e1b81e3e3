"""``braggfill phase`` from its arguments: verdicts and exit statuses, bad patterns, options, several scans, Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from braggfill import networks
from braggfill.cli import geometry, live, main, phasing
from braggfill.errors import BraggfillError
from braggfill.phasing import phase as phase_module
from braggfill.phasing.context import Progress
from braggfill.phasing.recipe import Recipe, Schedule
from braggfill.physics import align
from phasing_objects import counted, crystal

QUICK = Recipe(
    long=Schedule((("HIO", 160), ("RAAR", 120)), 20, (1.5, 0.6), 0.2),
    finer=Schedule((("RAAR", 60),), 20, (1.0, 0.6), 0.2),
    coarse=Schedule((("HIO", 120), ("RAAR", 80)), 20, (1.5, 0.6), 0.2),
    named=Schedule((("RAAR", 40),), 10, (1.5, 0.6), 0.2),
    coarse_starts=4,
    kept=2,
    rounds=3,
)
TRUTH = crystal()
COUNTS = counted(TRUTH, 1e5)[0].astype(np.int32)
GEOMETRY = ["--energy", 9, "--distance", 0.8, "--pixel", 55, "--rocking-step", 0.02, "--spacing", 2.265]


@pytest.fixture
def here(tmp_path, monkeypatch):
    np.savez(tmp_path / "scan.npz", data=COUNTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(phase_module, "Recipe", lambda: QUICK)
    return tmp_path


def phase(*arguments, scan="scan.npz", out="out.cxi") -> int:
    given = ["phase", *([scan] if isinstance(scan, str) else scan), "-o", out, "--engine", "projections", "--device"]
    return main([*given, "cpu", *map(str, arguments)])


def verdict(path="out.cxi") -> str:
    with h5py.File(path) as file:
        return file["entry_1/image_1"].attrs["verdict"]


def only(folder, *names) -> bool:
    return {p.name for p in folder.iterdir()} == set(names)


def test_a_scan_becomes_an_object_with_its_strain(here, capsys):
    assert phase("--preview", "p.png", "--report", "r.html", *GEOMETRY) == 0
    told = capsys.readouterr().err
    assert "nothing says what is missing" in told
    assert "converged" in told
    assert "nm" in told
    assert only(here, "scan.npz", "out.cxi", "p.png", "r.html")
    with h5py.File("out.cxi") as file:
        obj = file["entry_1/image_1/data"][()]
        assert align.align(obj, TRUTH, np.abs(TRUTH) > 0).correlation > 0.97
        assert file["entry_1/image_3/strain"].ndim == 3
        settings = json.loads(file["entry_1/image_1/process_1/configuration/settings"][()])
        assert settings["seed"] == 0
        assert file["entry_1/image_1/process_1/configuration/scan"][()] == b"scan.npz::data"


def test_a_gap_is_filled_first_and_that_is_told(here, capsys):
    mask = np.zeros(COUNTS.shape[1:], bool)
    mask[24:26] = True
    np.save("mask.npy", mask)
    assert phase("--mask", "mask.npy", "--method", "linear", "--starts", 2) == 0
    assert f"{mask.sum() * len(COUNTS)} voxels filled by linear" in capsys.readouterr().err
    with h5py.File("out.cxi") as file:
        told = file["entry_1/image_1/process_1/configuration"]
        assert told["gap"][()] == b"filled"
        assert told["missing_voxels"][()] == mask.sum() * len(COUNTS)
    assert phase("--mask", "mask.npy", "--gap", "free", "--starts", 2, "--force") == 0
    assert "filled by" not in capsys.readouterr().err


def test_it_begins_with_what_a_network_expects(here, capsys, monkeypatch):
    network = networks.build("braggphase", channels=(4, 6, 8), blocks=1, heads=2)
    networks.save("expects.safetensors", network)
    assert phase("--phase-network", "expects.safetensors", "--starts", 1) in (0, phasing.FAILED)
    assert phase("--phase-network", "expects.safetensors", "--start-from", "network", "--write-failed", "--force") in (
        0,
        3,
    )
    with h5py.File("out.cxi") as file:
        assert set(file["entry_1/runs_1/origin"][()]) == {b"network"}
        told = file["entry_1/image_1/process_1/configuration"]
        assert told["phase_network"][()] == b"expects.safetensors"
    capsys.readouterr()
    monkeypatch.setattr(networks, "is_shipped", lambda name="braggfill": False)
    for given, words in (
        (("--start-from", "network"), "no network for phases came with this version"),
        (("--phase-network", "none.safetensors"), "no such file"),
        (("--phase-network", "scan.npz"), "not the weights|damaged"),
    ):
        assert phase(*given, "--force") == 2
        assert re.search(words, capsys.readouterr().err)


def test_the_same_seed_the_same_bits(here):
    objects = []
    for name in ("a.npz", "b.npz"):
        phase("--starts", 2, "--seed", 5, "--write-failed", out=name)
        with np.load(name) as file:
            objects.append(file["data"])
    np.testing.assert_array_equal(*objects)


def ring(shape=(28, 28, 28)):
    axes = np.ix_(*(np.arange(n) - n // 2 for n in shape))
    radius = np.sqrt(axes[1] ** 2 + (axes[2] + 40) ** 2)
    return np.random.default_rng(0).poisson(40 * np.exp(-(((radius - 40) / 2) ** 2)) * np.ones(shape))


def one_photon():
    counts = np.zeros((24, 24, 24), int)
    counts[12, 12, 12] = 1
    return counts


BAD = {
    "no photons": lambda: np.zeros((24, 24, 24), int),
    "one photon": one_photon,
    "noise": lambda: np.random.default_rng(0).poisson(3.0, (28, 28, 28)),
    "powder ring": ring,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_crystals_pattern_fails_in_words_and_writes_nothing(name, here, capsys):
    np.savez("bad.npz", data=BAD[name]().astype(np.int32))
    assert phase("--report", "r.html", scan="bad.npz") == phasing.FAILED
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("braggfill: failed: ")
    assert "nothing was written" in last
    assert only(here, "scan.npz", "bad.npz")


def two_peaks():
    return np.maximum(np.roll(COUNTS, 8, axis=1), np.roll(COUNTS, -7, axis=2))


ODD = {
    "saturated": (lambda: np.minimum(COUNTS, 3000), "saturated"),
    "off centre": (lambda: np.roll(COUNTS, (5, -6, 4), (0, 1, 2)), ""),
    "two peaks": (two_peaks, ""),
    "cut peak": (lambda: COUNTS[:, 16:], ""),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_said_or_stood(name, here, capsys):
    """Never a fault, always a verdict; two peaks and a cut one are never said to have converged."""
    make, word = ODD[name]
    np.savez("odd.npz", data=make().astype(np.int32))
    status = phase("--write-failed", scan="odd.npz")
    told = capsys.readouterr().err
    assert status in (0, phasing.FAILED)
    assert (verdict() == "failed") == (status == phasing.FAILED)
    assert word in told
    if name == "off centre":
        assert verdict() == "converged"
    if name in ("two peaks", "cut peak"):
        assert verdict() != "converged"


def test_half_the_voxels_masked(here, capsys):
    mask = np.random.default_rng(0).random(COUNTS.shape) < 0.499
    mask[13:18, 13:18, 12:17] = False
    np.save("mask.npy", mask)
    assert phase("--mask", "mask.npy", "--gap", "free") == 0
    np.save("mask.npy", np.random.default_rng(0).random(COUNTS.shape) < 0.6)
    assert phase("--mask", "mask.npy", "--gap", "free", "--force") == 2
    assert "is the mask inverted?" in capsys.readouterr().err


@pytest.mark.parametrize("shape", [(8, 24, 24), (25, 23, 27)])
def test_small_and_odd_sizes(shape, here):
    np.savez("odd.npz", data=counted(crystal(shape), 1e5)[0].astype(np.int32))
    assert phase("--starts", 2, "--write-failed", scan="odd.npz") in (0, phasing.FAILED)
    with h5py.File("out.cxi") as file:
        assert file["entry_1/image_1/data"].shape == shape


def test_out_of_time_the_output_is_whole_or_absent(here, capsys):
    status = phase("--time", "0.01s")
    told = capsys.readouterr().err
    assert "converged" not in told
    assert (status == 0) == (here / "out.cxi").exists()
    if status == 0:
        assert verdict() == "uncertain"


def test_a_failed_result_is_written_only_if_asked(here):
    np.savez("bad.npz", data=np.zeros((16, 16, 16), int))
    assert phase("--write-failed", "--report", "r.html", scan="bad.npz") == phasing.FAILED
    assert verdict() == "failed"
    assert "failed" in (here / "r.html").read_text()


def test_quiet_says_nothing_but_a_failure(here, capsys):
    assert phase("-q", "--starts", 2, "--write-failed") in (0, 3)
    assert capsys.readouterr().err == ""
    np.savez("bad.npz", data=np.zeros((16, 16, 16), int))
    assert phase("-q", scan="bad.npz", out="other.cxi") == 3
    assert "failed" in capsys.readouterr().err


def test_several_scans_a_line_each_and_one_failure_stops_none(here, capsys):
    np.savez("bad.npz", data=np.zeros((16, 16, 16), int))
    np.savez("good.npz", data=COUNTS)
    assert phase("--starts", 2, scan=["bad.npz", "none.npz", "good.npz"], out="objects/") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.split(":")[1].strip() for line in lines[:3]] == ["bad.npz", "none.npz", "good.npz"]
    assert "2 of 3 scans failed" in lines[-1]
    assert [p.name for p in (here / "objects").iterdir()] == ["good.cxi"]
    assert phase(scan=["bad.npz", "good.npz"], out="one.cxi") == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--time", "soon"], "--time soon"),
        (["--time", "0s"], "--time 0s"),
        (["--seed", -1], "--seed"),
        (["--starts", 0], "--starts"),
        (["--support-threshold", 1.5], "--support-threshold"),
        (["--engine", "magic"], "engine"),
        (["--report", "r.pdf"], ".html"),
        (["--preview", "p.txt"], "preview"),
        (["--spacing", 2, "--hkl", "1,1,1"], "--spacing, --hkl"),
        (["--hkl", "1,1"], "--hkl 1,1"),
        (["--hkl", "1,1,1"], "--lattice"),
        (["--hkl", "1,1,1", "--element", "Xx"], "--element Xx"),
        (["--energy", 9000], "--energy 9000"),
        (["--pixel", "a"], "--pixel a"),
        (["--detector-axes", "up"], "--detector-axes up"),
        (["--energy", 9, "--spacing", 0.5], "cannot diffract"),
        (["--rocking-axis", "sideways"], "--rocking-axis sideways"),
        (["--method", "magic", "--mask", "scan.npz"], ""),
    ],
)
def test_bad_options_are_one_line_and_write_nothing(arguments, told, here, capsys):
    extra = []
    if "--detector-axes" in arguments or "--pixel" in arguments:
        extra = ["--energy", 9, "--distance", 1, "--rocking-step", 0.01, "--delta", 30]
        extra += [] if "--pixel" in arguments else ["--pixel", 55]
    assert phase(*arguments, *extra) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("braggfill: error: ")
    assert told in lines[-1]
    assert only(here, "scan.npz")


def test_an_output_that_is_there_is_not_overwritten(here, capsys):
    (here / "out.cxi").write_bytes(b"mine")
    assert phase() == 2
    assert (here / "out.cxi").read_bytes() == b"mine"
    assert phase("--force", out="scan.npz") == 2
    assert "is an input" in capsys.readouterr().err
    np.testing.assert_array_equal(np.load("scan.npz")["data"], COUNTS)


def options(**given) -> argparse.Namespace:
    names = "energy distance pixel rocking_step rocking_axis delta nu detector_axes spacing hkl lattice element"
    return argparse.Namespace(**{**dict.fromkeys(names.split()), **given})


def test_geometry_comes_from_options_before_the_file():
    told = SimpleNamespace(
        energy_ev=8000.0, distance_m=1.0, pixel_m=(55e-6, 75e-6), rocking_step_deg=0.01, rocking_motor="eta",
        angles={"eta": 17.0, "delta": 34.0, "nu": 1.0},
    )  # fmt: skip
    made, d, remark = geometry.of(options(), told)
    assert (made.energy_ev, made.pixel_m, made.delta_deg, made.nu_deg) == (8000, (55e-6, 75e-6), 34, 1)
    assert (d, remark) == (None, "")
    made, d, remark = geometry.of(options(energy=9, hkl="1,1,1", element="Pt"), told)
    assert made.energy_ev == 9000
    assert d == pytest.approx(3.92 / np.sqrt(3))
    assert remark == ""
    assert "check angles" in geometry.of(options(energy=5, spacing=2.26), told)[2]


def test_a_geometry_that_lacks_something_says_what():
    made, _, remark = geometry.of(options(energy=9, distance=1))
    assert made is None
    for name in ("--pixel", "--rocking-step", "--delta"):
        assert name in remark
    assert geometry.of(options())[2] == ""
    with pytest.raises(BraggfillError, match="--rocking-axis"):
        geometry.of(options(energy=9, distance=1, pixel="55", rocking_step=0.01, delta=30, nu=10))


def test_the_angle_follows_from_the_spacing_in_the_plane_of_the_rocking_axis():
    given = {"energy": 9, "distance": 1, "pixel": "55,60", "rocking_step": 0.01, "spacing": 2.265}
    made = geometry.of(options(**given))[0]
    assert made.nu_deg == 0
    assert made.spacing == pytest.approx(2.265)
    lying = geometry.of(options(**given, rocking_axis="vertical"))[0]
    assert lying.delta_deg == 0
    assert lying.spacing == pytest.approx(2.265)


def test_a_time_is_read_as_people_write_it():
    assert [phasing.seconds(t) for t in ("90", "90s", "2min", "1.5h", "2 min")] == [90, 90, 120, 5400, 120]


def test_progress_says_best_figure_cycles_and_time_left():
    assert live.line(None, 3, 60) == "phase retrieval, 3 s, at most 57 s left"
    told = live.line(Progress("long", 2, 8, 1.234, 5000, 20.0), 20.0, None)
    for part in ("round 3 of at most 8", "best free log-likelihood 1.23", "5000 cycles", "at most 60 s left"):
        assert part in told
    assert "5042 cycles" in live.line(Progress("long", 2, 8, 1.234, 5000, 20.0), 20.0, None, more=42)


def test_an_interrupt_keeps_the_best_if_asked():
    before = signal.getsignal(signal.SIGINT)
    shown = live.Live(False)
    with live.interruptible(shown, keep=True):
        signal.raise_signal(signal.SIGINT)
        assert shown.should_stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    shown = live.Live(False)
    with pytest.raises(KeyboardInterrupt), live.interruptible(shown, keep=False):
        signal.raise_signal(signal.SIGINT)
    assert shown.should_stop()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_command_ends_at_once_and_leaves_nothing(number, tmp_path):
    rng = np.random.default_rng(0)  # speckles of nothing: they fall off, and no object explains them
    fall = np.exp(-sum(g**2 for g in np.ix_(*[np.linspace(-2, 2, 64)] * 3)))
    np.savez(tmp_path / "scan.npz", data=rng.poisson(300 * fall * rng.exponential(size=fall.shape)))
    process = subprocess.Popen(
        [sys.executable, "-m", "braggfill", "phase", "scan.npz", "-o", "out.cxi"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert "nothing says what is missing" in process.stderr.readline()
    time.sleep(4)
    process.send_signal(number)
    told = process.communicate(timeout=60)[1]
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 130, told
        assert "nothing was written" in told
    assert only(tmp_path, "scan.npz")
