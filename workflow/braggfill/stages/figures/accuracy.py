"""PCC over the gap against its width, with the noise ceiling (paper, Table 1)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style

if TYPE_CHECKING:
    import pandas as pd


def against_gap(settings: FiguresSettings, stem: Path, measured: Path, simulated: Path) -> list[Path] | None:
    """One panel for each way to compare; bands are bootstrap 95 % intervals.  None where both tables are empty.

    ``measured``, ``simulated``: tables of ``evaluate``.
    """
    import pandas as pd

    tables = {"measured": pd.read_csv(measured), "simulated": pd.read_csv(simulated)}
    views = []
    for axis in sorted(tables["measured"].gap_axis.unique(), reverse=True) if len(tables["measured"]) else ():
        part = tables["measured"].query("gap_axis == @axis")
        bright = _bright(part)
        views.append(
            (f"measured, gap across axis {axis},\n{_said(bright)}", part.query("selection == @bright"), "pcc_mean")
        )
        if axis == 2:
            views.append(
                ("measured, gap across axis 2,\nmean of intensity bins", part.query("selection == 'all'"), "pcc_binned")
            )
    if len(tables["simulated"]):
        for against in ("counts", "expectation"):
            part = tables["simulated"].query("against == @against")
            bright = _bright(part)
            said = "counts" if against == "counts" else "noise-free expectation"
            views.append(
                (f"simulated, against {said},\n{_said(bright)}", part.query("selection == @bright"), "pcc_mean")
            )
    views = [view for view in views if len(view[1])]
    if not views:
        return None
    columns = min(3, len(views))
    rows = -(-len(views) // columns)
    figure = style.new(0.5 + 3.0 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, (title, part, score), name in zip(panels.flat, views, "abcdefgh", strict=False):
        _panel(axes, part, score)
        axes.set_title(title)
        style.letter(axes, name)
    for axes in panels.flat[len(views) :]:
        axes.axis("off")
    for axes in panels[:, 0]:
        axes.set_ylabel("PCC over the gap")
    handles: dict[str, Artist] = {}
    for axes in panels.flat:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if len(views) < rows * columns:
        panels.flat[-1].legend(handles.values(), handles.keys(), loc="center", fontsize=9)
    else:
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), 5))
    return style.save(figure, stem, settings)


def _bright(table: pd.DataFrame) -> str:
    """The selection of patches with at least one count per voxel, or the nearest that there is."""
    names = list(dict.fromkeys(table.selection))
    return "ge1" if "ge1" in names else names[min(1, len(names) - 1)]


def _said(selection: str) -> str:
    """A selection in words."""
    return "all patches" if selection == "all" else f"patches of ≥ {selection.removeprefix('ge')} count / voxel"


def _panel(axes: Axes, table: pd.DataFrame, score: str) -> None:
    for method in style.methods(table):
        rows = table[table.method == method].sort_values("gap_px")
        colour = style.COLOURS[method]
        marker = "o" if len(rows) <= 8 else "."
        axes.plot(rows.gap_px, rows[score], marker=marker, color=colour, label=style.NAMES[method], zorder=3)
        if score == "pcc_mean":
            axes.fill_between(rows.gap_px, rows.pcc_low, rows.pcc_high, color=colour, alpha=0.15, linewidth=0)
    rows = table[table.method == table.method.iloc[0]].sort_values("gap_px")
    best = rows.ceiling if score == "pcc_mean" else rows.ceiling_binned
    axes.plot(rows.gap_px, best, "--", color=style.COLOURS["ceiling"], label="noise ceiling")
    published = table.dropna(subset=["published"]).drop_duplicates("gap_px").sort_values("gap_px")
    if score == "pcc_binned" and len(published):
        axes.plot(published.gap_px, published.published, "k*", ms=8, label="published (other data)")
    widths = sorted(table.gap_px.unique())
    axes.set_xticks(widths if len(widths) <= 8 else [1, 3, 6, 9, 12, 16])
    axes.set_xlabel("gap (px)")
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
