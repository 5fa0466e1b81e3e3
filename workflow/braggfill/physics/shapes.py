"""Convex bodies cut on a grid: random polygons and polyhedra with a soft edge.

A body is the set of points with n_k · r <= d_k for every side k, in two or three dimensions.  Random ones are the hulls
of random points (Masto, thesis, section 3.3.1); the families of the stage ``particle`` come from
:mod:`braggfill.physics.polyhedra`, turned at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from braggfill.physics import polyhedra

POINTS = {2: (5, 16), 3: (8, 30)}
"""Fewest and most random points of a hull, by dimension."""
LONGEST = 2.5
"""Hulls more elongated than this are drawn again."""


@dataclass(frozen=True)
class Body:
    """A convex body whose centre of volume is the origin.

    normals : (k, d) unit outward normals; distances : (k,) of the sides from the origin; corners : (v, d).
    """

    normals: np.ndarray
    distances: np.ndarray
    corners: np.ndarray

    @property
    def extent(self) -> np.ndarray:
        """(d,) width along each axis."""
        return np.ptp(self.corners, axis=0)

    def resized(self, extent: Sequence[float] | np.ndarray) -> Body:
        """The same body, as large as the box ``extent`` (d,) allows."""
        factor = float(np.min(np.asarray(extent) / self.extent))
        return Body(self.normals, self.distances * factor, self.corners * factor)

    def turned(self, rotation: np.ndarray) -> Body:
        """The same body turned by a (d, d) rotation matrix."""
        return Body(self.normals @ rotation.T, self.distances, self.corners @ rotation.T)


def hull(points: np.ndarray) -> Body:
    """The convex hull of (n, d) points, d = 2 or 3, moved so that its centre of volume is the origin."""
    from scipy.spatial import ConvexHull

    found = ConvexHull(points)
    middle = points[found.vertices].mean(axis=0)
    simplices = points[found.simplices] - middle
    volumes = np.abs(np.linalg.det(simplices))
    centre = middle + (volumes[:, None] * simplices.sum(axis=1)).sum(axis=0) / volumes.sum() / (points.shape[1] + 1)
    normals = found.equations[:, :-1]
    return Body(normals, -found.equations[:, -1] - normals @ centre, points[found.vertices] - centre)


def random_hull(rng: np.random.Generator, dimensions: int) -> Body:
    """The hull of random points: a random convex polygon (2) or polyhedron (3)."""
    while True:
        number = int(rng.integers(POINTS[dimensions][0], POINTS[dimensions][1] + 1))
        points = rng.normal(size=(number, dimensions))
        # Near a sphere, so that most points are corners; the radii make it irregular.
        points *= (rng.uniform(0.6, 1, number) / np.sqrt((points**2).sum(axis=1)))[:, None]
        body = hull(points)
        if (body.corners**2).sum(axis=1).max() <= (LONGEST * body.distances.min()) ** 2:
            return body


def family(rng: np.random.Generator, name: str, options: polyhedra.ShapeOptions | None = None) -> Body:
    """A polyhedron of one of the families of the stage ``particle`` (:data:`polyhedra.FAMILIES`), turned at random.

    Raises
    ------
    BraggfillError : the options allow no such polyhedron.
    """
    made = polyhedra.draw(name, options or polyhedra.ShapeOptions(), rng)
    return Body(made.normals, made.distances, made.vertices()).turned(rotation(rng))


def rotation(rng: np.random.Generator) -> np.ndarray:
    """A random rotation, (3, 3), every orientation alike."""
    turned, signs = np.linalg.qr(rng.normal(size=(3, 3)))
    turned *= np.sign(np.diag(signs))
    return turned * np.sign(np.linalg.det(turned))


def cut(body: Body, shape: Sequence[int], centre: ArrayLike = 0.0, edge: float = 1.0) -> np.ndarray:
    r"""The body's density on a grid, float32 of ``shape``, 1 inside and 0 outside.

    .. math:: \rho(r) = \mathrm{clip}\left(\tfrac12 + \min_k (d_k - n_k \cdot (r - c)) / e,\ 0,\ 1\right)

    Parameters
    ----------
    body : in voxels; the origin of the grid is at ``n // 2``.
    centre : c, where its centre of volume lies, voxels from the origin.
    edge : e, over how many voxels the density falls; 1 is a sharp edge averaged over a voxel.
    """
    shape = tuple(shape)
    moved = body.distances + body.normals @ np.broadcast_to(np.asarray(centre, float), (len(shape),))
    lines = [(np.arange(n) - n // 2).astype(np.float32) for n in shape]
    parts = [line * body.normals[:, [a]].astype(np.float32) for a, line in enumerate(lines)]
    parts[0] = moved[:, None].astype(np.float32) - parts[0]
    if len(shape) == 2:
        depth = (parts[0][:, :, None] - parts[1][:, None, :]).min(axis=0)
    else:
        sides = ((one[:, None] - two)[:, :, None] - three for one, two, three in zip(*parts, strict=True))
        depth = next(sides)
        for side in sides:
            np.minimum(depth, side, out=depth)
    return np.clip(depth / np.float32(edge) + np.float32(0.5), 0, 1)
