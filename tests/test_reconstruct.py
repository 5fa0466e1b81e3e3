"""Laws of real space with the true phase."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from braggfill import filling
from braggfill.errors import BraggfillError
from braggfill.physics import fourier, support
from braggfill.runs import storage
from braggfill.settings.reconstruct import ReconstructSettings, TruePhaseSettings
from braggfill.stages.reconstruct import cases, objects, true_phase
from reconstruct_helpers import NO_MODEL, SETTINGS, obj, particle, run_true_phase, scattered, with_retrieval

__all__ = ["obj", "scattered"]  # fixtures


def test_prepared_objects_are_cut_resampled_and_padded():
    zero = objects.prepare(particle(), zoom=0.5, box=48, threshold=0.3, keep_phase=False)
    assert zero.shape == (48, 48, 48)
    assert np.abs(zero).max() == pytest.approx(1)
    assert not zero.imag.any()
    assert (zero.real[zero != 0] > 0.3).all()
    small, large = support.extent(zero != 0), support.extent(particle() != 0)
    np.testing.assert_allclose(small, np.array(large) / 2, atol=1)
    middle = [(s.start + s.stop - 1) / 2 for s in support.bounding_box(zero != 0)]
    np.testing.assert_allclose(middle, 24, atol=1)
    own = objects.prepare(particle(), zoom=1, box=80, threshold=0.3, keep_phase=True)
    cut = particle()[support.bounding_box(particle() != 0)]
    np.testing.assert_allclose(own[support.bounding_box(own != 0)], cut / np.abs(cut).max(), atol=1e-5)


def test_with_the_whole_pattern_nothing_is_wrong_and_with_a_gap_it_is(tmp_path, obj):
    table = run_true_phase(tmp_path, obj)
    assert list(table.columns) == true_phase.TRUE_PHASE_COLUMNS
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
        sampling = 48 / np.array(support.extent(inside))
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
        assert min(support.oversampling(inside)) == pytest.approx(asked, rel=1.5 / max(support.extent(inside)))
    both = SETTINGS.true_phase.model_copy(update={"oversamplings": (2.2, 4), "gap_widths_px": (2,)})
    table = run_true_phase(tmp_path, obj, SETTINGS.model_copy(update={"true_phase": both}))
    assert list(table.oversampling) == [2.2] * 3 + [4] * 3
    gap = table[table.method == "gap"].set_index("oversampling").strain_rmse
    factor = table[table.method == "linear"].set_index("oversampling").strain_rmse_factor
    assert factor[2.2] < factor[4], "the finer the fringes, the less a neighbour tells"
    assert gap.notna().all()


def test_relaxed_particles_are_compared_with_their_own_phase(tmp_path, scattered, obj):
    table, means = tmp_path / "particles.csv", tmp_path / "means.csv"
    true_phase.particles(SETTINGS, 3, [scattered], NO_MODEL, table, means, chosen=[0])
    rows = pandas.read_csv(table).set_index(["gap_px", "method"])
    assert list(rows.columns) == [name for name in true_phase.PARTICLE_COLUMNS if name not in ("gap_px", "method")]
    assert rows.loc[(0, "whole"), "strain_rmse"] < 1e-6 * rows.loc[(3, "gap"), "strain_rmse"]
    assert rows.loc[(3, "linear"), "strain_rmse"] < rows.loc[(3, "gap"), "strain_rmse"]
    average = pandas.read_csv(means).set_index(["gap_px", "method"])
    assert list(average.columns) == [name for name in true_phase.MEAN_COLUMNS if name not in ("gap_px", "method")]
    assert average.loc[(3, "gap"), "strain_rmse_mean"] == pytest.approx(rows.loc[(3, "gap"), "strain_rmse"])
    assert average.loc[(3, "gap"), "strain_rmse_std"] == 0
    with pytest.raises(BraggfillError, match="does not hold particle 000007"):
        true_phase.particles(SETTINGS, 3, [scattered], NO_MODEL, table, means, chosen=[7])
    true_phase.particles(SETTINGS, 3, [], NO_MODEL, table, means)
    assert pandas.read_csv(means).empty


def test_a_mean_over_particles():
    rows = pandas.DataFrame(
        {"gap_px": [3, 3], "method": ["linear"] * 2, **{key: [1.0, 3.0] for key in true_phase.MEANS}}
    )
    found = true_phase.averaged(rows).iloc[0]
    assert (found.particles, found.strain_rmse_mean, found.strain_rmse_std) == (2, 2, 1)


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
    assert figures["strain_std"] == pytest.approx(0, abs=1e-12)
    assert figures["modulus_rmse"] == pytest.approx(0.1)
    assert figures["displacement_max_pm"] == pytest.approx(1e-3 * 10 * 3.5 * 100)
    assert figures["outside_share"] == 0
    assert figures["phase_std_rad"] == pytest.approx(2 * np.pi * 1e-2 / 2 * np.sqrt(63 / 12))


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
