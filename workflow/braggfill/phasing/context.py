"""Where and how long an engine runs, and whom it tells how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from braggfill.phasing.result import Run

if TYPE_CHECKING:
    from braggfill.phasing.named import Named


@dataclass(frozen=True)
class Progress:
    """How far phase retrieval is."""

    stage: str
    done: int
    """Rounds done."""
    total: int
    """Rounds at the most."""
    llk_free: float
    """Of the best run so far; NaN before the first."""
    cycles: int
    seconds: float


@dataclass
class Context:
    """Where and how long an engine runs."""

    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    deadline: float | None = None
    """Value of ``time.monotonic()`` after which nothing new is begun."""
    should_stop: Callable[[], bool] | None = None
    progress: Callable[[Progress], None] | None = None
    began: float = field(default_factory=time.monotonic)
    cycles: int = 0
    named: Sequence[Named] = ()
    """Objects to begin with beside random ones."""
    random: bool = True
    """Whether there are random starts at all."""

    def over(self) -> bool:
        """Whether the time is up or somebody asked to stop."""
        late = self.deadline is not None and time.monotonic() > self.deadline
        return late or (self.should_stop is not None and self.should_stop())

    def tell(self, stage: str, done: int, total: int, runs: Sequence[Run]) -> None:
        if self.progress is not None:
            best = min((run.llk_free for run in runs), default=float("nan"))
            self.progress(Progress(stage, done, total, best, self.cycles, time.monotonic() - self.began))
