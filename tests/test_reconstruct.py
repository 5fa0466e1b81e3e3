"""Laws of real space: with the true phase, and by phase retrieval."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from braggfill import external, filling, fourier, reconstruct, storage, strain
from braggfill.errors import BraggfillError
from braggfill.reconstruct import cases, exact, mapping, objects, treatments
from braggfill.settings.reconstruct import (
    MapSettings,
    RecipeSettings,
    ReconstructSettings,
    RetrievalSettings,
    TruePhaseSettings,
)

needs_pynx = pytest.mark.skipif(not external.have_pynx(), reason="PyNX is not installed")

SETTINGS = ReconstructSettings(
    true_phase=TruePhaseSettings(
        oversamplings=(4,),
        zoom=0.4,
        box_px=48,
        gap_widths_px=(2, 5),
        offset_px=(6, 8),
        methods=("linear",),
        particle_gap_widths_px=(3,),
    ),
    retrieval=RetrievalSettings(
        cases=("simulated", "known"),
        simulated_particles=1,
        box_px=32,
        zoom=0.3,
        gap_width_px=2,
        offset_px=(6, 8),
        treatments=("free", "zeros"),
        starts=2,
        hio_cycles=100,
        raar_cycles=60,
        late_cycles=30,
        er_cycles=20,
    ),
    map=MapSettings(
        box_px=32,
        gap_widths_px=(2, 3),
        distances_px=(5,),
        photons_at_peak=(1e5,),
        oversamplings=(4,),
        treatments=("free", "linear"),
        filled_by="linear",
        starts=1,
        hio_cycles=60,
        raar_cycles=40,
        er_cycles=20,
    ),
    threads=1,
)
NO_MODEL = Path("no-such-model.safetensors")


def particle() -> np.ndarray:
    """A lopsided particle of about 30 voxels with a phase of its own, as a reconstruction gives it."""
    z, y, x = fourier.grid((34, 36, 38))
    inside = ((z / 15) ** 2 + (y / 14) ** 2 + (x / 16) ** 2 < 1) & (x + 0.7 * y < 9) & (z - 0.4 * x > -11)
    return (inside * (1 + 0.01 * z) * np.exp(1j * (0.004 * z**2 + 0.003 * y * x))).astype(np.complex64)


@pytest.fixture
def obj(tmp_path) -> Path:
    path = tmp_path / "id01_s11.h5"
    with storage.create(path) as file:
        file["obj"] = particle()
    return path


def describe(group, **attributes) -> None:
    group.attrs.update(
        {
            "hkl": (1, 1, 1),
            "rotation": np.eye(3),
            "lattice_constant_angstrom": 4.0,
            "step_inverse_angstrom": np.full(3, 2e-3),
            "oversampling": np.full(3, 4.0),
            "view": 0,
            "element": "Pt",
            "shape": "cube",
            **attributes,
        }
    )


@pytest.fixture
def scattered(tmp_path) -> Path:
    """A file as `scatter` writes it, of one particle."""
    path = tmp_path / "scatter.h5"
    amplitude = fourier.forward(objects.prepare(particle(), zoom=0.3, box=32, threshold=0.3, keep_phase=True))
    with storage.create(path) as file:
        group = file.create_group("000000/00")
        group["amplitude"] = amplitude.astype(np.complex64)
        describe(group)
    return path


def left_out(path: Path, reason: str) -> Path:
    with storage.create(path, left_out=reason):
        return path


def run_true_phase(folder: Path, obj: Path, settings=SETTINGS, model=NO_MODEL) -> pandas.DataFrame:
    reconstruct.true_phase(settings, 3, obj, model, folder / "true.h5", folder / "true.csv", code="c0de")
    return pandas.read_csv(folder / "true.csv")


def run_retrieve(folder: Path, patterns: Path, obj: Path, settings=SETTINGS) -> pandas.DataFrame:
    made, out, table = folder / "cases.h5", folder / "retrieval.h5", folder / "retrieval.csv"
    reconstruct.prepare(settings, 3, [patterns], obj, obj, obj, NO_MODEL, made, code="c0de")
    starts = [folder / f"start-{number}.h5" for number in range(settings.retrieval.starts)]
    for number, path in enumerate(starts):
        reconstruct.phase(settings, 3, made, number, path, code="c0de")
    reconstruct.gather(settings, 3, made, starts, out, table, code="c0de")
    return pandas.read_csv(table)


def with_retrieval(**changes) -> ReconstructSettings:
    return SETTINGS.model_copy(update={"retrieval": SETTINGS.retrieval.model_copy(update=changes)})


def test_prepared_objects_are_cut_resampled_and_padded():
    zero = objects.prepare(particle(), zoom=0.5, box=48, threshold=0.3, keep_phase=False)
    assert zero.shape == (48, 48, 48)
    assert np.abs(zero).max() == pytest.approx(1)
    assert not zero.imag.any()
    assert (zero.real[zero != 0] > 0.3).all()
    small, large = strain.extent(zero != 0), strain.extent(particle() != 0)
    np.testing.assert_allclose(small, np.array(large) / 2, atol=1)
    middle = [(s.start + s.stop - 1) / 2 for s in strain.bounding_box(zero != 0)]
    np.testing.assert_allclose(middle, 24, atol=1)
    own = objects.prepare(particle(), zoom=1, box=80, threshold=0.3, keep_phase=True)
    cut = particle()[strain.bounding_box(particle() != 0)]
    np.testing.assert_allclose(own[strain.bounding_box(own != 0)], cut / np.abs(cut).max(), atol=1e-5)


def test_with_the_whole_pattern_nothing_is_wrong_and_with_a_gap_it_is(tmp_path, obj):
    table = run_true_phase(tmp_path, obj)
    assert list(table.columns) == reconstruct.TRUE_PHASE_COLUMNS
    assert list(zip(table.gap_px, table.method, strict=True)) == [
        (0, "whole"),
        (2, "gap"),
        (2, "linear"),
        (5, "gap"),
        (5, "linear"),
    ]
    row = table.set_index(["gap_px", "method"])
    for figure in ("phase_std_rad", "strain_rmse", "displacement_rms_pm", "modulus_rmse"):
        assert row.loc[(0, "whole"), figure] < 1e-9 * row.loc[(2, "gap"), figure]
        assert row.loc[(2, "gap"), figure] < row.loc[(5, "gap"), figure]
        for width in (2, 5):
            assert row.loc[(width, "linear"), figure] < row.loc[(width, "gap"), figure]
    for figure, factor in (("phase_std_rad", "phase_std_factor"), ("strain_rmse", "strain_rmse_factor")):
        ratio = row.loc[(5, "gap"), figure] / row.loc[(5, "linear"), figure]
        assert row.loc[(5, "linear"), factor] == pytest.approx(ratio)
    assert row.loc[(0, "whole"), "outside_share"] < 1e-12 < row.loc[(5, "gap"), "outside_share"]

    with storage.read(tmp_path / "true.h5") as file:
        assert file.attrs["code"] == "c0de"
        inside = file["truth/support"][...]
        sampling = 48 / np.array(strain.extent(inside))
        np.testing.assert_allclose(table[[f"oversampling_{axis}" for axis in range(3)]].iloc[0], sampling)
        np.testing.assert_allclose(file["truth"].attrs["oversampling"], sampling)
        assert file["truth"].attrs["voxel_angstrom"] == pytest.approx(np.full(3, SETTINGS.voxel_nm * 10 / 0.4))
        gap, whole = file["gap-05/gap"], file["whole"]
        assert gap["intensity/0"].shape == (48, 48)
        missing = objects.cross((48,) * 3, 5, (6, 8))[24]
        assert not gap["intensity/0"][...][missing].any()
        np.testing.assert_array_equal(gap["intensity/0"][...][~missing], whole["intensity/0"][...][~missing])
        assert np.nanmax(np.abs(whole["strain/1"][...])) < 1e-12 < np.nanmax(np.abs(gap["strain/1"][...]))
        phases = np.angle(gap["obj"][...][inside])
        assert phases.std() == pytest.approx(row.loc[(5, "gap"), "phase_std_rad"], rel=1e-3)


def test_the_oversampling_is_the_one_asked_for(tmp_path, obj):
    for asked, largest in ((2.2, 200), (4, 200), (6, 48)):
        found, zoom = objects.sampled(
            particle(), oversampling=asked, zoom=0.4, box=largest, threshold=0.3, keep_phase=False
        )
        inside = found != 0
        assert max(found.shape) <= largest
        assert zoom == pytest.approx(0.4) or max(found.shape) == largest
        assert min(strain.oversampling(inside)) == pytest.approx(asked, rel=1.5 / max(strain.extent(inside)))
    both = SETTINGS.true_phase.model_copy(update={"oversamplings": (2.2, 4), "gap_widths_px": (2,)})
    table = run_true_phase(tmp_path, obj, SETTINGS.model_copy(update={"true_phase": both}))
    assert list(table.oversampling) == [2.2] * 3 + [4] * 3
    gap = table[table.method == "gap"].set_index("oversampling").strain_rmse
    factor = table[table.method == "linear"].set_index("oversampling").strain_rmse_factor
    assert factor[2.2] < factor[4], "the finer the fringes, the less a neighbour tells"
    assert gap.notna().all()


def test_relaxed_particles_are_compared_with_their_own_phase(tmp_path, scattered, obj):
    table, means = tmp_path / "particles.csv", tmp_path / "means.csv"
    reconstruct.particles(SETTINGS, 3, [scattered], NO_MODEL, table, means, chosen=[0])
    rows = pandas.read_csv(table).set_index(["gap_px", "method"])
    assert list(rows.columns) == [name for name in reconstruct.PARTICLE_COLUMNS if name not in ("gap_px", "method")]
    assert rows.loc[(0, "whole"), "strain_rmse"] < 1e-6 * rows.loc[(3, "gap"), "strain_rmse"]
    assert rows.loc[(3, "linear"), "strain_rmse"] < rows.loc[(3, "gap"), "strain_rmse"]
    average = pandas.read_csv(means).set_index(["gap_px", "method"])
    assert list(average.columns) == [name for name in reconstruct.MEAN_COLUMNS if name not in ("gap_px", "method")]
    assert average.loc[(3, "gap"), "strain_rmse_mean"] == pytest.approx(rows.loc[(3, "gap"), "strain_rmse"])
    assert average.loc[(3, "gap"), "strain_rmse_spread"] == 0
    with pytest.raises(BraggfillError, match="does not hold particle 000007"):
        reconstruct.particles(SETTINGS, 3, [scattered], NO_MODEL, table, means, chosen=[7])
    reconstruct.particles(SETTINGS, 3, [], NO_MODEL, table, means)
    assert pandas.read_csv(means).empty


def test_a_mean_over_particles():
    rows = pandas.DataFrame({"gap_px": [3, 3], "method": ["linear"] * 2, **{key: [1.0, 3.0] for key in exact.MEANS}})
    found = exact.averaged(rows).iloc[0]
    assert (found.particles, found.strain_rmse_mean, found.strain_rmse_spread) == (2, 2, 1)


def gapped(**recipe) -> treatments.Gapped:
    """A bright and a dark column in a gap, the filling sure of the dark one alone."""
    counts = np.full((8, 8, 8), 4.0)
    mask = np.zeros(counts.shape, bool)
    mask[:, :, 3:5] = True
    data, sigma = counts.copy(), np.full(counts.shape, np.nan)
    data[:, :, 3], sigma[:, :, 3] = 1e4, 1e3
    data[:, :, 4], sigma[:, :, 4] = 3.0, 2.0
    settings = RecipeSettings(filled_by="linear", **recipe)
    return treatments.Gapped(counts, mask, {"linear": (data, sigma)}, settings)


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


@needs_pynx
def test_a_map_has_a_row_for_each_cell_and_treatment(tmp_path, obj):
    assert mapping.cells(SETTINGS)[1] == {"oversampling": 4, "photons_at_peak": 1e5, "gap_px": 3, "distance_px": 5}
    assert SETTINGS.map.cells == len(mapping.cells(SETTINGS)) == 2
    parts = [tmp_path / f"{cell}.csv" for cell in range(2)]
    for cell, path in enumerate(parts):
        reconstruct.chart_cell(SETTINGS, 3, obj, NO_MODEL, cell, path)
    reconstruct.chart(SETTINGS, 3, parts, tmp_path / "map.csv")
    table = pandas.read_csv(tmp_path / "map.csv")
    assert list(table.columns) == reconstruct.MAP_COLUMNS
    assert list(table.treatment) == ["whole", "free", "linear"] * 2
    assert list(table.gap_px) == [2] * 3 + [3] * 3
    assert (table.to_whole[table.treatment == "whole"] == 1).all()
    for _, cell in table.groupby("gap_px"):
        assert cell.to_best[cell.treatment != "whole"].min() == pytest.approx(1)
        assert cell[cell.best].strain_rmse.item() == cell.strain_rmse[cell.treatment != "whole"].min()


def test_a_map_without_pynx_is_empty(tmp_path, obj, monkeypatch):
    monkeypatch.setattr(external, "have_pynx", lambda: False)
    reconstruct.chart_cell(SETTINGS, 3, obj, NO_MODEL, 0, tmp_path / "0.csv")
    reconstruct.chart(SETTINGS, 3, [tmp_path / "0.csv"], tmp_path / "map.csv")
    assert pandas.read_csv(tmp_path / "map.csv").empty


def test_ranks_in_a_cell():
    errors = {"whole": 1.0, "free": 4.0, "linear": 3.0, "sure": 1.5, "late": np.nan}
    rows = {
        r["treatment"]: r
        for r in mapping.ranked([{"treatment": k, "strain_rmse": v} for k, v in errors.items()], "linear")
    }
    assert (rows["sure"]["to_whole"], rows["sure"]["to_best"], rows["sure"]["best"]) == (1.5, 0.5, True)
    assert rows["free"]["to_best"] == pytest.approx(4 / 3)
    assert [name for name, row in rows.items() if row["best"]] == ["sure"]


def test_a_perfect_filling_leaves_no_error(tmp_path, obj, monkeypatch):
    whole = objects.prepare(particle(), zoom=0.4, box=48, threshold=0.3, keep_phase=False)
    truth = objects.intensity_of(whole)
    truth *= SETTINGS.true_phase.photons_at_peak / truth.max()

    def fill(intensity, mask, *rest):
        return filling.Filled(np.where(mask, truth, intensity), mask, np.full(mask.shape, np.nan))

    monkeypatch.setattr(objects, "fill", fill)
    table = run_true_phase(tmp_path, obj)
    assert table[table.method == "linear"].phase_std_rad.max() < 1e-9


def test_a_network_fills_too(tmp_path, obj):
    torch = pytest.importorskip("torch")
    from braggfill import networks

    torch.manual_seed(1)
    model = tmp_path / "model.safetensors"
    networks.save(model, networks.build("braggfill", channels=[4, 8]))
    one = SETTINGS.model_copy(
        update={"true_phase": SETTINGS.true_phase.model_copy(update={"methods": ("network",), "gap_widths_px": (3,)})}
    )
    table = run_true_phase(tmp_path, obj, one, model).set_index("method")
    assert 0 < table.loc["network", "phase_std_rad"] < 1
    assert np.isfinite(table.loc["network", "strain_rmse_factor"])


def test_figures_of_a_known_error():
    inside = np.zeros((20, 20, 20), bool)
    inside[5:15, 6:14, 4:16] = True
    geometry = objects.Geometry(2.0, (10.0, 10.0, 10.0), (0.0, 1.0, 0.0), 1)
    y = fourier.grid(inside.shape)[1]
    truth = objects.fields(inside * (2.0 + 0j), inside, geometry)
    found = objects.fields(inside * 2.2 * np.exp(-2j * np.pi * 1e-3 * 10 * y / 2.0), inside, geometry)
    figures = objects.compare(found, truth, inside, geometry)
    assert figures["strain_rmse"] == pytest.approx(1e-3)
    assert figures["mean_strain"] == pytest.approx(1e-3)
    assert figures["strain_spread"] == pytest.approx(0, abs=1e-12)
    assert figures["modulus_rmse"] == pytest.approx(0.1)
    assert figures["displacement_max_pm"] == pytest.approx(1e-3 * 10 * 3.5 * 100)
    assert figures["outside_share"] == 0
    assert figures["phase_std_rad"] == pytest.approx(2 * np.pi * 1e-2 / 2 * np.sqrt(63 / 12))


@needs_pynx
def test_retrieval_of_what_is_known(tmp_path, scattered, obj):
    table = run_retrieve(tmp_path, scattered, obj)
    assert list(table.columns) == reconstruct.RETRIEVAL_COLUMNS
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
    fewer = with_retrieval(cases=("known",), treatments=("free",)).model_copy(update={"threads": 2})
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
    assert list(table.columns) == reconstruct.TRUE_PHASE_COLUMNS
    assert table.empty
    assert storage.left_out(tmp_path / "true.h5") == "no object here"

    monkeypatch.setattr(external, "have_pynx", lambda: False)
    table = run_retrieve(tmp_path, scattered, obj)
    assert list(table.columns) == reconstruct.RETRIEVAL_COLUMNS
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


def test_what_does_not_fit_is_told_in_one_line(tmp_path, obj):
    with pytest.raises(BraggfillError, match="more than half of a box"):
        objects.prepare(particle(), zoom=1.0, box=48, threshold=0.3, keep_phase=False)
    change = {"offset_px": (30, 0)}
    settings = SETTINGS.model_copy(update={"true_phase": SETTINGS.true_phase.model_copy(update=change)})
    with pytest.raises(BraggfillError, match="gap") as error:
        run_true_phase(tmp_path, obj, settings)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "true.h5").exists()
    assert not (tmp_path / "true.csv").exists()


def test_broken_files_are_told_in_one_line(tmp_path, scattered, obj):
    with pytest.raises(BraggfillError, match="no such file"):
        run_true_phase(tmp_path, tmp_path / "nothing.h5")
    with pytest.raises(BraggfillError, match="lower it"):
        cases.simulated(with_retrieval(box_px=64), 3, scattered)
    with storage.create(tmp_path / "empty.h5"):
        pass
    with pytest.raises(BraggfillError, match="no pattern"):
        cases.simulated(SETTINGS, 3, tmp_path / "empty.h5")
    with storage.create(tmp_path / "bad.h5") as file:
        file["obj"] = np.full((4, 4, 4), np.nan)
    with pytest.raises(BraggfillError, match="not finite"):
        run_true_phase(tmp_path, tmp_path / "bad.h5")


@pytest.mark.data
def test_linear_interpolation_reaches_the_figures_measured_before(tmp_path, measured):
    # The ID01 Pt object, oversampling about 4: phase standard deviation with a 9 px gap and filled, strain factor.
    path = tmp_path / "id01_s11.h5"
    with np.load(measured / "id01_S11_object.npz") as archive, storage.create(path) as file:
        file["obj"] = archive["obj"]
    settings = ReconstructSettings(
        true_phase=TruePhaseSettings(oversamplings=(4,), gap_widths_px=(9,), methods=("linear",))
    )
    row = run_true_phase(tmp_path, path, settings).set_index("method")
    assert row.loc["gap", "phase_std_rad"] == pytest.approx(0.110, abs=0.001)
    assert row.loc["linear", "phase_std_rad"] == pytest.approx(0.036, abs=0.001)
    assert row.loc["linear", "strain_rmse_factor"] == pytest.approx(3.2, abs=0.1)
    assert row.loc["gap", [f"oversampling_{axis}" for axis in range(3)]].min() == pytest.approx(4, abs=0.1)
