"""Settings of the stage ``particle``: how many crystals, of which metals, shapes and sizes."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Literal

from pydantic import field_validator, model_validator

from braggfill.physics.elements import METALS
from braggfill.settings.base import Field, StageSettings

SHAPES = ("wulff", "winterbottom", "cube", "octahedron", "random")

Miller = tuple[int, int, int]


def _known(kind: str, given: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    for name in given:
        if name not in known:
            near = get_close_matches(name.capitalize() if kind == "element" else name.lower(), known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            why = "has no potential here" if kind == "element" else "is unknown"
            raise ValueError(f"{kind} {name!r} {why}{hint} (known: {', '.join(known)})")
    if len(set(given)) < len(given):
        raise ValueError(f"each {kind} may be named once, got {', '.join(given)}")
    return given


class ParticleSettings(StageSettings):
    """Face-centred cubic single crystals, each drawn from the run's seed and its own index (supplement S2.1)."""

    elements: tuple[str, ...] = Field(tuple(METALS), min_length=1)
    """Metals to use, in turn: any of Au, Pt, Pd, Ni, Cu, Ag (those with a potential that comes with LAMMPS)."""

    shapes: tuple[str, ...] = Field(SHAPES, min_length=1)
    """Shape families to use, in turn: wulff, winterbottom, cube, octahedron, random. Particle i has family i modulo
    their number; elements take turns so that every pair comes up once in (elements x shapes) particles."""

    size_by: Literal["atoms", "diameter"] = "atoms"
    """Definition of the size: `atoms` (min_atoms to max_atoms) or `diameter` (min_diameter_nm to max_diameter_nm).
    Both are drawn uniformly in the logarithm, so that small particles, which are cheap, are not rare."""

    min_atoms: int = Field(5_000, ge=1)
    """Fewest atoms in a particle, when `size_by` is `atoms`. Gold has 59 atoms per cubic nanometre: 5,000 are 5.5
    nm."""

    max_atoms: int = Field(150_000, ge=1)
    """Most atoms in a particle, when `size_by` is `atoms`. Relaxation time grows in proportion to them."""

    min_diameter_nm: float = Field(2.0, gt=0, le=1_000)
    """Smallest diameter of the sphere of the same volume, when `size_by` is `diameter`."""

    max_diameter_nm: float = Field(20.0, gt=0, le=1_000)
    """Largest diameter of the sphere of the same volume, when `size_by` is `diameter`."""

    memory_limit_mb: float = Field(2_000.0, gt=0)
    """Most memory that building and relaxing one particle may take, estimated from its size before it is built. A
    larger particle is an error that names it."""

    families: tuple[Miller, ...] = Field(((1, 0, 0), (1, 1, 0), (1, 1, 1)), min_length=1)
    """Families of facets with a random surface energy in Wulff and Winterbottom shapes. Adding [2, 1, 0] or [3, 1, 1]
    gives rounder particles."""

    min_surface_energy: float = Field(0.8, gt=0)
    """Smallest surface energy of a family, in any unit: only ratios matter."""

    max_surface_energy: float = Field(1.2, gt=0)
    """Largest surface energy of a family. Energies far apart give sharp shapes of one family, close ones round."""

    interfaces: tuple[Miller, ...] = Field(((1, 1, 1), (1, 0, 0), (1, 1, 0), (2, 1, 0), (3, 1, 1)), min_length=1)
    """Directions of a Winterbottom particle that may face the substrate; one is drawn, then one of its equivalents."""

    min_interface_energy: float = Field(-0.5, gt=-1, lt=1)
    """Smallest interface energy of a Winterbottom particle, relative to its lowest surface energy. Below zero, more
    than half of the particle is cut away: flat islands."""

    max_interface_energy: float = Field(0.7, gt=-1, lt=1)
    """Largest interface energy, relative to the lowest surface energy. Near one, hardly anything is cut away."""

    max_aspect_ratio: float = Field(1.3, ge=1, le=4)
    """Largest ratio of two edges of a cube, or of two facet distances of an octahedron; 1 keeps them regular."""

    truncated_share: float = Field(0.5, ge=0, le=1)
    """Fraction of cubes and octahedra that are truncated, and of random polyhedra that are cut once more."""

    max_truncation: float = Field(0.6, ge=0, le=1)
    """Deepest truncation, as a fraction: at 1 the corners of cubes and octahedra are cut to the middle of the edges."""

    min_facets: int = Field(8, ge=4, le=200)
    """Fewest cutting planes of a random polyhedron."""

    max_facets: int = Field(24, ge=4, le=200)
    """Most cutting planes of a random polyhedron."""

    min_facet_distance: float = Field(0.6, gt=0, le=1)
    """Nearest plane of a random polyhedron, relative to the farthest that may be drawn. Small: irregular shapes."""

    max_elongation: float = Field(2.5, ge=1.8, le=10)
    """Random polyhedra whose farthest corner lies more than this many times farther out than their nearest facet are
    drawn again: needles and blades cannot be sampled in a cubic box."""

    @field_validator("elements")
    @classmethod
    def _elements(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known("element", value, tuple(METALS))

    @field_validator("shapes")
    @classmethod
    def _shapes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known("shape", value, SHAPES)

    @field_validator("families", "interfaces")
    @classmethod
    def _directions(cls, value: tuple[Miller, ...]) -> tuple[Miller, ...]:
        if any(not any(direction) for direction in value):
            raise ValueError("[0, 0, 0] is no direction")
        if len({tuple(sorted(map(abs, direction))) for direction in value}) < len(value):
            raise ValueError("two directions belong to the same family; name each family once")
        return value

    @model_validator(mode="after")
    def _ranges(self) -> ParticleSettings:
        for name in ("atoms", "diameter_nm", "surface_energy", "interface_energy", "facets"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low > high:
                raise ValueError(f"min_{name} ({low}) is larger than max_{name} ({high})")
        return self
