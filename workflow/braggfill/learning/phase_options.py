"""How the default network of phase retrieval is trained."""

from __future__ import annotations

from dataclasses import dataclass

from braggfill.errors import BraggfillError


@dataclass(frozen=True)
class TrainingOptions:
    """How the network is trained.

    patterns : after how many the learning rate has fallen to its last value, and the training ends.
    batch : patterns a step, from a pool of ``pool`` crystals, each of which is in about ``exposures`` patterns.
    rate, last_rate : learning rate after the warm-up of ``warm_up`` steps, and at the end; a cosine between.
    ends : rate of the weights that AdamW trains, as a share of it.
    clip : norm of the gradient from which on it is shortened; one that is a hundred times the usual would fill Muon's
        momentum for twenty steps.
    average : of the weights that are validated and shipped, exponential, a step; decay : of the weights (AdamW).
    validation : patterns in the fixed set; minutes : between two checkpoints.
    highest : range of the phase up to which crystals are drawn, units of pi.
    seconds : the learning rate falls by the clock, and the training ends after so many; None for by the patterns.
    """

    patterns: int = 80_000
    batch: int = 8
    pool: int = 64
    exposures: int = 8
    rate: float = 1.2e-3
    last_rate: float = 1e-5
    ends: float = 0.5
    clip: float = 1.0
    warm_up: int = 100
    average: float = 0.998
    decay: float = 0.01
    validation: int = 120
    minutes: float = 6.0
    seed: int = 1
    highest: float = 5.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= self.pool:
            raise BraggfillError(f"--batch {self.batch}: give 1 to {self.pool} patterns a step")
        if self.patterns < self.batch:
            raise BraggfillError(f"--patterns {self.patterns}: less than one batch of {self.batch}; give more")
        if not 0 < self.highest <= 20:
            raise BraggfillError(f"--range {self.highest:g}: give a range of the phase of up to 20, units of pi")
        if not 0 < self.average < 1:
            raise BraggfillError(f"--average {self.average:g}: give a number above 0 and below 1, such as 0.998")
        if not self.minutes >= 0:
            raise BraggfillError(f"--minutes {self.minutes:g}: give a time of 0 or more")
        if self.seconds is not None and not self.seconds > 0:
            raise BraggfillError(f"--seconds {self.seconds:g}: give a time above 0")
        if not 0 < self.rate < 1:
            raise BraggfillError(f"--rate {self.rate:g}: give a learning rate above 0 and below 1, such as 1e-3")
