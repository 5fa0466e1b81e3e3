"""What all figures share: fonts, colours, the scale of intensities, and how they are saved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from braggfill.filling.methods import NAMES as METHODS
from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.typing import RcKeyType

WIDTH = 10.0
"""Inches across the page."""
GREY = "#b4bac2"
"""Masked voxels."""
FAINTEST = 0.5
"""Photons a voxel at the dark end of the intensity scale: what holds less is as dark."""


class _Colours(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "#888888"


class _Names(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return name


COLOURS = _Colours(
    {
        "network": "#0072b2",
        "braggfill": "#56b4e9",
        "finite": "#1f3a5f",
        "linear": "#e69f00",
        "cubic": "#009e73",
        "nearest": "#cc79a7",
        "paper": "#b2182b",
        "idw": "#999933",
        "biharmonic": "#6a51a3",
        "gap": "#b2182b",
        "free": "#b2182b",
        "zeros": "#555555",
        "streaks": "#e69f00",
        "bounded": "#3b7d4f",
        "guided": "#1b9e77",
        "late": "#7570b3",
        "sure": "#0072b2",
        "soft": "#e7298a",
        "whole": "#222222",
        "ceiling": "#666666",
    }
)
"""Of methods and treatments; grey, if there is none here."""
NAMES = _Names(
    {
        "network": "network of this run",
        "braggfill": "shipped network",
        "finite": "shipped, finite crystal",
        "linear": "linear",
        "cubic": "cubic",
        "nearest": "nearest",
        "paper": "published network",
        "idw": "inverse distance",
        "biharmonic": "biharmonic",
        "gap": "gap left empty",
        "free": "gap masked",
        "zeros": "zeros in the gap",
        "streaks": "free near streaks",
        "bounded": "free within bounds",
        "guided": "bounds, then free",
        "late": "filled, then free",
        "sure": "filled where sure",
        "soft": "filled, weighted",
        "whole": "no gap",
        "truth": "truth",
    }
)
"""Of methods and treatments, as figures and tables call them; their own name, if there is none here."""
STYLE: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "svg.hashsalt": "braggfill",
    "svg.fonttype": "path",
}


def methods(table: pd.DataFrame) -> list[str]:
    """The methods of a table with a column ``method``, in the order of the registry."""
    return ordered(set(table.method))


def ordered(names: Iterable[str]) -> list[str]:
    """Names of methods in the order of the registry; others after them, as they come."""
    places = {name: place for place, name in enumerate(METHODS)}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def new(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, inches, laid out by constraints."""
    matplotlib.rcParams.update(STYLE)
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, stem: Path, settings: FiguresSettings) -> list[Path]:
    """Write the figure as ``<stem>.png`` and ``<stem>.svg``, those formats that the settings ask for."""
    written = []
    for kind in settings.formats:
        path = stem.with_name(f"{stem.name}.{kind}")
        with matplotlib.rc_context(STYLE), storage.replacing(path) as temporary:
            metadata = {"Date": None} if kind == "svg" else {"Software": None}
            figure.savefig(temporary, dpi=settings.dpi, metadata=metadata)
            figure.set_layout_engine("none")  # laid out once, for every format
        written.append(path)
    return written


def intensity_norm(*arrays: np.ndarray) -> LogNorm:
    """The logarithmic scale that holds every given array, from half a photon up."""
    top = max((float(np.nanmax(array)) for array in arrays if array.size), default=1.0)
    return LogNorm(FAINTEST, max(top, 10.0))


def symmetric(reach: float) -> Normalize:
    """A linear scale with zero in the middle."""
    return Normalize(-reach, reach)


def q_axes(axes: Axes, shape: Sequence[int], steps: Sequence[float]) -> None:
    """Ticks in q on an image whose unit is the voxel: rows along the first, the origin in the voxel n // 2.

    Parameters
    ----------
    shape, steps : voxels, and Å⁻¹ (cycles) a voxel, of rows and columns.
    """
    for axis, number, step in ((axes.yaxis, shape[0], steps[0]), (axes.xaxis, shape[1], steps[1])):
        reach = number / 2 * step
        power = 10.0 ** np.floor(np.log10(reach))
        tick = next(factor * power for factor in (5, 2, 1, 0.5) if factor * power < reach)
        axis.set_ticks([number // 2 + q / step for q in (-tick, 0, tick)], [f"{q:g}" for q in (-tick, 0, tick)])
    axes.tick_params(length=2, labelsize=7)


def show(
    axes: Axes,
    image: np.ndarray,
    norm: Any,
    cmap: str,
    *,
    hidden: np.ndarray | None = None,
    extent: tuple[float, float, float, float] | None = None,
    aspect: Literal["equal", "auto"] | float = "equal",
) -> AxesImage:
    """One slice, no ticks, rows upwards; ``hidden`` voxels and what is not a number are grey.

    On a logarithmic scale what is below its dark end takes the darkest colour.
    """
    image = np.asarray(image, float)
    if isinstance(norm, LogNorm) and norm.vmin is not None:
        image = np.where(np.isnan(image), np.nan, np.maximum(image, norm.vmin))
    shown = np.ma.masked_invalid(image if hidden is None else np.where(hidden, np.nan, image))
    colours = matplotlib.colormaps[cmap].with_extremes(bad=GREY)
    drawn = axes.imshow(
        shown, norm=norm, cmap=colours, origin="lower", extent=extent, aspect=aspect, interpolation="nearest"
    )
    bare(axes)
    return drawn


def bare(axes: Axes) -> None:
    """No ticks, a thin frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(True)
        side.set_linewidth(0.5)


def bar(figure: Figure, drawn: Any, axes: Any, label: str, **options: Any) -> None:
    """A colour bar beside one or more panels."""
    colorbar = figure.colorbar(drawn, ax=axes, **{"shrink": 0.9, "pad": 0.01, "aspect": 25, **options})
    colorbar.set_label(label)
    colorbar.outline.set_linewidth(0.5)


def scale_bar(axes: Axes, length: float, label: str, colour: str = "black") -> None:
    """A bar of ``length`` data units in the lower left corner of a panel, with its label."""
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    x, y = low + 0.06 * (high - low), bottom + 0.06 * (top - bottom)
    axes.plot([x, x + length], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
    axes.text(x + length / 2, y + 0.02 * (top - bottom), label, ha="center", va="bottom", color=colour, fontsize=7)


def length_bar(axes: Axes, voxel_nm: float, colour: str = "black") -> None:
    """A scale bar of a round length, about a third of the panel, on an image whose unit is the voxel."""
    low, high = axes.get_xlim()
    most = (high - low) * voxel_nm / 3
    power = 10.0 ** np.floor(np.log10(most))
    length = max(step * power for step in (1, 2, 5) if step * power <= most)
    scale_bar(axes, length / voxel_nm, f"{length:g} nm", colour)


def letter(axes: Axes, text: str) -> None:
    """A panel's letter, outside its upper left corner."""
    axes.annotate(text, (0, 1), (-2, 3), "axes fraction", "offset points", fontweight="bold", ha="right", va="bottom")


def compact(number: float) -> str:
    """Two figures of a number that may be very large: 0.34, 5.2, 250, 1.2k, 58k, 1.2M."""
    for power, unit in ((9, "G"), (6, "M"), (3, "k")):
        if number >= 0.995 * 10**power:
            return f"{float(f'{number / 10**power:.2g}'):g}{unit}"
    return f"{float(f'{number:.2g}'):g}"
