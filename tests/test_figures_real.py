"""Tables and figures of phase retrieval and of the map of treatments, from tables with known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import realmap, realtables
from braggfill.stages.reconstruct.phasing import RETRIEVAL_COLUMNS
from braggfill.stages.reconstruct.treatment_map import MAP_COLUMNS, ranked
from PIL import Image

SETTINGS = FiguresSettings(dpi=50, formats=["png"])


def cells() -> pd.DataFrame:
    """Filling wins far from the peak, freeing near it, and `guided` is twice as good as either."""
    rows = []
    for photons in (1e4, 1e6):
        for distance in (8, 20):
            errors = {"whole": 1.0, "free": 8.0 if distance == 20 else 4.0, "braggfill": 80.0 / distance, "guided": 2.0}
            part = [
                {"treatment": name, "strain_rmse": value * 1e-5, "converged": True, "starts": 2, "starts_converged": 1}
                for name, value in errors.items()
            ]
            cell = {"oversampling": 4.0, "photons_at_peak": photons, "gap_px": 6, "distance_px": distance}
            rows += [{**row, **cell} for row in ranked(part, "braggfill")]
    return pd.DataFrame(rows, columns=MAP_COLUMNS)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "reconstruct").mkdir()
    cells().to_csv(tmp_path / "reconstruct/map.csv", index=False)
    return tmp_path


def test_the_verdict_over_the_map(folder):
    found = {table.title: table for table in realtables.every(folder) if table}
    verdict = {row[0]: row[1:] for row in found["Fill or free: the treatments over the map"].rows}
    assert list(verdict) == ["gap masked", "shipped network", "bounds, then free"]
    assert verdict["bounds, then free"] == ["4 of 4", "0.50", "0.50", "2.00", "0 of 4", "4 of 8"]
    assert verdict["gap masked"][1:3] == [f"{np.sqrt(2):.2f}", "2.00"]
    every = found["Fill or free: every cell of the map"]
    assert len(every.rows) == 4
    assert {row[-1] for row in every.rows} == {"bounds, then free"}
    assert all(len(row) == len(table.head) for table in found.values() for row in table.rows)


def test_a_cell_that_is_not_judged_is_told_and_left_out(folder, monkeypatch):
    rows = cells()
    lost = (rows.photons_at_peak == 1e6) & (rows.distance_px == 8)
    rows.loc[lost, ["to_whole", "to_best", "best"]] = [np.nan, np.nan, False]
    rows.loc[lost & (rows.treatment == "guided"), "strain_rmse"] = 1.0
    rows.to_csv(folder / "reconstruct/map.csv", index=False)
    found = {table.title: table for table in realtables.every(folder) if table}
    verdict = found["Fill or free: the treatments over the map"]
    assert verdict.rows[-1][1:4] == ["3 of 3", "0.50", "0.50"]
    assert "1 of 4 cells are not judged" in verdict.note
    assert [row[-1] for row in found["Fill or free: every cell of the map"].rows].count("not judged") == 1
    texts: list[str] = []
    real = realmap._write

    def spy(axes, rows, part, colour):
        texts.extend(part.said)
        real(axes, rows, part, colour)

    monkeypatch.setattr(realmap, "_write", spy)
    assert realmap.collect(SETTINGS, folder / "map", folder / "reconstruct/map.csv")
    assert texts.count("not judged") == 2
    assert "nan" not in texts


def test_the_map_is_drawn(folder):
    (written,) = realmap.collect(SETTINGS, folder / "map", folder / "reconstruct/map.csv")
    with Image.open(written) as image:
        assert np.asarray(image.convert("L")).std() > 10
    pd.DataFrame(columns=MAP_COLUMNS).to_csv(folder / "reconstruct/map.csv", index=False)
    assert realmap.collect(SETTINGS, folder / "none", folder / "reconstruct/map.csv") is None


def test_a_treatment_that_did_not_converge_has_no_figures(folder):
    row = dict.fromkeys(RETRIEVAL_COLUMNS, 1.0)
    row |= {"case": "known", "reference": "truth", "converged": True, "starts": 2, "starts_converged": 2}
    lost = {**row, "treatment": "zeros", "converged": False, "problem": "SupportTooLarge", "starts_converged": 0}
    rows = pd.DataFrame([{**row, "treatment": "free"}, lost])
    rows.to_csv(folder / "reconstruct/retrieval.csv", index=False)
    table = next(table for table in realtables.every(folder) if table and table.title == "Phase retrieval")
    assert table.rows[0][3] == "2 of 2"
    assert table.rows[1][3:10] == ["0 of 2", "SupportTooLarge", *["–"] * 5]
    assert all(len(line) == len(table.head) for line in table.rows)
