"""A filled pattern in a line, and in a notebook."""

from __future__ import annotations

import base64
import html as escape
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from braggfill.filling.inpainting import Filled


def summary(filled: Filled) -> str:
    """Shape, share that was filled, method and how uncertain it is."""
    shape = " × ".join(map(str, filled.data.shape))
    by = f" by {filled.method}" if filled.method else ""
    return f"{shape}, {filled.mask.mean():.1%} filled{by}, {_uncertainty(filled)}"


def _uncertainty(filled: Filled) -> str:
    from braggfill.filling import trust

    if not filled.mask.any():
        return "nothing to fill"
    if not trust.states_uncertainty(filled.sigma, filled.mask):
        return "no uncertainty"
    unit = filled.photons_per_unit
    found = trust.uncertainty(filled.data[filled.mask] * unit, filled.sigma[filled.mask] * unit)
    return f"uncertain by {np.nanmedian(found):.2f} times counting noise (median)"


def html(filled: Filled) -> str:
    """The summary, and the slices through the brightest measured voxel if matplotlib is there."""
    told = f"<div><b>Filled</b> {escape.escape(summary(filled))}</div>"
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return told
    data = np.maximum(np.asarray(filled.data, float), 0)
    peak = np.unravel_index(int(np.argmax(np.where(filled.mask, 0, data))), data.shape)
    logs = np.log10(1 + data * filled.photons_per_unit)
    figure = Figure(figsize=(9, 3), layout="constrained")
    for axis, panel in enumerate(figure.subplots(1, 3)):
        panel.imshow(logs.take(peak[axis], axis), origin="lower", cmap="viridis", vmin=0, vmax=logs.max())
        hidden = filled.mask.take(peak[axis], axis)
        if hidden.any() and not hidden.all():
            panel.contour(hidden, levels=[0.5], colors="white", linewidths=0.6)
        panel.set_title(f"axis {axis} at {peak[axis]}", fontsize=9)
        panel.set_axis_off()
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=80)
    image = base64.b64encode(content.getvalue()).decode()
    return f'{told}<img alt="log10(1 + photons), filled voxels outlined" src="data:image/png;base64,{image}"/>'
