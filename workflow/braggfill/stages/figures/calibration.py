"""Whether intervals hold what they say: observed against stated coverage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style

if TYPE_CHECKING:
    import pandas as pd

TOLERANCES = {0.68: 0.05, 0.95: 0.03}
"""Levels that are shown one by one, and how far off counts as right."""


def reliability(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """Coverage against level, gap width and predicted brightness, a row of panels a source.  None for an empty table.

    ``table``: ``calibration.csv`` of ``evaluate``.
    """
    import pandas as pd

    rows = pd.read_csv(table)
    if not len(rows):
        return None
    sources = [source for source in ("simulated", "measured") if source in set(rows.source)]
    figure = style.new(0.4 + 2.9 * len(sources))
    panels = figure.subplots(len(sources), 3, squeeze=False, width_ratios=(1, 1, 1.2))
    for line, source in zip(panels, sources, strict=True):
        part = rows[rows.source == source]
        part = part[part.gap_axis == part.gap_axis.iloc[0]]
        width = min(part.gap_px.unique(), key=lambda px: abs(px - 6))
        _levels(line[0], part[(part.selection == "all") & (part.gap_px == width)])
        line[0].set_title(f"{source}, {width} px gap, all voxels")
        _widths(line[1], part[(part.selection == "all") & (part.distribution == "counts")])
        line[1].set_title(f"{source}, all voxels")
        _brightness(line[2], part[(part.distribution == "counts") & (part.gap_px == width)])
        line[2].set_title(f"{source}, {width} px gap")
    for axes, name in zip(panels.flat, "abcdef", strict=False):
        style.letter(axes, name)
    handles: dict[str, Artist] = {}
    for axes in panels.flat:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return style.save(figure, stem, settings)


def _levels(axes: Axes, rows: pd.DataFrame) -> None:
    """Observed against stated coverage."""
    axes.plot([0, 1], [0, 1], color="#666666", linewidth=0.8)
    for method in style.methods(rows):
        own = rows[rows.method == method].sort_values("level")
        for distribution, line in (("counts", "-"), ("gaussian", ":")):
            found = own[own.distribution == distribution]
            if len(found):
                label = style.NAMES[method] + (", Gaussian taken literally" if distribution == "gaussian" else "")
                axes.plot(found.level, found.coverage, line, color=style.COLOURS[method], label=label)
                if distribution == "counts":
                    axes.fill_between(
                        found.level,
                        found.coverage_low,
                        found.coverage_high,
                        color=style.COLOURS[method],
                        alpha=0.2,
                        lw=0,
                    )
    axes.set_xlabel("level of the interval")
    axes.set_ylabel("share of the counts within it")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _bands(axes: Axes) -> None:
    for level, tolerance in TOLERANCES.items():
        axes.axhspan(level - tolerance, level + tolerance, color="#e8e8e8", zorder=0)
        axes.axhline(level, color="#666666", linewidth=0.8, zorder=1)
    axes.set_ylim(0.4, 1.0)
    axes.set_yticks([0.4, 0.5, 0.6, 0.68, 0.8, 0.95])


def _widths(axes: Axes, rows: pd.DataFrame) -> None:
    """Coverage of the 68 % and 95 % intervals against the gap's width."""
    _bands(axes)
    for method in style.methods(rows):
        for level in TOLERANCES:
            own = rows[(rows.method == method) & (rows.level == level)].sort_values("gap_px")
            if len(own):
                _points(axes, own.gap_px.to_numpy(float), own, method)
    axes.set_xticks(sorted(rows.gap_px.unique()))
    axes.set_xlabel("gap (px)")
    axes.set_ylabel("coverage of 68 % and 95 %")


def _brightness(axes: Axes, rows: pd.DataFrame) -> None:
    """The same against what the network predicts."""
    _bands(axes)
    bins = rows[~rows.selection.isin(["all", "ge1"])]
    order = sorted(bins.photons_low.unique())
    for method in style.methods(rows):
        for level in TOLERANCES:
            own = bins[(bins.method == method) & (bins.level == level)].sort_values("photons_low")
            if len(own):
                _points(axes, np.array([order.index(low) for low in own.photons_low], float), own, method)
    tops = dict(zip(bins.photons_low, bins.photons_high, strict=True))
    names = [f"> {low:g}" if np.isinf(tops[low]) else f"{low:g}–{tops[low]:g}" for low in order]
    axes.set_xticks(range(len(order)), names, rotation=40, ha="right")
    axes.set_xlabel("predicted photons")


def _points(axes: Axes, place: np.ndarray, own: pd.DataFrame, method: str) -> None:
    place = place + {"network": -0.06, "braggfill": 0.06}.get(method, 0.0)
    ends = np.stack([own.coverage - own.coverage_low, own.coverage_high - own.coverage])
    axes.errorbar(
        place, own.coverage, np.maximum(ends.astype(float), 0), marker="o", color=style.COLOURS[method], lw=1, capsize=2
    )
