"""Particles and their displacement fields (thesis, Fig. 3.8)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import scipy.spatial
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style

ELEMENT_COLOURS = {
    "Au": (0.88, 0.69, 0.17),
    "Pt": (0.55, 0.60, 0.68),
    "Pd": (0.30, 0.53, 0.60),
    "Ni": (0.36, 0.62, 0.36),
    "Cu": (0.78, 0.44, 0.27),
    "Ag": (0.72, 0.74, 0.78),
}


def gallery(settings: FiguresSettings, stem: Path, relax: list[Path]) -> list[Path]:
    """Particles as built of atoms, and a cut through each with the displacement of its atoms in the relaxation.

    ``relax``: files from the stage of that name. Shapes differ first, then elements.
    """
    chosen = _choose(relax, settings.gallery_particles)
    loaded = [_load(path, name) for path, name in chosen]
    # The widest picture decides: one scale for all, so that sizes can be compared.
    wide, high = np.max([_half_sizes(positions, frame) for positions, _, frame, _ in loaded], axis=0) * 1.08
    row = style.WIDTH / len(chosen) * high / wide
    figure = style.new(1.05 + 2 * row)
    panels = figure.subplots(3, len(chosen), squeeze=False, height_ratios=(row, row, 0.1))
    point = style.WIDTH / len(chosen) * 0.93 * 72 / (2 * wide)
    for column, (positions, displacement, frame, attributes) in enumerate(loaded):
        panels[0, column].set_title(f"{attributes['shape']}\n{attributes['element']}, {len(positions):,} atoms")
        constant = float(attributes["lattice_constant_angstrom"])
        # Nearest neighbours touch: diameter a / sqrt 2, in points, squared as matplotlib wants it.
        size = (constant / np.sqrt(2) * point) ** 2
        colour = ELEMENT_COLOURS.get(str(attributes["element"]), (0.5, 0.5, 0.6))
        _atoms(panels[0, column], _turned(positions, frame), constant, colour, size, settings.gallery_atoms)
        flat = _slab(positions, displacement, frame, constant)
        drawn = _displacements(panels[1, column], *flat, constant, size, wide / 9)
        figure.colorbar(drawn, cax=panels[2, column], orientation="horizontal").set_label("displacement (pm)")
    for axes in panels[:2].flat:
        axes.set(xlim=(-wide, wide), ylim=(-high, high), aspect="equal")
        axes.axis("off")
    length = _round_length(wide)
    for axes in (panels[0, 0], panels[1, 0]):
        style.scale_bar(axes, length * 10, f"{length:g} nm")
    return style.save(figure, stem, settings)


def _choose(files: list[Path], number: int) -> list[tuple[Path, str]]:
    """Files and names of particles: new shapes first, then new elements, then whatever is left, in order."""
    found = []
    for path in files:
        if storage.left_out(path) is None:
            with storage.read(path) as file:
                found += [(path, name, dict(file[name].attrs)) for name in sorted(file)]
    picked: list[tuple[Path, str, dict]] = []
    while found and len(picked) < number:
        shapes = [str(p[2]["shape"]) for p in picked]
        elements = [str(p[2]["element"]) for p in picked]
        best = min(found, key=lambda p: (shapes.count(str(p[2]["shape"])), elements.count(str(p[2]["element"]))))
        picked.append(best)
        found.remove(best)
    return [(path, name) for path, name, _ in picked]


def _load(path: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict]:
    with storage.read(path) as file:
        group = file[name]
        positions = storage.array(group, "positions")
        displacement = storage.array(group, "displacement")
        frame = _frame(positions, _interface(group))
        return positions - positions.mean(axis=0), displacement, frame, dict(group.attrs)


def _interface(group: h5py.Group) -> np.ndarray | None:
    found = storage.array(group, "interface").astype(bool) if "interface" in group else None
    return found if found is not None and found.any() and not found.all() else None


def _frame(positions: np.ndarray, interface: np.ndarray | None) -> np.ndarray:
    """Right, up and towards the eye, rows of a rotation: up leads away from the substrate, else along [001]."""
    up = np.array([0.0, 0.0, 1.0])
    if interface is not None:
        # The interface is a plane of atoms: its normal is the direction in which they spread least.
        plane = positions[interface]
        normal = np.linalg.svd(plane - plane.mean(axis=0), full_matrices=False)[2][-1]
        up = normal * np.sign(normal @ (positions.mean(axis=0) - plane.mean(axis=0)))
    side = np.array([1.0, 0.0, 0.0]) if abs(up[0]) < 0.8 else np.array([0.0, 1.0, 0.0])
    right = side - up * (side @ up)
    right /= np.linalg.norm(right)
    return np.stack([right, up, np.cross(right, up)])


def _turned(positions: np.ndarray, frame: np.ndarray, azimuth: float = 28.0, elevation: float = 22.0) -> np.ndarray:
    """Coordinates right, up and towards the eye, seen from the side and from above (degrees)."""
    right, up, eye = (positions @ frame.T).T
    a, e = np.deg2rad(azimuth), np.deg2rad(elevation)
    right, eye = np.cos(a) * right - np.sin(a) * eye, np.sin(a) * right + np.cos(a) * eye
    up, eye = np.cos(e) * up - np.sin(e) * eye, np.sin(e) * up + np.cos(e) * eye
    return np.stack([right, up, eye], axis=1)


def _half_sizes(positions: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Half width and half height of a particle's two pictures."""
    return np.maximum(np.abs(_turned(positions, frame)[:, :2]), np.abs((positions @ frame.T)[:, :2])).max(axis=0)


def _atoms(axes: Axes, seen: np.ndarray, constant: float, colour: Sequence[float], size: float, most: int) -> None:
    """Atoms from back to front, lit from the upper left by the facet that they belong to; hidden ones are not drawn."""
    front = _visible(seen, constant)
    front = front[:: max(1, -(-len(front) // most))]
    front = front[np.argsort(seen[front, 2])]
    tree = scipy.spatial.cKDTree(seen)
    # The neighbours of an atom of a facet all lie on one side: the mean direction to them is the inward normal.
    normal = np.stack(
        [
            seen[i] - seen[near].mean(axis=0)
            for i, near in zip(front, tree.query_ball_point(seen[front], 1.6 * constant), strict=True)
        ]
    )
    normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-6)
    light = np.array([-0.45, 0.65, 0.61])
    shade = 0.55 + 0.5 * np.clip(normal @ light, -0.3, 1)
    shown = seen[front]
    axes.scatter(
        shown[:, 0],
        shown[:, 1],
        s=1.25 * size,
        c=np.clip(np.array(colour) * shade[:, None], 0, 1),
        linewidths=0.15,
        edgecolors=(0, 0, 0, 0.35),
        rasterized=True,
    )


def _visible(seen: np.ndarray, constant: float) -> np.ndarray:
    """Indices of the atoms that no other one hides: the front ones of each small cell of the picture."""
    cell = constant / 4
    place = np.floor((seen[:, :2] - seen[:, :2].min(axis=0)) / cell).astype(np.int64)
    key = place[:, 0] * (place[:, 1].max() + 1) + place[:, 1]
    order = np.lexsort((-seen[:, 2], key))
    first = np.r_[True, key[order][1:] != key[order][:-1]]
    front = np.full(key.max() + 1, -np.inf)
    front[key[order][first]] = seen[order][first, 2]
    return np.flatnonzero(seen[:, 2] >= front[key] - constant)


def _slab(
    positions: np.ndarray, displacement: np.ndarray, frame: np.ndarray, constant: float
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and displacements, right and up and their size, of the atoms in a slice through the middle."""
    local, moved = positions @ frame.T, displacement @ frame.T
    inside = np.abs(local[:, 2]) <= constant / 2
    return local[inside][:, :2], np.column_stack([moved[inside][:, :2], np.linalg.norm(moved[inside], axis=1)])


def _displacements(
    axes: Axes, places: np.ndarray, moved: np.ndarray, constant: float, size: float, spacing: float
) -> PathCollection:
    """Atoms coloured by how far they moved, and one arrow for each cell of ``spacing`` angstrom."""
    amount = moved[:, 2] * 100
    top = max(float(np.percentile(amount, 98)), 1e-6) if len(amount) else 1.0
    order = np.argsort(amount)
    drawn = axes.scatter(
        places[order, 0],
        places[order, 1],
        s=size,
        c=amount[order],
        cmap="viridis",
        vmin=0,
        vmax=top,
        linewidths=0,
        rasterized=True,
    )
    _, firsts = np.unique(np.floor(places / spacing).astype(int), axis=0, return_index=True)
    arrows = moved[firsts, :2] * 100
    arrows *= np.minimum(1, top / np.linalg.norm(arrows, axis=1, keepdims=True).clip(1e-9))
    axes.quiver(
        *places[firsts].T,
        *arrows.T,
        angles="xy",
        scale_units="xy",
        scale=top / (2.2 * constant),
        width=0.006,
        color="white",
        edgecolor="black",
        linewidth=0.3,
    )
    return drawn


def _round_length(reach_angstrom: float) -> float:
    """A round number of nanometres, about a fifth of the picture."""
    target = 2 * reach_angstrom / 10 / 5
    power = 10 ** np.floor(np.log10(target))
    return float(max(step * power for step in (1, 2, 5) if step * power <= target))
