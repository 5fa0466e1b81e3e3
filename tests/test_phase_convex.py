"""Automatic differentiation in the workflow: every variant runs, its figures are right, its statements can fail."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from braggfill.errors import BraggfillError
from braggfill.phasing import convex, voxels
from braggfill.phasing.convex_recipe import ConvexRecipe, Step
from braggfill.physics import align, fourier
from braggfill.runs import storage
from braggfill.settings.convex import ConvexSettings
from braggfill.settings.figures import FiguresSettings
from braggfill.settings.phase import PhaseSettings
from braggfill.stages.figures import convex_tables
from braggfill.stages.figures.catalogue import draw_one
from braggfill.stages.figures.chapters import automatic
from braggfill.stages.phase import convex as task
from braggfill.stages.phase import convex_cases, convex_claims
from phasing_objects import counted, crystal
from pydantic import ValidationError

TINY = {
    "cases": ["low_gaussians", "high_cosines", "id01_s978", "aps"],
    "compared": ["low_gaussians"],
    "box_px": 24,
    "starts": 2,
    "halfspaces": 8,
    "halfspace_counts": [16],
    "schedule": [[16, 6, 2], [24, 8, 2]],
    "gap_px": 2,
    "gap_from_peak_px": 4,
    "published_steps": 2,
    "published_starts": 1,
    "projection_cycles": [5, 5, 5],
}
SETTINGS = PhaseSettings.model_validate({"convex": TINY})
CASES = ["low_gaussians_1", "high_cosines_1", "id01_s978", "aps"]
METHODS = {"default_convex", "default_refined", "projections_free", "published_convex", "published_refined"}
METHODS |= {"voxels_free"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every case, as the rules run it, with an object and a scan of our own in place of those that are fetched."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("run")
    with storage.create(place / "object.h5") as file:
        file["obj"] = crystal((32,) * 3, phase=3.0)
    with storage.create(place / "scan.h5") as file:
        file["data"] = np.roll(counted(crystal((32,) * 3, phase=2.0), 1e5)[0], (3, -2, 1), (0, 1, 2)).astype(np.int32)
    with storage.create(place / "missing.h5", left_out="not in data"):
        pass
    given = {"id01_s978": place / "object.h5", "aps": place / "scan.h5"}
    files = [place / f"phase/convex/{case}.h5" for case in CASES]
    for case, path in zip(CASES, files, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        task.phase_case(SETTINGS, 3, case, given.get(case), path)
    task.phase_case(SETTINGS, 3, "id01_s11", place / "missing.h5", place / "phase/convex/id01_s11.h5")
    files.append(place / "phase/convex/id01_s11.h5")
    convex_claims.table(files, place / "phase/convex.csv", place / "phase/convex-claims.csv")
    return place


@pytest.fixture(scope="module")
def table(folder):
    return pd.read_csv(folder / "phase/convex.csv")


# Cases and variants --------------------------------------------------------------------------------------------------


def test_every_variant_is_run_where_it_is_asked_for_and_no_other(table):
    rows = table.assign(way=table.variant + "_" + table.stage).groupby("case").way.agg(set)
    assert set(rows.index) == set(CASES), "a case whose data are missing has no row"
    assert all(rows[case] == METHODS for case in CASES[1:])
    extra = {way.rpartition("_")[0] for way in rows["low_gaussians_1"] - METHODS}
    expected = {"phasor", "displacement", "absolute", "amplitude", "poisson", "small_support", "variation"}
    assert extra == expected | {"both_terms", "halfspaces_16", "gap_masked", "gap_zeros", "gap_projections"}


def test_figures_are_numbers_in_their_bounds(table):
    assert table[["accuracy", "overlap"]].map(lambda x: 0 <= x <= 1 + 1e-6).all().all()
    assert np.isfinite(table[["loss", "residual", "llk_free", "cpu_seconds"]]).all().all()
    # |sqrt(a) - sqrt(b)|^2 <= |a - b|, voxel by voxel.
    assert (table.residual <= table.loss + 1e-9).all()
    assert (table[table.case == "aps"].against == "another seed").all()
    assert (table[table.case != "aps"].against == "truth").all()


def test_a_case_is_the_same_whatever_else_is_run(folder, tmp_path):
    task.phase_case(SETTINGS, 3, "high_cosines_1", None, tmp_path / "again.h5")
    with storage.read(folder / "phase/convex/high_cosines_1.h5") as one, storage.read(tmp_path / "again.h5") as other:
        for name in ("counts", "default_refined/obj", "voxels_free/obj", "published_convex/history"):
            np.testing.assert_array_equal(storage.array(one, name), storage.array(other, name))


def test_strains_share_a_body_and_a_field_but_not_a_phase():
    low, high = (convex_cases.made(SETTINGS.convex, 5, f"{strain}_gaussians_2", None) for strain in ("low", "high"))
    assert low.body == high.body
    np.testing.assert_allclose(np.abs(low.truth), np.abs(high.truth), atol=1e-4 * np.abs(low.truth).max())
    assert high.range_radians == pytest.approx(3 * low.range_radians)


def test_masked_voxels_take_no_part_and_zeros_do(folder):
    one = convex_cases.made(SETTINGS.convex, 3, "low_gaussians_1", None)
    other = convex_cases.Case(np.where(convex_cases.gap(SETTINGS.convex, one.counts), 1e4, one.counts), *[None] * 1, "")
    found = {}
    for variant in task.variants(SETTINGS.convex, True):
        if variant.name in ("gap_masked", "gap_projections"):
            found[variant.name] = [task._once(SETTINGS.convex, case, variant, 1, 0.0) for case in (one, other)]
    for first, second in found.values():
        for (here, _), (there, _) in zip(first, second, strict=True):
            np.testing.assert_array_equal(here.obj, there.obj)


def test_a_scan_that_is_too_small_is_refused_in_words(tmp_path):
    with storage.create(tmp_path / "scan.h5") as file:
        file["data"] = np.ones((16, 30, 30), np.int32)
    with pytest.raises(BraggfillError, match="smaller than phase"):
        task.phase_case(SETTINGS, 3, "aps", tmp_path / "scan.h5", tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"box_px": 31}, "odd"),
        ({"compared": ["aps"]}, "simulated cases"),
        ({"compared": ["higher_cosines"]}, "that cases names"),
        ({"gap_from_peak_px": 20}, "leaves the pattern"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        ConvexSettings.model_validate({**TINY, **given})


# Figures of an object ------------------------------------------------------------------------------------------------


def test_the_twin_of_the_truth_is_right_and_its_support_overlaps():
    truth = crystal((24,) * 3, phase=4.0)
    inside = np.abs(truth) > 0.3 * np.abs(truth).max()
    moved = np.roll(align.twin(truth), (1, 0, -2), (0, 1, 2)) * np.exp(0.7j)
    support = np.roll(align.twin(inside.astype(complex)).real > 0.5, (1, 0, -2), (0, 1, 2))
    made = task.Made("free", moved, support, 0.0, 1, 1, 1)
    _, laid, figures = task.against(made, truth)
    assert figures["accuracy"] > 0.999
    assert figures["overlap"] > 0.98
    assert (laid == inside).mean() > 0.99


def test_half_spaces_that_coincide_are_counted():
    normals = np.array([[1, 0, 0], [np.cos(0.1), np.sin(0.1), 0], [0, 1, 0], [0, 0, 1]])
    assert task.alike(normals, np.array([5.0, 5.5, 5.0, 5.0])) == 0.5
    assert task.alike(normals, np.array([5.0, 7.0, 5.0, 5.0])) == 0.0


def test_voxels_lower_their_loss_and_hold_the_photons():
    counts = counted(crystal((16,) * 3, phase=1.0), 1e5)[0]
    weight = np.ones_like(counts)
    runs = voxels.run(counts, weight, seed=1, starts=2, steps=60, rate=0.05)
    assert len(runs) == 2
    assert all(run.history[-1] < 0.6 * run.history[0] for run in runs)
    assert np.abs(runs[0].obj).max() > 0
    photons = (np.abs(fourier.forward(runs[0].obj)) ** 2).sum()
    assert photons == pytest.approx(counts.sum(), rel=1e-3)
    alone = voxels.run(counts, weight, seed=1, starts=1, steps=60, rate=0.05)
    np.testing.assert_allclose(alone[0].obj, runs[0].obj, atol=1e-3 * np.abs(runs[0].obj).max())


def test_a_random_phase_a_voxel_ends_as_it_was_fitted():
    """What the descent ends with is what is returned, however fine and rough its phase."""
    counts = counted(crystal((24,) * 3, phase=3.0), 1e5)[0]
    recipe = ConvexRecipe(schedule=(Step(24, 12, 40),), losses=("absolute",), first_phase=1.0, refinement=None, kept=1)
    found = convex.run(counts, None, seed=2, starts=1, recipe=recipe)[0]
    model = np.abs(fourier.forward(found.convex)) ** 2
    loss = np.abs(model - counts).sum() / counts.sum()
    assert loss == pytest.approx(found.history[-1], abs=0.012)


# Statements ----------------------------------------------------------------------------------------------------------


def rows(**accuracies):
    """A table with the accuracies of variant and stage, one a case."""
    found = []
    for way, values in accuracies.items():
        variant, _, stage = way.rpartition("_")
        for case, (strain, value) in values.items():
            about = {"case": case, "strain": strain, "variant": variant, "stage": stage, "accuracy": value}
            study = "halfspaces" if variant.startswith("halfspaces") else "phase" if variant == "phasor" else "methods"
            found.append({**dict.fromkeys(task.COLUMNS, 0.0), **about, "study": study, "against": "truth"})
    return pd.DataFrame(found, columns=task.COLUMNS)


def held(table, words):
    found = convex_claims.compared(table)
    (one,) = [row for row in found.itertuples() if words in row.claim]
    return one.holds


def test_a_statement_holds_or_fails_by_its_numbers():
    low, high = {"a": ("low", 0.99)}, {"b": ("high", 0.9)}
    table = rows(default_refined=low | high, projections_free={"a": ("low", 0.99), "b": ("high", 0.5)})
    assert held(table, "little strain") == "yes"
    assert held(table, "Strongly strained") == "no"
    assert held(table, "alternating projections fail") == "no"
    assert held(table, "Right where projections are") == "yes"
    nowhere = convex_claims.compared(rows(default_refined=low, projections_free={"a": ("low", 0.5)}))
    assert not nowhere.claim.str.startswith("Right where").any(), "nothing to be right beside"
    table = rows(default_refined={"a": ("low", 0.9), "b": ("high", 0.97)}, projections_free=low | high)
    assert held(table, "alternating projections fail") == "yes"
    assert held(table, "Right where projections are") == "no"


def test_numbers_of_half_spaces_are_compared():
    low = {"a": ("low", 0.99)}
    table = rows(default_refined=low, phasor_refined=low, halfspaces_16_refined={"a": ("low", 0.98)})
    assert held(table, "number of half-spaces") == "yes"
    table = rows(default_refined=low, phasor_refined=low, halfspaces_16_refined={"a": ("low", 0.9)})
    assert held(table, "number of half-spaces") == "no"


# The chapter ---------------------------------------------------------------------------------------------------------


def test_every_figure_of_the_chapter_is_drawn_from_the_tables(folder):
    settings = FiguresSettings(dpi=60, formats=("png",))
    for figure in automatic.drawn(settings, {}):
        files, reason = draw_one(settings, figure, folder, folder / "figures")
        assert reason is None, (figure.name, reason)
        assert files[0].stat().st_size > 3000


def test_failed_statements_and_objects_stand_out(folder, table):
    told = {one.title: one for one in convex_tables.all_of(folder) if one is not None}
    claims = pd.read_csv(folder / "phase/convex-claims.csv")
    first = next(iter(told.values()))
    assert [first.rows[i][4] for i in first.failed] == ["no"] * int((claims.holds == "no").sum())
    usual = table[(table.variant == "default") & (table.stage == "refined")]
    assert len(told["What is recovered"].failed) == int((usual.accuracy < 0.95).sum())
    assert len(told) == 5


def test_the_verdict_counts_what_the_tables_hold(folder, table, tmp_path):
    claims = pd.read_csv(folder / "phase/convex-claims.csv")
    verdict = automatic.verdict(folder)
    known = table[(table.against == "truth") & (table.variant == "default") & (table.stage == "refined")]
    assert verdict.numbers[0].value == f"{int((known.accuracy >= 0.95).sum())} of {len(known)}"
    published = claims[claims.published != "–"]
    assert f"{int((published.holds == 'yes').sum())} of {len(published)}" in verdict.text
    assert automatic.verdict(tmp_path) is None


def test_settings_are_kept_in_every_file(folder):
    for case in CASES:
        with storage.read(folder / f"phase/convex/{case}.h5") as file:
            assert json.loads(file.attrs["settings"])["convex"]["box_px"] == 24
            assert file.attrs["levels"].shape == (2, 2)
