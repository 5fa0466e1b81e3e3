"""The metals that braggfill knows: face-centred cubic, each with one embedded-atom potential.

The potentials are the universal-3 functions of Foiles, Baskes and Daw (Phys. Rev. B 33, 7983, 1986) that come with
LAMMPS.  A particle has to be built with the lattice constant of the potential that relaxes it, otherwise relaxation is
mostly a change of scale.  The lattice constants and cohesive energies below were measured with LAMMPS on a periodic
cell of 4 x 4 x 4 cubic cells at zero pressure; ``tests/test_relax.py`` measures them again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metal:
    """One FCC metal as its potential sees it.

    symbol : the chemical symbol.
    lattice_constant_angstrom : the cubic lattice constant of least energy, Å, at 0 K.
    energy_ev_per_atom : the energy of the perfect crystal, eV an atom.
    potential : the file of the EAM potential among those that come with LAMMPS.
    """

    symbol: str
    lattice_constant_angstrom: float
    energy_ev_per_atom: float
    potential: str


METALS = {
    metal.symbol: metal
    for metal in (
        Metal("Au", 4.08, -3.93, "Au_u3.eam"),
        Metal("Pt", 3.92, -5.77, "Pt_u3.eam"),
        Metal("Pd", 3.89, -3.91, "Pd_u3.eam"),
        Metal("Ni", 3.52, -4.45, "Ni_u3.eam"),
        Metal("Cu", 3.615, -3.54, "Cu_u3.eam"),
        Metal("Ag", 4.09, -2.85, "Ag_u3.eam"),
    )
}
