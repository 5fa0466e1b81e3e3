"""The engine ``projections``: several starts side by side, low to high resolution, until they agree.

Where there are starts that are not random, a network's objects, they come first: they know the strain, which a coarse
array would lose.  A round of random starts on the pattern's centre costs a tenth of one on the whole array and finds
shape and phase; the best of them, by the voxels kept out, are taken to the whole array.  Where that does not settle it,
rounds follow that begin with convex objects found by automatic differentiation (engine ``auto``), long runs on the
whole array, and children of the best runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from braggfill.phasing import coherence as _coherence
from braggfill.phasing import convex as _convex
from braggfill.phasing import cycling, judging, starts, support
from braggfill.phasing import named as _named
from braggfill.phasing import pattern as _pattern
from braggfill.phasing.context import Context
from braggfill.phasing.pattern import Pattern
from braggfill.phasing.projections import Measured
from braggfill.phasing.recipe import Recipe, Schedule
from braggfill.phasing.result import Run
from braggfill.phasing.starts import Start
from braggfill.runs import seeds

HOPEFUL = 6.0
"""A run of up to so many times the best free log-likelihood is worth more cycles."""
CHILD = 1_000_000
"""Added to the number of a start that was bred from others."""


def levels(shape: Sequence[int], most: int) -> list[tuple[int, ...]]:
    """Shapes from coarse to fine: each axis halved, to even lengths of at least 24, until ``most`` voxels suffice."""
    found = [tuple(shape)]
    while prod(found[0]) > most:
        half = tuple(n if n <= 24 else max(24, (n + 3) // 4 * 2) for n in found[0])
        if half == found[0]:
            break
        found.insert(0, half)
    return found


class Level:
    """A pattern at one resolution."""

    def __init__(self, pattern: Pattern, shape: tuple[int, ...], width: float, context: Context) -> None:
        """``width`` : standard deviation of the Gaussian window on a coarse array, in shares of an axis."""
        full = shape == pattern.shape
        self.shape = shape
        self.window = _pattern.window(shape, 0 if full else width)
        self.intensity, weight, self.free = (
            _pattern.crop(a, shape) for a in (pattern.intensity, pattern.fitted, pattern.free)
        )
        self.used = _pattern.crop(pattern.known, shape) & ~self.free
        self.weight = weight
        self.device = context.device
        self._autocorrelation: np.ndarray | None = None
        self.blurred: _coherence.Blur | None = None
        self.measured = Measured(self.intensity * self.window**2, weight, device=context.device)

    def autocorrelation(self, threshold: float) -> np.ndarray:
        """Where the object may be; calculated once."""
        if self._autocorrelation is None:
            self._autocorrelation = support.autocorrelation(self.intensity * self.window**2, threshold)
        return self._autocorrelation

    def misfit(self, model: np.ndarray) -> float:
        r""":math:`\sum (\sqrt{m} - \sqrt{I})^2 / \sum I` over the voxels kept out, under the window."""
        where = self.free if (self.intensity[self.free] > 0).any() else self.used
        seen = self.window[where] * np.sqrt(self.intensity[where])
        return float(((np.sqrt(np.maximum(model[where], 0)) - seen) ** 2).sum() / max(float((seen**2).sum()), 1e-30))

    def blur_by(self, blur: _coherence.Blur | None) -> None:
        self.blurred = blur
        self.measured.blur_by(blur)

    def run(self, done: cycling.Cycled, start: Start) -> Run:
        """A run on the whole array, with its figures."""
        finite = bool(np.isfinite(done.obj).all() and done.obj.any())
        figures = judging.figures(self.intensity, self.used, self.free, done.model) if finite else judging.NONE
        problem = "" if finite else "values that are not finite, or none"
        return Run(
            done.obj, done.support, *figures, start.origin, start.number, start.threshold, done.cycles, done.seconds,
            self.blurred, problem,
        )  # fmt: skip


class Search:
    """Rounds of starts on one pattern, whose peak is at ``n // 2``."""

    def __init__(self, pattern: Pattern, recipe: Recipe, context: Context, *, convex: bool = False) -> None:
        """``convex``: whether there are rounds that begin with objects of :mod:`braggfill.phasing.convex`."""
        self.pattern, self.recipe, self.context, self.convex = pattern, recipe, context, convex
        shapes = levels(pattern.shape, recipe.coarse_voxels)
        self.levels = [Level(pattern, shape, recipe.coarse_window, context) for shape in shapes]
        self.made = 0
        self.looked_for_blur = False
        self.taken_further: set[tuple[int, int]] = set()
        """Numbers and cycles of starts that were cycled further: the same again would give the same bits."""

    def rounds(self) -> Iterator[list[Run]]:
        """The runs so far after each round; the caller stops when they do."""
        runs: list[Run] = []
        context = self.context
        kinds = self._kinds()
        for number, kind in enumerate(kinds):
            context.tell(kind, number, len(kinds), runs)
            new = self._round(kind, runs)
            if not (runs and context.over()):  # a run cut short has a loose support, which fits anything
                runs = _merged(runs, new)
            yield runs
            if context.over():
                return
        context.tell("done", len(kinds), len(kinds), runs)

    def _kinds(self) -> list[str]:
        """The rounds, one after the other."""
        first = "long" if len(self.levels) == 1 else "coarse"
        kinds = [first, "further", first, "further", "long", "bred"]
        if self.convex:  # sooner than more of the same: it fails on other objects
            kinds[2:2] = ["convex", "further"]
        found = [kinds[number % len(kinds)] for number in range(self.recipe.rounds)]
        named = ["network", "further"] if self.context.named else []
        return named + found if self.context.random or not named else named + ["further"] * (self.recipe.rounds - 2)

    def _round(self, kind: str, runs: Sequence[Run]) -> list[Run]:
        if kind == "further":
            return self._further(runs)
        if kind == "bred":
            return self._bred(runs)
        return {"network": self._named, "coarse": self._coarse, "long": self._long, "convex": self._convex}[kind]()

    def starts(self, level: Level, number: int) -> list[Start]:
        """So many random starts on a level, the thresholds in turn."""
        return [_random(self, level, self._next()) for _ in range(number)]

    def _next(self) -> int:
        self.made += 1
        return self.made - 1

    def _cycle(self, level: Level, begun: Sequence[Start], schedule: Schedule) -> list[cycling.Cycled]:
        context = self.context
        done = cycling.cycle(
            level.measured, begun, schedule, self.recipe, threads=context.threads, should_stop=context.over
        )
        context.cycles += sum(one.cycles - start.cycles for one, start in zip(done, begun, strict=True))
        return done

    def _named(self) -> list[Run]:
        """The starts that are not random, on the finest array that is not too large."""
        shape = self._large().shape
        level = Level(self.pattern, shape, self.recipe.named_window, self.context)
        inside = level.autocorrelation(self.recipe.autocorrelation_threshold)
        threshold, seed = self.recipe.support_thresholds[0], self.context.seed
        begun = _named.on_level(self.context.named, shape, level.window, inside, threshold, seed)
        done = self._cycle(level, begun, self.recipe.named)
        best = sorted(range(len(done)), key=lambda i: level.misfit(done[i].model))[: self.recipe.kept]
        begun, done = [begun[i] for i in best], [done[i] for i in best]
        if shape != self.levels[0].shape:  # seen here already, and cheaper to look for than on the whole array
            done = self._look_for_blur(level, begun, done)
        return self._refined(begun, done, level, self.recipe.kept)

    def _coarse(self) -> list[Run]:
        """Many starts on the coarsest array, the best few of them on the finer ones."""
        return self._begun(self.levels[0], self.recipe.coarse_starts, self.recipe.coarse, self.recipe.kept)

    def _long(self) -> list[Run]:
        """Random starts on the finest array that is not too large, with the long schedule."""
        number = self.recipe.long_starts
        return self._begun(self._large(), number, self.recipe.long, number)

    def _begun(self, level: Level, number: int, schedule: Schedule, kept: int) -> list[Run]:
        """So many random starts on a level, the best of them on the whole array."""
        begun = self.starts(level, number)
        return self._refined(begun, self._cycle(level, begun, schedule), level, kept)

    def _refined(self, begun: Sequence[Start], done: list[cycling.Cycled], level: Level, kept: int) -> list[Run]:
        """The best of what was done on a level, taken to the whole array."""
        shapes = [one.shape for one in self.levels]
        for finer in self.levels[shapes.index(level.shape) + 1 :]:
            most = 1 if self.context.over() else kept
            order = sorted(range(len(done)), key=lambda i: level.misfit(done[i].model))[:most]
            begun = [self._finer(done[i], begun[i], level, finer) for i in order]
            done = self._look_for_blur(finer, begun, self._cycle(finer, begun, self.recipe.finer))
            level = finer
        return self._settled(begun, self._look_for_blur(level, begun, done))

    def _settled(self, begun: Sequence[Start], done: Sequence[cycling.Cycled]) -> list[Run]:
        """Runs on the whole array, after their last schedule."""
        level = self.levels[-1]
        if self.context.over():
            return [level.run(one, start) for one, start in zip(done, begun, strict=True)]
        begun = _onwards(begun, done)
        settled = self._cycle(level, begun, self.recipe.settle)
        return [level.run(one, start) for one, start in zip(settled, begun, strict=True)]

    def _finer(self, done: cycling.Cycled, start: Start, level: Level, finer: Level) -> Start:
        obj, inside = starts.on_finer(done.obj, done.support, finer.shape, level.window)
        return replace(
            start,
            obj=obj,
            support=inside,
            threshold=self.recipe.coarse.threshold or start.threshold,
            origin="coarse" if start.origin == "random" else start.origin,
            relaxation=0,
            cycles=done.cycles,
            seconds=done.seconds,
        )

    def _large(self) -> Level:
        """The finest array that long rounds are affordable on."""
        small = [level for level in self.levels if prod(level.shape) <= self.recipe.long_voxels]
        return small[-1] if small else self.levels[0]

    def _convex(self) -> list[Run]:
        """Objects found by automatic differentiation, cycled on the finest array that is not too large."""
        level, recipe, context = self._large(), self.recipe, self.context
        found = _convex.objects(
            level.intensity * level.window**2,
            ~level.used,
            level.weight,
            [seeds.integer(context.seed, "phase/convex/start", self._next()) for _ in _convex.LOSSES],
            starts=recipe.convex_starts,
            device=context.device,
            threads=context.threads,
            should_stop=context.over,
        )
        context.cycles += sum(len(one.history) for one in found)
        begun = []
        for one in found:
            number = self._next()
            rng = seeds.generator(context.seed, "phase/start", number)
            steps, inside = len(one.history), one.support
            threshold = recipe.support_thresholds[0]
            begun.append(Start(one.obj, inside, threshold, rng, number, "convex", cycles=steps, seconds=one.seconds))
        done = self._cycle(level, begun, recipe.finer)
        return self._refined(begun, done, level, len(begun))

    def _further(self, runs: Sequence[Run]) -> list[Run]:
        """The best runs, each by itself, taken through the schedule of the whole array again; hopeless ones are not,
        and those that did not get better by it are not twice."""
        usable = [run for run in runs if not run.problem and run.origin != "bred"]
        hopeful = [run for run in usable if run.llk_free <= HOPEFUL * usable[0].llk_free]
        fresh = [run for run in hopeful if (run.start, run.cycles) not in self.taken_further]
        begun = []
        for run in fresh[: self.recipe.kept]:
            self.taken_further.add((run.start, run.cycles))
            rng = seeds.generator(self.context.seed, "phase/further", run.start, run.cycles)
            threshold = self.recipe.finer.threshold or run.threshold
            begun.append(_again(run, threshold, rng))
        return self._settled(begun, self._cycle(self.levels[-1], begun, self.recipe.finer)) if begun else []

    def _bred(self, runs: Sequence[Run]) -> list[Run]:
        """Children of the best run and of those that differ from it (a guided generation)."""
        usable = [run for run in runs if not run.problem]
        if len(usable) < 2:
            return self._long()
        best, level = usable[0], self.levels[-1]
        begun = []
        for other in usable[1 : 1 + self.recipe.long_starts]:
            rng = seeds.generator(self.context.seed, "phase/start", CHILD + self.made)
            obj = starts.child(best.obj, other.obj, best.support)
            begun.append(Start(obj, best.support, best.threshold, rng, CHILD + self.made, "bred"))
            self.made += 1
        return self._settled(begun, self._cycle(level, begun, self.recipe.finer))

    def _look_for_blur(self, level: Level, begun: Sequence[Start], done: list[cycling.Cycled]) -> list[cycling.Cycled]:
        """Once, on the first level where it can be seen: what was done, continued with the pattern's blur where it has
        one.  Voxels kept out have to confirm it: the best start, cycled on with it, must fit better than cycled on
        without.  All levels have the same voxels, so that they share it."""
        if self.looked_for_blur or not done or self.context.over():
            return done
        self.looked_for_blur = True
        for _ in range(_coherence.TURNS):
            best = min(range(len(done)), key=lambda i: level.misfit(done[i].model))
            blur = _coherence.estimate(
                done[best].obj, level.intensity * level.window**2, level.used, should_stop=self.context.over
            )
            if blur is None:
                break
            onwards, before = _onwards(begun, done), level.blurred
            (plain,) = self._cycle(level, onwards[best : best + 1], self.recipe.finer)
            self._blur_by(blur, level)
            (tried,) = self._cycle(level, onwards[best : best + 1], self.recipe.finer)
            if self.context.over() or level.misfit(tried.model) > _coherence.GAIN * level.misfit(plain.model):
                self._blur_by(before, level)
                return [plain if i == best and not self.context.over() else one for i, one in enumerate(done)]
            others = self._cycle(level, onwards[:best] + onwards[best + 1 :], self.recipe.finer)
            done = [*others[:best], tried, *others[best:]]
        return done

    def _blur_by(self, blur: _coherence.Blur | None, level: Level) -> None:
        for one in {id(one): one for one in (*self.levels, level)}.values():
            one.blur_by(blur)


def _random(search: Search, level: Level, number: int) -> Start:
    """Random values inside the autocorrelation's support."""
    recipe = search.recipe
    rng = seeds.generator(search.context.seed, "phase/start", number)
    inside = level.autocorrelation(recipe.autocorrelation_threshold)
    threshold = recipe.support_thresholds[number % len(recipe.support_thresholds)]
    relaxation = recipe.relaxations[number % len(recipe.relaxations)]
    return Start(starts.random(inside, rng), inside, threshold, rng, number, "random", relaxation)


def _onwards(begun: Sequence[Start], done: Sequence[cycling.Cycled]) -> list[Start]:
    """What was done as the starts of further cycles."""
    return [
        replace(start, obj=one.obj, support=one.support, cycles=one.cycles, seconds=one.seconds)
        for start, one in zip(begun, done, strict=True)
    ]


def _again(run: Run, threshold: float, rng: np.random.Generator) -> Start:
    """A run as the start of further cycles."""
    return Start(
        run.obj, run.support, threshold, rng, run.start, run.origin, cycles=run.cycles, seconds=run.seconds
    )  # fmt: skip


def _merged(runs: Sequence[Run], new: Sequence[Run]) -> list[Run]:
    """All runs, the best first; of a start that went further, the better end."""
    best: dict[int, Run] = {}
    for run in [*runs, *new]:
        if run.start not in best or run.llk_free < best[run.start].llk_free:
            best[run.start] = run
    return sorted(best.values(), key=lambda run: run.llk_free)
