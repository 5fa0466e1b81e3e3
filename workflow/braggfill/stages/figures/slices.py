"""The measured scan, its gaps filled: slices across and inside the gap (paper, Figs 3 and 4; supplement, Fig. S9)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from braggfill.patterns import metrics
from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style

REACH = 24
"""Voxels around the centre of the cross that the enlarged slices show."""


@dataclass(frozen=True)
class Case:
    """A gap in the measured cube, and what each method put into it."""

    name: str
    width: int
    truth: np.ndarray
    mask: np.ndarray
    filled: dict[str, np.ndarray]
    peak: tuple[int, ...]


def gap_slices(settings: FiguresSettings, stem: Path, scan: Path, cases: Path, width: int) -> list[Path] | None:
    """In-gap intensity, true and filled by each method, for the cross gap of ``width`` voxels.

    First row: the detector's plane through the peak, enlarged around the crossing (Fig. 4).  Second row: the plane
    inside the vertical gap, rocking angle against detector vertical (Figs 3 and S9).  None where there is no such case.
    """
    case = load(scan, cases, f"cross-{width:02d}")
    if case is None:
        return None
    row, column = (_arm(case.mask, axis) for axis in (1, 2))
    middle = (column.start + column.stop - 1) // 2
    figure = style.new(4.6)
    panels = figure.subplots(2, 2 + len(case.filled), width_ratios=(1.35, *[1] * (1 + len(case.filled))))
    images = {"truth": case.truth, **case.filled}
    frame = case.truth[case.peak[0]]
    near = tuple(
        slice(max(c - REACH, 0), min(c + REACH, n))
        for c, n in zip(((row.start + row.stop) // 2, (column.start + column.stop) // 2), frame.shape, strict=True)
    )
    norm = style.intensity_norm(frame)
    drawn = style.show(panels[0, 0], frame, norm, settings.intensity_map, hidden=case.mask[case.peak[0]])
    panels[0, 0].axvline(middle, color="#d62728", linestyle="--", linewidth=1)
    panels[0, 0].set_title(f"measured, {case.width} px cross")
    panels[0, 0].set_ylabel("detector vertical")
    panels[0, 0].set_xlabel("detector horizontal")
    inner = style.intensity_norm(case.truth[:, :, column])
    gap = case.mask[case.peak[0]][near]
    for number, (method, image) in enumerate(images.items()):
        above, below = panels[0, number + 1], panels[1, number + 1]
        style.show(above, image[case.peak[0]][near], norm, settings.intensity_map)
        above.contour(gap.astype(float), levels=[0.5], colors="white", linewidths=0.7, linestyles=":")
        above.set_title(style.NAMES[method].replace(" ", "\n", 1))
        lower = style.show(below, image[:, :, middle].T, inner, settings.intensity_map)
        if method != "truth":
            score = metrics.pcc(np.log1p(case.truth[case.mask]), np.log1p(image[case.mask]))
            above.set_xlabel(f"PCC {score:.3f}")
            score = metrics.pcc(np.log1p(case.truth[:, :, middle]), np.log1p(image[:, :, middle]))
            below.set_xlabel(f"PCC {score:.3f}")
    panels[1, 1].set_ylabel("detector vertical")
    panels[1, 1].set_xlabel("rocking angle")
    _profile(panels[1, 0], images, case, middle)
    style.bar(figure, drawn, list(panels[0]), "photons")
    style.bar(figure, lower, list(panels[1]), "photons")
    for axes, name in zip((panels[0, 0], panels[0, 1], panels[1, 0], panels[1, 1]), "abcd", strict=True):
        style.letter(axes, name)
    return style.save(figure, stem, settings)


def detector(settings: FiguresSettings, stem: Path, scan: Path, cases: Path) -> list[Path] | None:
    """The scan under a real detector's mask, before and after filling.

    Rows: detector plane through the peak, and the plane inside the vertical gap.  None where there is no such case.
    """
    with storage.read(cases) as file:
        names = [name for name in file if name.startswith("detector-")]
    case = load(scan, cases, names[0]) if names else None
    if case is None:
        return None
    method = next(iter(case.filled))
    middle = _arm(case.mask, 2)
    middle = (middle.start + middle.stop - 1) // 2
    figure = style.new(6.4)
    panels = figure.subplots(2, 3)
    views = (
        (lambda array: array[case.peak[0]], "detector horizontal", "detector vertical"),
        (lambda array: array[:, :, middle].T, "rocking angle", "detector vertical"),
    )
    for row, (cut, across, up) in zip(panels, views, strict=True):
        truth, mask, filled = cut(case.truth), cut(case.mask), cut(case.filled[method])
        norm = style.intensity_norm(truth)
        style.show(row[0], truth, norm, settings.intensity_map, hidden=mask)
        style.show(row[1], filled, norm, settings.intensity_map)
        drawn = style.show(row[2], truth, norm, settings.intensity_map)
        row[0].set_ylabel(up)
        row[0].set_xlabel(across)
        score = metrics.pcc(np.log1p(truth[mask]), np.log1p(filled[mask]))
        row[1].set_xlabel(f"PCC in the gap of this slice {score:.3f}")
        style.bar(figure, drawn, list(row), "photons")
    name = case.name.removeprefix("detector-").capitalize()
    for axes, title in zip(panels[0], (f"behind the {name}", f"filled by {method}", "measured"), strict=True):
        axes.set_title(title)
    style.letter(panels[0, 0], "a")
    style.letter(panels[1, 0], "b")
    return style.save(figure, stem, settings)


def load(scan: Path, cases: Path, name: str) -> Case | None:
    """One case of ``inpaint``, each method's cube whole; None if it is not in the file."""
    with storage.read(cases) as file:
        if name not in file:
            return None
        origin, shape, peak = (np.asarray(file.attrs[key]) for key in ("crop_origin", "crop_shape", "peak"))
        mask = storage.array(file[name], "mask")
        width = int(file[name].attrs["width_px"])
        values = {method: storage.array(file[name]["filled"], method) for method in file[name]["filled"]}
    with storage.read(scan) as file:
        cube = storage.array(file, "data")[tuple(slice(o, o + n) for o, n in zip(origin, shape, strict=True))]
    truth = np.clip(cube, 0, None).astype(np.float32)
    filled = {}
    for method in style.ordered(values):
        filled[method] = truth.copy()
        filled[method][mask] = values[method]
    return Case(name, width, truth, mask, filled, tuple(int(p) for p in peak - origin))


def _arm(mask: np.ndarray, axis: int) -> slice:
    """The first run of planes across ``axis`` that are wholly missing."""
    others = tuple(a for a in range(mask.ndim) if a != axis)
    lines = np.flatnonzero(mask.all(axis=others))
    if len(lines) == 0:
        lines = np.array([int(np.argmax(mask.sum(axis=others)))])
    end = np.flatnonzero(np.diff(lines) > 1)
    return slice(int(lines[0]), int(lines[end[0] if len(end) else -1]) + 1)


def _profile(axes: Axes, images: dict[str, np.ndarray], case: Case, middle: int) -> None:
    """Photons along the detector's vertical inside the gap, at the rocking angle of the peak."""
    for method, image in images.items():
        line = np.maximum(image[case.peak[0], :, middle], style.FAINTEST / 2)
        if method == "truth":
            axes.plot(line, color="black", linewidth=0.8, label="truth")
        elif method in ("network", "braggfill", "linear"):
            axes.plot(line, color=style.COLOURS[method], linewidth=1.3, label=style.NAMES[method])
    axes.set_yscale("log")
    axes.set_xlabel("detector vertical (px)")
    axes.set_ylabel("photons in the gap")
    axes.set_box_aspect(0.8)
    axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.12), ncols=2, handlelength=1.2, columnspacing=1)
