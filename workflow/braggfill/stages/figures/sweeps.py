"""Accuracy against intensity, oversampling, the gap's place and the skipped pixels; unequal and wide gaps."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from numpy.typing import ArrayLike

from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style

if TYPE_CHECKING:
    import pandas as pd

WIDTHS = (3, 6, 9, 12)
WIDTH_COLOURS = {3: "#08306b", 6: "#2171b5", 9: "#6baed6", 12: "#d95f0e"}
SKIPPED = (0, 4, 20, 30)
"""Pixels skipped in the images of the supplement, Fig. S11."""


def against_intensity(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """Above the network at each gap width (Fig. 5), below every method at one width; bands: bootstrap 95 % intervals.

    ``table``: ``evaluate/intensity.csv``.  Bins of fewer than three patches are not drawn.
    """
    rows = _read(table)
    method = ours(rows)
    if rows is None or method is None:
        return None
    rows = rows[rows.patches >= 3].assign(photons=lambda t: np.sqrt(t.photons_per_voxel_from * t.photons_per_voxel_to))
    views = []
    for (source, against), part in rows.groupby(["source", "against"], sort=False):
        part = part[part.gap_axis == part.gap_axis.iloc[0]]
        said = (
            source
            if source == "measured"
            else f"simulated, against {'counts' if against == 'counts' else 'expectation'}"
        )
        views.append((said, part))
    figure = style.new(5.8)
    panels = figure.subplots(2, len(views), squeeze=False, sharex="col", sharey=True)
    names = iter("abcdefgh")
    for column, (said, part) in enumerate(views):
        above, below = panels[:, column]
        widths = _some(part.gap_px)
        for width in widths:
            line = part[(part.gap_px == width) & (part.method == method)]
            colour = WIDTH_COLOURS.get(width, "#888888")
            _band(above, line.photons, line.pcc_mean, line.pcc_low, line.pcc_high, colour, f"{width} px")
        width = 6 if 6 in widths else widths[len(widths) // 2]
        one = part[part.gap_px == width]
        for name in style.methods(one):
            line = one[one.method == name]
            _band(
                below, line.photons, line.pcc_mean, line.pcc_low, line.pcc_high, style.COLOURS[name], style.NAMES[name]
            )
        _ceiling(below, one[one.method == method].photons, one[one.method == method].ceiling)
        for axes, about in ((above, style.NAMES[method]), (below, f"{width} px")):
            axes.set_xscale("log")
            axes.axvline(1, color="#999999", linewidth=0.6, linestyle=":")
            axes.set_title(f"{said}\n{about}" if axes is above else about)
            style.letter(axes, next(names))
        below.set_xlabel("mean photons per voxel of the patch")
    for axes in panels[:, 0]:
        axes.set_ylabel("PCC over the gap")
    for row in panels:
        row[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return style.save(figure, stem, settings)


def against_oversampling(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """PCC over whole predicted patterns: the network at each width (Fig. 6c), and every method at two widths.

    ``table``: ``evaluate/oversampling.csv``; lines are means over the particles, bands 95 % intervals of the mean.
    """
    rows = _read(table)
    method = ours(rows)
    if rows is None or method is None:
        return None
    rows = rows[rows.against == "counts"].assign(oversampling=lambda t: t.oversampling.round(2))
    widths = _some(rows.gap_px)
    chosen = list(dict.fromkeys((widths[0], widths[-1])))
    figure = style.new(3.6)
    panels = figure.subplots(1, 1 + len(chosen), squeeze=False)[0]
    for width in widths:
        line = rows[(rows.method == method) & (rows.gap_px == width)]
        _over_particles(panels[0], line, "oversampling", "pcc", WIDTH_COLOURS.get(width, "#888888"), f"{width} px")
    panels[0].set_title(style.NAMES[method])
    widths_shown = panels[0].get_legend_handles_labels()
    figure.legend(*widths_shown, title="gap in a", loc="outside upper left", ncols=len(widths), fontsize=8)
    for axes, width in zip(panels[1:], chosen, strict=True):
        part = rows[rows.gap_px == width]
        for name in style.methods(part):
            line = part[part.method == name]
            _over_particles(axes, line, "oversampling", "pcc", style.COLOURS[name], style.NAMES[name])
        best = part[part.method == method].groupby("oversampling").ceiling.mean()
        _ceiling(axes, best.index, best)
        axes.set_title(f"{width} px gap")
    for axes, name in zip(panels, "abc", strict=False):
        axes.set_xlabel("oversampling along the longest side")
        style.letter(axes, name)
    panels[0].set_ylabel("PCC over the whole pattern")
    handles = panels[-1].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower right", ncols=len(handles[0]), fontsize=8)
    return style.save(figure, stem, settings)


def oversampling_images(settings: FiguresSettings, stem: Path, images: list[Path]) -> list[Path] | None:
    """Central slices of one particle's patterns, true and wholly predicted (supplement, Fig. S14).

    ``images``: files of ``evaluate_oversampling``; the first particle of the first is shown.
    """
    with storage.read(images[0]) as file:
        found = {}
        for name in sorted(file):
            group = file[name]
            parts = {key: group[key] for key in sorted(group) if key != "truth"}
            method = next(
                (m for m in ("braggfill", "network", "linear") if any(m in part for part in parts.values())), ""
            )
            taken = {int(key): storage.array(part, method) for key, part in parts.items() if method in part}
            found[float(name)] = (storage.array(group, "truth"), taken)
    if not found:
        return None
    samplings = sorted(found)
    if len(samplings) > 5:
        samplings = [samplings[round(i)] for i in np.linspace(0, len(samplings) - 1, 5)]
    widths = sorted({width for _, taken in found.values() for width in taken})
    figure = style.new(0.5 + (1 + len(widths)) * 1.05 * style.WIDTH / max(len(samplings) + 0.6, 4))
    panels = figure.subplots(1 + len(widths), len(samplings), squeeze=False)
    norm = style.intensity_norm(*(found[s][0] for s in samplings))
    drawn = None
    for column, sampling in enumerate(samplings):
        truth, taken = found[sampling]
        for row, image in enumerate([truth, *(taken.get(width) for width in widths)]):
            axes = panels[row, column]
            if image is None:
                axes.axis("off")
                continue
            drawn = style.show(axes, image, norm, settings.intensity_map)
            if row:
                score = np.corrcoef(np.log1p(truth).ravel(), np.log1p(image).ravel())[0, 1]
                axes.set_xlabel(f"PCC {score:.3f}", fontsize=8)
        panels[0, column].set_title(f"oversampling {sampling:g}, {len(truth)} px")
    for axes, label in zip(panels[:, 0], ["truth", *(f"{width} px gap" for width in widths)], strict=True):
        axes.set_ylabel(label)
    style.bar(figure, drawn, list(panels.flat), "photons", shrink=0.5)
    return style.save(figure, stem, settings)


def against_position(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """PCC over the gap against its distance from the peak, a panel a width (thesis, Fig. 3.6).

    ``table``: ``evaluate/position.csv``; places are averaged over patterns in bins as wide as the places are apart.
    """
    rows = _read(table)
    method = ours(rows)
    if rows is None or method is None:
        return None
    gap = np.diff(np.unique(rows.place_px[rows.particle == rows.particle.iloc[0]]))
    spacing = max(int(gap.max()) if len(gap) else 1, 1)
    rows = rows.assign(bin=(rows.distance_px / spacing).round() * spacing)
    widths = _some(rows.gap_px)
    figure = style.new(3.7)
    panels = figure.subplots(1, len(widths) + 1, squeeze=False)[0]
    for axes, width in zip(panels, widths, strict=False):
        part = rows[rows.gap_px == width]
        for name in style.methods(part):
            _over_particles(axes, part[part.method == name], "bin", "pcc", style.COLOURS[name], style.NAMES[name])
        best = part[part.method == method].groupby("bin").ceiling.mean()
        _ceiling(axes, best.index, best)
        axes.set_title(f"{width} px gap, against counts")
    part = rows[rows.gap_px == widths[-1]]
    for name in style.methods(part):
        line = part[part.method == name]
        _over_particles(panels[-1], line, "bin", "pcc_expectation", style.COLOURS[name], style.NAMES[name])
    panels[-1].set_title(f"{widths[-1]} px gap, against the expectation")
    for axes, name in zip(panels, "abcde", strict=False):
        axes.set_xlabel("middle of the gap from the peak (px)")
        style.letter(axes, name)
    panels[0].set_ylabel("PCC over the gap")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(handles[0]), fontsize=8)
    return style.save(figure, stem, settings)


def skipped(settings: FiguresSettings, stem: Path, table: Path, images: Path) -> list[Path] | None:
    """Time and error against the pixels skipped, and the plane inside the gap at some (supplement, S10 to S12).

    ``table``, ``images``: ``evaluate/skip.csv`` and ``evaluate/skip.h5``.
    """
    rows = _read(table)
    method = "paper" if rows is not None and "paper" in set(rows.method) else ours(rows)
    if rows is None or method is None:
        return None
    known = rows[rows.method == method].step_px.to_numpy()
    steps = list(dict.fromkeys(int(known[np.argmin(np.abs(known - 1 - skip))]) for skip in SKIPPED))
    with storage.read(images) as file:
        shown = {"truth": storage.array(file, "truth")}
        missing = storage.array(file, "missing")
        for step in steps:
            shown[f"{step - 1} skipped"] = storage.array(file[method], f"{step:02d}")
    figure = style.new(5.6)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.15, 1))[:, 0]
    time, error, score = above.subplots(1, 3)
    for name in style.methods(rows):
        line = rows[rows.method == name].sort_values("step_px")
        options = {"marker": "o", "color": style.COLOURS[name], "label": style.NAMES[name]}
        time.plot(line.step_px, line.seconds, **options)
        error.plot(line.skip_px, line.log_absolute_error_sum / line.voxels, **options)
        score.plot(line.skip_px, line.pcc, **options)
    published = rows.dropna(subset=["published_seconds"]).drop_duplicates("step_px")
    if len(published):
        time.plot(published.step_px, published.published_seconds, "k*", ms=8, label="published (128³, GPU)")
    _logarithmic(time.xaxis)
    _logarithmic(time.yaxis)
    time.set_xlabel("step: pixels skipped + 1")
    time.set_ylabel(f"seconds for {int(rows.edge_px.iloc[0])}³ voxels")
    error.set_ylabel("mean |error| of log(1 + photons)")
    score.set_ylabel("PCC over the gap")
    for axes, name in zip((time, error, score), "abc", strict=True):
        style.letter(axes, name)
        if axes is not time:
            axes.set_xlabel("pixels skipped")
            axes.ticklabel_format(axis="y", useOffset=False)
    above.legend(*time.get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize=8)
    panels = below.subplots(1, len(shown), squeeze=False)[0]
    norm = style.intensity_norm(shown["truth"])
    for axes, (said, image) in zip(panels, shown.items(), strict=True):
        drawn = style.show(axes, image.T, norm, settings.intensity_map)
        axes.set_title(said)
        if said != "truth":
            truth = shown["truth"][missing]
            axes.set_xlabel(f"PCC {np.corrcoef(np.log1p(truth), np.log1p(image[missing]))[0, 1]:.4f}", fontsize=8)
    panels[0].set_ylabel("detector vertical")
    panels[0].set_xlabel("rocking angle")
    style.letter(panels[0], "d")
    colorbar = below.colorbar(drawn, ax=list(panels), shrink=0.8, pad=0.01, aspect=20)
    colorbar.set_label("photons")
    return style.save(figure, stem, settings)


def unequal(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """PCC over unequal crosses and wide gaps, and the time that each method takes for them.

    ``table``: ``evaluate/gaps.csv``.
    """
    rows = _read(table)
    if rows is None:
        return None
    names, places = style.methods(rows), list(dict.fromkeys(rows.gap))
    figure = style.new(3.6)
    score, time = figure.subplots(1, 2, width_ratios=(1.7, 1))
    for number, name in enumerate(names):
        line = rows[rows.method == name].set_index("gap")
        at = [places.index(gap) + (number - (len(names) - 1) / 2) * 0.7 / len(names) for gap in line.index]
        options = {"color": style.COLOURS[name], "marker": "o", "linestyle": "", "markersize": 6}
        score.plot(at, line.pcc, label=style.NAMES[name], **options)
        time.plot(line.voxels, line.seconds, alpha=0.85, **options)
    for place, value in enumerate(rows.drop_duplicates("gap").ceiling):
        label = "noise ceiling" if not place else None
        score.plot([place - 0.4, place + 0.4], [value, value], "--", color=style.COLOURS["ceiling"], label=label)
        if place:
            score.axvline(place - 0.5, color="#e4e4e4", linewidth=0.6)
    words = [place.replace(" across", "\nacross").replace(" cross", "\ncross") for place in places]
    score.set_xticks(range(len(places)), words)
    score.tick_params(axis="x", labelsize=7, length=0)
    score.set_ylabel("PCC over the whole gap")
    score.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    score.set_axisbelow(True)
    _logarithmic(time.xaxis, compact=True)
    _logarithmic(time.yaxis)
    time.set_xlabel("voxels missing")
    time.set_ylabel("seconds")
    figure.legend(*score.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=7)
    style.letter(score, "a")
    style.letter(time, "b")
    return style.save(figure, stem, settings)


def ours(table: pd.DataFrame | None) -> str | None:
    """The network that a figure is about: the one that comes with the package, or else the run's own."""
    names = set(table.method) if table is not None else set()
    return next((name for name in ("braggfill", "network") if name in names), None)


def _read(path: Path) -> pd.DataFrame | None:
    import pandas as pd

    table = pd.read_csv(path)
    return table if len(table) else None


def _some(widths: Iterable[int]) -> list[int]:
    """The published widths among these, or up to four of them."""
    there = sorted({int(width) for width in widths})
    return [width for width in there if width in WIDTHS] or [there[round(i)] for i in np.linspace(0, len(there) - 1, 4)]


def _band(axes: Axes, x: ArrayLike, y: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str, label: str) -> None:
    axes.plot(x, y, color=colour, label=label, zorder=3, marker="o", markersize=2.5, linewidth=1.2)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _over_particles(axes: Axes, rows: pd.DataFrame, x: str, y: str, colour: str, label: str) -> None:
    """Mean over what lies at each x, and the 95 % interval of the mean."""
    each = rows.dropna(subset=[y]).groupby(x)[y].agg(["mean", "sem"])
    reach = 1.96 * each["sem"].fillna(0)
    _band(axes, each.index, each["mean"], each["mean"] - reach, each["mean"] + reach, colour, label)


def _ceiling(axes: Axes, x: ArrayLike, y: ArrayLike) -> None:
    axes.plot(x, y, "--", color=style.COLOURS["ceiling"], linewidth=1, label="noise ceiling")


def _logarithmic(axis: Axis, compact: bool = False) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5 of each decade, also where it spans less than one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    (axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: style.compact(value) if compact else f"{value:g}"))
