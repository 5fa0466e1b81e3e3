"""Real space: objects from patterns whole, with gap and filled (paper, Fig. 7; supplement, Figs S15 to S21)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from matplotlib.colors import Normalize

from braggfill.filling.methods import INTERPOLATIONS, WITH_NETWORK
from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style

ORDER = ("truth", "whole", "gap", "free", "streaks", "zeros", *INTERPOLATIONS, *WITH_NETWORK)
ORDER += ("bounded", "guided", "late", "sure", "soft")
LABELS = {"intensity": "photons", "modulus": "modulus", "phase": "phase (rad)", "strain": "strain (10⁻⁴)"}
AXIS = "0"
"""Slices across this axis show both arms of the cross."""


def true_phase(settings: FiguresSettings, stem: Path, objects: Path) -> list[Path] | None:
    """Intensity, modulus, phase and strain without a gap, with a 9 px cross (or the nearest width), and filled.

    ``objects``: ``true_phase.h5`` of ``reconstruct``.  All phase and all strain are errors there.
    """
    with storage.read(objects) as file:
        widths = sorted(int(name.removeprefix("gap-")) for name in file if name.startswith("gap-"))
        if not widths:
            return None
        width = min(widths, key=lambda w: abs(w - 9))
        case = file[f"gap-{width:02d}"]
        columns = {"whole": file["whole"], **{name: case[name] for name in sorted(case, key=_place)}}
        return _compare(settings, stem, columns, f"{width} px cross", "gap")


def widths(settings: FiguresSettings, stem: Path, objects: Path) -> list[Path] | None:
    """Phase and strain for each width of the gap, left empty and filled (supplement, Fig. S16; thesis, Fig. 3.21).

    ``objects``: ``true_phase.h5`` of ``reconstruct``.
    """
    with storage.read(objects) as file:
        found = sorted(name for name in file if name.startswith("gap-"))
        if not found:
            return None
        best = next((name for name in ("braggfill", "network", "linear") if name in file[found[0]]), "gap")
        voxel_nm = _voxel_nm({"whole": file["whole"]}) if "whole" in file else None
        names = list(dict.fromkeys(["gap", best]))
        images = {
            (field, name, width): storage.array(file[f"{width}/{name}"][field], AXIS)
            for field in ("phase", "strain")
            for name in names
            for width in found
        }
    near = _window(images["phase", "gap", found[0]])
    figure = style.new(0.5 + len(names) * style.WIDTH / (2 * len(found) + 2))
    halves = figure.subplots(len(names), 2 * len(found), squeeze=False)
    for number, field in enumerate(("phase", "strain")):
        panels = halves[:, number * len(found) : (number + 1) * len(found)]
        norm, cmap = _scale(field, {"gap": _levelled(images[field, "gap", found[-1]], field)}, "gap", settings)
        for line, name in zip(panels, names, strict=True):
            for axes, width in zip(line, found, strict=True):
                drawn = style.show(axes, _levelled(images[field, name, width], field)[near], norm, cmap)
                if voxel_nm and width == found[0]:
                    style.length_bar(axes, voxel_nm)
                if name == names[0]:
                    axes.set_title(f"{int(width.removeprefix('gap-'))} px cross")
            if field == "phase":
                line[0].set_ylabel(style.NAMES.get(name, name))
        style.bar(figure, drawn, list(panels.ravel()), LABELS[field])
    return style.save(figure, stem, settings)


def _levelled(image: np.ndarray, field: str) -> np.ndarray:
    """Phase without its offset, strain in 10⁻⁴."""
    return image - _level(image) if field == "phase" else image * 1e4


def retrieval(settings: FiguresSettings, stem: Path, objects: Path, case: str) -> list[Path] | None:
    """Modulus, phase and strain of the objects that phase retrieval found, for each treatment of the gap.

    ``objects``: ``retrieval.h5`` of ``reconstruct``; ``case``: ``known`` or ``simulated``.  None where it was not done.
    """
    with storage.read(objects) as file:
        if case not in file or "truth" not in file[case]:
            return None
        group = file[case]
        names = [name for name in sorted(group, key=_place) if "modulus" in group[name]]
        reference = str(group["whole"].attrs.get("reference", "truth"))
        if reference == "whole":
            names.remove("truth")  # the whole pattern's object stands in for it
        width = int(group["whole"].attrs.get("gap_px", 0))
        columns = {name: group[name] for name in names}
        return _compare(settings, stem, columns, f"{width} px cross", reference)


def errors(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """Phase, strain and mean strain against the gap's width (supplement, Figs S17 and S18; thesis, 3.22 and 3.23).

    ``table``: ``true_phase.csv`` of ``reconstruct``.
    """
    import pandas as pd

    rows = pd.read_csv(table)
    if not len(rows):
        return None
    rows = rows[rows.oversampling == min(set(rows.oversampling), key=lambda value: abs(value - 4))]
    figure = style.new(3.4)
    phase, strain, mean = figure.subplots(1, 3)
    for method in sorted(set(rows.method) - {"whole"}, key=_place):
        part = rows[rows.method == method].sort_values("gap_px")
        options = {"marker": "o", "color": style.COLOURS[method], "label": style.NAMES[method]}
        phase.plot(part.gap_px, part.phase_std_rad, **options)
        strain.plot(part.gap_px, part.strain_rmse * 1e4, **options)
        shift = {"gap": -0.15, "network": 0.15, "braggfill": 0.25, "finite": 0.35}.get(method, 0.0)
        mean.errorbar(
            part.gap_px + shift, part.mean_strain * 1e4, part.strain_std * 1e4, capsize=2, linewidth=1, **options
        )
    phase.set_ylabel("phase, standard deviation (rad)")
    strain.set_ylabel("strain, RMSE (10⁻⁴)")
    mean.set_ylabel("mean strain ± standard deviation (10⁻⁴)")
    mean.axhline(0, color="black", linewidth=0.6)
    for axes, name in zip((phase, strain, mean), "abc", strict=True):
        axes.set_xlabel("cross gap (px)")
        axes.set_xticks(sorted(set(rows.gap_px) - {0}))
        style.letter(axes, name)
    for axes in (phase, strain):
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    figure.legend(*phase.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return style.save(figure, stem, settings)


def treatments(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """Phase and strain errors of phase retrieval for each treatment of the gap, as bars.

    ``table``: ``retrieval.csv`` of ``reconstruct``.
    """
    import pandas as pd

    rows = pd.read_csv(table)
    rows = rows[rows.converged.astype(str) == "True"] if len(rows) else rows
    cases = list(dict.fromkeys(rows.case)) if len(rows) else []
    if not cases:
        return None
    most = max(int((rows.case == case).sum()) for case in cases)
    figure = style.new(len(cases) * (0.75 + 0.3 * most))
    panels = figure.subplots(len(cases), 2, squeeze=False, width_ratios=(1, 1))
    for line, case in zip(panels, cases, strict=True):
        part = rows[(rows.case == case) & rows.phase_rmse_rad.notna()]
        part = part.iloc[[list(part.treatment).index(name) for name in sorted(part.treatment, key=_place)]]
        for axes, column, label, factor in (
            (line[0], "phase_rmse_rad", "phase error, RMS (rad)", 1.0),
            (line[1], "strain_rmse", "strain error, RMS (10⁻⁴)", 1e4),
        ):
            values = part[column] * factor
            axes.barh(
                [style.NAMES[name] for name in part.treatment],
                values,
                color=[style.COLOURS[name] for name in part.treatment],
            )
            for place, value in enumerate(values):
                axes.text(value, place, f" {value:.3g}", va="center", fontsize=9)
            axes.set_xlim(0, 1.15 * max(values.max(), 1e-12) if len(values) else 1)
            axes.set_xlabel(label)
            axes.tick_params(axis="y", labelsize=9, length=0)
            axes.invert_yaxis()
        line[1].set_yticklabels([])
        told = "against the true object" if part.reference.eq("truth").all() else "against the whole pattern's object"
        width = int(part.gap_px.iloc[0]) if len(part) else 0
        line[0].set_title(f"{case} object, {width} px cross, {told}", loc="left")
    return style.save(figure, stem, settings)


def _compare(settings: FiguresSettings, stem: Path, columns: dict[str, h5py.Group], gap: str, worst: str) -> list[Path]:
    """Rows of slices, a column for each object; phase and strain on the scale that ``worst`` needs."""
    rows = ("intensity", "modulus", "phase", "strain")
    images = {row: {name: storage.array(group[row], AXIS) for name, group in columns.items()} for row in rows}
    turned = {name: image - _level(image) for name, image in images["phase"].items()}
    images["phase"] = turned
    images["strain"] = {name: image * 1e4 for name, image in images["strain"].items()}
    top = max(np.nanmax(image) for image in images["modulus"].values())
    images["modulus"] = {name: image / top for name, image in images["modulus"].items()}
    # Phase and strain live on the particle alone: look closer.
    near = _window(next(iter(images["phase"].values())))
    for row in ("phase", "strain"):
        images[row] = {name: image[near] for name, image in images[row].items()}
    voxel_nm = _voxel_nm(columns)
    figure = style.new(0.4 + len(rows) * style.WIDTH / (len(columns) + 0.75))
    panels = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, row in zip(panels, rows, strict=True):
        norm, cmap = _scale(row, images[row], worst, settings)
        for axes, (name, image) in zip(line, images[row].items(), strict=True):
            hidden = (image <= 0) if row == "intensity" and name in ("gap", "zeros") else None
            drawn = style.show(axes, image, norm, cmap, hidden=hidden)
            if row == rows[0]:
                said = style.NAMES.get(name, name)
                axes.set_title(f"{said},\n{gap}" if name in ("gap", "free") else said)
            if voxel_nm and row != "intensity":
                style.length_bar(axes, voxel_nm, "white" if row == "modulus" else "black")
        line[0].set_ylabel(row)
        style.bar(figure, drawn, list(line), LABELS[row])
    return style.save(figure, stem, settings)


def _voxel_nm(columns: Mapping[str, h5py.Group]) -> float | None:
    """Length of a voxel across the slice, nanometres; None where the file does not tell."""
    for group in (*columns.values(), *(part for one in columns.values() for part in one.parent.values())):
        if isinstance(group, h5py.Group) and "voxel_angstrom" in group.attrs:
            return float(np.ravel(group.attrs["voxel_angstrom"])[-1]) / 10
    return None


def _scale(row: str, images: dict[str, np.ndarray], worst: str, settings: FiguresSettings) -> tuple[Normalize, str]:
    """Norm and colour map of one row."""
    if row == "intensity":
        return style.intensity_norm(next(iter(images.values()))), settings.intensity_map
    if row == "modulus":
        return Normalize(0, 1), "viridis"
    found = images.get(worst, next(iter(images.values())))
    found = np.abs(found[np.isfinite(found)])
    top = float(np.percentile(found, 98)) if found.size else 1.0
    return Normalize(-max(top, 1e-6), max(top, 1e-6)), "RdBu_r"


def _window(image: np.ndarray) -> tuple[slice, ...]:
    """A square around what is a number, with a margin; the whole image where nothing is."""
    places = np.argwhere(np.isfinite(image))
    if not len(places):
        return tuple(slice(0, n) for n in image.shape)
    low, high = places.min(axis=0), places.max(axis=0) + 1
    side = min(int((high - low).max()) + 6, *image.shape)
    start = [min(max((a + b - side) // 2, 0), n - side) for a, b, n in zip(low, high, image.shape, strict=True)]
    return tuple(slice(s, s + side) for s in start)


def _level(phase: np.ndarray) -> float:
    """The offset that is taken out of a slice of phase: its median."""
    return float(np.nanmedian(phase)) if np.isfinite(phase).any() else 0.0


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)
