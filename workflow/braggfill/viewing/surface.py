"""The surface of an object, coloured by what is known inside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from braggfill.viewing.volumes import text

MOST = 60_000
"""Triangles; a finer surface is made coarser."""
DEPTH = 1.5
"""Voxels below the surface at which its colour is taken: the outermost voxels are the least known."""


@dataclass(frozen=True)
class Colour:
    """A quantity that colours a surface."""

    name: str
    values: np.ndarray = field(repr=False)
    """Real, the object's shape; NaN where not known."""
    unit: str = ""
    cyclic: bool = False
    """Angles in radians; other values have zero in the middle of the scale."""
    factor: float = 1.0
    """By which the values are multiplied for the unit."""


@dataclass(frozen=True)
class Surface:
    """The surface of one object: of the support, smoothed by half a voxel."""

    title: str
    inside: np.ndarray = field(repr=False)
    """Boolean, three axes."""
    colours: tuple[Colour, ...]
    axes: tuple[str, str, str] = ("z", "y", "x")
    unit: str = "px"
    edges: np.ndarray | tuple[float, float, float] = (1.0, 1.0, 1.0)
    """A voxel's length along each axis in ``unit``, or its three edges in an orthogonal frame (frame, axes)."""


def mesh(one: Surface) -> dict[str, Any] | None:
    """Vertices, triangles and colours for the page, as JSON holds them; None for an object of no voxel."""
    from scipy import ndimage
    from skimage.measure import marching_cubes

    if not one.inside.any():
        return None
    padded = np.pad(one.inside, 2).astype(np.float32)
    smooth = ndimage.gaussian_filter(padded, 0.7)
    step = 1
    while True:
        vertices, faces, normals, _ = marching_cubes(smooth, 0.5, step_size=step)
        if len(faces) <= MOST or step >= 4:
            break
        step += 1
    inward = vertices - 2 - DEPTH * _outward(smooth, vertices, normals)
    edges = np.asarray(one.edges, float)
    centre = (np.array(one.inside.shape) // 2).astype(float)
    places = vertices - 2 - centre
    places = places * edges if edges.ndim == 1 else places @ edges.T
    return {
        "title": one.title,
        "axes": one.axes,
        "unit": one.unit,
        "count": [len(places), len(faces)],
        "vertices": text(places.astype("<f4")),
        "faces": text(faces.astype("<u4")),
        "colours": [_coloured(colour, one.inside, inward) for colour in one.colours],
    }


def _outward(smooth: np.ndarray, vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Unit normals that point away from the object."""
    from scipy import ndimage

    lengths = np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    normals = normals / lengths
    ahead, behind = (ndimage.map_coordinates(smooth, (vertices + s * 0.5 * normals).T, order=1) for s in (1, -1))
    return np.where((ahead > behind)[:, None], -normals, normals)


def _coloured(colour: Colour, inside: np.ndarray, places: np.ndarray) -> dict[str, Any]:
    """The quantity at places, of the nearest voxel where it is known, and the end of its scale."""
    from scipy import ndimage

    known = inside & np.isfinite(colour.values)
    if not known.any():
        values, top = np.zeros(len(places)), 1.0
    else:
        near = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
        at = tuple(np.clip(np.rint(places).astype(int), 0, np.array(inside.shape) - 1).T)
        values = colour.values[tuple(index[at] for index in near)] * colour.factor
        top = float(np.pi if colour.cyclic else np.percentile(np.abs(colour.values[known] * colour.factor), 98)) or 1.0
    return {
        "name": colour.name,
        "unit": colour.unit,
        "cyclic": colour.cyclic,
        "top": top,
        "values": text(np.asarray(values, "<f4")),
    }
