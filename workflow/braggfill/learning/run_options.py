"""What a training on data that are drawn as they are needed is told, whatever it learns."""

from __future__ import annotations

from dataclasses import dataclass

from braggfill.errors import BraggfillError


@dataclass(frozen=True)
class RunOptions:
    """How long and how fast a network is trained.

    batch : patterns or patches a step.
    rate, last_rate : learning rate after the warm-up of ``warm_up`` steps, and at the end; a cosine between.
    ends : rate of the weights that AdamW trains beside Muon, as a share of it.
    clip : norm of the gradient from which on it is shortened; one that is a hundred times the usual would fill Muon's
        momentum for twenty steps.
    average : of the weights that are validated and shipped, exponential, a step; decay : of the weights (AdamW).
    minutes : between two checkpoints; least : patterns or patches between them, because the loss of few may be far
        from that of others without anything having diverged.
    seconds : the learning rate falls by the clock, and the training ends after so many; None for by what was seen.
    """

    batch: int = 8
    rate: float = 1.2e-3
    last_rate: float = 1e-5
    ends: float = 0.5
    clip: float = 1.0
    warm_up: int = 100
    average: float = 0.998
    decay: float = 0.01
    minutes: float = 6.0
    least: int = 1
    seed: int = 1
    seconds: float | None = None

    @property
    def steps(self) -> int:
        """Steps of a training that does not end by the clock."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        if not 0 < self.average < 1:
            raise BraggfillError(f"--average {self.average:g}: give a number above 0 and below 1, such as 0.998")
        if not self.minutes >= 0:
            raise BraggfillError(f"--minutes {self.minutes:g}: give a time of 0 or more")
        if self.seconds is not None and not self.seconds > 0:
            raise BraggfillError(f"--seconds {self.seconds:g}: give a time above 0")
        if not 0 < self.rate < 1:
            raise BraggfillError(f"--rate {self.rate:g}: give a learning rate above 0 and below 1, such as 1e-3")
