"""One pattern, step by step from the scattered amplitude to counts (supplement, figures S4 to S6)."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style


def steps(settings: FiguresSettings, stem: Path, steps: Path) -> list[Path]:
    """Modulus and phase of the object, and the intensity, after each step.

    ``steps``: the file of that name from ``perturb``; its first patterns are drawn, ``settings.perturb_patterns`` of
    them, those first whose phase was replaced.
    """
    with storage.read(steps) as file:
        groups = [file[particle][view] for particle in sorted(file) for view in sorted(file[particle])]
        groups.sort(key=lambda group: not bool(group.attrs.get("phase_replaced", False)))
        chosen = groups[: settings.perturb_patterns]
        figure = style.new(7.3 * len(chosen))
        parts = figure.subfigures(len(chosen), 1, squeeze=False)[:, 0]
        for part, group in zip(parts, chosen, strict=True):
            _pattern(part, group, settings)
        return style.save(figure, stem, settings)


def _pattern(part: Figure, group: h5py.Group, settings: FiguresSettings) -> None:
    drawn = json.loads(group.attrs["parameters"])
    above, below = part.subfigures(2, 1, squeeze=False, height_ratios=(1, 2.35))[:, 0]
    images = {name: storage.array(group, name) for name in ("intensity_ideal", "intensity", "expectation", "counts")}
    # A voxel of the object is the inverse of the pattern's extent.
    voxel_nm = 0.1 / (images["counts"].shape[-1] * float(np.ravel(group.attrs["step_inverse_angstrom"])[-1]))
    objects = [storage.array(group, name) for name in ("ideal", "smoothed", "perturbed")]
    _objects(above, objects, drawn, voxel_nm)
    blurred = f"blurred by {drawn['blur_sigma_voxels']:.2f} px"
    titles = ("as scattered", "object changed", blurred, "counted")
    panels = below.subplots(2, 4)
    steps = [float(step) for step in np.broadcast_to(group.attrs["step_inverse_angstrom"], 3)]
    for row, (kind, label) in zip(panels, (("projection", "photons"), ("central slice", "photons")), strict=True):
        index = 0 if kind == "projection" else 1
        norm = style.intensity_norm(images["expectation"][index])
        for axes, title, image in zip(row, titles, images.values(), strict=True):
            shown = style.show(axes, image[index], norm, settings.intensity_map)
            style.q_axes(axes, image[index].shape, steps[1:])
            axes.tick_params(labelleft=axes is row[0], labelbottom=index == 1)
            if index == 0:
                axes.set_title(title)
            else:
                axes.set_xlabel("q (Å⁻¹)")
        row[0].set_ylabel(f"{kind}\nq (Å⁻¹)")
        style.bar(below, shown, list(row), label)
    style.letter(panels[0, 0], "f")
    style.letter(panels[1, 0], "g")


def _objects(part: Figure, objects: list[np.ndarray], drawn: dict, voxel_nm: float) -> None:
    ideal, smoothed, perturbed = (obj[len(obj) // 2] for obj in objects)
    panels = part.subplots(1, 5)
    moduli = {
        "as scattered": np.abs(ideal),
        f"smoothed by {drawn['smoothing_sigma_voxels']:.2f} px": np.abs(smoothed),
        f"noise of span {drawn['modulus_noise']:.1f}": np.abs(perturbed),
    }
    for axes, (title, modulus), name in zip(panels, moduli.items(), "abc", strict=False):
        top = np.percentile(modulus[modulus > 0.1 * modulus.max()], 99.5)
        shown = style.show(axes, modulus / top, Normalize(0, 1), "viridis")
        axes.set_title(title)
        style.letter(axes, name)
    style.length_bar(panels[0], voxel_nm, "white")
    panels[0].set_ylabel("object, central slice")
    style.bar(part, shown, list(panels[:3]), "modulus")
    replaced = f"replaced, span {drawn['phase_range_radians']:.1f} rad" if drawn["phase_replaced"] else "phase kept"
    for axes, obj, title, name in zip(panels[3:], (ideal, perturbed), ("from the atoms", replaced), "de", strict=True):
        inside = np.abs(perturbed) > 0
        turned = np.angle(obj * np.exp(-1j * np.angle(obj[inside].sum()))) if inside.any() else np.zeros(obj.shape)
        shown = style.show(axes, turned, Normalize(-np.pi, np.pi), "twilight", hidden=~inside)
        axes.set_title(title)
        style.letter(axes, name)
    style.bar(part, shown, list(panels[3:]), "phase (rad)")
