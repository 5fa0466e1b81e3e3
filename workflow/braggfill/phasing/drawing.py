"""Pictures of a phased pattern: slices, and the phase retrieval transfer function."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braggfill.phasing import summary
from braggfill.phasing.realspace import RealSpace
from braggfill.phasing.result import Phased
from braggfill.physics import support
from braggfill.runs import storage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DETECTOR = (("rocking", "vertical", "horizontal"), "voxel")
LABORATORY = (("z", "y", "x"), "nm")
MARGIN = 3


def slices(found: Phased, real: RealSpace | None = None) -> Figure:
    """Three slices through the middle of the object: modulus, phase, its spread, and strain where it is known.

    With a geometry they are in the laboratory's frame, in nanometres.
    """
    panels, inside, (names, unit), step = _panels(found, real)
    from matplotlib.figure import Figure

    box = support.bounding_box(inside) if inside.any() else tuple(slice(0, n) for n in inside.shape)
    cut = tuple(
        slice(max(b.start - MARGIN, 0), min(b.stop + MARGIN, n)) for b, n in zip(box, inside.shape, strict=True)
    )
    middle = [(b.start + b.stop) // 2 for b in box]
    sizes = [c.stop - c.start for c in cut]
    heights = [min(max(sizes[d] / sizes[a], 0.4), 2.0) for d, a in ((1, 2), (0, 2), (0, 1))]
    figure = Figure(figsize=(3.5 * len(panels) + 0.4, 2.7 * sum(heights) + 2), layout="constrained")
    axes = figure.subplots(3, len(panels), squeeze=False, height_ratios=heights)
    for row, axis in zip(axes, range(3), strict=True):
        down, across = (a for a in range(3) if a != axis)
        place = [(np.array([cut[a].start, cut[a].stop]) - 0.5 - inside.shape[a] // 2) * step for a in (across, down)]
        for panel, (title, values, style, bar) in zip(row, panels, strict=True):
            image = np.take(values, middle[axis], axis=axis)[cut[down], cut[across]]
            shown = panel.imshow(
                image, origin="lower", extent=(*place[0], *place[1]), aspect="equal", interpolation="nearest", **style
            )
            panel.set_facecolor("0.92")
            panel.set_xlabel(f"{names[across]} ({unit})")
            figure.colorbar(shown, ax=panel, shrink=0.8, label=bar)
            if axis == 0:
                panel.set_title(title)
        row[0].set_ylabel(f"{names[down]} ({unit})")
        for panel in row[1:]:
            panel.set_ylabel("")
    return figure


def _panels(
    found: Phased, real: RealSpace | None
) -> tuple[list[tuple[str, np.ndarray, dict[str, Any], str]], Any, Any, float]:
    """(title, values, how to draw them, unit) each; the support; names and unit of the axes; a voxel's length."""
    obj, inside = (found.obj, found.support) if real is None else (real.obj, real.support)
    outside = ~summary.core(obj, inside)
    turned = np.ma.masked_array(np.angle(obj), outside)
    top = float(np.percentile(np.abs(obj)[inside], 99.5)) if inside.any() else 1.0
    panels = [
        ("modulus", np.abs(obj), {"cmap": "gray_r", "vmin": 0, "vmax": top or 1.0}, ""),
        ("phase", turned, {"cmap": "twilight", "vmin": -np.pi, "vmax": np.pi}, "rad"),
    ]
    if len(found.chosen) > 1:
        spread = np.ma.masked_where(outside, (found if real is None else real).phase_std)
        panels.append(("phase spread between runs", spread, {"cmap": "viridis", "vmin": 0, "vmax": 1}, "rad"))
    if real is None:
        return panels, inside, DETECTOR, 1.0
    known = real.strain[np.isfinite(real.strain) & ~outside]
    reach = float(np.percentile(np.abs(known), 98)) if known.size else 1e-4
    style = {"cmap": "RdBu_r", "vmin": -reach * 100, "vmax": reach * 100}
    panels.append(
        ("strain along Q", np.ma.masked_where(outside | ~np.isfinite(real.strain), real.strain * 100), style, "%")
    )
    return panels, inside, LABORATORY, real.voxel_nm


def transfer(found: Phased) -> Figure:
    """The phase retrieval transfer function, and where it falls below 1/e."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    radii, values = found.prtf
    axes.plot(radii, values, color="tab:blue")
    axes.axhline(1 / np.e, color="0.6", linestyle="--", linewidth=1)
    axes.text(0.5, 1 / np.e + 0.01, "1/e", ha="right", va="bottom", color="0.4")
    axes.set(xlim=(0, 0.5), ylim=(0, 1.05), xlabel="spatial frequency (cycles a voxel)", ylabel="PRTF")
    return figure


def save(path: str | Path, found: Phased, real: RealSpace | None = None) -> None:
    """The slices as ``.png``, ``.svg`` or ``.pdf``, whole or not at all; the verdict stands above them."""
    figure = slices(found, real)
    figure.suptitle(f"{found.verdict.word}: free log-likelihood {found.llk_free:.3g}", fontsize=12)
    with storage.replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def png(figure: Figure, dpi: int = 100) -> bytes:
    """A figure's bytes."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi)
    return content.getvalue()
