"""The map: which treatment of a gap has the lowest strain error, where.

Cells are gap width x distance from the peak x photons x oversampling; in each, the reconstructed object with its own
phase is counted with Poisson noise and phased, whole and with each treatment of its gap, from random starts from which
the whole pattern arrives: a cell tells what the gap does, not which start was lucky.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.physics import support
from braggfill.runs import storage
from braggfill.settings.reconstruct import ReconstructSettings
from braggfill.stages.reconstruct import cases, objects, phasing, treatments

CELL = ["oversampling", "photons_at_peak", "gap_px", "distance_px"]
"""What tells a cell."""
MAP_COLUMNS = [
    *CELL,
    "speckles",
    "treatment",
    "converged",
    "starts_converged",
    "starts",
    "starts_tried",
    "strain_rmse",
    "strain_start_rmse",
    "phase_rmse_rad",
    "gap_intensity_ratio",
    "llk_free",
    "to_whole",
    "to_best",
    "best",
    "seconds",
    "oversampling_0",
    "oversampling_1",
    "oversampling_2",
    "zoom",
    "engine",
    "problem",
]
TRIES = 4
"""How many times as many starts as are asked for are tried until the whole pattern has converged from so many."""
DISTANCE = 3
"""How much farther from the peak the second arm of the cross lies than the first one, in voxels."""


def cells(settings: ReconstructSettings) -> list[dict[str, float]]:
    """The cells in their order."""
    chosen = settings.map
    values = (chosen.oversamplings, chosen.photons_at_peak, chosen.gap_widths_px, chosen.distances_px)
    return [dict(zip(CELL, cell, strict=True)) for cell in product(*values)]


def map_cell(
    settings: ReconstructSettings, seed: int, obj: Path, model: Path, cell: int, table: Path, code: str = ""
) -> None:
    """One cell of the map.

    ``table``: one row for each treatment; columns as of :func:`collect_map`.  It has no rows where there is no object
    or the engine is not installed.

    Raises
    ------
    BraggfillError : a file is missing or damaged, or the gap does not fit the box.
    """
    import pandas

    rows: list[dict[str, Any]] = []
    settings = settings.model_copy(update={"threads": 1})  # the cells run side by side
    if storage.left_out(obj) is None and phasing.engine(settings.map) is not None:
        rows = _rows(settings, seed, objects.load(obj), model, cells(settings)[cell])
    storage.write_table(table, pandas.DataFrame(rows), columns=MAP_COLUMNS)


def collect_map(settings: ReconstructSettings, seed: int, cells: Sequence[Path], table: Path, code: str = "") -> None:
    """All cells in one table.

    ``table``: one row for each cell and treatment.  ``distance_px`` is how far the middle of the nearer arm lies from
    the peak; ``speckles`` is the gap's width in speckles, over the oversampling along the axis where that is least;
    ``starts_tried`` is how many starts it took until the whole pattern had converged from as many as were asked for (a
    free log-likelihood below 1.25); where it converged from none, ``problem`` says so and the cell is not judged;
    ``to_whole`` and ``to_best`` are the strain RMSE over that of the whole pattern, and over the lower one of ``free``
    and the filling; ``best`` marks the lowest of a cell.

    Raises
    ------
    BraggfillError : a cell is missing.
    """
    import pandas

    found = [pandas.read_csv(path) for path in cells]
    found = [part for part in found if len(part)]
    storage.write_table(table, pandas.concat(found) if found else pandas.DataFrame(), columns=MAP_COLUMNS)


def _rows(
    settings: ReconstructSettings, seed: int, obj: np.ndarray, model: Path, cell: dict[str, float]
) -> list[dict[str, Any]]:
    chosen = settings.map
    truth, zoom = objects.sampled(
        obj,
        oversampling=cell["oversampling"],
        zoom=1.0,
        box=chosen.box_px,
        threshold=settings.true_phase.support_threshold,
        keep_phase=True,
    )
    offset = (int(cell["distance_px"]), int(cell["distance_px"]) + DISTANCE)
    case = cases.counted(settings, seed, "map", truth, zoom, cell["photons_at_peak"], int(cell["gap_px"]), offset)
    filled = treatments.fill(case.counts, case.mask, chosen, model, settings)
    starts, tried = phasing.converging(case, chosen, seed, TRIES * chosen.starts)
    found = phasing.run(case, filled, chosen, seed, starts or range(chosen.starts))
    speckles = cell["gap_px"] / min(
        support.oversampling(support.from_modulus(truth, settings.true_phase.support_threshold))
    )
    told = {**cell, "zoom": zoom, "speckles": speckles, "starts_tried": tried, "engine": phasing.engine(chosen)}
    rows = [{**row, **told} for row in phasing.compare(settings, case, found)]
    if starts:
        return ranked(rows, treatments.filled_by(chosen))
    problem = f"the whole pattern converged from none of {tried} starts; this cell is not judged"
    return [{**row, "best": False, "problem": row["problem"] or problem} for row in rows]


def ranked(rows: list[dict[str, Any]], filling: str) -> list[dict[str, Any]]:
    """Rows of one cell with ``to_whole``, ``to_best`` and ``best``; see :func:`collect_map`."""
    error = {row["treatment"]: float(row.get("strain_rmse", np.nan)) for row in rows}
    known = [error[name] for name in ("free", filling) if np.isfinite(error.get(name, np.nan))]
    treated = {name: value for name, value in error.items() if name != "whole" and np.isfinite(value)}
    for row in rows:
        name = row["treatment"]
        row["to_whole"] = error[name] / error.get("whole", np.nan)
        row["to_best"] = error[name] / min(known) if known else np.nan
        row["best"] = bool(treated) and name == min(treated, key=treated.__getitem__)
    return rows
