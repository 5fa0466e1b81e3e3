"""The short table that a run ends with: verdicts and results as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from braggfill.stages.figures import table as tables
from braggfill.stages.figures.chapters import CHAPTERS
from braggfill.stages.figures.record import clock, left_out, stages
from braggfill.stages.figures.style import NAMES
from braggfill.stages.figures.sweep_tables import stated
from braggfill.stages.figures.tables import PUBLISHED_PX


def summary(folder: Path) -> str:
    """The short account that a run ends with, plain text: tables, what was skipped, and last each chapter's verdict."""
    return "\n".join([*_summary(folder), *_verdicts(folder)])


def _verdicts(folder: Path) -> Iterator[str]:
    for chapter in CHAPTERS:
        verdict = chapter.verdict(folder)
        if verdict is not None:
            yield ""
            yield from textwrap.wrap(f"{chapter.title}: {verdict.text}", 100, subsequent_indent="  ")


def _summary(folder: Path) -> Iterator[str]:
    measured, simulated = (tables.read(folder / f"evaluate/{name}.csv") for name in ("measured", "simulated"))
    parts = []
    if measured is not None:
        parts += [
            (f"measured, gap across axis {axis}", part) for axis, part in measured.groupby("gap_axis", sort=False)
        ]
    if simulated is not None:
        parts += [(f"simulated, against {name}", part) for name, part in simulated.groupby("against", sort=False)]
    if parts:
        widths = sorted({int(w) for _, part in parts for w in part.gap_px})
        widths = widths if len(widths) <= 6 else [w for w in widths if w in PUBLISHED_PX]
        yield "PCC over the gap, patches of at least 1 count per voxel"
        yield _line("", [f"{w} px" for w in widths])
        for title, part in parts:
            bright = part[part.selection == ("ge1" if (part.selection == "ge1").any() else part.selection.iloc[0])]
            yield title
            for method in ("braggfill", "network", "linear"):
                rows = bright[bright.method == method].set_index("gap_px")
                if len(rows):
                    yield _line(f"  {method}", [tables.number(_at(rows, w, "pcc_mean")) for w in widths])
            rows = bright.drop_duplicates("gap_px").set_index("gap_px")
            yield _line("  ceiling", [tables.number(_at(rows, w, "ceiling")) for w in widths])
    published = stated(folder)
    if published is not None:
        yield ""
        yield f"{published[0]} of {published[1]} published statements on accuracy reproduced (see the report)"
    exact = tables.read(folder / "reconstruct/true_phase.csv")
    if exact is not None:
        exact = exact[exact.gap_px > 0]
        exact = exact[exact.oversampling == min(set(exact.oversampling), key=lambda value: abs(value - 4))]
        sampling = " x ".join(tables.number(exact.iloc[0][f"oversampling_{axis}"], 1) for axis in range(3))
        widths = sorted({int(w) for w in exact.gap_px})
        yield ""
        yield f"Strain RMSE (1e-4), true phase, cross gap, oversampling {sampling}"
        yield _line("", [f"{w} px" for w in widths])
        for method, part in exact.groupby("method", sort=False):
            rows = part.set_index("gap_px")
            yield _line(f"  {NAMES.get(method, method)}", [_strain(rows, w) for w in widths])
    retrieval = tables.read(folder / "reconstruct/retrieval.csv")
    if retrieval is not None:
        yield ""
        yield "Phase retrieval, cross gap: phase error (rad)"
        for case, part in retrieval.groupby("case", sort=False):
            found = [
                f"{NAMES.get(row.treatment, row.treatment)} {_error(row)}"
                for row in part.itertuples()
                if row.treatment != row.reference
            ]
            yield f"  {case}, {int(part.gap_px.iloc[0])} px: {', '.join(found)}"
    check = tables.read(folder / "scatter/check.csv")
    if check is not None and check.max_error_relative.notna().any():
        yield ""
        yield "Scattering, largest error as a share of the peak"
        for row in check[check.max_error_relative.notna()].itertuples():
            yield f"  {row.backend} against {row.against}: {row.max_error_relative:.1e} over {int(row.voxels)} voxels"
    times = stages(folder)
    if times:
        yield ""
        slowest = sorted(times, key=lambda row: -row["seconds"])[:3]
        told = ", ".join(f"{row['rule']} {clock(row['seconds'])}" for row in slowest)
        yield f"Jobs took {clock(sum(row['seconds'] for row in times))} in all; the longest: {told}"
    missing = left_out(folder)
    if missing:
        yield ""
        yield "Skipped"
        yield from (f"  {what}: {reason}" for what, reason in missing)


def _line(label: str, cells: list[str]) -> str:
    return f"{label:<34}" + "".join(f"{cell:>9}" for cell in cells)


def _at(rows: Any, width: int, column: str) -> float | None:
    return float(rows.at[width, column]) if width in rows.index else None


def _strain(rows: Any, width: int) -> str:
    value = _at(rows, width, "strain_rmse")
    return "–" if value is None else f"{value * 1e4:.3f}"


def _error(row: Any) -> str:
    return f"{row.phase_rmse_rad:.3f}" if str(row.converged) == "True" else "did not converge"
