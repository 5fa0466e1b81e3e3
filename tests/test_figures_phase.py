"""The report's chapter on phases, from a small folder with known numbers."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from braggfill.physics import fourier
from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.settings.phase import PhaseSettings
from braggfill.stages.figures import phase_tables
from braggfill.stages.figures.catalogue import catalogue, draw_one
from braggfill.stages.figures.chapters import phase as chapter
from braggfill.stages.figures.page import report
from braggfill.stages.phase import assess, claims, compared, measured, patches, refine
from browser import opened
from phasing_objects import counted, crystal
from PIL import Image

SETTINGS = FiguresSettings(chapters=("phase",), dpi=50, formats=("png",))
PHASE = PhaseSettings().model_copy(
    update={
        "refine": PhaseSettings().refine.model_copy(update={"cases": ("id01",)}),
        "patches": PhaseSettings().patches.model_copy(update={"strains": ("low",)}),
        "measured": PhaseSettings().measured.model_copy(update={"scans": ("some",)}),
    }
)
RUN = {"run": "small", "seed": 1, "phase": PHASE.model_dump(mode="json")}
FIGURES = {
    *("phase_measured_some", "phase_refined_id01", "phase_projections_id01", "phase_networks", "phase_curves"),
    *("phase_compared", "phase_strengths", "phase_bodies", "phase_conditions", "phase_shells", "phase_stitched_low"),
    "phase_patch_curves",
}
TRUTH = crystal()


def rows(columns, *values):
    return pd.DataFrame([dict(zip(columns, row, strict=True)) for row in values])


def assessed() -> pd.DataFrame:
    """Gaussians 0.9 and 0.8, cosines 0.6 and 0.4; with a run 1 throughout; a gap costs 0.1."""
    found = []
    for kind, level in (("gaussians", 0.9), ("cosines", 0.6)):
        for span, loss in ((1.6, 0.0), (4.7, 0.1 if kind == "gaussians" else 0.2)):
            for particle, body in enumerate(("hull", "cube")):
                common = (kind, particle, body, span, 2.8, 6.0)
                found.append(("particles", *common, 0, "network", level - loss, 2.0, 1.0, "trained"))
            for method, value in (("network", level - loss), ("run", 0.5), ("network_run", 1.0)):
                found.append(("compared", kind, -1, "wulff", span, 2.8, 6.0, 0, method, value, 2.0, 3.0, "trained"))
        found.append(("gap", kind, 0, "hull", 1.6, 2.8, 6.0, 3, "network", level - 0.1, 2.0, 1.0, "trained"))
    return rows(assess.COLUMNS, *found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    top = tmp_path_factory.mktemp("run") / "small"
    place = top / "phase"
    (place / "learn").mkdir(parents=True)
    (place / "patches").mkdir()
    for name, wca in (("braggphase", 0.4), ("complex", 0.7)):
        curve = {"epoch": [1, 2], "train_loss": [1, 0.9], "val_loss": [1, 0.8], "wca": [0.9, wca], "wca_log": [1, 1]}
        pd.DataFrame(curve).to_csv(place / f"learn/{name}.csv", index=False)
    assessed().to_csv(place / "assess.csv", index=False)
    both = [
        (name, size, 0, "gaussians", "hull", span, value, 0.5)
        for name, size, value in (("braggphase", 7, 0.9), ("complex", 36, 0.5))
        for span in (3.0, 9.0)
    ]
    rows(compared.COLUMNS, *both).to_csv(place / "compared.csv", index=False)
    with storage.create(place / "compared.h5") as file:
        group = file.create_group("000")
        group.attrs.update({"kind": "gaussians", "range_radians": 3.0})
        group["truth"] = TRUTH[16]
        for name in ("braggphase", "complex"):
            group[name] = TRUTH[16]
            group[name].attrs["accuracy"] = 0.9
    refined(place)
    stitched(place / "patches")
    phased(place)
    held = [("a statement", "thesis, Fig. 4.46", "a trend", "0.9", "yes"), ("lost", "thesis, 4.9", "40", "3", "no")]
    rows(claims.COLUMNS, *held).to_csv(place / "summary.csv", index=False)
    return top


def refined(place) -> None:
    counts = counted(TRUTH)[0]
    made = {"network": (0.8, 1, 1.0), "network_run_projections": (0.97, 0.1, 3.0), "runs_projections": (0.7, 5, 90.0)}
    table = []
    (place / "refine").mkdir()
    with storage.create(place / "refine/id01.h5") as file:
        file["truth"], file["counts"] = TRUTH, counts
        for name, (accuracy, error, seconds) in made.items():
            method = name.removesuffix("_projections")
            row = ("id01", method, "projections" if method != name else "", 6, accuracy, 2.0, error, seconds, seconds)
            table.append(row)
            group = file.create_group(name)
            group["obj"] = TRUTH
            for axis, side in enumerate(refine.projections(TRUTH, counts)):
                group[f"projection_{axis}"] = side
            group.attrs.update({"accuracy": accuracy, "mismatch": error, "runs": 6})
    rows(refine.COLUMNS, *table).to_csv(place / "refine.csv", index=False)


def stitched(place) -> None:
    history = [("low", name, epoch, 0.5, 0.6) for name in ("central", "outer, truth") for epoch in (1, 2)]
    rows(patches.CURVES, *history).to_csv(place / "low-history.csv", index=False)
    ways = (("", "central", 0.5), ("truth", "overwrite", 0.4), ("own", "solved", 0.6), ("", "truth", 0.9))
    table = [("low", 0, guess, way, value, 0.2, 0.5, 3.0) for guess, way, value in ways]
    rows(patches.COLUMNS, *table).to_csv(place / "low.csv", index=False)
    shells = [("low", 0, guess, way, shell, value, 0.2, 0.3) for guess, way, value in ways[1:] for shell in (0, 1)]
    rows(patches.SHELLS, *shells).to_csv(place / "low-shells.csv", index=False)
    with storage.create(place / "low-slices.h5") as file:
        phase = np.angle(fourier.forward(TRUTH))[16].astype(np.float32)
        shell = np.full(phase.shape, -1, np.int8)
        shell[4:28, 4:28], shell[8:24, 8:24] = 1, 0
        file["phase"], file["shell"], file["obj"], file["counts"] = phase, shell, TRUTH[16], np.abs(phase)
        for name in ("central", "truth-overwrite", "own-solved"):
            group = file.create_group(name)
            group["phase"], group["obj"] = np.where(shell >= 0, phase, np.nan), TRUTH[16]


def phased(place) -> None:
    row = dict.fromkeys(measured.COLUMNS, 1.5) | {
        "scan": "some", "shape": "32 × 32 × 32", "verdict": "uncertain", "why": "starts are <close>", "advice": "",
        "origin": "random", "disagreement": "", "starts": 3, "chosen": 2, "agreement": 0.91, "llk_expected": 1.0,
        "voxel_nm": 5.0,
    }  # fmt: skip
    pd.DataFrame([row]).to_csv(place / "measured.csv", index=False)
    inside = np.abs(TRUTH) > 0.5
    with storage.create(place / "measured-some.h5") as file:
        file.attrs.update(row)
        file["counts"] = counted(TRUTH)[0]
        for where in ("", "laboratory/"):
            file[f"{where}obj"], file[f"{where}support"] = TRUTH, inside
            file[f"{where}phase_std"] = np.where(inside, 0.2, np.nan).astype(np.float32)
        file["laboratory/strain"] = np.where(inside, np.angle(TRUTH) * 1e-4, np.nan).astype(np.float32)
        file["laboratory/displacement_pm"] = np.where(inside, np.angle(TRUTH), np.nan).astype(np.float32)
        file["prtf/frequency"], file["prtf/value"] = np.linspace(0, 0.5, 5), np.linspace(1, 0.4, 5)
        file["runs/llk_free"], file["runs/chosen"] = np.array([1.5, 1.6, 9.0]), np.array([0, 1])


@pytest.fixture(scope="module")
def drawn(folder):
    return {
        figure.name: draw_one(SETTINGS, figure, folder, folder / "figures")[0] for _, figure in catalogue(SETTINGS, RUN)
    }


def test_every_figure_is_drawn(drawn):
    assert set(drawn) == FIGURES
    for name, files in drawn.items():
        assert files, name
        with Image.open(files[0]) as image:
            assert np.asarray(image.convert("L")).std() > 5, name


def test_figures_of_parts_that_a_run_has_not_are_not_asked_for():
    some = {**RUN, "phase": {**RUN["phase"], "parts": ["measured"]}}
    assert [figure.name for _, figure in catalogue(SETTINGS, some)] == ["phase_measured_some"]


def test_tables_say_what_the_files_hold(folder):
    found = {table.title: table for table in phase_tables.every(folder) if table}
    assert len(found) == 7
    assert all(len(row) == len(table.head) for table in found.values() for row in table.rows)
    times = found["Network and one run against many runs"]
    assert [row[4] for row in times.rows] == ["0.800", "0.970", "0.700"]
    assert times.failed == [2], "a refined object that is wrong stands out"
    assert found["Stitched phases"].failed == [1], "stitching that is no better than the central patch stands out"
    assert found["Comparison with published results: phases in three dimensions"].failed == [1]
    versus = found["Network, random runs, network and run"]
    assert [row[3:5] for row in versus.rows if row[1] == "network, then one run"] == [["2 of 2", "2 of 2"]] * 2
    assert found["Networks compared"].rows[0][:4] == ["braggphase", "7", "0.400", "0.900 ± 0.000"]
    strain = found["Measured scans, phased"].rows[0]
    assert strain[0:2] == ["some", "uncertain"]
    assert "2 of 3" in strain


def test_the_verdict_is_words_and_four_numbers(folder):
    found = chapter.verdict(folder)
    assert [(one.value, one.tone) for one in found.numbers] == [
        ("0.910", ""), ("1 of 1", "good"), ("0.85", ""), ("1 of 2", "bad"),
    ]  # fmt: skip
    for words in ("some: uncertain, starts are <close>.", "1 of 1 objects", "30 times the time", "1 of 2 statements"):
        assert words in found.text


def test_without_a_network_the_verdict_says_so(folder, tmp_path):
    (tmp_path / "phase").mkdir()
    table = pd.read_csv(folder / "phase/refine.csv")
    table[table.method == "runs"].to_csv(tmp_path / "phase/refine.csv", index=False)
    assert "Without a network, random runs find 0 of 1" in chapter.verdict(tmp_path).text
    assert chapter.verdict(tmp_path / "nothing") is None


def test_the_report_shows_the_chapter_and_leads_to_the_object_to_turn(folder, drawn):
    import json

    entries = [
        {"name": f.name, "chapter": "phase", "part": f.part, "title": f.title, "caption": f.caption,
         "files": [path.name for path in drawn[f.name]], "left_out": None}
        for _, f in catalogue(SETTINGS, RUN)
    ]  # fmt: skip
    (folder / "figures/figures.json").write_text(json.dumps(entries))
    report(SETTINGS, RUN, folder, folder / "report.html", {"phase": []})
    html = (folder / "report.html").read_text()
    assert '<p class="turned"><a href="figures/phase_measured_some.html">' in html
    assert "starts are &lt;close&gt;" in html
    assert len(html) < 15e6
    page = folder / "figures/phase_measured_some.html"
    text = page.read_text()
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", text), "it fetches something"
    assert "<close>" not in text.split("<script")[0]
    assert page.stat().st_size < 15e6


@pytest.mark.long
def test_the_object_turns_in_a_browser(folder, drawn):
    with opened(folder / "figures/phase_measured_some.html") as (browser, errors):
        browser.evaluate("() => window.viewer.ready")
        assert browser.locator(".turned").count() == 1
        assert not errors
