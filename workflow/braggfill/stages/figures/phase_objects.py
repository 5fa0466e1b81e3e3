"""Objects of the chapter on phases: measured scans, and refinement (thesis, section 4.9)."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from matplotlib.colors import Normalize

from braggfill.phasing import summary
from braggfill.physics import align
from braggfill.physics import support as supports
from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import flat_phases, style
from braggfill.viewing import page
from braggfill.viewing.surface import Colour, Surface
from braggfill.viewing.volumes import Layer, Stack

DETECTOR = ("rocking", "vertical", "horizontal")
LABORATORY = ("z", "y", "x")
MARGIN = 3
"""Voxels around the object that are shown."""
APART = 1.0
"""Radians at the end of the scale of the spread between starts."""
STARTS = (
    ("network", "network"),
    ("network_er_projections", "network,\nthen ER"),
    ("network_run_projections", "network,\nthen one run"),
    ("runs_projections", "best of {runs}\nrandom runs"),
    ("runs_pynx", "best of {runs} random\nruns, PyNX"),
)
"""Groups of a file of ``phase_refine_case``, and what they are called."""
SIDE = 1.75
"""Inches of a panel."""


def measured(settings: FiguresSettings, stem: Path, phased: Path) -> list[Path] | None:
    """A measured scan: slices of pattern, modulus, phase, spread, and strain where the geometry is known; the free
    log-likelihood of every start, the transfer function, and the verdict.

    Beside it ``<stem>.html``: the object to turn and its slices to move through, in one file for any browser.
    ``phased``: ``measured-….h5`` of ``phase``.
    """
    with storage.read(phased) as file:
        about = dict(file.attrs)
        found, counts = _read(file), storage.array(file, "counts")
        runs = {name: storage.array(file["runs"], name) for name in ("llk_free", "chosen")}
        transfer = storage.array(file["prtf"], "frequency"), storage.array(file["prtf"], "value")
    if not found["support"].any():
        return None
    panels = _panels(found)
    rows = 3
    figure = style.new(2.6 * rows + 3.0)
    above, below = cast("np.ndarray", figure.subfigures(2, 1, height_ratios=(2.6 * rows, 3.0)))
    grid = above.subplots(rows, len(panels) + 1, squeeze=False)
    _pattern(grid[:, 0], counts, above, settings)
    for column, panel in enumerate(panels, 1):
        _slices(above, grid[:, column], found, *panel)
    starts, curve, words = below.subplots(1, 3, width_ratios=(1, 1, 0.9))
    used = np.isin(np.arange(len(runs["llk_free"])), runs["chosen"])
    places = np.arange(1, len(used) + 1)
    starts.plot(places[used], runs["llk_free"][used], "o", color=style.COLOURS["network"], label="in use")
    starts.plot(places[~used], runs["llk_free"][~used], "o", mfc="none", mec="#666666", label="not in use")
    starts.axhline(float(about["llk_expected"]), color="black", linewidth=0.6, linestyle=":")
    starts.text(0.98, float(about["llk_expected"]), "counting noise alone", transform=starts.get_yaxis_transform(),
                ha="right", va="bottom", fontsize=7)  # fmt: skip
    starts.set(xlabel="start, the best first", ylabel="free log-likelihood")
    if runs["llk_free"].max() > 10 * float(about["llk_expected"]):
        starts.set_yscale("log")
    else:
        starts.set_ylim(bottom=0)
    starts.xaxis.get_major_locator().set_params(integer=True)
    starts.legend()
    if found["several"] and len(transfer[0]):
        curve.plot(*transfer, color=style.COLOURS["network"])
        curve.axhline(1 / np.e, color="black", linewidth=0.6, linestyle=":")
        curve.text(0.5, 1 / np.e, "1/e ", ha="right", va="bottom", fontsize=7)
    else:
        curve.text(0.25, 0.5, "one run alone has none", ha="center")
    curve.set(xlim=(0, 0.5), ylim=(0, 1.05), xlabel="spatial frequency (cycles per voxel)", ylabel="PRTF")
    words.axis("off")
    text = [str(about["verdict"]).upper(), *textwrap.wrap(str(about["why"]), 38), ""]
    text += [*textwrap.wrap(str(about["disagreement"]), 38)]
    words.text(0, 1, "\n".join(text), va="top", fontsize=9, transform=words.transAxes)
    for axes, name in zip((starts, curve), "ab", strict=True):
        style.letter(axes, name)
    return [*style.save(figure, stem, settings), _turned(stem, found, about)]


def _read(file: h5py.File) -> dict[str, Any]:
    """The object in the laboratory's frame where that is known, else in the detector's: arrays, axes, voxel."""
    real = file.get("laboratory")
    source = file if real is None else real
    found: dict[str, Any] = {
        name: storage.array(source, name)
        for name in ("obj", "support", "phase_std", "strain", "displacement_pm")
        if name in source
    }
    found["axes"], found["unit"] = (DETECTOR, "voxels") if real is None else (LABORATORY, "nm")
    found["voxel"] = 1.0 if real is None else float(file.attrs["voxel_nm"])
    found["several"] = int(file.attrs["chosen"]) > 1
    found["bright"] = summary.core(found["obj"], found["support"])
    return found


def _panels(found: dict[str, Any]) -> list[tuple[str, np.ndarray, Any, str, str]]:
    """Title, values, norm, colours, label of the bar."""
    obj, bright = found["obj"], found["bright"]

    def known(values: np.ndarray) -> np.ndarray:
        return np.where(bright, values, np.nan)

    top = float(np.percentile(np.abs(obj)[found["support"]], 99.5)) or 1.0
    panels = [
        ("modulus", np.abs(obj) / top, Normalize(0, 1), "viridis", "modulus"),
        ("phase", known(np.angle(obj)), Normalize(-np.pi, np.pi), flat_phases.PHASES, "phase (rad)"),
    ]
    if "strain" in found:
        reach = float(np.nanpercentile(np.abs(known(found["strain"])), 98)) * 1e4 or 1.0
        panels.append(("strain", known(found["strain"]) * 1e4, style.symmetric(reach), "RdBu_r", "strain (10⁻⁴)"))
    if found["several"]:
        panels.append(
            ("between starts", known(found["phase_std"]), Normalize(0, APART), "magma", "spread of the phase (rad)")
        )
    return panels


def _pattern(column: Any, counts: np.ndarray, figure: Any, settings: FiguresSettings) -> None:
    """Slices of the counts through the peak."""
    peak = np.unravel_index(np.argmax(counts), counts.shape)
    norm = style.intensity_norm(counts)
    for axis, axes in enumerate(column):
        drawn = style.show(axes, np.take(counts, peak[axis], axis), norm, settings.intensity_map)
        down, across = (DETECTOR[a] for a in range(3) if a != axis)
        axes.set_ylabel(down, fontsize=8)
        axes.set_xlabel(across, fontsize=8)
    column[0].set_title("pattern")
    style.bar(figure, drawn, list(column), "photons", location="bottom", pad=0.02)


def _slices(
    figure: Any, column: Any, found: dict[str, Any], title: str, values: np.ndarray, norm: Any, cmap: str, label: str
) -> None:
    """Slices of one quantity through the middle of the object."""
    box = supports.bounding_box(found["support"])
    cut = tuple(
        slice(max(b.start - MARGIN, 0), min(b.stop + MARGIN, n)) for b, n in zip(box, values.shape, strict=True)
    )
    for axis, axes in enumerate(column):
        middle = (box[axis].start + box[axis].stop) // 2
        near = tuple(cut[a] for a in range(3) if a != axis)
        drawn = style.show(axes, np.take(values, middle, axis)[near], norm, cmap)
        if title == "modulus":
            down, across = (found["axes"][a] for a in range(3) if a != axis)
            axes.set_ylabel(down, fontsize=8)
            axes.set_xlabel(across, fontsize=8)
            if found["unit"] == "nm":
                style.length_bar(axes, found["voxel"], "white")
    column[0].set_title(title)
    style.bar(figure, drawn, list(column), label, location="bottom", pad=0.02)


def _turned(stem: Path, found: dict[str, Any], about: dict[str, Any]) -> Path:
    """The object as a surface to turn, coloured by strain or phase, and its slices: one file, offline."""
    box = supports.bounding_box(found["support"])
    cut = tuple(slice(max(b.start - MARGIN, 0), b.stop + MARGIN) for b in box)
    bright = found["bright"][cut]

    def known(values: np.ndarray) -> np.ndarray:
        return np.where(bright, values[cut], np.nan)

    obj, step = found["obj"], (found["voxel"],) * 3
    colours = [Colour("phase", known(np.angle(obj)), "rad", cyclic=True)]
    layers = [Layer("modulus", np.abs(obj)[cut], top=float(np.percentile(np.abs(obj)[found["support"]], 99.5)))]
    layers.append(Layer("phase", known(np.angle(obj)), "rad", "cyclic"))
    if "strain" in found:
        colours.insert(0, Colour("strain along Q", known(found["strain"]), "10⁻⁴", factor=1e4))
        layers.append(Layer("strain along Q", known(found["strain"] * 1e4), "10⁻⁴", "signed"))
    if found["several"]:
        layers.append(Layer("phase spread between starts", known(found["phase_std"]), "rad", top=APART))
    middle = tuple((b.start + b.stop) // 2 - c.start for b, c in zip(box, cut, strict=True))
    origin = tuple(float(n // 2 - c.start) for n, c in zip(obj.shape, cut, strict=True))
    stack = Stack("Slices of the object", layers, found["axes"], found["unit"], step, origin, start=middle)  # type: ignore[arg-type]
    surface = Surface("The object", found["support"][cut], tuple(colours), found["axes"], found["unit"], step)
    title = f"{about['scan']}: {about['verdict']}"
    before = f"<h1>Object of {about['scan']}</h1><p>{_escaped(about['verdict'])}: {_escaped(about['why'])}</p>"
    path = stem.with_name(f"{stem.name}.html")
    storage.write_text(path, page.html(title, before=before, stacks=[stack], surfaces=[surface]))
    return path


def _escaped(text: Any) -> str:
    from html import escape

    return escape(str(text))


def _starts(file: h5py.File) -> list[tuple[str, str]]:
    """The groups that a file of ``phase_refine_case`` has, and what they are called."""
    return [(name, said.format(runs=file[name].attrs.get("runs", ""))) for name, said in STARTS if name in file]


def refined(settings: FiguresSettings, stem: Path, case: Path) -> list[Path] | None:
    """Modulus and phase of the truth, of the network's object, refined, and of the best random runs.

    ``case``: a file of ``phase_refine_case``.
    """
    with storage.read(case) as file:
        names = _starts(file)
        if not names:
            return None
        truth = storage.array(file, "truth")
        made = {
            said: (align.align(storage.array(file[name], "obj"), truth).obj, float(file[name].attrs["accuracy"]))
            for name, said in names
        }
    middle = len(truth) // 2
    near = flat_phases.window(truth[middle])
    columns = {"truth": truth[middle][near]} | {said: obj[middle][near] for said, (obj, _) in made.items()}
    figure = style.new(0.8 + 2 * SIDE, 1.0 + SIDE * len(columns))
    panels = figure.subplots(2, len(columns), squeeze=False)
    for column, (said, image) in enumerate(columns.items()):
        top = np.percentile(np.abs(image), 99.5) or 1.0
        modulus = style.show(panels[0, column], np.abs(image) / top, Normalize(0, 1), "viridis")
        phase = flat_phases.phase_panel(panels[1, column], image)
        panels[0, column].set_title(said)
        if said in made:
            panels[1, column].set_xlabel(f"accuracy {made[said][1]:.3f}")
    for row, (drawn, label) in enumerate(((modulus, "modulus"), (phase, "phase (rad)"))):
        panels[row, 0].set_ylabel(label.split()[0])
        style.bar(figure, drawn, list(panels[row]), label)
    return style.save(figure, stem, settings)


def projections(settings: FiguresSettings, stem: Path, case: Path) -> list[Path] | None:
    """Projections of the counts and of the intensity of each object along the three axes, log(1 + photons) (Fig. 4.42).

    ``case``: a file of ``phase_refine_case``.
    """
    with storage.read(case) as file:
        names = _starts(file)
        if not names:
            return None
        counts = storage.array(file, "counts")
        columns: dict[str, tuple[list[np.ndarray], float | None]] = {
            "measured": ([counts.sum(axis=axis) for axis in range(3)], None)
        }
        for name, said in names:
            sides = [storage.array(file[name], f"projection_{axis}") for axis in range(3)]
            columns[said] = (sides, float(file[name].attrs["mismatch"]))
    figure = style.new(0.8 + 3 * SIDE, 1.0 + SIDE * len(columns))
    panels = figure.subplots(3, len(columns), squeeze=False)
    norm = style.intensity_norm(*columns["measured"][0])
    for column, (said, (sides, error)) in enumerate(columns.items()):
        for axis, side in enumerate(sides):
            drawn = style.show(panels[axis, column], side, norm, settings.intensity_map)
        panels[0, column].set_title(said if said != "measured" else "counts")
        if error is not None:
            panels[2, column].set_xlabel(f"mismatch {error:.3g}")
    for axis in range(3):
        panels[axis, 0].set_ylabel(f"along axis {axis}")
    style.bar(figure, drawn, list(panels.ravel()), "photons")
    return style.save(figure, stem, settings)
