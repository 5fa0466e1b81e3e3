"""particle: settings -> atom positions of face-centred cubic single crystals.

A crystal is cut from a perfect lattice by the facets of a random convex polyhedron (supplement S2.1, thesis 3.4.1).
Everything about particle i is drawn from the run's seed and i.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.physics.elements import METALS
from braggfill.physics.polyhedra import Polyhedron, ShapeOptions, draw
from braggfill.runs import seeds, storage
from braggfill.settings.particle import ParticleSettings
from braggfill.stages.particle.lattice import fill, neighbours

__all__ = ["Particle", "Polyhedron", "build", "draw", "make", "neighbours", "particle_chunk", "turn"]

BYTES_AN_ATOM = 1_000
BYTES_FIXED = 150e6


@dataclass(frozen=True)
class Particle:
    """One crystal.

    index, element, shape : which, of what, and its family.
    positions : (n, 3) float64, Å, in the axes of the cubic cell, centred on the centre of mass.
    interface : (n,) bool, the layer that touches the substrate (Winterbottom particles; elsewhere all False).
    parameters : what was drawn and the facets that cut it, JSON-able; see :func:`build`.
    """

    index: int
    element: str
    shape: str
    positions: np.ndarray
    interface: np.ndarray
    parameters: dict[str, Any]


def turn(settings: ParticleSettings, index: int) -> tuple[str, str]:
    """Element and shape of particle ``index``: they take turns, so that a small run has all of them.

    With S shapes and E elements, shape = i mod S and element = (i mod E + i div lcm(S, E)) mod E, so that each run of
    S·E particles holds every pair once.
    """
    shape_count, element_count = len(settings.shapes), len(settings.elements)
    lap = index // int(np.lcm(shape_count, element_count))
    return settings.elements[(index % element_count + lap) % element_count], settings.shapes[index % shape_count]


def build(
    body: Polyhedron, element: str, atoms: int, *, offset: tuple[float, float, float] | np.ndarray = (0.0, 0.0, 0.0)
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Cut a crystal of about ``atoms`` atoms out of a lattice.

    Parameters
    ----------
    body : polyhedron around its centre, any size: it is scaled to hold the atoms.
    element : one of Au, Pt, Pd, Ni, Cu, Ag.
    atoms : wanted number; the nearest that whole atomic layers allow is taken, less the loose atoms at sharp corners.
    offset : (3,) where the centre lies in the cubic cell, in lattice constants; an atom lies at 0.

    Returns
    -------
    positions : (n, 3) float64 Å, centred on the centre of mass.
    interface : (n,) bool, atoms less than half a lattice constant deep under the interface facet.
    parameters : ``normals`` (k, 3) and ``distances_angstrom`` (k,) with n_k · (r - origin) <= d_k for every position r,
        ``origin_angstrom`` (3,), ``offset`` (3,), ``strays_removed``, ``diameter_nm`` of the sphere of equal volume,
        ``interface_normal`` (3,) or None.

    Raises
    ------
    BraggfillError : no atom is left.
    """
    constant = METALS[element].lattice_constant_angstrom
    shift = np.asarray(offset, float) * constant
    filled = fill(body, constant, atoms, shift)
    if not len(filled.sites):
        raise BraggfillError(f"no atom with three neighbours is left of {atoms}")
    absolute = filled.sites * (constant / 2)
    centre = absolute.mean(axis=0)
    positions = absolute - centre
    interface = np.zeros(len(positions), bool)
    normal = None
    if body.interface is not None:
        normal = body.normals[body.interface]
        height = positions @ normal
        interface = height > height.max() - constant / 2 * (1 - 1e-6)
    parameters = {
        "normals": body.normals.tolist(),
        "distances_angstrom": (body.distances * filled.scale).tolist(),
        "origin_angstrom": (shift - centre).tolist(),
        "offset": [float(x) for x in offset],
        "strays_removed": filled.strays,
        "diameter_nm": float((6 / np.pi * len(positions) * constant**3 / 4) ** (1 / 3) / 10),
        "interface_normal": None if normal is None else normal.tolist(),
    }
    return positions, interface, parameters


def make(settings: ParticleSettings, seed: int, index: int) -> Particle:
    """Draw and build particle ``index`` of a run.

    Raises
    ------
    BraggfillError : its size gives no atoms or more memory than the settings allow, or no such shape can be drawn.
    """
    element, shape = turn(settings, index)
    rng = seeds.generator(seed, "particle", index)
    atoms = _size(settings, rng, element, index)
    offset = rng.random(3)
    try:
        body = draw(shape, ShapeOptions(**{f.name: getattr(settings, f.name) for f in fields(ShapeOptions)}), rng)
        positions, interface, cut = build(body, element, atoms, offset=offset)
    except BraggfillError as error:
        hint = f"; raise particle.min_{_size_name(settings)}" if "left of" in str(error) else ""
        raise BraggfillError(f"particle {index:06d} ({element}, {shape}): {error}{hint}") from error
    parameters = {"target_atoms": atoms, **body.parameters, **cut}
    return Particle(index, element, shape, positions, interface, parameters)


def particle_chunk(settings: ParticleSettings, seed: int, indices: list[int], out: Path, code: str = "") -> None:
    """Build some particles of a run and write them to one HDF5 file.

    Each particle is a group ``f"{index:06d}"`` with ``positions`` (n, 3) float64 Å and, for Winterbottom shapes,
    ``interface`` (n,) bool; attributes: index, element, shape, lattice_constant_angstrom, n_atoms, parameters (JSON).

    Raises
    ------
    BraggfillError : a particle cannot be built (the message names it and the setting), or ``out`` cannot be written.
    """
    from tqdm import tqdm

    with storage.create(out, settings=settings, seed=seed, code=code) as file:
        for index in tqdm(indices, desc="particle", unit="particle", mininterval=2.0):
            particle = make(settings, seed, index)
            group = file.create_group(f"{index:06d}")
            group.create_dataset(
                "positions", data=particle.positions, compression="gzip", compression_opts=1, shuffle=True
            )
            if particle.shape == "winterbottom":
                group.create_dataset("interface", data=particle.interface)
            group.attrs["index"] = index
            group.attrs["element"] = particle.element
            group.attrs["shape"] = particle.shape
            group.attrs["lattice_constant_angstrom"] = METALS[particle.element].lattice_constant_angstrom
            group.attrs["n_atoms"] = len(particle.positions)
            group.attrs["parameters"] = json.dumps(particle.parameters)


def _size_name(settings: ParticleSettings) -> str:
    return "atoms" if settings.size_by == "atoms" else "diameter_nm"


def _size(settings: ParticleSettings, rng: np.random.Generator, element: str, index: int) -> int:
    """Draw the wanted number of atoms, log-uniformly, and hold it against the memory limit."""
    name = _size_name(settings)
    low, high = (getattr(settings, f"{bound}_{name}") for bound in ("min", "max"))
    drawn = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if settings.size_by == "diameter":
        volume = np.pi / 6 * (10 * drawn) ** 3
        atoms = int(4 * volume / METALS[element].lattice_constant_angstrom ** 3)
    else:
        atoms = round(drawn)
    said = f"particle {index:06d} ({element}): its {name} of {drawn:.4g}"
    if atoms < 1:
        raise BraggfillError(f"{said} gives no atoms; raise particle.min_{name}")
    needed = (BYTES_FIXED + atoms * BYTES_AN_ATOM) / 1e6
    if needed > settings.memory_limit_mb:
        raise BraggfillError(
            f"{said} ({atoms:,} atoms) needs about {needed:,.0f} MB, more than particle.memory_limit_mb "
            f"({settings.memory_limit_mb:,.0f}); lower particle.max_{name} or raise the limit"
        )
    return atoms
