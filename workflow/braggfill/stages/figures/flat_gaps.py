"""Gaps in two dimensions: what networks and losses put into them, and where they do well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from braggfill.patterns import metrics
from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.settings.flat import FINAL, OWN
from braggfill.stages.figures import style

NETWORKS = {
    "unet": "U-Net",
    "msd": "MSD-Net",
    "unet_mod": "modified U-Net",
    "braggfill": "braggfill, final loss",
    f"braggfill ({OWN})": "braggfill",
    "linear": "linear",
    "ceiling": "perfect expectation",
}
"""Names of networks, as tables of the sweeps have them."""
LOSSES = {
    "mse": "MSE",
    "mae": "MAE",
    "ssim": "SSIM",
    "mse_ssim": "MSE + SSIM",
    FINAL: "MSE + SSIM + gradients",
    OWN: "MSE + likelihood",
}
COLOURS = {
    "unet": "#e69f00",
    "msd": "#009e73",
    "unet_mod": "#cc79a7",
    f"braggfill ({OWN})": "#0072b2",
    "linear": "#8c8c8c",
    "ceiling": "#222222",
}
SHOWN = 2
"""Patterns of a figure."""


def losses(settings: FiguresSettings, stem: Path, cells: list[Path], baseline: Path) -> list[Path]:
    """The same gaps filled by the U-Net trained with each loss (Fig. 3.4)."""
    files = {name: path for name, path in _cells(cells).items() if name[0] == "unet"}
    return _filled(settings, stem, {LOSSES[loss]: files[n, loss] for loss in LOSSES for n in ["unet"]
                                    if (n, loss) in files}, baseline)  # fmt: skip


def networks(settings: FiguresSettings, stem: Path, cells: list[Path], baseline: Path) -> list[Path]:
    """The same gaps filled by each network trained with the final loss (Fig. 3.5)."""
    files = _cells(cells)
    chosen = {NETWORKS[n]: files[n, FINAL] for n in ("unet", "msd", "unet_mod") if (n, FINAL) in files}
    if ("braggfill", OWN) in files:
        chosen["braggfill"] = files["braggfill", OWN]
    return _filled(settings, stem, chosen, baseline, linear=True)


def _cells(paths: list[Path]) -> dict[tuple[str, str], Path]:
    """Files by network and loss; of several widths the last."""
    found = {}
    for path in paths:
        network, loss, _ = path.stem.removeprefix("gap-").split("-")
        found[network, loss] = path
    return found


def _filled(
    settings: FiguresSettings, stem: Path, files: dict[str, Path], baseline: Path, *, linear: bool = False
) -> list[Path]:
    with storage.read(baseline) as file:
        seen, mask, between = (storage.array(file, f"examples/{name}") for name in ("seen", "mask", "linear"))
    columns: list[tuple[str, np.ndarray]] = [("truth", seen)]
    for name, path in files.items():
        with storage.read(path) as file:
            columns.append((name, storage.array(file, "examples/filled")))
    if linear:
        columns.append(("linear", np.where(mask, between, seen)))
    rows = min(SHOWN, len(seen))
    figure = style.new(rows * style.WIDTH / len(columns) * 1.16 + 0.2)
    panels = figure.subplots(rows, len(columns) + 0, squeeze=False)
    drawn: Any = None
    for row in range(rows):
        photons = [np.expm1(np.maximum(values[row], 0)) for _, values in columns]
        norm = style.intensity_norm(photons[0])
        for column, ((name, values), image) in enumerate(zip(columns, photons, strict=True)):
            axes = panels[row, column]
            drawn = style.show(axes, image, norm, settings.intensity_map)
            axes.contour(mask[row].astype(float), levels=[0.5], colors="white", linewidths=0.6, linestyles=":")
            if row == 0:
                axes.set_title(name)
            if column:
                score = metrics.pcc(seen[row].astype(float), values[row].astype(float), mask[row])
                axes.set_xlabel(f"PCC {score:.3f}", fontsize=8)
    style.bar(figure, drawn, list(panels.flat), "photons", shrink=0.6)
    return style.save(figure, stem, settings)


def sweeps(settings: FiguresSettings, stem: Path, position: Path, oversampling: Path) -> list[Path]:
    """PCC against the place of a vertical gap (Fig. 3.6) and against the oversampling (Fig. 3.7)."""
    import pandas as pd

    places, ratios = pd.read_csv(position), pd.read_csv(oversampling)
    figure = style.new(3.6)
    left, right = figure.subplots(1, 2)
    for name in COLOURS:
        options = {"color": COLOURS[name], "label": NETWORKS[name]}
        options |= {"linestyle": "--"} if name == "ceiling" else {}
        line = places[places.network == name].sort_values("place_px")
        left.plot(line.place_px, line.pcc, **options)
        if name.startswith("braggfill"):
            spread = line.pcc_std / np.sqrt(line.patterns)
            left.fill_between(
                line.place_px, line.pcc - 2 * spread, line.pcc + 2 * spread, alpha=0.2, color=COLOURS[name]
            )
        line = ratios[ratios.network == name].sort_values("oversampling")
        right.plot(line.oversampling, line.pcc, **options)
    left.set_xlabel("middle of the gap, pixels from the peak")
    right.set_xlabel("oversampling")
    for axes, letter in ((left, "a"), (right, "b")):
        axes.set_ylabel("PCC over the gap")
        style.letter(axes, letter)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return style.save(figure, stem, settings)
