"""Figures of numbers on automatic differentiation: accuracy, losses, variants."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braggfill.phasing.score import RIGHT
from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style
from braggfill.stages.figures.convex_objects import ORDER, label

if TYPE_CHECKING:
    import pandas as pd

WAYS = {
    ("default", "convex"): ("convex", "#e69f00", "o", False),
    ("default", "refined"): ("convex, second stage", "#0072b2", "o", True),
    ("projections", "free"): ("projections, equal time", "#222222", "s", True),
    ("published", "refined"): ("published form, second stage", "#b2182b", "D", True),
    ("published", "convex"): ("published form", "#b2182b", "D", False),
    ("voxels", "free"): ("voxels one by one", "#8c8c8c", "v", True),
}
"""Variant and stage: name, colour, marker, filled."""
STUDIES = {
    "methods": "default",
    "phase": "phase",
    "losses": "loss",
    "terms": "further terms",
    "halfspaces": "half-spaces",
}
VARIANTS = {
    "default": "values, both losses, no terms",
    "phasor": "phasor",
    "displacement": "displacement",
    "absolute": "Σ|I − I'|",
    "amplitude": "Σ(√I − √I')²",
    "poisson": "Poisson",
    "small_support": "small support",
    "variation": "total variation",
    "both_terms": "both",
}
LINES = {
    "default_convex": ("from coarse to fine", "#0072b2"),
    "published_convex": ("published form", "#b2182b"),
    "voxels_free": ("voxels one by one", "#8c8c8c"),
}
PANELS = 3
"""Cases whose losses are shown."""


def named(variant: str) -> str:
    """A variant as figures and tables call it."""
    return VARIANTS.get(variant, variant.removeprefix("halfspaces_"))


def ordered(table: pd.DataFrame) -> list[str]:
    """The cases of a table, the weakest strain first."""
    strains = dict(zip(table.case, table.strain, strict=True))
    return sorted(strains, key=lambda case: (ORDER.index(strains[case]), case))


def accuracy(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """Accuracy of every method on every case."""
    import pandas as pd

    rows = pd.read_csv(table)
    rows = rows[rows.study == "methods"]
    if not len(rows):
        return None
    cases = ordered(rows)
    figure = style.new(3.6)
    axes = figure.subplots()
    for number, ((variant, stage), (name, colour, marker, filled)) in enumerate(WAYS.items()):
        part = rows[(rows.variant == variant) & (rows.stage == stage)].set_index("case").accuracy
        places = np.array([cases.index(case) for case in part.index]) + 0.09 * (number - len(WAYS) / 2)
        axes.plot(places, part, marker, color=colour, markerfacecolor=colour if filled else "none", label=name, ms=5)
    axes.axhline(RIGHT, color="#8c8c8c", linewidth=0.7, linestyle=":")
    many = len(cases) > 12
    axes.set_xticks(range(len(cases)), [label(c).replace(", ", "\n") for c in cases], rotation=90 if many else 0)
    axes.set_xlim(-0.6, len(cases) - 0.4)
    axes.set_ylim(0, 1.03)
    axes.set_ylabel("accuracy")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return style.save(figure, stem, settings)


def losses(settings: FiguresSettings, stem: Path, cases: list[Path]) -> list[Path] | None:
    """Loss before each step."""
    found = [one for path in cases if (one := _curves(path)) is not None]
    found.sort(key=lambda one: (ORDER.index(one[1]), one[0]))
    first: dict[str, tuple[str, str, np.ndarray, dict[str, np.ndarray]]] = {}
    for one in found:
        first.setdefault(one[1], one)
    shown = [first[strain] for strain in ("low", "high", "higher", "reconstructed", "scan") if strain in first][:PANELS]
    if not shown:
        return None
    figure = style.new(3.0)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, letter, (case, _, levels, lines) in zip(panels, "abc", shown, strict=False):
        for name, (said, colour) in LINES.items():
            if name in lines:
                axes.semilogy(np.arange(1, len(lines[name]) + 1), lines[name], color=colour, label=said)
        for step in np.cumsum(levels[:-1, 1]):
            axes.axvline(step, color="#0072b2", linewidth=0.5, linestyle=":")
        axes.set_title(label(case))
        axes.set_xlabel("step")
        style.letter(axes, letter)
    panels[0].set_ylabel("loss")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return style.save(figure, stem, settings)


def _curves(path: Path) -> tuple[str, str, np.ndarray, dict[str, np.ndarray]] | None:
    if storage.left_out(path) is not None:
        return None
    with storage.read(path) as file:
        lines = {name: storage.array(file, f"{name}/history") for name in LINES if name in file}
        if not lines:
            return None
        strain = str(file[next(iter(lines))].attrs["strain"])
        return str(file.attrs["case"]), strain, np.asarray(file.attrs["levels"]), lines


def variants(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """Accuracy of every variant."""
    import pandas as pd

    rows = pd.read_csv(table)
    compared = ordered(rows[rows.study == "phase"])
    if not compared:
        return None
    rows = rows[rows.case.isin(compared) & rows.study.isin(list(STUDIES)) & rows.stage.isin(["convex", "refined"])]
    rows = rows[(rows.study != "methods") | (rows.variant == "default")]
    names: list[tuple[str, str]] = []
    for study in STUDIES:
        found = list(dict.fromkeys(rows[rows.study == study].variant))
        found.sort(key=lambda name: (list(VARIANTS).index(name), 0) if name in VARIANTS else (99, int(named(name))))
        names += [(study, name) for name in found]
    figure = style.new(0.26 * len(names) + 1.2, 7.0)
    axes = figure.subplots()
    marks: list[Any] = []
    for number, case in enumerate(compared):
        colour = ("#0072b2", "#b2182b", "#009e73", "#e69f00", "#6a51a3")[number % 5]
        for stage in ("convex", "refined"):
            part = rows[(rows.case == case) & (rows.stage == stage)].set_index("variant").accuracy
            places = np.arange(len(names)) + 0.16 * (number - (len(compared) - 1) / 2)
            drawn = axes.plot([part.get(name, np.nan) for _, name in names], places, "o", color=colour,
                              markerfacecolor=colour if stage == "refined" else "none", label=label(case))  # fmt: skip
        marks += drawn
    axes.axvline(RIGHT, color="#8c8c8c", linewidth=0.7, linestyle=":")
    axes.set_yticks(range(len(names)), [_line(study, name) for study, name in names])
    axes.invert_yaxis()
    axes.set_xlabel("accuracy")
    figure.legend(marks, [mark.get_label() for mark in marks], loc="outside lower center", ncols=3)
    return style.save(figure, stem, settings)


def _line(study: str, name: str) -> str:
    return f"{STUDIES[study]}: {named(name)}"
