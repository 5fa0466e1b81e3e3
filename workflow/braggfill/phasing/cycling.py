"""Starts taken through a schedule: side by side on the cores of a processor, or at once on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch

from braggfill.phasing import projections, support
from braggfill.phasing.projections import Measured, Projections
from braggfill.phasing.recipe import Recipe, Schedule
from braggfill.phasing.starts import Start


@dataclass(frozen=True)
class Cycled:
    """A start at the end of a schedule; arrays with their origin at ``n // 2``."""

    obj: np.ndarray = field(repr=False)
    """Zero outside the support."""
    support: np.ndarray = field(repr=False)
    model: np.ndarray = field(repr=False)
    """Photons that it predicts, with its rim where the schedule has ``rim_cycles``."""
    cycles: int
    """Those that had led to the start included; ``seconds`` likewise."""
    seconds: float


def cycle(
    measured: Measured,
    starts: Sequence[Start],
    schedule: Schedule,
    recipe: Recipe,
    *,
    threads: int = 1,
    should_stop: Callable[[], bool] | None = None,
) -> list[Cycled]:
    """Take starts through a schedule, in their order.  On a processor the bits do not depend on ``threads``."""
    if not starts:
        return []
    if measured.device.type != "cpu":
        return _batch(measured, starts, schedule, recipe, should_stop)
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(max(1, min(threads, len(starts)))) as pool:
            return list(pool.map(lambda start: _alone(measured, start, schedule, recipe, should_stop), starts))
    finally:
        torch.set_num_threads(before)


def _alone(
    measured: Measured, start: Start, schedule: Schedule, recipe: Recipe, should_stop: Callable[[], bool] | None
) -> Cycled:
    # One thread a start: threads that share a transform wait for each other wherever a core is busy.
    torch.set_num_threads(1)
    return _batch(measured, [start], schedule, recipe, should_stop)[0]


def _batch(
    measured: Measured,
    starts: Sequence[Start],
    schedule: Schedule,
    recipe: Recipe,
    should_stop: Callable[[], bool] | None,
) -> list[Cycled]:
    began = time.perf_counter()
    stack = [
        torch.stack([projections.to_layout(array, measured.device) for array in arrays])
        for arrays in zip(*((start.obj.astype(np.complex64), start.support) for start in starts), strict=True)
    ]
    work = Projections(measured, *stack)
    work.rescale()
    thresholds = [start.threshold for start in starts]
    total = max(sum(cycles for _, cycles in schedule.stages), 1)
    done = 0
    with torch.no_grad():
        for name, cycles in schedule.stages:
            for first in range(0, cycles, recipe.support_period):
                number = min(recipe.support_period, cycles - first)
                factors = None
                if any(start.relaxation for start in starts):
                    drawn = [1 + start.relaxation * start.rng.uniform(-1, 1, number) for start in starts]
                    factors = list(torch.tensor(np.stack(drawn, axis=1), dtype=torch.float32, device=measured.device))
                work.run(name, number, beta=recipe.beta, relaxations=factors, should_stop=should_stop)
                done += number
                if should_stop is not None and should_stop():
                    break  # no more updates; what follows hears the same answer
                work.support = support.update(
                    work.obj,
                    work.support,
                    threshold=support.annealed(done / total, thresholds, schedule.threshold),
                    width=support.smoothing(done / total, *schedule.smoothing),
                    border=schedule.border,
                    looseness=schedule.looseness,
                )
        work.run("ER", schedule.er_cycles, should_stop=should_stop)
        objects = projections.from_layout(work.obj * work.support)
        supports = projections.from_layout(work.support)
        if schedule.rim_cycles:
            work.support = support.grown(work.support)
            work.run("ER", schedule.rim_cycles, should_stop=should_stop)
        models = projections.from_layout(work.intensity())
    seconds = (time.perf_counter() - began) / len(starts)
    return [
        Cycled(o, s, m, start.cycles + work.cycle, start.seconds + seconds)
        for o, s, m, start in zip(objects, supports, models, starts, strict=True)
    ]
