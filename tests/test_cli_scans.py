"""The command line with scans of every kind: units, noise, many at once, any locale, and files of others left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest
from braggfill import scans
from braggfill.cli import _parser, completion, main, talk
from braggfill.runs import storage
from command_line import COUNTS, FRAME, MASK, fill, here, network, run

__all__ = ["here", "network"]  # fixtures


# Units and noise ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1 / 3.1e4, 100.0])
def test_a_scan_in_other_units_is_refused_and_filled_in_its_own_unit(here, capsys, factor):
    fill(out="photons.npz")
    np.savez("scan.npz", data=COUNTS * factor)
    assert fill() == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "no photons" in line
    unit = line.partition("--photons-per-unit ")[2].split()[0]
    assert float(unit) == pytest.approx(1 / factor, rel=1e-3)
    assert main(["info", "scan.npz", "--mask", "mask.npy"]) == 0
    assert f"--photons-per-unit {unit}" in capsys.readouterr().out
    assert main(["compare", "scan.npz", "--mask", "mask.npy", "--method", "linear"]) == 2
    assert fill("--photons-per-unit", unit) == 0
    with np.load("out.npz") as file, np.load("photons.npz") as photons:
        np.testing.assert_array_equal(file["data"][~MASK], (COUNTS * factor)[~MASK])
        np.testing.assert_allclose(file["data"][MASK], photons["data"][MASK] * factor, rtol=1e-4)


@pytest.mark.parametrize("unit", ["0", "-1", "nan", "inf"])
def test_a_unit_that_is_none_is_told(here, capsys, unit):
    assert fill(f"--photons-per-unit={unit}") == 2
    assert "above zero" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--mask", "mask.npy"], ["--mask", "mask.npy", "--join"], []])
def test_noise_below_zero_comes_back_as_it_was(here, capsys, given):
    light = np.where(COUNTS > 100, COUNTS, 0)
    dark = (light + np.random.default_rng(1).normal(0, 0.3, COUNTS.shape)).astype("f4")
    dark[MASK] = np.nan
    np.save("dark.npy", dark)
    assert main(["inpaint", "dark.npy", *given, "-o", "out.npz", "--method", "linear"]) == 0
    assert "scatter below zero" in capsys.readouterr().err
    with np.load("out.npz") as file:
        np.testing.assert_array_equal(file["mask"], MASK)
        np.testing.assert_array_equal(file["data"][~MASK], dark[~MASK])
        assert (file["data"][MASK] >= 0).all()
    assert main(["info", "dark.npy", *given]) == 0
    assert "scatter below zero" in capsys.readouterr().out


def test_one_rule_for_every_command_about_the_largest_integer(here, capsys):
    data = COUNTS.astype("u2")
    data[:, 20:22] = 65535
    np.savez("scan.npz", data=data)
    assert main(["info", "scan.npz", "--mask", "mask.npy"]) == 0
    assert "of 65535" in capsys.readouterr().out
    assert fill() == 2
    assert main(["compare", "scan.npz", "--mask", "mask.npy", "--method", "linear"]) == 2
    assert capsys.readouterr().err.count("the mark of a gap") == 2


def test_frames_and_rows_that_look_wrong_are_said_by_both_commands(here, capsys):
    data = COUNTS.copy()
    data[20], data[:, 15] = 0, 0
    np.savez("scan.npz", data=data)
    assert main(["info", "scan.npz", "--mask", "mask.npy"]) == 0
    assert fill() == 0
    out, err = capsys.readouterr()
    for text in (out, err):
        assert "mask[20] = True" in text
        assert "mask[:, 15] = True" in text


# Many at once -------------------------------------------------------------------------------------------------------


def several():
    for name in "abc":
        np.savez(f"{name}.npz", data=COUNTS, mask=MASK)


def test_many_scans_a_line_each_and_one_network(here, network, capsys, monkeypatch):
    from braggfill import networks

    several()
    loads = []
    true = networks.load
    monkeypatch.setattr(networks, "load", lambda *a, **k: loads.append(a) or true(*a, **k))
    assert main(["inpaint", "a.npz", "b.npz", "c.npz", "-o", "out/", "--network", str(network)]) == 0
    assert len(loads) == 1
    assert sorted(path.name for path in (here / "out").iterdir()) == ["a.cxi", "b.cxi", "c.cxi"]
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["a.npz:", "b.npz:", "c.npz:"]
    assert fill("--network", network, out="one.cxi", method="braggfill") == 0
    np.testing.assert_array_equal(scans.read("out/b.cxi"), scans.read("one.cxi"))


def test_a_failure_stops_no_other_scan(here, capsys):
    several()
    (here / "b.npz").write_text("damaged")
    assert main(["inpaint", "[abc].npz", "nothing.npz", "-o", "out/*.npz", "--method", "linear"]) == 2
    several()
    (here / "b.npz").write_text("damaged")
    assert main(["inpaint", "a.npz", "b.npz", "c.npz", "gone.npz", "-o", "out/*.npz", "--method", "linear"]) == 2
    err = capsys.readouterr().err
    assert "b.npz: error: b.npz: not a readable" in err
    assert "gone.npz: error: gone.npz: no such file" in err
    assert "2 of 4 scans failed" in err
    assert sorted(path.name for path in (here / "out").iterdir()) == ["a.npz", "c.npz"]


def test_scans_of_one_file_and_a_pattern_get_names_of_their_own(here, capsys):
    with h5py.File("s.h5", "w") as file:
        file["1.1/measurement/d"], file["2.1/measurement/d"] = COUNTS, COUNTS
    given = ["--mask", "mask.npy", "--method", "linear"]
    assert main(["inpaint", "s.h5::/1.1", "s.h5::/2.1", "-o", "out/", *given]) == 0
    assert sorted(path.name for path in (here / "out").iterdir()) == ["s_1.1.cxi", "s_2.1.cxi"]
    assert main(["inpaint", "s*.npz", "-o", "two/", *given]) == 0
    assert [path.name for path in (here / "two").iterdir()] == ["scan.cxi"]
    assert main(["inpaint", "scan.npz", "scan.npz", "-o", "three/", *given]) == 2
    assert main(["inpaint", "scan.npz", "s.h5::1.1", "-o", "one.cxi", *given]) == 2
    assert "is one file for 2 scans" in capsys.readouterr().err


# What is not ours ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["link", "virtual", "raw"])
def test_a_file_that_the_scan_is_made_of_is_never_overwritten(here, capsys, how):
    if how == "raw":
        COUNTS.tofile("raw.h5")
    else:
        with h5py.File("raw.h5", "w") as file:
            file["data"] = COUNTS
    with h5py.File("s.h5", "w") as file:
        if how == "link":
            file["data"] = h5py.ExternalLink("raw.h5", "/data")
        elif how == "virtual":
            layout = h5py.VirtualLayout(COUNTS.shape, COUNTS.dtype)
            layout[:] = h5py.VirtualSource("raw.h5", "data", COUNTS.shape)
            file.create_virtual_dataset("data", layout)
        else:
            file.create_dataset("data", COUNTS.shape, COUNTS.dtype, external=[("raw.h5", 0, h5py.h5f.UNLIMITED)])
    before = (here / "raw.h5").read_bytes()
    given = ["--mask", "mask.npy", "--method", "linear", "--force"]
    assert main(["inpaint", "s.h5", "-o", "raw.h5", *given]) == 2
    assert "raw.h5: is an input" in capsys.readouterr().err
    assert (here / "raw.h5").read_bytes() == before


def test_permissions_are_kept_and_a_symbolic_link_is_followed(here):
    (here / "real.npz").write_text("old")
    (here / "real.npz").chmod(0o600)
    (here / "out.npz").symlink_to("real.npz")
    assert fill("--force") == 0
    assert (here / "out.npz").is_symlink()
    assert (here / "real.npz").stat().st_mode & 0o777 == 0o600
    np.testing.assert_array_equal(scans.read("real.npz")[~MASK], COUNTS[~MASK])


def test_of_two_at_once_the_second_replaces_nothing(tmp_path):
    ready, failed = threading.Barrier(2), []

    def write(value):
        try:
            with storage.replacing(tmp_path / "a.npy", over=False) as temporary:
                temporary.write_bytes(value)
                ready.wait()
        except storage.BraggfillError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=write, args=(value,)) for value in (b"one", b"two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 1
    assert "exists already" in failed[0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    script = (
        "import os, sys; from braggfill.runs import storage\n"
        "with storage.replacing(sys.argv[1]) as t: t.write_bytes(b'half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.npy")], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with storage.replacing(tmp_path / "a.npy") as temporary:
        temporary.write_bytes(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


@pytest.mark.parametrize("out", ["x" * 300 + ".npz", "x" * 251 + ".npz", "/proc/x.npz"])
def test_names_that_cannot_be_are_told_before_the_work(here, capsys, out, monkeypatch):
    if len(out) == 255:
        assert fill(out=out) == 0
        return
    monkeypatch.setattr(scans, "load", None)
    assert fill(out=out) == 2
    assert fill("--preview", "/proc/x.png", out="ok.npz") == 2
    assert capsys.readouterr().err.count("error") == 2


def test_a_name_that_is_no_text_goes_into_every_output(here):
    name = os.fsdecode(b"sc\xffan.npz")
    np.savez("scan.npz", data=COUNTS, mask=MASK)
    (here / "scan.npz").rename(here / name)
    for out in ("a.cxi", "a.npz"):
        assert main(["inpaint", name, "-o", out, "--method", "linear", "-q"]) == 0


def test_a_log_has_every_line_whatever_is_said(here, capsys):
    given = ["scan.npz", "--mask", "mask.npy", "--method", "linear", "--log", "run.log"]
    assert main(["inpaint", *given, "-o", "a.npz", "-q"]) == 0
    assert main(["inpaint", *given, "-o", "a.npz"]) == 2
    assert main(["inpaint", "scan.npz", "gone.npz", *given[1:], "-o", "out/"]) == 2
    said = [line.removeprefix("braggfill: ") for line in capsys.readouterr().err.splitlines()]
    log = (here / "run.log").read_text().splitlines()
    assert [line.split(" ", 1)[1][:10] for line in log].count("$ braggfil") == 3
    assert all(any(line.endswith(one) for line in log) for one in said)
    assert sum("scan scan.npz::data" in line for line in log) == 2
    for wrong in ("scan.npz", "/proc/x.log", "mask.npy", "."):
        before = (here / "scan.npz").read_bytes()
        assert main(["inpaint", *given[:-1], wrong, "-o", "b.npz"]) == 2
        assert (here / "scan.npz").read_bytes() == before
    assert not (here / "b.npz").exists()
    assert main(["inpaint", *given[:-2], "-o", "b.npz"]) == 0  # and none without the option
    assert (here / "run.log").read_text().splitlines() == log


def test_info_says_what_a_geometry_lacks(here, capsys):
    with h5py.File("s.h5", "w") as file:
        file["1.1/measurement/d"], file["1.1/instrument/positioners/delta"] = COUNTS, 33.1
        file["1.1/instrument/positioners/mononrj"] = 9.0
    assert main(["info", "s.h5"]) == 0
    assert "not in the file: --distance, --pixel, --rocking-step;" in capsys.readouterr().out
    assert main(["info", "scan.npz"]) == 0
    assert "not in the file: --energy, --distance, --pixel, --rocking-step, --delta, --nu or" in capsys.readouterr().out


# Output anywhere ----------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii", "cp1252"])
def test_any_locale_will_do(here, encoding):
    given = {"env": {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict", "LC_ALL": "C"}}
    for arguments in (
        ["--help"],
        ["inpaint", "--help"],
        ["info", "scan.npz", "--mask", "mask.npy"],
        ["compare", "scan.npz", "--mask", "mask.npy", "--method", "linear", "--width", "3", "-o", "t.csv", "--force"],
    ):
        command = [sys.executable, "-m", "braggfill", *arguments]
        done = subprocess.run(command, capture_output=True, check=False, **given)
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
        assert done.stdout.decode(encoding)
    assert (here / "t.csv").exists()


def test_a_table_is_written_before_it_is_printed(here):
    arguments = ["compare", "scan.npz", "--mask", "mask.npy", "--method", "linear", "--width", "3", "-o", "t.csv"]
    with open("/dev/full", "w") as full:
        subprocess.run([sys.executable, "-m", "braggfill", *arguments], stdout=full, check=False)
    assert (here / "t.csv").exists()


@pytest.mark.parametrize("closed", ["2>&-", "<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(here, closed):
    np.save("most.npy", ~FRAME)
    line = f"{sys.executable} -m braggfill inpaint scan.npz --mask %s -o %s --method linear {closed}"
    assert subprocess.run(["bash", "-c", line % ("mask.npy", "a.npz")], check=False).returncode == 0
    assert subprocess.run(["bash", "-c", line % ("most.npy", "b.npz")], check=False).returncode == 2
    assert not (here / "b.npz").exists()


def test_names_cannot_steer_a_terminal(here, capsys):
    with h5py.File("a.h5", "w") as file:
        file["\x1b[31mred"] = COUNTS
    assert main(["inpaint", "a.h5", "-o", "o.npz", "--mask", "mask.npy", "--method", "linear"]) == 0
    assert main(["info", "a.h5"]) == 0
    assert "\x1b" not in "".join(capsys.readouterr())
    assert talk.printable("a\x1b[2Jb\udcff\n") == "a\\x1b[2Jb\\udcff\\n"


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_shell_completes_what_the_program_knows(shell):
    pytest.importorskip("shtab")
    script = completion.script(_parser(), shell)
    for word in ("inpaint", "info", *(() if shell == "tcsh" else ("--photons-per-unit", "--detector"))):
        assert word in script


def test_info_lists_what_a_file_holds_when_there_is_a_choice(here, capsys):
    with h5py.File("s.h5", "w") as file:
        for entry in ("1.1", "2.1"):
            file[f"{entry}/measurement/d"], file[f"{entry}/title"] = COUNTS, f"ascan {entry}"
    assert main(["info", "s.h5"]) == 0
    out = capsys.readouterr().out
    for part in ("/1.1/measurement/d  34 × 36 × 40 int32, ascan 1.1", "ascan 2.1", "name one, e.g. s.h5::/1.1"):
        assert part in out
    assert run("info", "s.h5::2.1").returncode == 0
