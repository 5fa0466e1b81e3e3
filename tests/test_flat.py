"""The studies in two dimensions, tiny: every task runs, its files say what they hold, and its laws hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from braggfill.errors import BraggfillError
from braggfill.learning import planar_gap
from braggfill.networks import planar
from braggfill.runs import storage
from braggfill.settings import root
from braggfill.settings.flat import FlatSettings
from braggfill.stages.flat import claims, fit, full, gap_cells, gap_sweeps, phase_cells, sets, starts, tables
from pydantic import ValidationError

GAPS = {
    "side_px": 32,
    "patterns": 8,
    "validation": 3,
    "test": 4,
    "widths_px": [[2, 4]],
    "width": 0.05,
    "channels": [3, 4],
    "epochs": 2,
    "batch": 4,
    "rate": 1e-3,
    "example_width_px": 4,
    "position_patterns": 2,
    "oversampling_patterns": 3,
    "spacing_px": 9,
}
PHASES = {"patterns": [6, 8], "validation": 2, "test": 3, "widths": [0.05, 0.06], "steps": 3, "batch": 4}
SETTINGS = FlatSettings.model_validate(
    {
        "gaps": GAPS,
        "low": {**PHASES, "grid_losses": ["real_space", "wca_amplitude"]},
        "high": {
            **PHASES,
            "patterns": [6],
            "widths": [0.05],
            "losses": ["real_space", "wca_amplitude", "wca_cos_sin", "wca_consistent"],
            "phase_range_radians": [6.3, 15],
            "photons_exponent": [5, 6],
        },
        "starts": {"patterns": 2, "starts": 2, "long_cycles": [20, 20, 5], "short_cycles": [5, 10, 5]},
        "full": {"networks": ["phase_large"], "steps": 1, "batch": 1},
    }
)
GAP_CELLS = ["unet-mse_ssim_gradients-2_4", "msd-mse_ssim_gradients-2_4", "braggfill-likelihood-2_4", "unet-mse-2_4"]
LOW_CELLS = [f"{loss}-{n}-{w}" for loss in ("real_space", "wca_amplitude") for n in (6, 8) for w in (0.05, 0.06)]
HIGH_CELLS = [f"{loss}-6-0.05" for loss in SETTINGS.high.losses]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every task, as the rules run it."""
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("run") / "flat"
    place.mkdir()
    for study in ("gaps", "low", "high"):
        sets.patterns(SETTINGS, 3, place / f"patterns-{study}.h5", study)
    for cell in GAP_CELLS:
        gap_cells.gap_cell(
            SETTINGS, 3, place / "patterns-gaps.h5", place / f"gap-{cell}.safetensors", place / f"gap-{cell}.h5", cell
        )
    gap_cells.baseline(SETTINGS, 3, place / "patterns-gaps.h5", place / "baseline.h5")
    models = [place / f"gap-{cell}.safetensors" for cell in GAP_CELLS[:3]]
    gap_sweeps.position(SETTINGS, 3, models, place / "position.csv")
    gap_sweeps.oversampling(SETTINGS, 3, models, place / "oversampling.csv")
    tables.gap_table([place / f"gap-{cell}.h5" for cell in GAP_CELLS], place / "baseline.h5", 3, place / "gaps.csv")
    full.full(SETTINGS, 3, place / "full.csv")
    done = []
    for study, cells in (("low", LOW_CELLS), ("high", HIGH_CELLS)):
        for cell in cells:
            stem = place / f"phase-{study}-{cell}"
            files = stem.with_name(f"{stem.name}.safetensors"), stem.with_name(f"{stem.name}.h5")
            phase_cells.phase_cell(SETTINGS, 3, place / f"patterns-{study}.h5", *files, study, cell)
            done.append(files[1])
    tables.phase_table(done, 3, place / "phases.csv", place / "parts.csv")
    fit.fit(SETTINGS, 3, place / "patterns-low.h5", place / "fit.h5")
    networks = [place / f"phase-high-{loss}-6-0.05.safetensors" for loss in SETTINGS.starts.losses]
    starts.starts(SETTINGS, 3, place / "patterns-high.h5", networks, place / "starts.csv")
    names = ("gaps", "position", "oversampling", "full", "phases")
    claims.claims(
        *(place / f"{name}.csv" for name in names), place / "fit.h5", place / "starts.csv", done, place / "claims.csv"
    )
    return place


def test_patterns_stay_when_a_set_grows(folder, tmp_path):
    grown = FlatSettings.model_validate({"low": {**PHASES, "patterns": [9]}})
    sets.patterns(grown, 3, tmp_path / "grown.h5", "low")
    for part, number in (("train", 8), ("validation", 2), ("test", 3)):
        one, other = (sets.read(file, part, number) for file in (folder / "patterns-low.h5", tmp_path / "grown.h5"))
        assert torch.equal(one.planar.intensity, other.planar.intensity)
        assert torch.equal(one.planar.phase, other.planar.phase)
    assert not torch.equal(
        sets.read(folder / "patterns-low.h5", "train", 2).planar.phase,
        sets.read(folder / "patterns-low.h5", "test", 2).planar.phase,
    )


def test_no_network_looks_into_the_gap():
    made = sets.SetOptions(side=32, photons_exponent=(5, 5))
    logarithm = torch.log1p(planar_gap_patterns(made))
    mask = planar_gap.masks(planar_gap.GapOptions((4,)), 32, range(3), 1, 0)
    other = torch.where(mask, 3 * logarithm + 1, logarithm)
    for name in ("unet", "msd", "unet_mod", "braggfill"):
        torch.manual_seed(0)
        network = planar.build(name, 0.05, channels=(3, 4))
        with torch.no_grad():
            one, two = (planar_gap.fill(network, x, mask) for x in (logarithm, other))
        assert torch.equal(one[mask], two[mask]), name


def planar_gap_patterns(options):
    from braggfill.learning.planar_sets import patterns

    return patterns(3, options).intensity


def test_gaps_are_everywhere_and_of_their_width():
    options = planar_gap.GapOptions((3, 6), cross_fraction=0.5)
    masks = planar_gap.masks(options, 32, range(400), 1, 0).numpy()
    columns = masks.all(1).sum(1)
    assert set(columns) == {3, 6}
    crossed = masks.all(2).any(1)
    assert 0.4 < crossed.mean() < 0.6
    starts_at = masks.all(1).argmax(1)
    assert starts_at.min() == 0
    assert starts_at.max() == 29
    assert not np.array_equal(masks, planar_gap.masks(options, 32, range(400), 1, 1).numpy())


def test_a_perfect_prediction_scores_one_and_the_ceiling_is_the_most(folder):
    table = pd.read_csv(folder / "gaps.csv")
    assert set(table.network) == {"unet", "msd", "braggfill", "linear", "ceiling"}
    assert set(table.gap_px) == {2, 4}
    assert set(table["shape"]) == {"vertical", "cross"}
    assert table.pcc.between(-1, 1).all()
    top = table[table.network == "ceiling"].pcc.mean()
    assert top > 0.9
    assert all(part.pcc.mean() < top for name, part in table.groupby("network") if name != "ceiling")


def test_sweeps_have_every_place_and_network(folder):
    position, ratio = (pd.read_csv(folder / f"{name}.csv") for name in ("position", "oversampling"))
    names = {"unet", "msd", "braggfill (likelihood)", "linear", "ceiling"}
    assert set(position.network) == set(ratio.network) == names
    assert position.place_px.nunique() == 4
    assert ratio.oversampling.nunique() == 3
    # Photons are most at the peak.
    brightest = position.groupby("place_px").photons.mean().idxmax()
    assert abs(brightest) < 8


def test_phase_scores_are_those_of_the_saved_network(folder):
    from braggfill.learning import planar_phase

    cell = folder / "phase-high-wca_cos_sin-6-0.05.h5"
    with storage.read(cell) as file:
        stored = file["scores/accuracy"][...]
        assert file.attrs["parameters"] > 1000
        assert len(file["history/step"]) == 3
    test = sets.read(folder / "patterns-high.h5", "test").planar
    found = planar_phase.scores(planar.load(cell.with_suffix(".safetensors")), test)["accuracy"]
    np.testing.assert_allclose(found.numpy(), stored, atol=1e-5)


def test_the_fit_arrives(folder):
    with storage.read(folder / "fit.h5") as file:
        coherence = file["coherence"][...]
        assert list(file["steps"]) == [0, 150, 400]
    assert coherence[400] > 0.9 > coherence[0]


def test_starts_are_scored_with_their_time(folder):
    table = pd.read_csv(folder / "starts.csv")
    assert list(table.columns) == starts.COLUMNS
    assert set(table.start) == {"random-0", "random-1", *SETTINGS.starts.losses}
    assert table.accuracy.between(0, 1).all()
    assert (table.cpu_seconds >= 0).all()


def test_the_engine_finds_a_flat_object_from_its_truth(folder):
    """In two dimensions, too, the true phases stay where they are."""
    from braggfill.learning import phase_losses
    from braggfill.phasing.projections import Measured
    from braggfill.phasing.starts import Start
    from braggfill.runs import seeds

    test = sets.read(folder / "patterns-high.h5", "test", 1)
    truth = phase_losses.objects(test.expectation, test.planar.phase)[0]
    rng = seeds.generator(1, "test")
    start = Start(truth.numpy()[None], starts._inside(truth).numpy()[None], starts.THRESHOLD, rng)
    found = starts._run(
        Measured(test.planar.intensity.numpy()), start, starts._schedule(0, 40, 20, False), truth.numpy()
    )
    assert found["accuracy"] > 0.95
    assert found["residual"] < 0.02


def test_claims_have_a_value_and_a_verdict(folder):
    table = pd.read_csv(folder / "claims.csv")
    assert set(table.holds) <= {"yes", "no", "partly"}
    assert set(table.chapter) == {"gaps", "phases"}
    assert table.ours.str.len().min() > 3
    assert (table.claim.str.startswith("WCA is ahead of MSE")).sum() == 4
    assert table.claim.is_unique


def test_every_figure_and_both_chapters_are_in_the_report(folder):
    import json

    from braggfill.settings.figures import FiguresSettings
    from braggfill.stages.figures import catalogue, page
    from braggfill.stages.figures.summary import summary

    run = folder.parent
    settings = FiguresSettings(chapters=("flat",), formats=("png",), dpi=60)
    catalogue.draw(settings, 3, {}, run, run / "figures/figures.json")
    drawn = json.loads((run / "figures/figures.json").read_text())
    assert len(drawn) == 13
    assert [entry["name"] for entry in drawn if entry["left_out"]] == []
    page.report(settings, {"run": "tiny", "seed": 3}, run, run / "report.html", {"all": []})
    html = (run / "report.html").read_text()
    for words in ("Gaps in two dimensions", "Phases in two dimensions, low and high strain", "Losses and networks"):
        assert words in html
    assert 'id="flat-phases"' in html
    assert 'id="simulation"' not in html, "a chapter that was not asked for"
    held = pd.read_csv(run / "flat/claims.csv").query("chapter == 'phases' and published != '–'").holds
    said = " ".join(summary(run).split())
    assert f"{(held == 'yes').sum()} of {len(held)} statements of the thesis are reproduced" in said


def test_a_claim_can_fail():
    """The verdict follows the numbers."""
    rows = [{"network": n, "loss": loss, "pcc": p, "parameters": 1} for n, loss, p in (
        ("unet", "mae", 0.9), ("unet", "mse", 0.7), ("unet", "ssim", 0.8))]  # fmt: skip
    verdict = {row["claim"]: row["holds"] for row in claims._losses(pd.DataFrame(rows))}
    assert verdict["SSIM yields better results than MAE"] == "no"
    assert verdict["SSIM yields better results than MSE"] == "yes"


def test_the_networks_keep_their_published_size(folder):
    row = pd.read_csv(folder / "full.csv").iloc[0]
    assert row.parameters == 27_494_361
    assert row.steps == 1


def test_a_damaged_network_is_named(tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"no network")
    with pytest.raises(BraggfillError, match=r"bad\.safetensors"):
        planar.load(path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"gaps": {"side_px": 40}}, "multiple of 32"),
        ({"gaps": {"side_px": 32, "widths_px": [[20]], "example_width_px": 4}}, "does not fit"),
        ({"low": {"patterns": [5, 3]}}, "ascend"),
        ({"starts": {"losses": ["wca_log"]}, "high": {"losses": ["real_space"]}}, "add it there"),
    ],
)
def test_wrong_settings_are_told(wrong, said):
    with pytest.raises(ValidationError, match=said):
        FlatSettings.model_validate(wrong)


def test_shipped_configurations_are_valid(top):
    for name in ("flat", "flat-paper"):
        found = root.load(top / f"config/{name}.yaml")
        assert "flat" in found.figures.chapters
    assert found.flat.gaps.width == 1
    assert max(found.flat.high.patterns) == 30_000
