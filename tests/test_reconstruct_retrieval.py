"""Laws of real space by phase retrieval: treatments of a gap, the map of them, cases with a known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas
import pytest
from braggfill.filling import Filled
from braggfill.patterns import distribution
from braggfill.phasing import single
from braggfill.runs import external, storage
from braggfill.settings.reconstruct import RecipeSettings
from braggfill.stages.reconstruct import cases, objects, phasing, treatment_map, treatments, true_phase
from reconstruct_helpers import (
    NO_MODEL,
    SETTINGS,
    describe,
    left_out,
    needs_pynx,
    obj,
    run_retrieve,
    run_true_phase,
    scattered,
    with_retrieval,
)

__all__ = ["obj", "scattered"]  # fixtures


def gapped(**recipe) -> treatments.Gapped:
    """A bright and a dark column in a gap, the filling sure of the dark one alone."""
    counts = np.full((8, 8, 8), 4.0)
    mask = np.zeros(counts.shape, bool)
    mask[:, :, 3:5] = True
    data, sigma = counts.copy(), np.full(counts.shape, np.nan)
    data[:, :, 3], sigma[:, :, 3] = 1e4, 1e3
    data[:, :, 4], sigma[:, :, 4] = 3.0, 2.0
    settings = RecipeSettings(filled_by="linear", **recipe)
    return treatments.Gapped(counts, mask, {"linear": Filled(data, mask, sigma)}, settings)


def test_what_a_treatment_gives_to_phase_retrieval():
    pattern = gapped(bound_sigmas=2)
    mask = pattern.mask
    bright, dark = mask.copy(), mask.copy()
    bright[:, :, 4], dark[:, :, 3] = False, False
    for name in treatments.RULES:
        given = treatments.start(name, pattern)
        floats = given.get("missing", np.zeros_like(mask)) | given.get("late", np.zeros_like(mask))
        assert not (floats & ~mask).any(), name
        np.testing.assert_array_equal(given["intensity"][~mask], pattern.counts[~mask], err_msg=name)
        if name != "whole":
            gone = np.where(mask, 77.0, pattern.counts)
            other = treatments.start(name, replace(pattern, counts=gone))
            np.testing.assert_array_equal(given["intensity"], other["intensity"], err_msg=f"{name} looks into the gap")
    assert not treatments.start("zeros", pattern)["intensity"][mask].any()
    np.testing.assert_array_equal(treatments.start("free", pattern)["missing"], mask)
    np.testing.assert_array_equal(treatments.start("late", pattern)["late"], mask)
    np.testing.assert_array_equal(treatments.start("sure", pattern)["missing"], bright)
    for name in ("linear", "late", "sure"):
        given = treatments.start(name, pattern)["intensity"]
        assert set(given[dark]) == {distribution.amplitude_of_filled(np.array([3.0]), np.array([2.0]))[0]}, name
        assert given[dark].max() < 3
    soft = treatments.start("soft", pattern)
    np.testing.assert_array_equal(soft["missing"], mask)
    assert ((soft["weight"] >= 0) & (soft["weight"] <= 1)).all()
    assert soft["weight"][bright].max() < 0.02
    assert soft["weight"][dark].min() > 100 * soft["weight"][bright].max()
    guided = treatments.start("guided", pattern)
    np.testing.assert_array_equal(guided["late"], bright)
    assert set(guided["low"][bright]) == {8e3}
    assert set(guided["high"][bright]) == {1.2e4}
    assert set(guided["low"][dark]) == {0}
    assert set(guided["high"][dark]) == {7}


def test_streaks_are_where_the_pattern_around_is_bright():
    counts = np.zeros((24, 24, 24))
    counts[:, 10:14] = 50.0
    mask = np.zeros(counts.shape, bool)
    mask[:, :, 11:14] = True
    found = treatments.streaks(counts, mask)
    assert not (found & ~mask).any()
    assert found[:, 11:13, 12].all()
    assert not found[:, :4].any()


@pytest.mark.parametrize("engine", ["projections", pytest.param("pynx", marks=needs_pynx)])
def test_a_map_has_a_row_for_each_cell_and_treatment(tmp_path, obj, engine):
    settings = SETTINGS.model_copy(update={"map": SETTINGS.map.model_copy(update={"engine": engine})})
    assert treatment_map.cells(SETTINGS)[1] == {
        "oversampling": 4,
        "photons_at_peak": 1e5,
        "gap_px": 3,
        "distance_px": 5,
    }
    assert SETTINGS.map.cells == len(treatment_map.cells(SETTINGS)) == 2
    parts = [tmp_path / f"{cell}.csv" for cell in range(2)]
    for cell, path in enumerate(parts):
        treatment_map.map_cell(settings, 3, obj, NO_MODEL, cell, path)
    treatment_map.collect_map(settings, 3, parts, tmp_path / "map.csv")
    table = pandas.read_csv(tmp_path / "map.csv")
    assert list(table.columns) == treatment_map.MAP_COLUMNS
    assert list(table.treatment) == ["whole", "free", "linear"] * 2
    assert list(table.gap_px) == [2] * 3 + [3] * 3
    assert (table.engine == engine).all()
    assert (table.to_whole[table.treatment == "whole"] == 1).all()
    for _, cell in table.groupby("gap_px"):
        assert cell.to_best[cell.treatment != "whole"].min() == pytest.approx(1)
        assert cell[cell.best].strain_rmse.item() == cell.strain_rmse[cell.treatment != "whole"].min()


def test_treatments_begin_where_the_whole_pattern_arrives(tmp_path, obj, monkeypatch):
    case = cases.known(SETTINGS, 3, obj)
    runs = iter([9.0, 1.0, 5.0, 1.2, 1.0])

    def retrieve(starts, recipe):
        (start,) = starts
        nothing = np.zeros(start.intensity.shape)
        return [single.Retrieved(nothing, nothing != 0, 0.0, next(runs), 0.0, True, "", start.number, 0.0)]

    monkeypatch.setattr(phasing, "retrieve", retrieve)
    recipe = SETTINGS.retrieval.model_copy(update={"starts": 2})
    assert phasing.converging(case, recipe, 3, 8) == ([1, 3], 4)
    runs = iter([9.0] * 4)
    assert phasing.converging(case, recipe, 3, 4) == ([], 4)


@needs_pynx
def test_a_cell_whose_whole_pattern_stalls_is_not_judged(tmp_path, obj, monkeypatch):
    monkeypatch.setattr(phasing, "CONVERGED", 0.0)
    treatment_map.map_cell(SETTINGS, 3, obj, NO_MODEL, 0, tmp_path / "0.csv")
    table = pandas.read_csv(tmp_path / "0.csv")
    assert table.problem.str.contains("converged from none of 4 starts").all()
    assert table[["to_whole", "to_best"]].isna().all(axis=None)
    assert not table.best.any()


def test_a_map_by_pynx_is_empty_without_it(tmp_path, obj, monkeypatch):
    monkeypatch.setattr(external, "have_pynx", lambda: False)
    settings = SETTINGS.model_copy(update={"map": SETTINGS.map.model_copy(update={"engine": "pynx"})})
    treatment_map.map_cell(settings, 3, obj, NO_MODEL, 0, tmp_path / "0.csv")
    treatment_map.collect_map(settings, 3, [tmp_path / "0.csv"], tmp_path / "map.csv")
    assert pandas.read_csv(tmp_path / "map.csv").empty


def test_the_engine_of_a_recipe(monkeypatch):
    """What was asked for; else PyNX where it is installed, and takes the weights that there are."""
    hard, soft = RecipeSettings(treatments=("free", "sure")), RecipeSettings(treatments=("free", "soft"))
    monkeypatch.setattr(external, "have_pynx", lambda: True)
    monkeypatch.setenv("PYNX_PU", "cpu")
    assert (phasing.engine(hard), phasing.engine(soft)) == ("pynx", "pynx")
    monkeypatch.setenv("PYNX_PU", "cuda")
    assert (phasing.engine(hard), phasing.engine(soft)) == ("pynx", "projections")
    monkeypatch.setattr(external, "have_pynx", lambda: False)
    assert (phasing.engine(hard), phasing.engine(soft)) == ("projections", "projections")
    assert phasing.engine(RecipeSettings(engine="pynx")) is None


def test_ranks_in_a_cell():
    errors = {"whole": 1.0, "free": 4.0, "linear": 3.0, "sure": 1.5, "late": np.nan}
    rows = {
        r["treatment"]: r
        for r in treatment_map.ranked([{"treatment": k, "strain_rmse": v} for k, v in errors.items()], "linear")
    }
    assert (rows["sure"]["to_whole"], rows["sure"]["to_best"], rows["sure"]["best"]) == (1.5, 0.5, True)
    assert rows["free"]["to_best"] == pytest.approx(4 / 3)
    assert [name for name, row in rows.items() if row["best"]] == ["sure"]


@pytest.mark.parametrize("engine", ["projections", pytest.param("pynx", marks=needs_pynx)])
def test_retrieval_of_what_is_known(tmp_path, scattered, obj, engine):
    table = run_retrieve(tmp_path, scattered, obj, with_retrieval(engine=engine))
    assert list(table.columns) == phasing.RETRIEVAL_COLUMNS
    assert list(table.case) == ["simulated"] * 3 + ["known"] * 3
    assert list(table.treatment) == ["whole", "free", "zeros"] * 2
    assert (table.reference == "truth").all()
    for case in ("simulated", "known"):
        row = table[table.case == case].set_index("treatment")
        assert row.converged.all()
        assert row.loc["whole", "phase_rmse_rad"] < 0.02
        assert row.loc["whole", "gap_intensity_ratio"] == pytest.approx(1, abs=0.02)
        # Zeros are a wrong measurement and hurt; a masked gap close to the peak does not (FACTS: fill or free).
        assert row.loc["zeros", "strain_rmse"] > 2 * row.loc["free", "strain_rmse"]
        assert row.loc["zeros", "llk_free"] > row.loc["whole", "llk_free"]
        assert row.loc["zeros", "gap_intensity_ratio"] < 0.5
        assert (row.starts_converged >= 1).all()
    again = tmp_path / "again"
    again.mkdir()
    fewer = with_retrieval(engine=engine, cases=("known",), treatments=("free",)).model_copy(update={"threads": 2})
    other = run_retrieve(again, scattered, obj, fewer)
    same = table[(table.case == "known") & (table.treatment != "zeros")].reset_index(drop=True)
    pandas.testing.assert_frame_equal(same.drop(columns="seconds"), other.drop(columns="seconds"))
    with storage.read(tmp_path / "retrieval.h5") as file:
        assert "left_out" not in file.attrs
        assert file["known/free"].attrs["twin"] == table[table.case == "known"].twin.iloc[1]
        assert file["known/free/obj"].shape == file["known/truth/obj"].shape


@needs_pynx
def test_what_does_not_converge_has_no_figures(tmp_path, scattered, obj):
    wild = with_retrieval(support_threshold=0.001, support_smooth_px=(4, 4), cases=("known",), treatments=("free",))
    table = run_retrieve(tmp_path, scattered, obj, wild)
    assert not table.converged.any()
    assert table.problem.str.contains("SupportTooLarge").all()
    assert table[["phase_rmse_rad", "strain_rmse", "llk_free"]].isna().all(axis=None)
    assert (table.starts_converged == 0).all()


@needs_pynx
def test_perturbed_patterns_are_compared_with_the_whole_one(tmp_path, scattered, obj):
    path = tmp_path / "perturb.h5"
    with storage.read(scattered) as source, storage.create(path) as file:
        expectation = np.abs(source["000000/00/amplitude"][...]) ** 2
        expectation *= 1e6 / expectation.max()
        for view, (sampling, blur) in enumerate([(2.0, 0.5), (4.0, 1.0), (3.9, 0.5)]):
            group = file.create_group(f"000000/{view:02d}")
            group["expectation"] = (expectation * (view + 1)).astype(np.float32)
            group["counts"] = np.random.default_rng(view).poisson(expectation * (view + 1)).astype(np.uint32)
            describe(group, oversampling=(sampling, 5.0, 6.0), blur_sigma_voxels=blur)
    # The least blurred of those that are sampled well enough.
    assert cases.simulated(SETTINGS, 3, path)[0].expectation.max() == pytest.approx(3e6)
    table = run_retrieve(tmp_path, path, obj, with_retrieval(cases=("simulated",), treatments=("free",)))
    assert (table.reference == "whole").all()
    row = table.set_index("treatment")
    assert np.isnan(row.loc["whole", "phase_rmse_rad"])
    assert row.loc["free", "phase_rmse_rad"] < 0.1


def test_a_simulated_truth_has_the_intensities_that_were_counted(scattered):
    case = cases.simulated(with_retrieval(box_px=30), 3, scattered)[0]
    assert case.counts.shape == (30, 30, 30)
    np.testing.assert_allclose(objects.intensity_of(case.truth), case.expectation, rtol=1e-5, atol=1e-3)
    assert case.expectation.max() == pytest.approx(SETTINGS.retrieval.photons_at_peak)
    bright = case.expectation > 100
    pull = (case.counts - case.expectation)[bright] / np.sqrt(case.expectation[bright])
    assert abs(pull.mean()) < 5 / np.sqrt(bright.sum())
    assert pull.std() == pytest.approx(1, abs=0.05)
    assert np.linalg.norm(case.geometry.direction) == pytest.approx(1)
    assert case.geometry.d_spacing_angstrom == pytest.approx(4 / np.sqrt(3))
    assert case.geometry.voxel_angstrom == pytest.approx((1 / (30 * 2e-3),) * 3)


def test_what_is_left_out_stays_left_out(tmp_path, scattered, obj, monkeypatch):
    table = run_true_phase(tmp_path, left_out(tmp_path / "none.h5", "no object here"))
    assert list(table.columns) == true_phase.TRUE_PHASE_COLUMNS
    assert table.empty
    assert storage.left_out(tmp_path / "true.h5") == "no object here"

    monkeypatch.setattr(external, "have_pynx", lambda: False)
    table = run_retrieve(tmp_path, scattered, obj, with_retrieval(engine="pynx"))
    assert list(table.columns) == phasing.RETRIEVAL_COLUMNS
    assert table.empty
    assert "PyNX is not installed" in storage.left_out(tmp_path / "retrieval.h5")


@needs_pynx
def test_one_case_can_be_left_out(tmp_path, scattered):
    gone = left_out(tmp_path / "none.h5", "no object here")
    table = run_retrieve(tmp_path, scattered, gone, with_retrieval(treatments=("free",), starts=1))
    assert set(table.case) == {"simulated"}
    assert storage.left_out(tmp_path / "retrieval.h5") is None
    with storage.read(tmp_path / "retrieval.h5") as file:
        assert file.attrs["left_out_known"] == "no object here"
    both = with_retrieval(cases=("known",))
    assert run_retrieve(tmp_path, scattered, gone, both).empty
    assert storage.left_out(tmp_path / "retrieval.h5") == "no object here"
