"""Real space at a glance: how much filling saves at each oversampling and over particles, and which treatment of a gap
is best where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, TwoSlopeNorm
from matplotlib.patches import Patch

from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style
from braggfill.stages.figures.realtables import judged

DEFAULT = "soft"
"""What `braggfill phase` does with a gap unless told otherwise."""
OTHERS = ("sure", "bounded", "guided", "late")
"""Treatments that use the filling's uncertainty or free what was filled, shown where a run has not got the default."""


def savings(settings: FiguresSettings, stem: Path, table: Path, means: Path) -> list[Path] | None:
    """How many times lower the strain error is than with the gap: against oversampling, and over relaxed particles.

    ``table``: ``true_phase.csv`` of ``reconstruct``; ``means``: its ``particles_mean.csv``.
    """
    import pandas as pd

    rows, particles = pd.read_csv(table), pd.read_csv(means)
    rows = rows[rows.gap_px > 0]
    if not len(rows):
        return None
    figure = style.new(3.4)
    left, right = figure.subplots(1, 2)
    width = min(set(rows.gap_px), key=lambda value: abs(value - 9))
    part = rows[rows.gap_px == width].assign(least=rows[[f"oversampling_{axis}" for axis in range(3)]].min(axis=1))
    for method, line in part[part.method != "gap"].groupby("method", sort=False):
        line = line.sort_values("least")
        left.plot(line.least, line.strain_rmse_factor, marker="o", color=style.COLOURS[method], label=_said(method))
    left.set_xlabel(f"oversampling ({width} px cross)")
    left.set_ylabel("strain RMSE, lower than with the gap by")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    filled = particles[(particles.gap_px > 0) & (particles.method != "gap")]
    methods = list(dict.fromkeys(filled.method))
    for number, method in enumerate(methods):
        line = filled[filled.method == method].sort_values("gap_px")
        right.errorbar(
            line.gap_px + 0.25 * (number - (len(methods) - 1) / 2),
            line.strain_rmse_factor_mean,
            line.strain_rmse_factor_std,
            marker="o",
            capsize=2,
            color=style.COLOURS[method],
            label=_said(method),
        )
    right.set_xlabel("cross gap (px)")
    number = int(filled.particles.max()) if len(filled) else 0
    told = f"{number} relaxed particle{'s' * (number != 1)}" if number else "no particles in this run"
    right.set_title(told, loc="left")
    right.set_xticks(sorted(set(filled.gap_px)))
    if len(filled):
        right.set_xlim(filled.gap_px.min() - 1.5, filled.gap_px.max() + 1.5)
    for axes, name in zip((left, right), "ab", strict=True):
        axes.axhline(1, color="black", linewidth=0.6)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)
        style.letter(axes, name)
    return style.save(figure, stem, settings)


def collect(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """The map of treatments: above, which has the lowest strain error in each cell; below, what the default costs.

    ``table``: ``map.csv`` of ``reconstruct``.
    """
    import pandas as pd

    rows = pd.read_csv(table)
    if not len(rows) or not rows.strain_rmse.notna().any():
        return None
    treatments = [name for name in dict.fromkeys(rows.treatment) if name != "whole"]
    used = [DEFAULT] if DEFAULT in treatments else [name for name in OTHERS if name in treatments]
    found = judged(rows)
    if not len(found):
        return None
    default = min(used, key=lambda name: _cost(found, name)) if used else treatments[0]
    panels = list(rows[["oversampling", "photons_at_peak"]].drop_duplicates().itertuples(index=False))
    figure = style.new(0.9 + 2 * (0.5 + 0.42 * max(rows.gap_px.nunique(), 4)))
    grid = figure.subplots(2, len(panels), squeeze=False, sharex=True, sharey=True)
    colours = ListedColormap([style.COLOURS[name] for name in treatments])
    for column, (sampling, photons) in enumerate(panels):
        part = rows[(rows.oversampling == sampling) & (rows.photons_at_peak == photons)]
        above, below = grid[:, column]
        best = part[part.best.astype(str) == "True"]
        above.imshow(
            _image(rows, best.assign(value=[treatments.index(name) for name in best.treatment])),
            cmap=colours, vmin=-0.5, vmax=len(treatments) - 0.5, origin="lower", aspect="auto",
        )  # fmt: skip
        _write(above, rows, best.assign(said=[f"{value:.2g}×" for value in best.to_whole]), "white")
        above.set_title(f"oversampling {sampling:g}\n{style.compact(photons)} photons", loc="left")
        cost = part[part.treatment == default]
        unjudged = cost[cost.to_best.isna()]
        for axes in (above, below):
            _write(axes, rows, unjudged.assign(said="not judged"), "#777777")
        cost = cost[cost.to_best.notna()]
        image = _image(rows, cost.assign(value=np.log2(cost.to_best)))
        drawn = below.imshow(image, cmap="RdBu_r", norm=TwoSlopeNorm(0, -2, 2), origin="lower", aspect="auto")
        dark = np.abs(np.log2(cost.to_best)) > 1.2
        _write(below, rows, cost[~dark].assign(said=[f"{value:.2f}" for value in cost.to_best[~dark]]), "black")
        _write(below, rows, cost[dark].assign(said=[f"{value:.2f}" for value in cost.to_best[dark]]), "white")
        below.set_xlabel("from peak (px)")
    for axes, label in zip(
        grid[:, 0], ("lowest strain error", f"{_said(default)},\nto better of free, filled"), strict=True
    ):
        axes.set_ylabel(f"{label}\ncross gap (px)")
    marks = [Patch(color=style.COLOURS[name], label=_said(name)) for name in treatments]
    figure.legend(handles=marks, loc="outside upper center", ncols=min(len(marks), 6))
    bar = figure.colorbar(drawn, ax=list(grid[1]), shrink=0.9, pad=0.01, aspect=15, ticks=[-2, -1, 0, 1, 2])
    bar.ax.set_yticklabels(["1/4", "1/2", "1", "2", "4"])
    bar.outline.set_linewidth(0.5)
    return style.save(figure, stem, settings)


def _cost(rows: Any, name: str) -> float:
    found = rows[rows.treatment == name].to_best
    return float(np.log(found).mean()) if found.notna().all() and len(found) else float("inf")


def _image(rows: Any, part: Any) -> np.ndarray:
    """``value`` over gap width (down) and distance (across); NaN where there is none."""
    down, across = _axes(rows)
    image = np.full((len(down), len(across)), np.nan)
    for row in part.itertuples():
        image[down.index(row.gap_px), across.index(row.distance_px)] = row.value
    return image


def _write(axes: Axes, rows: Any, part: Any, colour: str) -> None:
    down, across = _axes(rows)
    for row in part.itertuples():
        place = (across.index(row.distance_px), down.index(row.gap_px))
        axes.text(*place, row.said, ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(across)), [f"{value:g}" for value in across])
    axes.set_yticks(range(len(down)), [f"{value:g}" for value in down])


def _axes(rows: Any) -> tuple[list[float], list[float]]:
    return sorted(set(rows.gap_px)), sorted(set(rows.distance_px))


def _said(name: Any) -> str:
    return style.NAMES.get(str(name), str(name))
