"""How the convex engine is run, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.phasing import convex_losses, convex_model
from braggfill.phasing.convex_refine import Refinement


@dataclass(frozen=True)
class Step:
    """One resolution of the schedule; sizes are geometric means over the axes."""

    edge: float
    """Voxels along an axis of the central part of the pattern."""
    phase: float
    """Values along an axis of the grid that the phase is interpolated from."""
    steps: int


SCHEDULE = (Step(16, 6, 150), Step(24, 10, 150), Step(32, 14, 150), Step(64, 24, 80))


@dataclass(frozen=True)
class ConvexRecipe:
    """What the convex engine does."""

    halfspaces: int = 64
    softness: float = 0.5
    """epsilon, voxels of each resolution; 0.4 to 0.8 is usual."""
    phase: str = "values"
    """values, phasor or displacement."""
    spacing_angstrom: float | None = None
    """Lattice spacing d; a displacement needs it, with |Q| = 2 pi / d."""
    losses: tuple[str, ...] = ("absolute", "amplitude")
    """Of :data:`convex_losses.DISTANCES`, in turn over the starts."""
    small_support: float = 0.0
    """alpha."""
    variation: float = 0.0
    """beta."""
    learning_rate: float = 0.1
    """Of the phase, radians (or Å, or the phasor's unit) a step."""
    normal_rate: float = 0.02
    """Radians a step, about.  As fast as the phase, the shape gives way before the phase has been found; much
    slower, it does not arrive."""
    offset_rate: float = 0.017
    """Voxels of each resolution a step."""
    betas: tuple[float, float] = (0.9, 0.98)
    decay: float = 0.9
    decay_steps: int = 500
    schedule: tuple[Step, ...] = SCHEDULE
    """For a pattern of about the last entry's size; :func:`fitted_schedule` has others."""
    kept: float = 0.5
    """Share of the starts of each loss that goes on to the next resolution; one does always."""
    first_phase: float = 0.5
    """Largest amplitude of the random first phase, in units of pi; each start has its own, from 0 to this."""
    refinement: Refinement | None = field(default_factory=Refinement)
    """The second stage; None for none."""

    def __post_init__(self) -> None:
        if self.phase not in convex_model.KINDS:
            raise BraggfillError(f"convex: no phase called {self.phase!r}; take one of {', '.join(convex_model.KINDS)}")
        unknown = [name for name in self.losses if name not in convex_losses.DISTANCES]
        if unknown or not self.losses:
            raise BraggfillError(f"convex: losses {self.losses}; take some of {', '.join(convex_losses.DISTANCES)}")
        if self.phase == "displacement" and not (self.spacing_angstrom or 0) > 0:
            raise BraggfillError("convex: a displacement needs the lattice spacing; give spacing_angstrom")
        if self.halfspaces < 4 or not self.softness > 0 or not self.schedule or not 0 < self.kept <= 1:
            raise BraggfillError(
                "convex: needs 4 half-spaces, a softness above 0, a schedule, and a kept share in (0, 1]"
            )


def fitted_schedule(schedule: tuple[Step, ...], shape: tuple[int, ...]) -> tuple[Step, ...]:
    """The schedule for a pattern of another size: entries clearly below it, doublings in between, and the whole."""
    edge = float(np.prod(shape)) ** (1 / 3)
    last = schedule[-1]
    steps = [s for s in schedule if s.edge < 0.9 * edge]
    while steps and steps[-1].edge >= last.edge and 2 * steps[-1].edge < 0.9 * edge:
        steps.append(Step(2 * steps[-1].edge, 2 * steps[-1].phase, last.steps))
    below = [s for s in schedule if s.edge <= 1.1 * edge]
    model = below[-1] if below else schedule[0]
    return (*steps, Step(edge, max(2.0, model.phase * edge / model.edge), model.steps))
