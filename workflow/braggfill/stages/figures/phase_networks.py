"""Networks that predict phases: how they learn, and how accurate their objects are (thesis, sections 4.8 to 4.11)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes

from braggfill.phasing.score import RIGHT
from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import flat_phases, style

NETWORKS = {
    "braggphase": "braggphase",
    "rsp": "published, 64³",
    "central": "published, 32³",
    "complex": "complex U-Net",
    "autophasenn": "AutoPhaseNN",
}
NETWORK_COLOURS = {
    "braggphase": "#0072b2",
    "rsp": "#b2182b",
    "central": "#d6a35c",
    "complex": "#7570b3",
    "autophasenn": "#009e73",
}
KINDS = {"gaussians": "two Gaussians", "cosines": "two cosines", "correlated": "random field"}
KIND_COLOURS = {"gaussians": "#0072b2", "cosines": "#e69f00", "correlated": "#009e73"}
METHODS = {
    "network": "network",
    "run": "one random run",
    "best_of_6": "best of six random starts",
    "network_er": "network, then ER",
    "network_run": "network, then one run",
    "runs": "best of many runs",
}
METHOD_COLOURS = {
    "network": "#56b4e9",
    "run": "#8c8c8c",
    "best_of_6": "#444444",
    "network_er": "#e69f00",
    "network_run": "#0072b2",
}
CONDITIONS = {
    "oversampling": ("oversampling", "oversampling"),
    "photons": ("photons_exponent", "photons at the peak, power of ten"),
    "gap": ("gap_px", "gap (px)"),
}
"""Study → its column, and the label of its axis."""
SYMMETRIC = ("cube", "octahedron", "wulff")
"""Bodies with a centre of symmetry."""


def curves(settings: FiguresSettings, stem: Path, histories: list[Path]) -> list[Path] | None:
    """Training and validation losses, and WCA of the phases, of the networks for whole patterns, an epoch a point.

    ``histories``: tables of the task ``phase_learn``.
    """
    import pandas as pd

    tables = {path.stem: pd.read_csv(path) for path in histories}
    tables = {name: tables[name] for name in NETWORKS if name in tables and len(tables[name])}
    if not tables:
        return None
    if max(len(table) for table in tables.values()) == 1:  # one epoch has no curve
        figure = style.new(0.9 + 0.32 * len(tables), 6.5)
        axes = figure.subplots()
        for place, (name, table) in enumerate(tables.items()):
            axes.barh(place, table.wca.iloc[0], color=NETWORK_COLOURS[name])
            axes.text(table.wca.iloc[0], place, f" {table.wca.iloc[0]:.3f}", va="center")
        axes.set_yticks(range(len(tables)), [NETWORKS[name] for name in tables])
        axes.set_xlabel("WCA of the phases after one epoch, validation (0 is right)")
        axes.set_xlim(0, 1.15 * max(float(table.wca.iloc[0]) for table in tables.values()))
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        return style.save(figure, stem, settings)
    figure = style.new(3.1)
    loss, score = figure.subplots(1, 2)
    for name, table in tables.items():
        colour = NETWORK_COLOURS[name]
        loss.plot(table.epoch, table.train_loss, color=colour, linestyle=":", marker=".")
        loss.plot(table.epoch, table.val_loss, color=colour, marker=".", label=NETWORKS[name])
        score.plot(table.epoch, table.wca, color=colour, marker=".", label=NETWORKS[name])
    loss.set_ylabel("each network's own loss\n(dotted: training)")
    score.set_ylabel("WCA of the phases, validation")
    score.set_ylim(bottom=0)
    for axes, letter in zip((loss, score), "ab", strict=True):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        style.letter(axes, letter)
    figure.legend(*score.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return style.save(figure, stem, settings)


def strengths(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """Accuracy of the network's objects against the range of the phase, by kind of field (Fig. 4.46).

    Mean over the particles; band: standard deviation; points: particles.  ``table``: ``assess.csv``.
    """
    rows = _of(table, "particles")
    if rows is None:
        return None
    methods = [name for name in METHODS if (rows.method == name).any()]
    figure = style.new(3.4, min(style.WIDTH, 1.8 + 4 * len(methods)))
    panels = figure.subplots(1, len(methods), squeeze=False, sharey=True)[0]
    for axes, method in zip(panels, methods, strict=True):
        for kind in KINDS:
            part = rows[(rows.kind == kind) & (rows.method == method)]
            if not len(part):
                continue
            line = part.groupby("range_radians").accuracy.agg(["mean", "std"]).sort_index()
            x, colour = line.index / np.pi, KIND_COLOURS[kind]
            spread = line["std"].fillna(0)
            axes.fill_between(x, line["mean"] - spread, line["mean"] + spread, color=colour, alpha=0.15, linewidth=0)
            axes.plot(x, line["mean"], color=colour, marker="o", label=KINDS[kind])
            axes.plot(part.range_radians / np.pi, part.accuracy, ".", color=colour, alpha=0.35, markersize=3)
        _accuracy(axes, "range of the phase (π rad)")
        axes.set_title(METHODS[method])
    panels[0].set_ylabel("accuracy")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return style.save(figure, stem, settings)


def compared(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """One particle under ever stronger phases, phased by network, one run, and network and run (Figs 4.47 to 4.49).

    ``table``: ``assess.csv``.
    """
    rows = _of(table, "compared")
    if rows is None:
        return None
    kinds = [kind for kind in KINDS if (rows.kind == kind).any()]
    figure = style.new(3.5)
    panels = figure.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axes, kind, letter in zip(panels, kinds, "abc", strict=False):
        for method in METHODS:
            line = rows[(rows.kind == kind) & (rows.method == method)].sort_values("range_radians")
            if len(line):
                axes.plot(line.range_radians / np.pi, line.accuracy, color=METHOD_COLOURS[method], marker="o",
                          label=METHODS[method])  # fmt: skip
        _accuracy(axes, "range of the phase (π rad)")
        axes.set_title(KINDS[kind])
        style.letter(axes, letter)
    panels[0].set_ylabel("accuracy")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return style.save(figure, stem, settings)


def bodies(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """Accuracy of the network's objects under two Gaussians by body, from weak to strong phase (Figs 4.50 and 4.51).

    ``table``: ``assess.csv``.
    """
    rows = _of(table, "particles")
    rows = None if rows is None else rows[(rows.kind == "gaussians") & (rows.method == "network")]
    if rows is None or not len(rows) or rows.range_radians.nunique() < 2:
        return None
    figure = style.new(3.3)
    panels = figure.subplots(1, 2, sharey=True)
    groups = (("with a centre of symmetry", True), ("without", False))
    for axes, (title, symmetric), letter in zip(panels, groups, "ab", strict=True):
        part = rows[rows.body.isin(SYMMETRIC) == symmetric]
        names = list(dict.fromkeys(part.body))
        for number, body in enumerate(names):
            line = part[part.body == body].groupby("range_radians").accuracy.mean().sort_index()
            axes.plot(line.index / np.pi, line, marker="o", label=body, color=f"C{number + 3 * (not symmetric)}")
        _accuracy(axes, "range of the phase (π rad)")
        axes.set_title(f"bodies {title}")
        axes.legend(loc="lower left")
        style.letter(axes, letter)
    panels[0].set_ylabel("accuracy")
    return style.save(figure, stem, settings)


def conditions(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """Accuracy of the network's objects with other oversampling, photons and with a gap; open: as usual.

    ``table``: ``assess.csv``.
    """
    import pandas as pd

    rows = pd.read_csv(table)
    rows = rows[rows.method == "network"]
    studies = [name for name in CONDITIONS if (rows.study == name).any()]
    if not studies:
        return None
    figure = style.new(3.2, max(3.6 * len(studies), 4.5))
    panels = figure.subplots(1, len(studies), squeeze=False, sharey=True)[0]
    usual = rows[rows.study == "particles"]
    for axes, study, letter in zip(panels, studies, "abc", strict=False):
        column, label = CONDITIONS[study]
        part = rows[rows.study == study]
        for kind in KINDS:
            own = part[part.kind == kind]
            if not len(own):
                continue
            line = own.groupby(column).accuracy.mean()
            nearest = (usual.range_radians - own.range_radians.iloc[0]).abs()
            same = usual[(usual.kind == kind) & (nearest == nearest.min())]
            if len(same):
                line.loc[float(same[column].iloc[0])] = same.accuracy.mean()
                axes.plot(same[column].iloc[0], same.accuracy.mean(), "o", mfc="white", mec=KIND_COLOURS[kind],
                          zorder=3, ms=7)  # fmt: skip
            line = line.sort_index()
            axes.plot(line.index, line, marker="o", color=KIND_COLOURS[kind], label=KINDS[kind])
        _accuracy(axes, label)
        style.letter(axes, letter)
    panels[0].set_ylabel("accuracy")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return style.save(figure, stem, settings)


def networks(settings: FiguresSettings, stem: Path, objects: Path, table: Path) -> list[Path] | None:
    """The same patterns through every network: modulus and phase of the objects, and accuracies (Fig. 4.52).

    ``objects``: ``compared.h5``; ``table``: ``compared.csv``.
    """
    import pandas as pd

    rows = pd.read_csv(table)
    names = [name for name in NETWORKS if (rows.network == name).any()]
    with storage.read(objects) as file:
        shown = [(dict(group.attrs), {name: storage.array(group, name) for name in ("truth", *names)},
                  {name: float(group[name].attrs["accuracy"]) for name in names})
                 for group in file.values()]  # fmt: skip
    if not shown or not names:
        return None
    side = (style.WIDTH - 0.4) / (2 * len(shown))
    figure = style.new(side * (len(names) + 1) + 3.4)
    above, below = cast("np.ndarray", figure.subfigures(2, 1, height_ratios=(side * (len(names) + 1) + 0.6, 2.8)))
    panels = above.subplots(len(names) + 1, 2 * len(shown), squeeze=False)
    for number, (about, slices, accuracy) in enumerate(shown):
        near = flat_phases.window(slices["truth"])
        for row, name in enumerate(("truth", *names)):
            modulus, phase = panels[row, 2 * number : 2 * number + 2]
            style.show(modulus, np.abs(slices[name][near]), None, "viridis")
            flat_phases.phase_panel(phase, slices[name][near])
            if name != "truth":
                phase.set_xlabel(f"accuracy {accuracy[name]:.2f}", fontsize=8)
        panels[0, 2 * number].set_title(f"{KINDS[about['kind']]}, {about['range_radians'] / np.pi:.1f}π", fontsize=8)
        panels[0, 2 * number + 1].set_title("phase", fontsize=8)
    for axes, name in zip(panels[:, 0], ("truth", *(NETWORKS[name] for name in names)), strict=True):
        axes.set_ylabel(name)
    axes = below.subplots()
    for name in names:
        line = rows[rows.network == name].sort_values("range_radians")
        axes.plot(line.range_radians / np.pi, line.accuracy, "o-", color=NETWORK_COLOURS[name], label=NETWORKS[name])
    _accuracy(axes, "range of the phase (π rad)")
    axes.set_ylabel("accuracy")
    below.legend(*axes.get_legend_handles_labels(), loc="outside right center")
    return style.save(figure, stem, settings)


def _of(table: Path, study: str) -> Any:
    """The rows of a study; None where there are none."""
    import pandas as pd

    rows = pd.read_csv(table)
    rows = rows[rows.study == study]
    return rows if len(rows) else None


def _accuracy(axes: Axes, label: str) -> None:
    axes.axhline(RIGHT, color="black", linewidth=0.6, linestyle=":")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(label)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)
