"""What phase retrieval writes: files that others open, whole or absent; pictures, report, words."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import braggfill
import h5py
import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.phasing import drawing, gap, modes, output, report, summary
from braggfill.phasing.coherence import Blur
from braggfill.phasing.realspace import real_space
from braggfill.phasing.result import Phased, Run, Verdict
from braggfill.physics import fourier
from braggfill.physics.geometry import Geometry
from phasing_objects import counted, crystal

GEOMETRY = Geometry(9000.0, 0.8, (55e-6, 55e-6), 0.01, delta_deg=35.0)
VERDICT = Verdict("converged", "2 independent starts gave the same object")


def result(shape=(24, 26, 28), verdict=VERDICT) -> Phased:
    obj = 10 * crystal(shape, reach=0.2)
    inside = np.abs(obj) > 0
    other = obj * np.exp(0.2j * np.random.default_rng(0).normal(size=shape)).astype(np.complex64)
    aligned = np.stack([obj, other])
    parts, weights = modes.modes(aligned)
    modulus_std, phase_std = modes.spread(aligned)
    expected = np.abs(fourier.forward(obj)) ** 2
    prtf = modes.transfer(aligned, expected, np.ones(shape, bool), [n // 2 for n in shape])
    runs = tuple(Run(o, inside, 1.1 + k, 1.0, 0.02, start=k, threshold=0.2, cycles=100, seconds=1.0)
                 for k, o in enumerate(aligned))  # fmt: skip
    return Phased(
        obj, inside, verdict, 1.1, 0.9, 0.98, runs, (0, 1), aligned, parts, weights, modulus_std, phase_std * inside,
        prtf, modes.resolution(*prtf), None, 7, 200, 2.0, ("a note",),
    )  # fmt: skip


def nothing() -> Phased:
    return braggfill.phase(np.zeros((12, 12, 12)))


@pytest.fixture(scope="module")
def found() -> Phased:
    return result()


@pytest.fixture(scope="module")
def real(found):
    return real_space(found, GEOMETRY)


def test_cxi_has_the_object_where_pynx_and_cdiutils_look(found, real, tmp_path):
    output.write(tmp_path / "o.cxi", found, real, provenance={"scan": "scan.npz"})
    with h5py.File(tmp_path / "o.cxi") as file:
        np.testing.assert_array_equal(file["entry_1/image_1/data"][()], found.obj)
        np.testing.assert_array_equal(file["entry_1/data_1/data"][()], found.obj)
        for name in ("mask", "support"):
            np.testing.assert_array_equal(file[f"entry_1/image_1/{name}"][()] > 0, found.support)
        image = file["entry_1/image_1"]
        assert image["data_space"][()] == b"real"
        assert image["is_fft_shifted"][()] == 0
        assert image["fft_sign"][()] == -1
        assert image["process_1/results/verdict"][()] == b"converged"
        assert image["process_1/configuration/seed"][()] == 7
        assert "numpy" in json.loads(image["process_1/configuration/versions"][()])
        np.testing.assert_array_equal(image["phase_std"][()], found.phase_std)
        # What PyNX's analysis and cdiutils' PhasingResultAnalyser read of each of their results.
        results = image["process_1/results"]
        assert results["llk_poisson"][()] == pytest.approx(found.runs[0].llk / 2)
        assert results["free_llk_poisson"][()] == pytest.approx(found.llk_free / 2)
        np.testing.assert_array_equal(file["entry_last/image_1/data"][()], found.obj)
        # What silx draws: from the default of each group to a signal.
        place = file
        while "default" in place.attrs:
            place = place[place.attrs["default"]]
        assert place.attrs["NX_class"] == "NXdata"
        assert place[place.attrs["signal"]].shape == found.obj.shape
        for name in ("image_1", "image_2", "image_3", "prtf_1"):
            assert file[f"entry_1/{name}"].attrs["signal"] in file[f"entry_1/{name}"]
        assert file["entry_1/image_2/data"].shape == (2, *found.obj.shape)
        np.testing.assert_allclose(file["entry_1/runs_1/llk_free"][()], [1.1, 2.1])
        assert list(file["entry_1/runs_1/origin"].asstr()[()]) == ["random", "random"]
        np.testing.assert_array_equal(file["entry_1/image_3/strain"][()], real.strain)
        assert file["entry_1/image_3/voxel_size_nm"][()] == real.voxel_nm
        assert file["entry_1/image_3/geometry/energy_ev"][()] == 9000


def test_a_blur_is_told(found, tmp_path):
    blur = Blur((0.3, 0.2, 0.0), "lorentzian")
    blurred = replace(found, blur=blur, runs=tuple(replace(run, blur=blur) for run in found.runs))
    output.write(tmp_path / "o.cxi", blurred)
    with h5py.File(tmp_path / "o.cxi") as file:
        results = file["entry_1/image_1/process_1/results"]
        assert results["blur"][()] == b"lorentzian"
        assert json.loads(results["blur_voxels"][()]) == [0.3, 0.2, 0.0]
        assert file["entry_1/runs_1/blur"][0] == b"0.30 \xc3\x97 0.20 \xc3\x97 0.00 voxels (lorentzian)"
    assert "0.30 × 0.20 × 0.00 voxels (lorentzian)" in dict(summary.facts(blurred))["blur of the pattern"]


def test_the_stated_transform_gives_the_pattern_back(found, tmp_path):
    """|sum O exp(-2 pi i q r / n)|^2 / N, written out, at a few places."""
    output.write(tmp_path / "o.cxi", found)
    with h5py.File(tmp_path / "o.cxi") as file:
        obj, sign = file["entry_1/image_1/data"][()], int(file["entry_1/image_1/fft_sign"][()])
    n = fourier.grid(obj.shape)
    for q in ((1, 2, -3), (0, 0, 0), (-4, 5, 2)):
        wave = np.exp(sign * 2j * np.pi * sum(a * b / m for a, b, m in zip(q, n, obj.shape, strict=True)))
        place = tuple(a + m // 2 for a, m in zip(q, obj.shape, strict=True))
        assert np.sum(obj * wave) / np.sqrt(obj.size) == pytest.approx(fourier.forward(obj)[place], rel=1e-4)


def test_npz_holds_the_same_without_pickles(found, real, tmp_path):
    output.write(tmp_path / "o.npz", found, real, provenance={"scan": "x"})
    with np.load(tmp_path / "o.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["data"], found.obj)
        np.testing.assert_array_equal(file["strain"], real.strain)
        assert json.loads(str(file["verdict"]))["verdict"] == "converged"
        assert json.loads(str(file["provenance"]))["fft_sign"] == -1
        assert json.loads(str(file["geometry"]))["distance_m"] == 0.8


def test_a_failed_result_can_be_written_and_says_so(tmp_path):
    failed = nothing()
    assert failed.failed
    for name in ("o.cxi", "o.npz"):
        output.write(tmp_path / name, failed)
    with h5py.File(tmp_path / "o.cxi") as file:
        assert file["entry_1/image_1"].attrs["verdict"] == "failed"
        assert not file["entry_1/image_1/data"][()].any()
    assert real_space(failed, GEOMETRY) is None
    assert "failed" in report.html(failed, title="scan", provenance={})
    assert "photons" in failed._repr_html_()


def test_outputs_are_whole_or_absent(found, tmp_path, monkeypatch):
    (tmp_path / "o.cxi").write_bytes(b"mine")
    with pytest.raises(BraggfillError, match="exists already"):
        output.write(tmp_path / "o.cxi", found)
    with pytest.raises(BraggfillError, match="unknown output format"):
        output.write(tmp_path / "o.txt", found)
    monkeypatch.setattr(output, "_laboratory", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        output.write(tmp_path / "p.cxi", found, real_space(found, GEOMETRY))
    assert [p.name for p in tmp_path.iterdir()] == ["o.cxi"]
    assert (tmp_path / "o.cxi").read_bytes() == b"mine"


def test_the_report_needs_nothing_from_elsewhere_and_begins_with_the_verdict(found, real):
    text = report.html(found, real, title="<scan & co>", provenance={"scan": "<b>"})
    assert text.index("converged") < text.index("<h2>")
    assert not re.search(r"""(src|href)\s*=\s*['"]?(?!data:)[a-z/]""", text)
    assert "http" not in text
    assert "<scan & co>" not in text
    assert "&lt;scan &amp; co&gt;" in text
    for what in ("Strain is positive", "transfer function", "Runs", "a note", "nm"):
        assert what in text


def test_a_result_shows_itself(found):
    assert repr(found).startswith("<Phased 24 × 26 × 28, 2 runs, converged")
    assert len(repr(found)) < 200
    assert "data:image/png" in found._repr_html_()


def test_the_picture_has_a_panel_for_each_thing_that_is_known(found, real):
    def titles(figure):
        return [a.get_title() for a in figure.axes if a.get_title()]

    assert titles(drawing.slices(found)) == ["modulus", "phase", "phase spread between runs"]
    assert titles(drawing.slices(found, real))[-1] == "strain along Q"
    alone = replace(found, chosen=(0,))
    assert titles(drawing.slices(alone)) == ["modulus", "phase"]


def test_where_runs_disagree_is_said(found):
    assert "less than" in summary.disagreement(replace(found, phase_std=np.zeros_like(found.phase_std)))
    assert "not known" in summary.disagreement(replace(found, chosen=(0,)))
    spread = np.zeros_like(found.phase_std)
    spread[:12] = found.support[:12]
    told = summary.disagreement(replace(found, phase_std=spread))
    assert re.search(r"in \d+% of the object, about voxel \(\d+, \d+, \d+\)", told)
    assert int(re.search(r"voxel \((\d+)", told)[1]) < 12


def test_sizes_are_those_of_the_geometry(found, real):
    step = abs(np.linalg.det(GEOMETRY.voxels(found.obj.shape)))
    assert real.volume_nm3 == pytest.approx(found.support.sum() * step / 1000)
    assert real.support.sum() * real.voxel_nm**3 == pytest.approx(real.volume_nm3, rel=0.1)
    assert real.spacing_angstrom == pytest.approx(GEOMETRY.spacing)
    assert np.isfinite(real.strain[real.support]).mean() > 0.95
    assert not np.isfinite(real.strain[~real.support]).any()
    assert abs(np.linalg.norm(real.direction) - 1) < 1e-12


@pytest.mark.parametrize("treatment", gap.TREATMENTS)
def test_what_is_given_for_the_gap(treatment, monkeypatch):
    from braggfill import filling
    from braggfill.filling.inpainting import Filled

    counts = counted(crystal((24, 24, 24)), 1e4)[0]
    mask = np.zeros(counts.shape, bool)
    mask[:, 14:16] = True

    def inpaint(intensity, mask, **_):
        data = np.where(mask, 4.0, intensity)
        sigma = np.where(mask, 2.0, np.nan)
        sigma[:12][mask[:12]] = 50.0
        return Filled(data, mask, sigma)

    monkeypatch.setattr(filling, "inpaint", inpaint)
    given = gap.treat(counts, mask, gap=treatment)
    assert given.treatment == treatment
    assert gap.treat(counts, mask).treatment == gap.AUTO
    if treatment == "free":
        assert given.filled is None
        return
    certain, uncertain = mask.copy(), mask.copy()
    certain[:12], uncertain[12:] = False, False
    assert np.isfinite(given.filled[certain]).all()
    assert np.isfinite(given.filled[uncertain]).all() == (treatment != "sure")
    assert (given.sigma is not None) == (treatment == "soft")
    if treatment == "soft":
        np.testing.assert_allclose(
            given.sigma[uncertain], np.sqrt((50**2 - 4) * (given.filled[uncertain] + 0.05) / 4.05)
        )
        np.testing.assert_allclose(given.sigma[certain], 0)


def test_a_gap_without_light_or_without_an_uncertainty_is_told():
    counts = counted(crystal((24, 24, 24)), 1e4)[0]
    mask = np.zeros(counts.shape, bool)
    mask[:, 14:16] = True
    assert gap.treat(counts * 0, mask).treatment == "none"
    assert gap.treat(counts, None).treatment == "none"
    assert gap.treat(counts, mask, method="linear").treatment == "filled"
    with pytest.raises(BraggfillError, match="states none"):
        gap.treat(counts, mask, gap="soft", method="linear")
    with pytest.raises(BraggfillError, match="unknown"):
        gap.treat(counts, mask, gap="half")


@pytest.mark.parametrize("scale", [1e-6, 31.7])
def test_values_that_are_no_photons_are_refused_in_python_too(scale):
    counts = counted(crystal((16, 16, 16)), 1e5)[0] * scale
    with pytest.raises(BraggfillError, match="photons_per_unit"):
        braggfill.phase(counts, starts=1, budget_s=1)
    assert braggfill.phase(np.zeros((16, 16, 16)), photons_per_unit=1 / scale).failed
