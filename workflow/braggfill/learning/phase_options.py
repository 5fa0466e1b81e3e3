"""How the default network of phase retrieval is trained."""

from __future__ import annotations

from dataclasses import dataclass

from braggfill.errors import BraggfillError
from braggfill.learning.run_options import RunOptions


@dataclass(frozen=True)
class TrainingOptions(RunOptions):
    """How the network is trained, beside what :class:`braggfill.learning.run_options.RunOptions` tells.

    patterns : after how many the learning rate has fallen to its last value, and the training ends.
    pool : crystals, each of which is in about ``exposures`` patterns.
    validation : patterns in the fixed set.
    highest : range of the phase up to which crystals are drawn, units of pi.
    """

    patterns: int = 80_000
    pool: int = 64
    exposures: int = 8
    validation: int = 120
    highest: float = 5.0

    @property
    def steps(self) -> int:
        return self.patterns // self.batch

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= self.pool:
            raise BraggfillError(f"--batch {self.batch}: give 1 to {self.pool} patterns a step")
        if self.patterns < self.batch:
            raise BraggfillError(f"--patterns {self.patterns}: less than one batch of {self.batch}; give more")
        if not 0 < self.highest <= 20:
            raise BraggfillError(f"--range {self.highest:g}: give a range of the phase of up to 20, units of pi")
        super().__post_init__()
