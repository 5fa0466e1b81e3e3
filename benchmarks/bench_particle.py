"""Time to build and to relax a particle, against its number of atoms.

Times are processor seconds of this process, so that a busy machine changes them little.  The targets: 130,000 atoms
are built in less than a second, and both grow no faster than the number of atoms.  Measured beside, in the same run:
wulffpack building the atoms itself, and LAMMPS with plain ``eam`` and its usual neighbour skin.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from braggfill.physics.polyhedra import _operations
from braggfill.runs import external
from braggfill.settings.particle import SHAPES, ParticleSettings
from braggfill.settings.relax import RelaxSettings
from braggfill.stages import particle, relax

BUILD_SIZES = (2_000, 20_000, 130_000, 500_000)
RELAX_SIZES = (2_000, 16_000, 130_000)
ENERGIES = {(1, 0, 0): 1.1, (1, 1, 0): 1.12, (1, 1, 1): 1.0}


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds, and what the call gave."""
    begin = time.process_time()
    result = call()
    return time.process_time() - begin, result


def settings(atoms: int, shape: str) -> ParticleSettings:
    """One size and shape, gold."""
    return ParticleSettings(elements=("Au",), shapes=(shape,), min_atoms=atoms, max_atoms=atoms, memory_limit_mb=10_000)


def build() -> float:
    """The table of building times; returns the longest for 130,000 atoms."""
    print(f"{'build, s':>14} " + " ".join(f"{atoms:>10,}" for atoms in BUILD_SIZES) + "  atoms")
    longest = 0.0
    for shape in SHAPES:
        particle.make(settings(500, shape), 0, 0)  # imports
        times = [timed(lambda a=atoms, s=shape: particle.make(settings(a, s), 0, 0))[0] for atoms in BUILD_SIZES]
        longest = max(longest, times[BUILD_SIZES.index(130_000)])
        print(f"{shape:>14} " + " ".join(f"{value:10.3f}" for value in times))
    return longest


def relaxation() -> None:
    """The table of relaxation times, and the ratio to LAMMPS's plain settings."""
    print(f"{'relax':>14} {'atoms':>9} {'steps':>6} {'s':>8} {'µs/atom/step':>13}")
    external.load_lammps()
    for shape in ("wulff", "cube", "winterbottom"):
        for atoms in RELAX_SIZES if shape == "wulff" else RELAX_SIZES[:2]:
            made = particle.make(settings(atoms, shape), 0, 0)
            seconds, result = timed(lambda m=made: relax.relax(m.positions, m.element, RelaxSettings()))
            count = len(made.positions)
            print(
                f"{shape:>14} {count:9,} {result.steps:6d} {seconds:8.2f} {seconds / count / result.steps * 1e6:13.2f}"
            )
    made = particle.make(settings(16_000, "wulff"), 0, 0)
    fast, _ = timed(lambda: relax.relax(made.positions, made.element, RelaxSettings()))
    lammps = external.load_lammps()
    with patch.object(relax, "SKIN_ANGSTROM", 2.0), patch.object(lammps.lammps, "has_style", lambda *_: False):
        plain, _ = timed(lambda: relax.relax(made.positions, made.element, RelaxSettings()))
    print(f"plain eam with a skin of 2 Å takes {plain / fast:.2f} times as long (16,000 atoms)")


def wulffpack() -> tuple[float, float]:
    """Seconds of wulffpack's own atom building, and of ours, for the same shape of 20,000 atoms."""
    from wulffpack import SingleCrystal

    theirs, _ = timed(lambda: SingleCrystal(ENERGIES, natoms=20_000, symmetry_operations=_operations()).atoms)
    ours, _ = timed(lambda: particle.make(settings(20_000, "wulff"), 0, 0))
    return theirs, ours


def main() -> None:
    """Print the tables and whether the target is met."""
    longest = build()
    verdict = "met" if longest < 1 else "MISSED"
    print(f"target: 130,000 atoms built in less than 1 s; the slowest shape took {longest:.2f} s: {verdict}")
    theirs, ours = wulffpack()
    print(f"wulffpack's own atoms take {theirs / ours:.1f} times as long (Wulff shape, 20,000 atoms, facets included)")
    relaxation()


if __name__ == "__main__":
    main()
