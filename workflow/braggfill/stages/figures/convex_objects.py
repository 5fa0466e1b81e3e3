"""Figures of objects found by automatic differentiation: slices, shapes, missing voxels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from braggfill.physics import align, support
from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style

PHASES = "twilight"
FAINT = 0.2
"""Of the greatest modulus: below it no phase is shown."""
ORDER = ("low", "high", "higher", "reconstructed", "scan")
METHODS = {
    "default_convex": "convex",
    "default_refined": "second stage",
    "projections_free": "projections",
}
GAP = {
    "gap_masked_refined": "masked",
    "gap_zeros_refined": "taken for zeros",
    "gap_projections_free": "projections, masked",
}
CASES = {"reconstructed": "", "scan": ""}
MOST = 4
"""Cases whose shapes are shown."""


@dataclass(frozen=True)
class Shown:
    """One case as its file has it."""

    name: str
    strain: str
    truth: np.ndarray | None
    objects: dict[str, np.ndarray]
    supports: dict[str, np.ndarray]
    figures: dict[str, dict[str, float]]


def label(name: str) -> str:
    """A case as figures and tables call it: low, gaussians 1; ID01 S978; APS scan."""
    if name == "aps":
        return "APS scan"
    if name.startswith("id01_"):
        return f"ID01 {name.removeprefix('id01_').upper()}"
    strain, kind, *number = name.split("_")
    return f"{strain}, {kind}" + (f" {number[0]}" if number and number[0] != "1" else "")


def read(path: Path, wanted: dict[str, str]) -> Shown | None:
    """A case, or None where it was left out or holds none of the wanted groups."""
    if storage.left_out(path) is not None:
        return None
    with storage.read(path) as file:
        names = [name for name in wanted if name in file]
        if not names:
            return None
        groups: dict[str, h5py.Group] = {name: file[name] for name in names}
        truth = storage.array(file, "truth") if "truth" in file else None
        objects = {name: storage.array(group, "obj") for name, group in groups.items()}
        if truth is None:  # each lies over another object of its own method
            objects = {name: align.align(obj, objects[names[0]]).obj for name, obj in objects.items()}
        return Shown(
            str(file.attrs["case"]),
            str(groups[names[0]].attrs["strain"]),
            truth,
            objects,
            {name: storage.array(group, "support") for name, group in groups.items()},
            {name: {key: float(group.attrs[key]) for key in ("accuracy", "overlap")} for name, group in groups.items()},
        )


def several(paths: list[Path], wanted: dict[str, str], strains: tuple[str, ...] = ORDER) -> list[Shown]:
    """The cases of some strains, the weakest strain first; of each simulated case its first object."""
    found = [one for path in paths if (one := read(path, wanted)) is not None and one.strain in strains]
    found = [one for one in found if one.strain in ("reconstructed", "scan") or one.name.endswith("_1")]
    return sorted(found, key=lambda one: (ORDER.index(one.strain), one.name))


def objects(settings: FiguresSettings, stem: Path, cases: list[Path], strains: tuple[str, ...]) -> list[Path] | None:
    """Modulus and phase in the central slice: truth, convex, second stage, projections."""
    shown = several(cases, METHODS, strains)
    return _slices(settings, stem, shown, METHODS) if shown else None


def gap(settings: FiguresSettings, stem: Path, cases: list[Path]) -> list[Path] | None:
    """The same with missing voxels."""
    shown = several(cases, GAP)
    return _slices(settings, stem, shown, GAP) if shown else None


def _slices(settings: FiguresSettings, stem: Path, shown: list[Shown], methods: dict[str, str]) -> list[Path]:
    from matplotlib.colors import Normalize

    columns = 2 * (1 + len(methods))
    figure = style.new(1.32 * len(shown) + 0.7)
    panels = figure.subplots(len(shown), columns, squeeze=False)
    turn = Normalize(-np.pi, np.pi)
    drawn: Any = None
    for row, one in zip(panels, shown, strict=True):
        reference = one.truth if one.truth is not None else next(iter(one.objects.values()))
        window = _window(reference)
        row[0].set_ylabel(label(one.name), fontsize=8)
        for place, name in enumerate(["truth", *methods]):
            made = one.truth if name == "truth" else one.objects.get(name)
            two = row[2 * place : 2 * place + 2]
            if made is None:
                for axes in two:
                    style.bare(axes)
                two[0].text(0.5, 0.5, "unknown", ha="center", va="center", transform=two[0].transAxes, fontsize=8)
                continue
            image = made[made.shape[0] // 2][window]
            # Where the objects agree, their phases have one colour.
            image = image * np.exp(-1j * np.angle((reference * np.abs(reference)).sum()))
            modulus = np.abs(image)
            style.show(two[0], modulus, Normalize(0, float(np.quantile(modulus, 0.995)) or 1.0), "viridis")
            drawn = style.show(two[1], np.angle(image), turn, PHASES, hidden=modulus < FAINT * modulus.max())
            if name != "truth":
                two[1].set_xlabel(f"{one.figures[name]['accuracy']:.3f}", fontsize=8, labelpad=1)
    for place, name in enumerate(["truth", *methods.values()]):
        panels[0, 2 * place].set_title(f"{name}\nmodulus", fontsize=8)
        panels[0, 2 * place + 1].set_title("\nphase", fontsize=8)
    bar = figure.colorbar(drawn, ax=list(panels.flat), shrink=min(1.0, 1.6 / len(shown)), pad=0.01, aspect=20,
                          ticks=[-np.pi, 0, np.pi])  # fmt: skip
    bar.ax.set_yticklabels(["−π", "0", "π"])
    bar.set_label("phase (rad)")
    return style.save(figure, stem, settings)


def shapes(settings: FiguresSettings, stem: Path, cases: list[Path]) -> list[Path] | None:
    """Outlines of the supports over the true modulus in three slices, of the most different cases."""
    shown = [one for one in several(cases, METHODS) if one.truth is not None]
    if not shown:
        return None
    shown = [shown[round(i)] for i in np.linspace(0, len(shown) - 1, min(MOST, len(shown)))]
    figure = style.new(2.5 * -(-len(shown) // 2), 10.0)
    panels = figure.subplots(-(-len(shown) // 2), 6, squeeze=False)
    for axes in panels.flat[3 * len(shown) :]:
        axes.axis("off")
    lines = (("default_convex", "#e69f00"), ("default_refined", "#0072b2"))
    for number, one in enumerate(shown):
        assert one.truth is not None
        inside = support.from_modulus(one.truth)
        box = [slice(max(s.start - 3, 0), s.stop + 3) for s in support.bounding_box(inside)]
        three = panels.flat[3 * number : 3 * number + 3]
        for axis, axes in enumerate(three):
            place = [s if a != axis else one.truth.shape[axis] // 2 for a, s in enumerate(box)]
            style.show(axes, np.abs(one.truth)[tuple(place)], None, "Greys")
            for name, colour in lines:
                outline = one.supports[name][tuple(place)].astype(float)
                if outline.min() < 0.5 < outline.max():
                    axes.contour(outline, [0.5], colors=[colour], linewidths=1.4)
        three[0].set_title(label(one.name), fontsize=9, loc="left")
        said = "   ".join(f"{METHODS[name]} {one.figures[name]['overlap']:.3f}" for name, _ in lines)
        three[1].set_xlabel(said, fontsize=8)
    return style.save(figure, stem, settings)


def _window(reference: np.ndarray) -> tuple[slice, slice]:
    """Around the object, in the last two axes."""
    box = support.bounding_box(support.from_modulus(reference))
    centre = [(s.start + s.stop) // 2 for s in box[1:]]
    half = max(s.stop - s.start for s in box[1:]) // 2 + 3
    return (slice(max(centre[0] - half, 0), centre[0] + half), slice(max(centre[1] - half, 0), centre[1] + half))
