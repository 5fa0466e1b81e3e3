"""Residuals of a filling over its stated uncertainty, (filled − true) / σ: maps and distribution."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style
from braggfill.stages.figures.slices import Case, load

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REACH = 4.0
"""End of the scale, standard deviations."""


def maps(settings: FiguresSettings, stem: Path, scan: Path, cases: Path, width: int) -> list[Path] | None:
    """For each method that states an uncertainty: two planes of residuals in the gap, and their distribution.

    Planes: the detector's through the peak, and the one inside the vertical gap.  None where no method states one.
    """
    case = load(scan, cases, f"cross-{width:02d}")
    if case is None:
        return None
    with storage.read(cases) as file:
        known = file[f"cross-{width:02d}"].get("sigma", {})
        sigmas = {name: storage.array(known, name) for name in known}
    residuals = {}
    for name in style.ordered(sigmas):
        sigma = np.asarray(sigmas[name], float)
        if name in case.filled and np.isfinite(sigma).any():
            cube = np.full(case.truth.shape, np.nan)
            with np.errstate(divide="ignore", invalid="ignore"):
                cube[case.mask] = (case.filled[name][case.mask] - case.truth[case.mask]) / sigma
            residuals[name] = cube
    if not residuals:
        return None
    columns = np.flatnonzero(case.mask.all(axis=(0, 1)))
    middle = int(columns[len(columns) // 2]) if len(columns) else case.peak[2]
    figure = style.new(0.4 + 3.0 * len(residuals))
    panels = figure.subplots(len(residuals), 3, squeeze=False, width_ratios=(1, 1.2, 1))
    for line, (name, cube) in zip(panels, residuals.items(), strict=True):
        views = ((cube[case.peak[0]], "detector horizontal (px)"), (cube[:, :, middle].T, "rocking step (frame)"))
        for axes, (image, across) in zip(line, views, strict=False):
            drawn = style.show(axes, image, style.symmetric(REACH), "RdBu_r")
            axes.set_xlabel(across)
        line[0].set_ylabel(f"{style.NAMES[name]}\ndetector vertical (px)")
        style.bar(figure, drawn, list(line[:2]), "(filled − true) / σ", ticks=[-4, -2, 0, 2, 4], extend="both")
        _distribution(line[2], cube[np.isfinite(cube)], style.COLOURS[name])
    best = next((name for name in ("braggfill", "network") if name in residuals), next(iter(residuals)))
    return [*style.save(figure, stem, settings), _volumes(stem, case, best, sigmas[best], residuals[best])]


def _volumes(stem: Path, case: Case, method: str, sigma: np.ndarray, residual: np.ndarray) -> Path:
    """A page with the scan as volumes: filled, as measured, with its gap, and the residuals."""
    from braggfill.viewing import page
    from braggfill.viewing.volumes import Layer, Stack

    filled = case.filled[method]
    relative = np.full(filled.shape, np.nan)
    relative[case.mask] = np.asarray(sigma, float) / np.maximum(filled[case.mask], 1.0)
    layers = [
        Layer(f"filled by {style.NAMES[method]}", filled, "photons", "counts"),
        Layer("with the gap", case.truth, "photons", "counts", hide_masked=True),
        Layer("as measured", case.truth, "photons", "counts"),
        Layer("(filled − true) / σ", residual, "σ", "signed", top=REACH),
    ]
    title = f"Measured scan, {case.width} px cross"
    first, second, third = case.peak
    stack = Stack(title, layers, mask=case.mask, sigma=relative, start=(first, second, third))
    path = stem.with_suffix(".html")
    storage.write_text(path, page.html(title, stacks=[stack], surfaces=[]))
    return path


def _distribution(axes: Axes, values: np.ndarray, colour: str) -> None:
    """Histogram of the residuals beside a normal distribution."""
    edges = np.linspace(-6, 6, 61)
    axes.hist(np.clip(values, -6, 6), list(edges), density=True, color=colour, alpha=0.7)
    middles = (edges[1:] + edges[:-1]) / 2
    axes.plot(middles, np.exp(-(middles**2) / 2) / np.sqrt(2 * np.pi), color="black", linewidth=1)
    axes.set_yscale("log")
    axes.set_ylim(1e-4, 3)
    axes.set_xlabel("(filled − true) / σ")
    axes.set_title(f"{np.mean(np.abs(values) <= 1):.0%} within 1 σ, {np.mean(np.abs(values) <= 2):.0%} within 2 σ")
