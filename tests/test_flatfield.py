"""Flat fields: read, cut, divided by, and doubted where the scan itself speaks against them."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from braggfill import inpaint, phase, scans
from braggfill.scans import flatfield
from command_line import run

SHAPE = (12, 40, 44)


@pytest.fixture(scope="module")
def uneven():
    """Smooth light, a detector of which the scan is a part, and the counts."""
    rng = np.random.default_rng(3)
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in SHAPE), indexing="ij")
    light = 4000 * np.exp(-(z**2 / 20 + (y / 9.0) ** 2 + (x / 9.0) ** 2)) + 60
    detector = 16000 * np.exp(0.2 * rng.standard_normal((60, 70)))
    detector[30, 40] = 0
    detector[31, 41] = np.nan
    detector[32, 42] = 90000
    flat = detector[10:50, 20:64]
    gain = flat / np.nanmedian(detector[detector > 0])
    counts = rng.poisson(light * np.nan_to_num(np.where(flat > 80000, 1, gain)))
    return light, detector, counts


def test_counts_are_divided_by_the_gain_and_dead_pixels_are_missing(uneven, tmp_path):
    light, detector, counts = uneven
    np.save(tmp_path / "flat.npy", detector)
    field = flatfield.load(str(tmp_path / "flat.npy"), SHAPE, "10,20")
    dead = {(20, 20), (21, 21), (22, 22)}
    assert {(int(r), int(c)) for r, c in np.argwhere(field.bad)} == dead
    good = ~field.bad & (light > 500).any(0)
    before, after = (np.std((values.sum(0) / light.sum(0))[good]) for values in (counts, field.photons(counts)))
    assert before > 0.15
    assert after < 0.02


def test_a_stack_of_frames_is_averaged_and_factors_are_inverted(uneven):
    _, detector, _ = uneven
    flat = np.where(np.isfinite(detector) & (detector > 0) & (detector < 80000), detector, 16000)[:40, :44]
    one = flatfield.of(flat, SHAPE)
    assert (flatfield.of(np.full((40, 44), 1.2e308), SHAPE).gain == 1).all(), "the sum of two of them overflows"
    stack = flatfield.of(np.stack([0.9 * flat, 1.1 * flat]), SHAPE)
    np.testing.assert_allclose(stack.gain, one.gain, rtol=1e-6)
    factors = flatfield.of(1 / flat, SHAPE, factors=True)
    np.testing.assert_allclose(factors.gain, one.gain, rtol=1e-3)


def test_the_scan_speaks_against_a_flat_field_that_does_not_fit(uneven):
    _, detector, counts = uneven
    nothing = np.zeros(SHAPE, bool)
    flat = detector[10:50, 20:64]
    right = flatfield.of(flat, SHAPE)
    assert flatfield.doubts(right, counts, nothing) == ""
    upside_down = flatfield.of(1 / np.where(flat > 0, flat, np.nan), SHAPE)
    assert "--flat-field-factors" in flatfield.doubts(upside_down, counts, nothing)
    assert "--roi" in flatfield.doubts(flatfield.of(detector[11:51, 21:65], SHAPE), counts, nothing)
    divided = np.rint(right.photons(counts))
    assert "already" in flatfield.doubts(right, divided, nothing)
    assert flatfield.doubts(upside_down, counts // 5000, nothing) == "", "too dim to tell"


def test_what_is_no_flat_field_is_refused(uneven, tmp_path):
    _, detector, counts = uneven
    for name, array, part in (
        ("size", detector, "60 × 70 does not fit frames of 40 × 44"),
        ("text", np.full((40, 44), "a"), "a flat field is a frame of 40 × 44 real numbers"),
        ("complex", np.ones((40, 44), complex), "complex128; a flat field is a frame"),
        ("nothing", np.zeros((0, 40, 44)), "0 × 40 × 44 float64; a flat field is a frame"),
        ("zero", np.zeros((40, 44)), "no value in it is above zero"),
        ("mask", np.exp(4 * np.random.default_rng(1).standard_normal((40, 44))), "that is no flat field"),
    ):
        np.save(tmp_path / f"{name}.npy", array)
        np.savez(tmp_path / "scan.npz", data=counts)
        done = run("inpaint", tmp_path / "scan.npz", "-o", tmp_path / "o.npz", "--flat-field", tmp_path / f"{name}.npy")
        assert done.returncode == 2, name
        assert part in done.stderr, name
        assert done.stderr.count("\n") == 1, name
        assert not (tmp_path / "o.npz").exists()


def test_the_command_divides_fills_dead_pixels_and_says_so(uneven, tmp_path):
    _, detector, counts = uneven
    flat = detector[10:50, 20:64]
    np.savez(tmp_path / "scan.npz", data=counts, whitefield=flat)
    scan, out = tmp_path / "scan.npz", tmp_path / "o.npz"
    plain = run("info", scan)
    assert "--flat-field" in plain.stdout
    assert "whitefield" in plain.stdout
    done = run("inpaint", scan, "-o", out, "--method", "linear", "--flat-field", f"{scan}::whitefield")
    assert done.returncode == 0, done.stderr
    assert "3 dead pixels" in done.stderr
    field = flatfield.of(flat, SHAPE)
    with np.load(out) as filled:
        assert filled["mask"].sum() == 3 * SHAPE[0]
        np.testing.assert_array_equal(filled["data"][:, ~field.bad], field.photons(counts)[:, ~field.bad])
        assert "scan.npz::whitefield" in str(filled["provenance"])
    same = inpaint(counts, np.zeros(SHAPE, bool) | field.bad, method="linear", flat_field=flat)
    with np.load(out) as filled:
        np.testing.assert_array_equal(filled["data"], same.data)


def test_phase_is_given_the_divided_counts_and_the_dead_pixels(uneven, monkeypatch):
    _, detector, counts = uneven
    flat = detector[10:50, 20:64]
    field = flatfield.of(flat, SHAPE)
    given = []
    monkeypatch.setattr("braggfill.phasing.scan.phase_pattern", lambda *arrays, **_: given.append(arrays))
    phase(counts, flat_field=flat, gap="free")
    phase(counts, np.ones(SHAPE[1:]) * (np.arange(44) == 5), flat_field=flat, gap="free")
    (first, mask), (second, joined) = given
    np.testing.assert_array_equal(first, field.photons(counts))
    np.testing.assert_array_equal(second, first)
    np.testing.assert_array_equal(mask, np.broadcast_to(field.bad, SHAPE))
    np.testing.assert_array_equal(joined[:, :, 5], True)
    np.testing.assert_array_equal(np.delete(joined, 5, 2), np.delete(mask, 5, 2))


@pytest.mark.parametrize("applied", [None, "flatfield_applied", "detectorSpecific/flatfield_correction_applied"])
def test_a_flat_field_of_the_detector_is_pointed_out_unless_it_was_applied(tmp_path, applied):
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        detector = file.create_group("entry/instrument/detector")
        detector["data"] = np.random.default_rng(0).poisson(9, SHAPE)
        detector["flatfield"] = np.ones(SHAPE[1:])
        if applied:
            detector[applied] = True
    where = scans.load(tmp_path / "scan.nxs").where
    told = flatfield.beside(where)
    assert told.endswith("::/entry/instrument/detector/flatfield") if applied is None else told == ""
