"""``braggfill.inpaint`` on arrays: checked as on the command line, shown in a line and in a notebook."""

from __future__ import annotations

import inspect

import braggfill
import numpy as np
import pytest
from braggfill.cli import main
from command_line import COUNTS, FRAME, MASK, here, network

__all__ = ["here", "network"]  # fixtures


def both(capsys, array, *more, **options):
    """The same scan by the command line and in Python: its error, or its data."""
    np.save("a.npy", array)
    status = main(["inpaint", "a.npy", "--mask", "mask.npy", "-o", "o.npz", "--method", "linear", "--force", *more])
    line = capsys.readouterr().err.splitlines()[-1]
    try:
        filled = braggfill.inpaint(array, FRAME, method="linear", **options)
    except braggfill.BraggfillError as error:
        assert status == 2
        return line, str(error)
    assert status == 0
    with np.load("o.npz") as file:
        np.testing.assert_array_equal(filled.data, file["data"])
    return filled


@pytest.mark.parametrize("factor", [1 / 3.1e4, 100.0])
def test_other_units_are_refused_and_filled_when_they_are_told(here, capsys, factor):
    line, told = both(capsys, COUNTS * factor)
    reason = told.partition("intensity: ")[2].partition(",")[0]
    assert reason in line
    unit = told.partition("photons_per_unit ")[2].split()[0]
    assert float(unit) == pytest.approx(1 / factor, rel=1e-3)
    filled = both(capsys, COUNTS * factor, "--photons-per-unit", unit, photons_per_unit=float(unit))
    np.testing.assert_array_equal(filled.data[~MASK], (COUNTS * factor)[~MASK])
    plain = braggfill.inpaint(COUNTS, FRAME, method="linear")
    np.testing.assert_allclose(filled.for_phasing()[MASK], plain.for_phasing()[MASK] * factor, rtol=1e-3)
    with pytest.raises(braggfill.BraggfillError, match="photons_per_unit 0: give a number above zero"):
        braggfill.inpaint(COUNTS, FRAME, method="linear", photons_per_unit=0)


def test_noise_below_zero_comes_back_and_signs_are_refused(here, capsys):
    dark = (np.where(COUNTS > 100, COUNTS, 0) + np.random.default_rng(1).normal(0, 0.3, COUNTS.shape)).astype("f4")
    with pytest.warns(UserWarning, match="scatter below zero"):
        filled = both(capsys, dark)
    np.testing.assert_array_equal(filled.data[~MASK], dark[~MASK])
    for sign in (-1, 2**32 - 1, np.nan):
        bad = COUNTS.astype(float)
        bad[:, 3, 4] = sign
        line, told = both(capsys, bad)
        assert "34 measured voxels are" in line
        assert "34 measured voxels are" in told


def test_uncertainty_is_in_the_scan_s_unit(network):
    plain = braggfill.inpaint(COUNTS, FRAME, network=network)
    scaled = braggfill.inpaint(COUNTS * 0.5, FRAME, network=network, photons_per_unit=2)
    np.testing.assert_allclose(scaled.sigma[MASK], plain.sigma[MASK] / 2, rtol=1e-4)
    np.testing.assert_array_equal(scaled.mask_for_phasing(), plain.mask_for_phasing())
    few = np.zeros_like(MASK)
    few[17, 18, 23:26] = True
    one, other = (braggfill.filling.Filled(f.data, few, f.sigma, None, "", u) for f, u in ((plain, 1), (scaled, 2)))
    np.testing.assert_allclose(other.interval()[1][few], one.interval()[1][few] / 2)


def test_it_is_a_function_and_its_result_is_shown_in_a_line(network):
    assert inspect.isfunction(braggfill.inpaint)
    assert {"method", "network", "photons_per_unit"} <= set(inspect.signature(braggfill.inpaint).parameters)
    filled = braggfill.inpaint(COUNTS, FRAME, network=network)
    assert repr(filled).startswith(f"Filled(34 × 36 × 40, {MASK.mean():.1%} filled by braggfill, uncertain by ")
    assert "no uncertainty" in repr(braggfill.inpaint(COUNTS, FRAME, method="linear"))
    page = filled._repr_html_()
    assert "Filled" in page
    assert len(page) < 200_000
    pytest.importorskip("matplotlib")
    assert 'src="data:image/png;base64,' in page
