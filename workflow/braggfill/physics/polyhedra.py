"""Convex polyhedra with random parameters: the five families of shapes (supplement S2.1, thesis 3.4.1).

A polyhedron is the set of points r with n_k · r <= d_k for every facet k: unit outward normals n_k in the axes of the
cubic cell, distances d_k > 0 from the polyhedron's centre of volume.  Its size is arbitrary until it is filled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import permutations, product
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError

ATTEMPTS = 500
Miller = tuple[int, int, int]


@dataclass(frozen=True)
class ShapeOptions:
    """What a random polyhedron is drawn from; the settings of the stage ``particle`` have the same names and defaults.

    families, surface_energy (min, max) : of Wulff and Winterbottom shapes; interfaces, interface_energy : directions of
    a Winterbottom particle that may face the substrate, and its energy relative to the lowest surface energy;
    aspect_ratio : largest ratio of two edges of a cube or two facet distances of an octahedron; truncated_share,
    max_truncation : how many shapes lose corners, and how deep; facets, facet_distance, elongation : random polyhedra.
    """

    families: tuple[Miller, ...] = ((1, 0, 0), (1, 1, 0), (1, 1, 1))
    min_surface_energy: float = 0.8
    max_surface_energy: float = 1.2
    interfaces: tuple[Miller, ...] = ((1, 1, 1), (1, 0, 0), (1, 1, 0), (2, 1, 0), (3, 1, 1))
    min_interface_energy: float = -0.5
    max_interface_energy: float = 0.7
    max_aspect_ratio: float = 1.3
    truncated_share: float = 0.5
    max_truncation: float = 0.6
    min_facets: int = 8
    max_facets: int = 24
    min_facet_distance: float = 0.6
    max_elongation: float = 2.5


@dataclass(frozen=True)
class Polyhedron:
    """A convex body around the origin.

    normals : (k, 3) unit outward normals.
    distances : (k,) distances of the facets from the origin, all positive.
    parameters : what was drawn, JSON-able.
    interface : which facet faces the substrate, or None.
    """

    normals: np.ndarray
    distances: np.ndarray
    parameters: dict[str, Any] = field(default_factory=dict)
    interface: int | None = None

    def vertices(self) -> np.ndarray:
        """(v, 3) corners, some of them twice where more than three facets meet.

        The dual of the polyhedron is the hull of n_k / d_k; each of its faces A·x = b is a corner A / b.

        Raises
        ------
        ValueError : the half-spaces leave an unbounded body.
        """
        return self._dual()[0]

    def trimmed(self) -> Polyhedron:
        """The same body without the facets that do not touch it."""
        kept = self._dual()[1]
        interface = self.interface
        if interface is not None:
            interface = int(np.flatnonzero(kept == interface)[0]) if interface in kept else None
        return replace(self, normals=self.normals[kept], distances=self.distances[kept], interface=interface)

    def volume_and_centre(self) -> tuple[float, np.ndarray]:
        """Volume, and centre of volume (3,)."""
        from scipy.spatial import ConvexHull

        points = self.vertices()
        hull = ConvexHull(points)
        corners = points[hull.simplices]
        volumes = np.abs(np.linalg.det(corners)) / 6
        return float(volumes.sum()), (volumes[:, None] * corners.sum(axis=1) / 4).sum(axis=0) / volumes.sum()

    def centred(self) -> Polyhedron:
        """The same body without idle facets, moved so that its centre of volume is the origin."""
        trimmed = self.trimmed()
        centre = trimmed.volume_and_centre()[1]
        return replace(trimmed, distances=trimmed.distances - trimmed.normals @ centre)

    def elongation(self) -> float:
        """Distance of the farthest corner over that of the nearest facet, both from the origin."""
        return float(np.linalg.norm(self.vertices(), axis=1).max() / self.distances.min())

    def cut(self, directions: np.ndarray, share: float) -> Polyhedron:
        """Add facets that take away, along each direction, this share of the body's reach from the origin."""
        directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        reach = (self.vertices() @ directions.T).max(axis=0)
        return replace(
            self,
            normals=np.concatenate([self.normals, directions]),
            distances=np.concatenate([self.distances, reach * (1 - share)]),
        )

    def _dual(self) -> tuple[np.ndarray, np.ndarray]:
        from scipy.spatial import ConvexHull, QhullError

        if np.any(self.distances <= 0):
            raise ValueError("the origin lies outside the polyhedron")
        try:
            hull = ConvexHull(self.normals / self.distances[:, None])
        except QhullError as error:
            raise ValueError("the half-spaces leave an unbounded body") from error
        planes, offsets = hull.equations[:, :3], -hull.equations[:, 3]
        if offsets.min() < 1e-6 * offsets.max():
            raise ValueError("the half-spaces leave an unbounded body")
        return planes / offsets[:, None], np.sort(hull.vertices)


def equivalents(direction: Miller) -> np.ndarray:
    """(m, 3) the directions that the 48 operations of the cubic point group make of one, each once, sorted."""
    return np.unique([m @ np.array(direction) for m in _operations()], axis=0).astype(float)


def draw(shape: str, settings: ShapeOptions, rng: np.random.Generator) -> Polyhedron:
    """A random polyhedron of one family, centred on its centre of volume.

    Wulff and Winterbottom shapes have random surface energies and the facet distances of wulffpack; Winterbottom shapes
    a random interface direction and energy as well; cubes and octahedra random extents, random polyhedra random planes,
    and ``truncated_share`` of these three lose corners.

    Raises
    ------
    BraggfillError : the settings allow no such polyhedron.
    """
    family: Callable[[ShapeOptions, np.random.Generator], Polyhedron] = FAMILIES[shape]
    for _ in range(ATTEMPTS):
        try:
            body = family(settings, rng).centred()
        except ValueError:
            continue
        if body.elongation() <= settings.max_elongation or shape != "random":
            return body
    raise BraggfillError(
        f"particle.shapes: no {shape} particle came out of {ATTEMPTS} draws; "
        + ("raise particle.max_elongation or particle.max_facets" if shape == "random" else "widen its energies")
    )


def _wulff(settings: ShapeOptions, rng: np.random.Generator) -> Polyhedron:
    energies = _energies(settings, rng)
    normals, distances, _ = _construct(energies)
    return Polyhedron(normals, distances, parameters={"surface_energies": _named(energies)})


def _winterbottom(settings: ShapeOptions, rng: np.random.Generator) -> Polyhedron:
    energies = _energies(settings, rng)
    relative = float(rng.uniform(settings.min_interface_energy, settings.max_interface_energy))
    sides = equivalents(settings.interfaces[int(rng.integers(len(settings.interfaces)))])
    side = sides[int(rng.integers(len(sides)))]
    normals, distances, inside = _construct(energies, side, relative * min(energies.values()))
    parameters = {
        "surface_energies": _named(energies),
        "interface_energy_relative": relative,
        "interface_direction": [int(x) for x in side],
    }
    # Where the interface energy is below zero the construction's origin lies outside: go to a point inside.
    return Polyhedron(
        normals, distances - normals @ inside, parameters=parameters, interface=int(np.argmax(normals @ side))
    )


def _cube(settings: ShapeOptions, rng: np.random.Generator) -> Polyhedron:
    extents = rng.uniform(1, settings.max_aspect_ratio, 3)
    share = _truncation(settings, rng)
    body = Polyhedron(np.concatenate([np.eye(3), -np.eye(3)]), np.tile(extents, 2))
    if share:
        body = body.cut(equivalents((1, 1, 1)), share / 3)
    return replace(body, parameters={"extents": extents.tolist(), "truncation": share})


def _octahedron(settings: ShapeOptions, rng: np.random.Generator) -> Polyhedron:
    pairs = rng.uniform(1, settings.max_aspect_ratio, 4)
    share = _truncation(settings, rng)
    half = np.array([(1, 1, 1), (1, 1, -1), (1, -1, 1), (-1, 1, 1)]) / np.sqrt(3)
    body = Polyhedron(np.concatenate([half, -half]), np.tile(pairs, 2))
    if share:
        body = body.cut(equivalents((1, 0, 0)), share / 2)
    return replace(body, parameters={"facet_distances": pairs.tolist(), "truncation": share})


def _random(settings: ShapeOptions, rng: np.random.Generator) -> Polyhedron:
    facets = int(rng.integers(settings.min_facets, settings.max_facets + 1))
    normals = rng.normal(size=(facets, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    body = Polyhedron(normals, rng.uniform(settings.min_facet_distance, 1, facets))
    share = _truncation(settings, rng)
    if share:
        body = body.cut(rng.normal(size=(1, 3)), min(share, 0.95))
    return replace(body, parameters={"planes": facets, "truncation": share})


FAMILIES = {
    "wulff": _wulff,
    "winterbottom": _winterbottom,
    "cube": _cube,
    "octahedron": _octahedron,
    "random": _random,
}


def _truncation(settings: ShapeOptions, rng: np.random.Generator) -> float:
    chosen, share = rng.random(2)
    return float(share * settings.max_truncation) if chosen < settings.truncated_share else 0.0


def _energies(settings: ShapeOptions, rng: np.random.Generator) -> dict[Miller, float]:
    drawn = rng.uniform(settings.min_surface_energy, settings.max_surface_energy, len(settings.families))
    return {(a, b, c): float(value) for (a, b, c), value in zip(settings.families, drawn, strict=True)}


def _named(energies: dict[Miller, float]) -> dict[str, float]:
    return {" ".join(map(str, name)): value for name, value in energies.items()}


def _construct(
    energies: dict[Miller, float], side: np.ndarray | None = None, interface_energy: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normals (k, 3) and distances (k,) of the facets of wulffpack's construction, and a point (3,) inside it.

    Its classes ``SingleCrystal`` and ``Winterbottom`` spend most of a second on finding the symmetries of the cubic
    cell, and the latter turns the crystal; what is under them is told the 48 operations and leaves the axes alone.
    """
    from ase.build import bulk
    from wulffpack.core import BaseParticle
    from wulffpack.core.form import setup_forms

    cell = bulk("Au", "fcc", a=4.0, cubic=True)
    full = _operations()
    forms: dict[Any, float] = dict(energies)
    if side is None:
        kept, direction = full, None
    else:
        kept, direction = [m for m in full if np.array_equal(m @ side, side)], tuple(int(x) for x in side)
        forms["interface"] = interface_energy or -1e-9  # its dual construction divides by it
    particle = BaseParticle(setup_forms(forms, cell.cell.T, kept, full, interface=direction), cell, natoms=1000)
    facets = particle.facets
    normals, distances = np.array([f.normal for f in facets]), np.array([f.distance_from_origin for f in facets])
    return normals, distances, np.mean([vertex for facet in facets for vertex in facet.vertices], axis=0)


@cache
def _operations() -> list[np.ndarray]:
    """The 48 operations of the cubic point group m-3m: signed permutations of the axes."""
    found = []
    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            found.append(np.eye(3, dtype=int)[list(order)] * np.array(signs)[:, None])
    return found
