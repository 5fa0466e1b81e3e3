"""Phases of patches stitched to whole patterns (thesis, sections 4.6 and 4.7, Figs 4.18 to 4.29)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import Normalize

from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import flat_phases, style

WAYS = {
    "overwrite": "overwritten",
    "average": "averaged",
    "solved": "sign and offset solved for",
    "expected": "expected phasors",
    "angles": "their angles alone",
}
WAY_COLOURS = {
    "overwrite": "#b2182b",
    "average": "#e69f00",
    "solved": "#0072b2",
    "expected": "#009e73",
    "angles": "#999999",
}
GUESSES = {"truth": "told the truth", "own": "told its own predictions", "expected": "told expected phasors"}
SHORT = {**WAYS, "central": "central patch", "solved": "solved for", "expected": "expected", "angles": "angles alone"}
TITLES = {"truth": "truth", "central": "central patch\nalone"}
LINES = {"truth": "-", "own": "--", "expected": "-."}


def curves(settings: FiguresSettings, stem: Path, histories: list[Path]) -> list[Path] | None:
    """Learning curves of the networks for patches (Figs 4.18 and 4.25).

    ``histories``: ``…-history.csv`` of ``phase_patches_learn``, one a strain.
    """
    import pandas as pd

    tables = {path.stem.removesuffix("-history"): pd.read_csv(path) for path in histories}
    if not tables:
        return None
    figure = style.new(3.1, 5 * max(len(tables), 1.4))
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    names = {"central": "#0072b2", "outer, truth": "#b2182b", "outer, own": "#e69f00", "outer, expected": "#009e73"}
    for axes, (strain, table), letter in zip(panels, sorted(tables.items(), reverse=True), "ab", strict=False):
        for name, colour in names.items():
            line = table[table.network == name].sort_values("epoch")
            if len(line):
                axes.plot(line.epoch, line.train_loss, ":", color=colour, marker=".")
                axes.plot(line.epoch, line.val_loss, color=colour, marker=".", label=name)
        axes.set_title(f"{strain} strain")
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylim(bottom=0)
        style.letter(axes, letter)
    panels[0].set_ylabel("WCA (dotted: training)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return style.save(figure, stem, settings)


def shells(settings: FiguresSettings, stem: Path, tables: list[Path]) -> list[Path] | None:
    """By shell of patches: accuracy of the object with the phase up to it, and WCA of what it brings.

    ``tables``: ``…-shells.csv`` of ``phase_patches``, one a strain.
    """
    import pandas as pd

    found = {path.stem.removesuffix("-shells"): pd.read_csv(path) for path in tables}
    if not found:
        return None
    figure = style.new(0.5 + 2.9 * len(found))
    grid = figure.subplots(len(found), 3, squeeze=False)
    labels = ("accuracy of the object, up to the shell", "WCA of the shell, own constant", "WCA, the centre's constant")
    for line, (strain, table) in zip(grid, sorted(found.items(), reverse=True), strict=True):
        table = table.assign(guess=table.guess.fillna(""))
        means = table.groupby(["guess", "way", "shell"])[["accuracy", "wca", "wca_joined"]].mean()
        for axes, column, label in zip(line, ("accuracy", "wca", "wca_joined"), labels, strict=True):
            for guess in GUESSES:
                for way in WAYS:
                    if (guess, way) in means.index.droplevel("shell"):
                        part = means.loc[(guess, way), column]
                        axes.plot(part.index, part, LINES[guess], color=WAY_COLOURS[way], marker="o",
                                  label=f"{WAYS[way]}, {GUESSES[guess]}")  # fmt: skip
            if column == "accuracy" and ("", "truth") in means.index.droplevel("shell"):
                part = means.loc[("", "truth"), column]
                axes.plot(part.index, part, color="black", linewidth=0.8, label="true phase")
            axes.set_ylabel(label)
            axes.set_xlabel("shell (0: central patch)")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_ylim(0, 1.02 if column == "accuracy" else None)
        line[0].set_title(f"{strain} strain", loc="left")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return style.save(figure, stem, settings)


def stitched(settings: FiguresSettings, stem: Path, slices: Path) -> list[Path] | None:
    """One pattern: its true phase and that of each way, and the objects they give (Figs 4.22, 4.24 and 4.29).

    ``slices``: ``…-slices.h5`` of ``phase_patches``.
    """
    with storage.read(slices) as file:
        truth, shell, obj = (storage.array(file, name) for name in ("phase", "shell", "obj"))
        names = ["central", "expected-central", *(f"{guess}-{way}" for guess in GUESSES for way in WAYS)]
        made = {name: [storage.array(file[name], part) for part in ("phase", "obj")] for name in names if name in file}
    if not made:
        return None
    columns: dict[str, list[Any]] = {"truth": [np.where(shell >= 0, truth, np.nan), obj], **made}
    near = flat_phases.window(obj)
    figure = style.new(0.7 + 3 * style.WIDTH / (max(len(columns), 5) + 0.5))
    panels = figure.subplots(3, len(columns), squeeze=False)
    for column, (name, (phase, one)) in enumerate(columns.items()):
        drawn = style.show(panels[0, column], phase, flat_phases.turn(), flat_phases.PHASES)
        if name == "truth":
            panels[0, column].contour(shell == 0, levels=[0.5], colors="black", linewidths=0.7)
        top = np.percentile(np.abs(one), 99.9) or 1.0
        style.show(panels[1, column], np.abs(one[near]) / top, Normalize(0, 1), "viridis")
        flat_phases.phase_panel(panels[2, column], one[near])
        guess, _, way = name.partition("-")
        told = GUESSES.get(guess, "").replace("its own ", "its own\n").replace("expected ", "expected\n")
        said = f"{SHORT[way]},\n{told}" if way else TITLES[name]
        panels[0, column].set_title(said, fontsize=7)
    for axes, label in zip(panels[:, 0], ("phase (RSP)", "modulus", "phase"), strict=True):
        axes.set_ylabel(label)
    bar = figure.colorbar(drawn, ax=list(panels.flat), shrink=0.4, pad=0.01, aspect=25, ticks=[-np.pi, 0, np.pi])
    bar.ax.set_yticklabels(["−π", "0", "π"])
    bar.set_label("phase (rad)")
    return style.save(figure, stem, settings)
