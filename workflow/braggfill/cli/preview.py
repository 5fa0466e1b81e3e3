"""A picture of what was filled: slices before, after, and their uncertainty."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.runs import storage
from braggfill.scans.output import check_place

FORMATS = (".png", ".svg", ".pdf")
PLANES = ((0, "vertical", "horizontal"), (1, "rocking", "horizontal"), (2, "rocking", "vertical"))


def save(path: str | Path, intensity: np.ndarray, data: np.ndarray, mask: np.ndarray, sigma: np.ndarray) -> None:
    """Draw the three slices through the brightest measured voxel, before and after, and relative uncertainty if known.

    Parameters
    ----------
    path : ``.png``, ``.svg`` or ``.pdf``.
    intensity, data, mask, sigma : the scan, the filled scan, True where filled, standard deviation in photons or NaN.

    Raises
    ------
    BraggfillError : matplotlib is not installed, or ``path`` cannot be written.
    """
    check(path)
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    peak = np.unravel_index(int(np.argmax(np.where(mask, 0, data))), data.shape)
    top = max(float(data[peak]), 10.0)
    known = bool(np.isfinite(sigma[mask]).any())
    columns = ["before", "after", *(["uncertainty / filled value"] if known else [])]
    figure = Figure(figsize=(3.6 * len(columns) + 0.6, 10), layout="constrained")
    axes = figure.subplots(3, len(columns), squeeze=False)
    norm = LogNorm(0.5, top, clip=True)
    for row, (axis, vertical, horizontal) in zip(axes, PLANES, strict=True):
        index = int(peak[axis])
        cut = [np.take(array, index, axis=axis) for array in (intensity, data, mask, sigma)]
        before = np.ma.masked_where(cut[2], cut[0])
        for panel, image in zip(row, (before, cut[1]), strict=False):
            shown = panel.imshow(np.ma.maximum(image, 0.5), norm=norm, cmap="inferno", aspect="auto", origin="lower")
            panel.set_facecolor("lightskyblue")
        if known:
            relative = np.ma.masked_where(~cut[2] | ~np.isfinite(cut[3]), cut[3] / np.maximum(cut[1], 1.0))
            spread = row[2].imshow(relative, vmin=0, vmax=1, cmap="viridis", aspect="auto", origin="lower")
            figure.colorbar(spread, ax=row[2], shrink=0.8)
        figure.colorbar(shown, ax=row[1], shrink=0.8, label="photons")
        for panel in row:
            panel.set_xlabel(f"{horizontal} (px)")
        row[0].set_ylabel(f"{vertical} (px), at {('rocking', 'vertical', 'horizontal')[axis]} {index}")
    for panel, title in zip(axes[0], columns, strict=True):
        panel.set_title(title)
    with storage.replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def check(path: str | Path, *, force: bool = True) -> None:
    """Find out before the work whether a preview can be drawn; an existing file is overwritten only by ``force``."""
    import importlib.util

    if Path(path).suffix.lower() not in FORMATS:
        raise BraggfillError(f"{path}: a preview is a .png, .svg or .pdf file; give it that suffix")
    check_place(path, force=force)
    if importlib.util.find_spec("matplotlib") is None:
        raise BraggfillError("--preview: needs matplotlib; pip install 'braggfill[preview]'")
