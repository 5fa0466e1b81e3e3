"""The sweeps' tables made ready for reading, and the comparison with published results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braggfill.stages.figures import style
from braggfill.stages.figures.style import NAMES
from braggfill.stages.figures.table import Table, figures, number, percent, read, signed, whole

if TYPE_CHECKING:
    import pandas as pd


NONE = "–"
"""What the column ``published`` holds of a statement that no text makes."""


def stated(folder: Path) -> tuple[int, int] | None:
    """How many published statements this run reproduces, and of how many; comparisons of our own do not count."""
    table = read(folder / "evaluate/claims.csv")
    if table is None:
        return None
    rows = table[table.published.astype(str) != NONE]
    return int((rows.holds == "yes").sum()), len(rows)


def claims(folder: Path) -> list[Table]:
    """Statement by statement: published, this run's, and whether it is reproduced; further comparisons apart."""
    table = read(folder / "evaluate/claims.csv")
    if table is None:
        return []
    own = table.published.astype(str) == NONE
    part = "Comparison with published results"
    head = ["statement", "source", "published", "this run", "reproduced", "method"]
    note = (
        "Masto et al. (2024), supplement and thesis: references below. Published values belong to data of ID01 that "
        "are not public, and to patches that were normalised by their whole range, gap included; noise bounds every "
        "PCC against counts (the ceiling). Each number is computed from the tables of this run; where only a figure "
        "was published, the trend is compared."
    )
    source = "evaluate/claims.csv"
    held, total = stated(folder) or (0, 0)
    rows, marks, failed = _statements(table[~own])
    title = f"{held} of {total} published statements reproduced"
    found = [Table(title, head, rows, note, source, 6, marks, failed, part)] if rows else []
    rows, marks, failed = _statements(table[own])
    more = "The same comparison with interpolations about which the texts make no statement."
    further = Table("Further comparisons", ["comparison", *head[3:4], "true", "method"],
                    [[row[0], *row[3:]] for row in rows], more, source, 4, marks, failed, part)  # fmt: skip
    return [*found, *([further] if rows else [])]


def _statements(table: pd.DataFrame) -> tuple[list[list[str]], list[int], list[int]]:
    """Rows, those before which a line is drawn, those that are not reproduced."""
    rows: list[list[str]] = []
    marks: list[int] = []
    failed: list[int] = []
    for row in table.itertuples():
        if rows and rows[-1][0].split()[0] != row.claim.split()[0]:
            marks.append(len(rows))
        if row.holds != "yes":
            failed.append(len(rows))
        cells = [row.claim, row.source, str(row.published), signed(str(row.ours)), row.holds]
        rows.append([*cells, NAMES.get(row.method, row.method)])
    return rows, marks, failed


def oversampling(folder: Path) -> Table | None:
    """Mean over the particles of the PCC over whole predicted patterns."""
    table = read(folder / "evaluate/oversampling.csv")
    if table is None:
        return None
    table = table.assign(oversampling=table.oversampling.round(2))
    methods = style.methods(table)
    rows, marks, last = [], [], None
    for (against, width, sampling), part in table.groupby(["against", "gap_px", "oversampling"]):
        if last is not None and (against, width) != last:
            marks.append(len(rows))
        last = (against, width)
        row = [str(against), f"{width} px", f"{sampling:g}", f"{part.particle.nunique()}"]
        row += [_mean(part[part.method == name].pcc) for name in methods]
        own = part[part.method == next((m for m in ("braggfill", "network") if m in methods), methods[0])]
        rows.append([*row, number(part.ceiling.mean()), percent(float(own.recovered_fraction.mean())), "a figure"])
    head = ["against", "gap", "oversampling", "particles", *(NAMES[name] for name in methods), "ceiling", "recovered"]
    note = (
        "PCC over the whole pattern, every voxel of which was predicted in a gap: mean over the test particles ± its "
        "95 % interval. Recovered: fraction of the difference between linear interpolation and ceiling. Published: "
        "paper, Fig. 6c, curves without numbers."
    )
    source = "evaluate/oversampling.csv"
    return Table("Whole patterns against the oversampling", [*head, "published"], rows, note, source, 2, marks)


def position(folder: Path) -> Table | None:
    """Mean PCC by distance of the gap from the peak."""
    table = read(folder / "evaluate/position.csv")
    if table is None:
        return None
    table = table.assign(far=(table.distance_px.abs() / 16).round().astype(int) * 16)
    methods = style.methods(table)
    rows, marks, last = [], [], None
    for (width, far), part in table.groupby(["gap_px", "far"]):
        if last is not None and width != last:
            marks.append(len(rows))
        last = width
        row = [f"{width} px", f"{far} px", f"{len(part) // len(methods)}", figures(part.photons_per_voxel.mean(), 2)]
        row += [_mean(part[part.method == name].pcc) for name in methods]
        rows.append([*row, number(part.ceiling.mean()), "a figure"])
    head = ["gap", "from the peak, about", "gaps", "photons per voxel", *(NAMES[name] for name in methods), "ceiling"]
    note = (
        "PCC over a gap across a whole simulated pattern, against counts: mean over the gaps ± its 95 % interval. "
        "Published: thesis, Fig. 3.6, a curve without numbers, in two dimensions."
    )
    return Table(
        "Gaps near the peak and far from it", [*head, "published"], rows, note, "evaluate/position.csv", 1, marks
    )


def skip(folder: Path) -> Table | None:
    """Time and error against the pixels skipped."""
    table = read(folder / "evaluate/skip.csv")
    if table is None:
        return None
    rows = [
        [
            NAMES.get(row.method, row.method),
            f"{row.skip_px}",
            number(row.seconds, 2),
            number(row.published_seconds, 0),
            number(row.pcc, 4),
            number(row.log_rmse, 4),
            figures(row.log_absolute_error_sum, 4),
        ]
        for row in table.itertuples()
    ]
    first = table.iloc[0]
    head = ["network", "pixels skipped", "seconds", "published (s)", "PCC", "RMSE of log", "sum of |error| of log"]
    note = (
        f"Cross of {first.gap_px} px in {first.edge_px}³ voxels of the measured scan, on this machine; ceiling of the "
        f"PCC {first.ceiling:.3f}. Published times: supplement, S5, 128³ voxels on a GPU."
    )
    return Table("Time and error against the pixels skipped", head, rows, note, "evaluate/skip.csv", 1)


def gaps(folder: Path) -> Table | None:
    """Unequal crosses and wide gaps, and each method's time."""
    table = read(folder / "evaluate/gaps.csv")
    if table is None:
        return None
    rows: list[list[Any]] = []
    marks: list[int] = []
    for gap, part in table.groupby("gap", sort=False):
        if rows:
            marks.append(len(rows))
        for row in part.itertuples():
            cells = [str(gap), NAMES.get(row.method, row.method), whole(row.voxels)]
            cells += [number(row.pcc), number(row.ceiling), percent(row.recovered_fraction), number(row.log_rmse)]
            rows.append(
                [*cells, number(row.photons_ratio, 2), number(row.seconds, 2), number(row.microseconds_per_voxel, 1)]
            )
    head = ["gap", "filled by", "voxels", "PCC", "ceiling", "recovered", "RMSE of log", "photons, filled / true"]
    note = (
        f"Gaps in {int(table.edge_px.iloc[0])}³ voxels of the measured scan, PCC over the whole gap. Recovered: "
        "fraction of the difference between linear interpolation and ceiling. Wall time on this machine, without "
        "loading the network."
    )
    head += ["seconds", "µs per voxel"]
    return Table("Unequal and wide gaps, and every method's time", head, rows, note, "evaluate/gaps.csv", 2, marks)


def _mean(values: pd.Series) -> str:
    """The mean and how far its 95 % interval reaches."""
    values = values.dropna()
    if not len(values):
        return "–"
    spread = 1.96 * values.std() / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return number(values.mean()) + (f" ± {spread:.3f}" if np.isfinite(spread) else "")
