"""What the starts come to: the network's object, that object refined, random starts (thesis, sections 4.9, 4.10)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from braggfill.phasing import cycling, free, judging, named, starts, support, verdict
from braggfill.phasing.context import Context
from braggfill.phasing.pattern import Pattern, prepare
from braggfill.phasing.projections import Measured
from braggfill.phasing.recipe import Recipe, Schedule
from braggfill.phasing.starts import Start
from braggfill.phasing.strategy import Search
from braggfill.runs import seeds

if TYPE_CHECKING:
    from braggfill.networks.phase.predicts import PhaseNetwork

RECIPE = Recipe()
SHORTER = replace(
    RECIPE,
    finer=Schedule((("RAAR", 60), ("HIO", 20), ("RAAR", 40)), 0, (1.2, 0.8), 0.2, looseness=2),
    settle=replace(RECIPE.settle, er_cycles=0),
)
"""What the network's objects are taken further by: as short as to leave 5 s for all of it, at 64 voxels a side on two
cores."""
PUBLISHED = Schedule((("HIO", 400), ("RAAR", 1000)), 300, (2.0, 1.0))
"""Of a random start (thesis, section 4.8.2)."""
POLISH = Schedule((("ER", 300),), 0, (0.8, 0.8), border=1)
"""Of the network's object: only voxels at the border of the support change (section 4.9)."""
ONE_RUN = Schedule((("RAAR", 150), ("HIO", 60), ("RAAR", 150)), 80, (1.5, 0.6), 0.2)
"""Of each of six random starts on the whole array."""
ROUNDS = 2
"""Of the network's objects, at the most."""
SIX = 6
THRESHOLDS = (0.2, 0.3, 0.25)
"""Support thresholds of random starts, one after the other."""


@dataclass(frozen=True)
class Found:
    """An object, and what it took."""

    obj: np.ndarray = field(repr=False)
    cpu_seconds: float
    """Of the processor, all threads together."""
    llk_free: float
    """Poisson deviance a voxel of the voxels kept out; NaN for the network's object as it is."""


class Starts:
    """Every way to an object from one pattern; the network is asked once."""

    def __init__(self, counts: np.ndarray, mask: np.ndarray | None, network: PhaseNetwork | None, seed: int) -> None:
        self.pattern: Pattern = prepare(counts, mask, seed=seed).centred()
        self.network, self.seed = network, seed
        self.measured = Measured(self.pattern.intensity, self.pattern.fitted)
        self.inside = support.autocorrelation(self.pattern.intensity, RECIPE.autocorrelation_threshold)
        self._seen: tuple[tuple[named.Named, ...], float] | None = None

    def by(self, method: str) -> Found:
        """An object by ``network``, ``network_er``, ``network_run``, ``run`` or ``best_of_6``.

        Raises
        ------
        ValueError : there is no such method.
        """
        if method == "network":
            return self.expected()
        if method == "network_er":
            return self.refined(POLISH)
        if method == "network_run":
            return self.one_run()
        if method == "run":
            return self.random(1, PUBLISHED)
        if method == "best_of_6":
            return self.random(SIX, ONE_RUN)
        raise ValueError(f"no method {method}")

    def objects(self) -> tuple[tuple[named.Named, ...], float]:
        """The network's objects, the one that it expects first, and the seconds of the processor that they took."""
        if self._seen is None:
            assert self.network is not None
            began = time.process_time()
            objects = named.of_network(self.network, self.pattern)
            self._seen = objects, time.process_time() - began
        return self._seen

    def expected(self) -> Found:
        """What the network expects."""
        objects, seconds = self.objects()
        made = objects[0].source.obj if objects else np.zeros(self.pattern.shape, np.complex64)
        return Found(made, seconds, float("nan"))

    def one_run(self) -> Found:
        """The network's objects, cycled as :func:`braggfill.phasing.phase.phase_pattern` begins with them, and once
        more where they do not fit as well as starts of a network have to.  Its time is that of all, the network's
        included."""
        objects, seconds = self.objects()
        if not objects:
            return self.expected()
        began = time.process_time()
        context = Context(self.seed, "cpu", 1, None, None, None, time.monotonic(), named=objects, random=False)
        search = Search(self.pattern, RECIPE, context)
        for number, runs in enumerate(search.rounds(), 1):
            search.recipe = SHORTER
            if number == ROUNDS or verdict.fits(runs[0], judging.expected(self.pattern, runs[0]), verdict.SEEN):
                break
        return Found(runs[0].obj, seconds + time.process_time() - began, runs[0].llk_free)

    def refined(self, schedule: Schedule) -> Found:
        """The network's object at the end of a schedule; its time is that of both."""
        objects, seconds = self.objects()
        if not objects:
            return self.expected()
        window = np.ones(self.pattern.shape, np.float32)
        begun = named.on_level(objects[:1], self.pattern.shape, window, self.inside, THRESHOLDS[0], self.seed)
        found = _best(self._cycled(begun, schedule))
        return replace(found, cpu_seconds=found.cpu_seconds + seconds)

    def random(self, number: int, schedule: Schedule) -> Found:
        """The best by its free log-likelihood of so many random starts; its time is that of all."""
        return _best(self.runs(number, schedule))

    def runs(self, number: int, schedule: Schedule) -> list[Found]:
        """So many random starts at the end of a schedule."""
        return self._cycled([self._begun(i) for i in range(number)], schedule)

    def until(self, seconds: float, schedule: Schedule) -> list[Found]:
        """As many random starts at the end of a schedule as come closest to so much processor time, at least one."""
        found: list[Found] = []
        spent = 0.0
        while not found or spent + spent / len(found) / 2 <= seconds:
            found += self._cycled([self._begun(len(found))], schedule)
            spent = sum(one.cpu_seconds for one in found)
        return found

    def _begun(self, i: int) -> Start:
        rng = seeds.generator(self.seed, "phase/start", i)
        return Start(starts.random(self.inside, rng), self.inside, THRESHOLDS[i % len(THRESHOLDS)], rng, i)

    def _cycled(self, begun: Sequence[Start], schedule: Schedule) -> list[Found]:
        judged = self.pattern.free
        seen = self.pattern.intensity[judged].astype(float)
        found = []
        for start in begun:
            began = time.process_time()
            (done,) = cycling.cycle(self.measured, [start], schedule, RECIPE)
            spent = time.process_time() - began
            found.append(Found(done.obj, spent, free.likelihood(seen, done.model[judged].astype(float))))
        return found


def _best(found: Sequence[Found]) -> Found:
    """The best, with the time of all."""
    spent = sum(one.cpu_seconds for one in found)
    return replace(min(found, key=lambda one: np.nan_to_num(one.llk_free, nan=np.inf)), cpu_seconds=spent)
