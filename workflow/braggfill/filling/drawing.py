"""A picture of what was filled: slices before, after, and their uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLANES = ((0, "vertical", "horizontal"), (1, "rocking", "horizontal"), (2, "rocking", "vertical"))


def brightest(data: np.ndarray, mask: np.ndarray) -> tuple[int, int, int]:
    """Index of the brightest measured voxel."""
    first, second, third = np.unravel_index(int(np.argmax(np.where(mask, 0, data))), data.shape)
    return int(first), int(second), int(third)


def slices(intensity: np.ndarray, data: np.ndarray, mask: np.ndarray, sigma: np.ndarray) -> Figure:
    """The three slices through the brightest measured voxel, before and after, and relative uncertainty if known.

    Parameters
    ----------
    intensity, data, mask, sigma : the scan, the filled scan, True where filled, standard deviation in photons or NaN.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    peak = brightest(data, mask)
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
    return figure
