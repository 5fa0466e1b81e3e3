"""Options of the command line: detectors, noise, what is masked, how much is said; and how they go wrong."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from braggfill import filling, networks, scans
from braggfill.cli import main
from braggfill.filling import methods, trust
from braggfill.patterns import distribution, gaps
from braggfill.scans import detectors
from command_line import COUNTS, FRAME, MASK, SHAPE, fill, here, network
from test_finite import _pattern as finite_pattern

__all__ = ["here", "network"]  # fixtures


def inpaint(*arguments, out="out.npz", method="linear"):
    return main(["inpaint", "scan.npz", "-o", out, "--method", method, *map(str, arguments)])


def provenance(path):
    with np.load(path, allow_pickle=False) as file:
        return json.loads(str(file["provenance"]))


@pytest.mark.parametrize("method", methods.NAMES)
def test_every_method_of_the_registry_can_be_named(here, network, method):
    given = ("--network", network) if method in ("network", "braggfill", "finite") else ()
    status = inpaint("--mask", "mask.npy", *given, method=method)
    assert status == (2 if method == "paper" else 0)  # none came with the package


# What is missing ----------------------------------------------------------------------------------------------------


def test_a_detector_placed_by_its_region(here, capsys):
    assert inpaint("--detector", "Maxipix", "--roi", "240,238") == 0
    with np.load("out.npz") as file:
        wanted = detectors.mask("maxipix")[240 : 240 + SHAPE[1], 238 : 238 + SHAPE[2]]
        np.testing.assert_array_equal(file["mask"], np.broadcast_to(wanted, SHAPE))
    assert "detector Maxipix, rows 240 to 275, columns 238 to 277" in capsys.readouterr().err
    assert "Maxipix, rows 240" in provenance("out.npz")["mask"]


def test_a_mask_of_the_whole_detector_is_cut_to_the_scan(here, capsys):
    """The same gaps as by the detector's name, wherever the scan lies on it; dead pixels are joined to them."""
    np.save("whole.npy", detectors.mask("maxipix"))
    dead = np.zeros(SHAPE[1:], np.uint8)
    dead[2, 3] = 1
    np.save("dead.npy", dead)
    assert inpaint("--mask", "whole.npy", "--roi", "240,238") == 0
    assert inpaint("--detector", "maxipix", "--roi", "240,238", "--mask", "dead.npy", out="both.npz") == 0
    assert "detector maxipix, rows 240 to 275, columns 238 to 277; dead.npy" in capsys.readouterr().err
    wanted = detectors.mask("maxipix")[240 : 240 + SHAPE[1], 238 : 238 + SHAPE[2]]
    for out, frame in (("out.npz", wanted), ("both.npz", wanted | (dead > 0))):
        with np.load(out) as file:
            np.testing.assert_array_equal(file["mask"], np.broadcast_to(frame, SHAPE))


def test_a_mask_is_joined_with_what_the_scan_marks_if_that_is_asked(here, capsys):
    """Dead pixels in a file, gaps marked in the scan: an error that says how, and then both."""
    data = np.where(MASK, 2**32 - 1, COUNTS).astype(np.uint32)
    np.savez("scan.npz", data=data)
    dead = np.zeros(SHAPE[1:], np.uint8)
    dead[2, 3] = 1
    np.save("dead.npy", dead)
    assert main(["info", "scan.npz", "--mask", "dead.npy"]) == 0
    assert "outside the mask are of 4294967295" in capsys.readouterr().out
    assert inpaint("--mask", "dead.npy") == 2
    assert "(--join)" in capsys.readouterr().err
    assert inpaint("--mask", "dead.npy", "--join") == 0
    with np.load("out.npz") as file:
        np.testing.assert_array_equal(file["mask"], MASK | (dead > 0))


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("\n", 2), ("", 2)])
def test_more_than_half_missing_is_asked_about(here, monkeypatch, capsys, answer, status):
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    np.save("most.npy", ~FRAME)
    assert inpaint("--mask", "most.npy") == status
    assert "is the mask inverted? Fill it all the same? [y/N]" in capsys.readouterr().err
    assert (here / "out.npz").exists() == (status == 0)
    if not status:
        plain = scans.read("out.npz")
        assert inpaint("--mask", "most.npy", "--most-missing", "--force") == 0
        assert "[y/N]" not in capsys.readouterr().err
        np.testing.assert_array_equal(scans.read("out.npz"), plain)


def test_a_mask_in_the_scans_file_and_marked_voxels_are_taken_and_told(here, capsys):
    data = COUNTS.astype(np.float32)
    data[3, 4, 5] = np.nan
    np.savez("scan.npz", data=data, mask=MASK)
    assert inpaint() == 0
    said = capsys.readouterr().err
    assert "scan.npz::mask (the scan's own); 1 voxels not finite" in said
    with np.load("out.npz") as file:
        assert file["mask"][3, 4, 5]
        assert np.isfinite(file["data"]).all()
        np.testing.assert_array_equal(file["data"][~file["mask"]], data[~file["mask"]])


def test_an_eiger_scan_says_itself_where_its_gaps_are(here):
    data = np.where(MASK, 2**32 - 1, COUNTS).astype(np.uint32)
    with h5py.File("scan.h5", "w") as file:
        file["entry/data/data"] = data
    assert main(["inpaint", "scan.h5", "-o", "out.npz", "--method", "linear"]) == 0
    assert fill(out="other.npz") == 0
    np.testing.assert_array_equal(scans.read("out.npz"), scans.read("other.npz"))


# What is written ----------------------------------------------------------------------------------------------------


def test_a_filling_is_held_to_a_finite_crystal_and_it_is_told(here, capsys):
    """A small crystal's pattern has an autocorrelation that ends, and hidden gaps show that the correction helps."""
    truth, _ = finite_pattern()
    np.savez("scan.npz", data=np.random.default_rng(1).poisson(truth))
    np.save("mask.npy", gaps.cross(truth.shape, 3, [29, 31]))
    fill("--finite", out="held.npz")
    assert "corrected; the autocorrelation ends within" in capsys.readouterr().err
    found = provenance("held.npz")["finite"]
    assert 0 < found["support"] < 0.5
    assert found["error_after"] < found["error_before"]
    fill(out="plain.npz")
    assert "finite crystal" not in capsys.readouterr().err
    assert "finite" not in provenance("plain.npz")


def test_noise_is_whole_counts_around_what_was_filled_and_is_marked(here, capsys):
    fill()
    fill("--noise", out="noisy.npz")
    assert "for display only" in capsys.readouterr().err
    plain, noisy = scans.read("out.npz"), scans.read("noisy.npz")
    np.testing.assert_array_equal(noisy[~MASK], COUNTS[~MASK])
    np.testing.assert_array_equal(noisy[MASK], np.rint(noisy[MASK]))
    spread = (noisy[MASK] - plain[MASK]) / np.sqrt(np.maximum(plain[MASK], 1e-3))
    bright = plain[MASK] > 5
    assert abs(spread[bright].mean()) < 0.1
    assert spread[bright].std() == pytest.approx(1, abs=0.1)
    assert provenance("noisy.npz")["noise"] is True
    assert provenance("out.npz")["noise"] is False
    fill("--noise", "--force", out="noisy.npz")
    np.testing.assert_array_equal(scans.read("noisy.npz"), noisy)
    fill("--noise", "--seed", "1", "--force", out="noisy.npz")
    assert (scans.read("noisy.npz") != noisy).any()
    fill("--noise", out="noisy.cxi")
    with h5py.File("noisy.cxi") as file:
        assert "random counts" in file["entry_1/data_1/data"].attrs["long_name"]


@pytest.fixture
def sure(monkeypatch):
    """A network that has learnt nothing states a deviation beyond measure; here it states counting noise."""
    fill_all = filling.inpaint

    def filled(*arguments, **more):
        found = fill_all(*arguments, **more)
        return replace(found, sigma=np.where(found.mask, np.sqrt(found.data), np.nan).astype(np.float32))

    monkeypatch.setattr(filling, "inpaint", filled)


def test_a_file_for_phase_retrieval_holds_the_amplitude_of_counts_and_the_expectation_beside_it(here, network, sure):
    fill("--network", network, method="braggfill")
    fill("--network", network, out="out.cxi", method="braggfill")
    with np.load("out.npz") as file, h5py.File("out.cxi") as cxi:
        expected, sigma = file["data"], file["sigma"]
        shown = cxi["entry_1/data_1/data"][()]
        np.testing.assert_array_equal(shown[~MASK], COUNTS[~MASK])
        wanted = distribution.amplitude_of_filled(expected[MASK], sigma[MASK])
        np.testing.assert_allclose(shown[MASK], wanted, rtol=1e-6)
        assert (shown[MASK] <= expected[MASK]).all()
        assert shown[MASK].sum() < expected[MASK].sum()
        beside = cxi["entry_1/data_1/expectation"][()]
        np.testing.assert_array_equal(beside[MASK], expected[MASK])
        assert np.isnan(beside[~MASK]).all()
        assert cxi["entry_1/process_1/configuration/value"].asstr()[()] == "amplitude"
        assert "amplitude" in cxi["entry_1/data_1/data"].attrs["long_name"]
    assert provenance("out.npz")["value"] == "expectation"


@pytest.mark.parametrize(("value", "out"), [("expectation", "out.cxi"), ("amplitude", "out.npz")])
def test_what_filled_voxels_hold_can_be_said(here, network, sure, value, out):
    fill("--network", network, out="plain.npz", method="braggfill")
    fill("--network", network, "--value", value, out=out, method="braggfill")
    found, plain = scans.read(out), scans.read("plain.npz")
    assert np.array_equal(found[MASK], plain[MASK]) == (value == "expectation")


def test_an_interpolation_has_no_amplitude_of_counts(here, capsys):
    fill(out="out.cxi")
    fill(out="plain.npz")
    assert "warning" not in capsys.readouterr().err
    np.testing.assert_array_equal(scans.read("out.cxi"), scans.read("plain.npz"))
    fill("--value", "amplitude", out="again.npz")
    assert "no uncertainty" in capsys.readouterr().err
    assert provenance("again.npz")["value"] == "expectation"


def test_random_counts_and_another_value_exclude_each_other(here, capsys):
    assert fill("--noise", "--value", "amplitude") == 2
    assert "leave one out" in capsys.readouterr().err
    assert not Path("out.npz").exists()


def test_what_is_held_to_a_finite_crystal_is_phased_with_counting_noise_alone():
    """Its deviation is that from before it was corrected, and would lower what is bright."""
    mask = np.zeros((4, 4, 4), bool)
    mask[1:3] = True
    data, sigma = np.full(mask.shape, 100.0), np.where(mask, 80.0, np.nan)
    held = SimpleNamespace(accepted=True)
    wanted = distribution.amplitude_of_filled(np.array([100.0]), np.array([10.0]))[0]
    assert set(filling.Filled(data, mask, sigma, held).for_phasing()[mask]) == {wanted}
    for left in (None, SimpleNamespace(accepted=False)):
        assert filling.Filled(data, mask, sigma, left).for_phasing()[mask].max() != wanted


@pytest.mark.parametrize("masked", ["none", "filled"])
def test_the_mask_for_phase_retrieval_is_what_is_asked(here, masked):
    fill("--masked", masked)
    fill("--masked", masked, out="out.cxi")
    wanted = MASK if masked == "filled" else np.zeros(SHAPE, bool)
    with np.load("out.npz") as file:
        np.testing.assert_array_equal(file["free"], wanted)
    with h5py.File("out.cxi") as file:
        np.testing.assert_array_equal(file["entry_1/instrument_1/detector_1/mask"], wanted)
        np.testing.assert_array_equal(file["entry_1/data_1/filled"], MASK)


def test_what_is_uncertain_can_be_masked(here, network, capsys):
    fill("--network", network, "--masked", "uncertain", method="braggfill")
    with np.load("out.npz") as file:
        wanted = trust.uncertain(file["data"], file["sigma"], MASK)
        np.testing.assert_array_equal(file["free"], wanted)
    assert wanted.any()
    assert provenance("out.npz")["masked_voxels"] == wanted.sum()
    assert "should mask" in capsys.readouterr().err


def test_a_network_s_uncertainty_decides_unless_told_and_an_interpolation_is_taken_as_it_is(here, network):
    fill("--network", network, method="braggfill")
    with np.load("out.npz") as file:
        np.testing.assert_array_equal(file["free"], trust.uncertain(file["data"], file["sigma"], MASK))
    fill(out="linear.npz")
    with np.load("linear.npz") as file:
        assert not file["free"].any()
    assert provenance("linear.npz")["masked"] == "none"


def test_an_interpolation_states_no_uncertainty_so_that_all_is_masked(here):
    fill("--masked", "uncertain")
    with np.load("out.npz") as file:
        np.testing.assert_array_equal(file["free"], MASK)


def test_the_output_tells_version_network_and_settings(here, network):
    assert fill("--network", network, "--device", "cpu", method="braggfill") == 0
    told = provenance("out.npz")
    assert told["program"] == "braggfill"
    assert told["version"]
    assert told["network_card"] == networks.card(network)
    assert (told["method"], told["masked"], told["filled_voxels"]) == ("braggfill", "uncertain", int(MASK.sum()))


def test_verbose_says_more_than_usual(here, network, capsys):
    fill("--network", network, method="braggfill")
    usual = capsys.readouterr().err
    fill("--network", network, "--force", "-v", method="braggfill")
    more = capsys.readouterr().err
    assert len(more.splitlines()) > len(usual.splitlines())
    assert "network_sha256" in more


def test_info_tells_the_plan_and_how_long_it_takes(here, network, capsys):
    assert main(["info", "scan.npz", "--mask", "mask.npy", "--network", str(network)]) == 0
    out = capsys.readouterr().out
    assert f"fill {int(MASK.sum())} voxels" in out
    assert "oversampling" in out
    assert "here, once everything is loaded" in out
    assert "should mask" not in out  # inpaint tells, of all that it fills


# What goes wrong ----------------------------------------------------------------------------------------------------

# name: (arguments, what the line says)
BAD = {
    "nothing says what is missing": ([], "nothing says what is missing"),
    "a detector that nobody knows": (["--detector", "maxipicks"], "--detector maxipicks: no such detector"),
    "a detector without its region": (["--detector", "maxipix"], "say with --roi ROW,COLUMN"),
    "a region beyond the mask": (["--mask", "mask.npy", "--roi", "1,2"], "--roi: frames of 36 × 40 from row 1"),
    "a region that is no region": (["--detector", "maxipix", "--roi", "here"], "--roi here: not understood"),
    "a region beyond the detector": (["--detector", "maxipix", "--roi", "500,500"], "beyond the detector's"),
    "a region of another size": (["--detector", "maxipix", "--roi", "240:250,240:250"], "10 rows"),
    "a region without a gap": (["--detector", "maxipix", "--roi", "0,0"], "no gap there"),
    "a detector without a gap": (["--detector", "timepix", "--roi", "0,0"], "no gap there"),
    "a region of nothing": (["--roi", "1,2"], "--roi: tells where on the detector"),
    "more than half missing": (["--mask", "most.npy"], "is the mask inverted? (--invert-mask); --most-missing fills"),
    "a mask to invert that is not there": (["--invert-mask"], "--invert-mask"),
    "loud and quiet": (["--mask", "mask.npy", "-q", "-v"], "not allowed with"),
    "a seed that is negative": (["--mask", "mask.npy", "--noise", "--seed", "-1"], "--seed -1"),
    "a skip backwards": (["--mask", "mask.npy", "--skip", "-2"], "--skip -2"),
    "masked what": (["--mask", "mask.npy", "--masked", "willy"], "willy"),
    "a device that is none": (["--mask", "mask.npy", "--device", "banana"], "--device: 'banana' is unknown; use auto"),
    "a device that computes nothing": (["--mask", "mask.npy", "--device", "meta"], "--device: 'meta' is unknown"),
    "fine-tuning without a network": (["--mask", "mask.npy", "--finetune"], "has no network to train"),
    "epochs that are no number": (["--mask", "mask.npy", "--finetune", "many"], "many"),
    "patches without fine-tuning": (["--mask", "mask.npy", "--patches", "9"], "--patches: goes with --finetune"),
    "a network to save without fine-tuning": (
        ["--mask", "mask.npy", "--save-network", "a.safetensors"],
        "--save-network: goes with --finetune",
    ),
    "no epochs": (
        ["--mask", "mask.npy", "--finetune", "0", "--method", "braggfill", "--network", "net"],
        "net: no such",
    ),
    "one name for two outputs": (["--mask", "mask.npy", "--preview", "out.png", "-o", "out.png"], "out.png"),
    "paper without its network": (["--mask", "mask.npy", "--method", "paper"], "--method paper"),
}


@pytest.mark.parametrize("how", BAD)
def test_what_is_wrong_is_one_line_and_nothing_is_written(here, capsys, how):
    given, part = BAD[how]
    np.save("most.npy", ~FRAME)
    before = sorted((file.name, file.stat().st_mtime_ns) for file in here.iterdir())
    try:
        status = inpaint(*given)
    except SystemExit as leaving:
        status = leaving.code
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    lines = [line for line in err.splitlines() if line.startswith("braggfill: error: ")]
    assert len(lines) == 1
    assert part in lines[0]
    assert sorted((file.name, file.stat().st_mtime_ns) for file in here.iterdir()) == before


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (["--finetune", "0"], "1 to 100 epochs"),
        (["--finetune", "--patches", "-3"], "at least one"),
        (["--finetune"], "too little"),
        (["--finetune", "--save-network", "net.txt"], ".safetensors"),
        (["--finetune", "--save-network", "mask.npy"], ".safetensors"),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_networks_that_cannot_learn_here_are_told(here, network, capsys, given, part):
    before = sorted(file.name for file in here.iterdir())
    assert inpaint("--mask", "mask.npy", "--network", network, *given, method="braggfill") == 2
    assert part in capsys.readouterr().err.splitlines()[-1]
    assert sorted(file.name for file in here.iterdir()) == before


def test_weights_that_were_tampered_with_are_told(here, network, capsys):
    """One byte of a weight's exponent: values that are not finite; a name of a layer: one that is missing."""
    content = network.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    nan = content[:start] + b"\x00\x00\xc0\x7f" + content[start + 4 :]
    renamed = content.replace(b'.weight":', b'.wEight":', 1)
    assert renamed != content
    for changed in (nan, renamed, content + b"more", content[:-40]):
        (here / "bad.safetensors").write_bytes(changed)
        assert inpaint("--mask", "mask.npy", "--network", "bad.safetensors", method="braggfill") == 2
        assert "bad.safetensors: damaged" in capsys.readouterr().err.splitlines()[-1]
        assert not (here / "out.npz").exists()
