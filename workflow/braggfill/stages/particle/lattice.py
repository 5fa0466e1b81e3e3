"""A polyhedron filled with the points of a face-centred cubic lattice."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from braggfill.physics.polyhedra import Polyhedron

MIN_NEIGHBOURS = 3
BASIS = np.array([(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)])
NEIGHBOURS = np.array([v for v in product((-1, 0, 1), repeat=3) if sum(map(abs, v)) == 2])


@dataclass(frozen=True)
class Filled:
    """The atoms of a particle.

    sites : (n, 3) int32 lattice sites in units of half the lattice constant (their sum is even), sorted.
    scale : what the polyhedron's distances were multiplied by, Å.
    offset : (3,) centre of the polyhedron on the lattice, Å.
    strays : atoms inside the polyhedron that were removed because they hung loose.
    """

    sites: np.ndarray
    scale: float
    offset: np.ndarray
    strays: int


def fill(body: Polyhedron, lattice_constant: float, atoms: int, offset: np.ndarray) -> Filled:
    """Scale a polyhedron until it holds the wanted number of lattice points, and list them.

    Each lattice point r has a gauge g(r) = max_k n_k·(r - offset) / d_k, the scale at which the growing polyhedron
    reaches it.  The scale is put halfway between two successive distinct values of g, such that the number of points is
    as near as can be to ``atoms``; with a facet along a lattice plane it jumps by a whole layer of atoms at a time.
    Points with fewer than three nearest neighbours, and pieces that are not connected to the rest, are taken away.

    Parameters
    ----------
    body : polyhedron around the origin, in the axes of the cubic cell.
    lattice_constant : Å.
    atoms : wanted number, at least 1.
    offset : (3,) Å, where the centre lies on the lattice (an atom lies at the lattice's origin).

    Returns
    -------
    Filled : possibly without any atom, where the wanted number is very small.
    """
    volume = body.volume_and_centre()[0]
    exact = (atoms * lattice_constant**3 / 4 / volume) ** (1 / 3)
    # The cells of the points inside cover the polyhedron less a rim of a/2, so that this scale holds enough points.
    widest = exact + 0.51 * lattice_constant / body.distances.min()
    reach = body.vertices() * widest
    low = np.floor((reach.min(axis=0) + offset) / lattice_constant).astype(int) - 1
    high = np.ceil((reach.max(axis=0) + offset) / lattice_constant).astype(int) + 1
    cells = [np.arange(first, last + 1) for first, last in zip(low, high, strict=True)]
    tilts = body.normals / body.distances[:, None]
    found, gauges = [], []
    for basis in BASIS:
        sites = [2 * cell + shift for cell, shift in zip(cells, basis, strict=True)]
        axes = [site * (lattice_constant / 2) - centre for site, centre in zip(sites, offset, strict=True)]
        gauge = np.full([len(axis) for axis in axes], -np.inf)
        for x, y, z in tilts:
            plane = (x * axes[0])[:, None] + y * axes[1]
            np.maximum(gauge, plane[:, :, None] + z * axes[2], out=gauge)
        inside = np.nonzero(gauge <= widest)
        found.append(np.stack([site[i] for site, i in zip(sites, inside, strict=True)], axis=1))
        gauges.append(gauge[inside])
    points, gauge = np.concatenate(found).astype(np.int32), np.concatenate(gauges)
    scale = _threshold(np.sort(gauge), atoms, widest)
    points = points[gauge <= scale]
    kept = _without_strays(points)
    return Filled(kept, scale, np.asarray(offset, float), len(points) - len(kept))


def neighbours(sites: np.ndarray) -> np.ndarray:
    """(n,) number of nearest neighbours of each FCC site that are sites as well, 12 in the bulk."""
    if not len(sites):
        return np.zeros(0, np.int64)
    occupied, places = _grid(sites)
    count = np.zeros(len(sites), np.int64)
    for step in NEIGHBOURS:
        count += occupied[tuple((places + step).T)]
    return count


def _threshold(gauge: np.ndarray, atoms: int, widest: float) -> float:
    """The scale between two distinct gauges whose count comes nearest to ``atoms``; at least one point stays inside."""
    target = gauge[min(atoms, len(gauge)) - 1]
    slack = 1e-9 * max(widest, 1.0)
    below = int(np.searchsorted(gauge, target - slack, "left"))
    above = int(np.searchsorted(gauge, target + slack, "right"))
    count = below if below and atoms - below < above - atoms else above
    return float((gauge[count - 1] + gauge[count]) / 2) if count < len(gauge) else widest


def _without_strays(sites: np.ndarray) -> np.ndarray:
    """The largest connected piece in which every atom has at least three nearest neighbours, in sorted order."""
    from scipy.ndimage import label

    while len(sites):
        loose = neighbours(sites) < MIN_NEIGHBOURS
        if loose.any():
            sites = sites[~loose]
            continue
        occupied, places = _grid(sites)
        structure = np.zeros((3, 3, 3), bool)
        structure[tuple((NEIGHBOURS + 1).T)] = True
        structure[1, 1, 1] = True
        pieces = label(occupied, structure)[0][tuple(places.T)]
        sizes = np.bincount(pieces)
        if (sizes > 0).sum() == 1:
            break
        sites = sites[pieces == int(np.argmax(sizes))]
    return sites[np.lexsort(sites.T[::-1])]


def _grid(sites: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A boolean box with a rim of one around the sites, and their places in it."""
    places = sites - sites.min(axis=0) + 1
    occupied = np.zeros(places.max(axis=0) + 2, bool)
    occupied[tuple(places.T)] = True
    return occupied, places
