"""What a run is worth by the voxels kept out: the same figures, of the same model, whichever engine made it.

A support lacks the object's faint rim, which would count against a right object.  What an object predicts is therefore
judged after ``RIM_CYCLES`` (:mod:`.recipe`) of error reduction of a copy whose support has grown by one
voxel; object and support stay as they were.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from braggfill.phasing import coherence, cycling, free
from braggfill.phasing.context import Context
from braggfill.phasing.pattern import Pattern
from braggfill.phasing.projections import Measured
from braggfill.phasing.recipe import RIM_CYCLES, Recipe, Schedule
from braggfill.phasing.result import Run
from braggfill.phasing.starts import Start
from braggfill.physics import fourier
from braggfill.runs import seeds

Figures = tuple[float, float, float]
"""Free log-likelihood, log-likelihood of the voxels that took part, and the distance of their amplitudes over their
norm, see :class:`braggfill.phasing.result.Run`; infinite where there is no object."""
NONE: Figures = (float("inf"),) * 3
RIM = Schedule((), er_cycles=0, rim_cycles=RIM_CYCLES)
"""Nothing but the rim."""


def figures(intensity: np.ndarray, used: np.ndarray, kept_out: np.ndarray, model: np.ndarray) -> Figures:
    """Of the photons that a run predicts.

    Parameters
    ----------
    intensity, model : photons, counted and predicted.
    used, kept_out : True where a voxel took part, and where it was kept out; without any of these, the first judge.
    """
    judged = kept_out if kept_out.any() else used
    seen = np.sqrt(intensity[used])
    gap = np.linalg.norm(np.sqrt(model[used].clip(0)) - seen)
    return (
        free.likelihood(intensity[judged].astype(float), model[judged].astype(float)),
        free.likelihood(intensity[used].astype(float), model[used].astype(float)),
        float(gap / max(float(np.linalg.norm(seen)), 1e-30)),
    )


def expected(pattern: Pattern, run: Run) -> float:
    """Free log-likelihood that counting noise alone would give with a run's model."""
    model = coherence.blurred(np.abs(fourier.forward(run.obj)) ** 2, run.blur)
    judged = pattern.free if pattern.free.any() else pattern.known
    return free.expected_likelihood(model[judged])


def of_objects(pattern: Pattern, found: Sequence[tuple[np.ndarray, np.ndarray]], context: Context) -> list[Figures]:
    """Of objects and their supports that an engine has found by itself, each with its rim.

    Parameters
    ----------
    found : complex objects, zero outside their boolean supports, and these; arrays of the pattern's shape.
    """
    measured = Measured(pattern.intensity, pattern.fitted, device=context.device)
    usable = [bool(np.isfinite(obj).all() and (obj * inside).any()) for obj, inside in found]
    rng = seeds.generator(context.seed, "phase/judged")  # for no cycle of these
    begun = [Start(obj, inside, 0.0, rng) for (obj, inside), good in zip(found, usable, strict=True) if good]
    done = cycling.cycle(measured, begun, RIM, Recipe(), threads=context.threads, should_stop=context.over)
    context.cycles += sum(one.cycles for one in done)
    used = pattern.known & ~pattern.free
    models = iter(one.model for one in done)
    return [figures(pattern.intensity, used, pattern.free, next(models)) if good else NONE for good in usable]
