"""Settings of the stage ``relax``: the minimisation of the energy of a particle's atoms."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from braggfill.settings.base import Field, StageSettings


class RelaxSettings(StageSettings):
    """Minimisation of the energy by LAMMPS with an embedded-atom potential (supplement S2.1, thesis 3.4.1)."""

    energy_tolerance: float = Field(1e-8, ge=0, lt=1)
    """Stop when one step changes the energy by less than this fraction of it; 0: only the force tolerance counts."""

    force_tolerance_ev_per_angstrom: float = Field(1e-6, ge=0)
    """Stop when the largest force on any free atom is below this."""

    max_force_ev_per_angstrom: float = Field(0.1, gt=0)
    """Largest force on a free atom of a converged particle. If the energy tolerance is met earlier, e.g. when one atom
    of a rough surface moves slowly, the minimisation continues until the forces are below this. About ten more steps
    reach 0.1; 0.05 may take hundreds, in which surface atoms migrate."""

    max_steps: int = Field(2_000, ge=1)
    """Most steps of conjugate gradients; a particle that needs more counts as not converged."""

    on_unconverged: Literal["error", "skip"] = "error"
    """What to do with a particle that did not converge: `error` stops and names it, `skip` warns and leaves it out."""

    substrate: bool = True
    """Hold the interface layer of Winterbottom particles at a misfit, as a substrate would, so that strain appears."""

    min_misfit: float = Field(-0.01, ge=-0.2, le=0.2)
    """Smallest strain of the interface layer in its plane (negative: compressed). Drawn uniformly for each particle."""

    max_misfit: float = Field(0.01, ge=-0.2, le=0.2)
    """Largest strain of the interface layer. A hundredth is what cooling from dewetting leaves; above about 0.03,
    dislocations may form."""

    @model_validator(mode="after")
    def _ranges(self) -> RelaxSettings:
        if self.min_misfit > self.max_misfit:
            raise ValueError(f"min_misfit ({self.min_misfit}) is larger than max_misfit ({self.max_misfit})")
        if self.energy_tolerance == 0 and self.force_tolerance_ev_per_angstrom == 0:
            raise ValueError("energy_tolerance and force_tolerance_ev_per_angstrom cannot both be 0")
        return self
