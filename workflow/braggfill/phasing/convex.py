r"""Phase retrieval by automatic differentiation with a convex support, from coarse to fine.

The object is :math:`a\, S\, e^{i \varphi}` with a support made of half-spaces (:mod:`.convex_shape`), a smooth phase
and an amplitude that follows from the photons (:mod:`.convex_model`).  Random starts are fitted to the central part of
the pattern first; the better half of them goes on to a larger part with a finer phase, and so on to the whole.  What is
left is freed from its parametrisation in a second stage (:mod:`.convex_refine`).

Missing voxels take no part in anything: whatever they hold, the result is the same to the bit.

Source: Masto, thesis, chapter 5; Scheinker & Pokharel, J. Appl. Phys. 128, 184901 (2020), for supports with few
parameters.  The coarse beginning, the weights and the second stage are this module's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from braggfill.errors import BraggfillError
from braggfill.phasing import convex_model, convex_refine, convex_shape, convex_start, judging, pattern
from braggfill.phasing.convex_fit import Descent, descend
from braggfill.phasing.convex_model import Level, Parameters
from braggfill.phasing.convex_recipe import ConvexRecipe, Step, fitted_schedule
from braggfill.phasing.pattern import Pattern
from braggfill.phasing.result import Run
from braggfill.physics import fourier
from braggfill.runs import seeds

LEAST = 8
"""Voxels along an axis, at the least."""
STARTS, ROUNDS = 16, 4
"""Starts of a round, and rounds at the most, of :func:`rounds`."""
LOSSES = ConvexRecipe().losses
"""Of :func:`objects`."""
LEAST_RADIUS = 0.6
"""No half-space comes closer to the origin than this share of the radius that the autocorrelation tells."""


@dataclass(frozen=True)
class ConvexRun:
    """What one start ended with; arrays have the pattern's shape, origin at ``n // 2``."""

    obj: np.ndarray = field(repr=False)
    """complex64; its squared moduli add up to about the photons."""
    support: np.ndarray = field(repr=False)
    """Boolean: of the second stage, or the convex shape where S > 1/2 without one."""
    convex: np.ndarray = field(repr=False)
    """complex64, the object before the second stage."""
    loss: float
    """Of the convex object, its own loss with all terms, at the last step."""
    residual: float
    """Sum of w (|A| - sqrt I)^2 over sum of w I, of ``obj``: comparable between starts."""
    residual_convex: float
    """The same of ``convex``."""
    history: np.ndarray = field(repr=False)
    """Loss at each step of all resolutions."""
    normals: np.ndarray = field(repr=False)
    """(half-spaces, 3), unit vectors in voxel indices."""
    offsets: np.ndarray = field(repr=False)
    """(half-spaces,), voxels from the origin."""
    displacement: np.ndarray | None = field(repr=False)
    """Å along the scattering vector, where that was fitted; float32, zero outside the object's grid."""
    loss_name: str
    start: int
    seconds: float
    """Of the whole call over the number of its results."""
    problem: str = ""
    """Why it cannot be used; empty if it can."""


def run(
    counts: np.ndarray,
    missing: np.ndarray | None,
    *,
    weights: np.ndarray | None = None,
    seed: int,
    starts: int = 16,
    recipe: ConvexRecipe | None = None,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[ConvexRun]:
    """Phase a pattern from random starts.

    Parameters
    ----------
    counts : photons, three axes of at least 8 voxels; the peak may lie anywhere.
    missing : True where nothing is known or a voxel is kept out; None for nowhere.
    weights : 0 to 1, how strongly a missing voxel pulls to what ``counts`` holds there: 0 free, 1 as if counted.
    seed, starts : start i depends on the seed and i alone until starts are compared.
    progress : called with steps done and steps in all.
    should_stop : asked after each step; True ends the engine with what it has.

    Returns
    -------
    The starts that were kept to the end, lowest residual first; on a processor the same seed gives the same bits.

    Raises
    ------
    BraggfillError : shapes differ, an axis is too short, or there is nothing to fit.
    """
    began = time.perf_counter()
    recipe = recipe or ConvexRecipe()
    counts, weight = _checked(counts, missing, weights, starts)
    moved = convex_start.to_centre(counts, weight)
    centred, pull = (np.roll(a, moved, axis=(0, 1, 2)) for a in (counts, weight))
    schedule = fitted_schedule(recipe.schedule, counts.shape)
    clock = _Clock(sum(s.steps for s in schedule), progress, should_stop)
    first = _level(centred, pull, schedule[0].edge, recipe, device)
    radius = convex_start.radius(centred, pull)
    parameters = convex_start.first(
        seed,
        starts,
        recipe.halfspaces,
        radius,
        phase_shape(schedule[0], first.shape, first.half),
        np.pi * recipe.first_phase,
        first,
    )
    descent = Descent(
        recipe.learning_rate,
        recipe.normal_rate,
        recipe.offset_rate,
        recipe.betas,
        recipe.decay,
        recipe.decay_steps,
        recipe.small_support,
        LEAST_RADIUS * radius,
        recipe.variation,
    )
    rows = list(range(starts))
    names = [recipe.losses[i % len(recipe.losses)] for i in rows]
    history: dict[int, list[np.ndarray]] = {i: [] for i in rows}
    for number, step in enumerate(schedule):
        if clock.stopped and number:
            break
        level = _level(centred, pull, step.edge, recipe, device)
        parameters.phase = convex_model.resample(
            parameters.phase, phase_shape(step, level.shape, level.half)
        ).contiguous()
        losses = descend(level, parameters, names, step.steps, descent, clock)
        residuals = level.residual(parameters).cpu().numpy()
        for column, start in enumerate(rows):
            history[start].append(losses[:, column])
        if number < len(schedule) - 1:
            # Not after the last one: phases are interpolated for it, and a fine grid of them would lose what it found.
            parameters = convex_model.recentred(level, parameters)
            better = _better(residuals, names, recipe.kept)
            parameters, rows = parameters.taken(better), [rows[i] for i in better]
            names = [names[i] for i in better]
    whole = _level(centred, pull, float("inf"), recipe, device)
    made = [
        _finish(whole, parameters.taken([i]), centred, pull, moved, recipe, np.concatenate(history[rows[i]]), clock)
        for i in range(len(rows))
    ]
    seconds = (time.perf_counter() - began) / len(rows)
    done = [ConvexRun(**m, loss_name=n, start=i, seconds=seconds) for m, n, i in zip(made, names, rows, strict=True)]
    return sorted(done, key=lambda r: (bool(r.problem), r.residual if np.isfinite(r.residual) else np.inf, r.start))


def rounds(given: Pattern, recipe: object, context: Any) -> Iterator[list[Run]]:
    """The engine as the registry calls it: after each round of ``STARTS`` starts all runs so far, the best first.

    Parameters
    ----------
    given : the pattern; voxels kept out judge the runs and take no part in them.
    recipe : a :class:`ConvexRecipe`; any other object stands for the default one.
    context : seed, device, ``over()``, ``tell(stage, done, total, runs)`` and a count of ``cycles``.
    """
    own = recipe if isinstance(recipe, ConvexRecipe) else ConvexRecipe()
    runs: list[Run] = []
    for number in range(ROUNDS):
        context.tell("convex", number, ROUNDS, runs)
        found = run(
            given.intensity,
            ~given.known | given.free,
            weights=given.fitted,
            seed=seeds.integer(context.seed, "phase/convex/round", number),
            starts=STARTS,
            recipe=own,
            device=context.device,
            should_stop=context.over,
        )
        context.cycles += sum(len(one.history) for one in found)
        figures = judging.of_objects(given, [(one.obj, one.support) for one in found], context)
        new = [_run(one, number, each) for one, each in zip(found, figures, strict=True)]
        runs = sorted([*runs, *new], key=lambda r: r.llk_free)
        yield runs
        if context.over():
            return


def objects(
    photons: np.ndarray,
    missing: np.ndarray,
    weights: np.ndarray,
    keys: Sequence[int],
    *,
    starts: int,
    device: str | torch.device = "cpu",
    threads: int = 1,
    should_stop: Callable[[], bool] | None = None,
) -> list[ConvexRun]:
    """Objects to begin other engines with: those that are left of ``starts`` starts of each of :data:`LOSSES`.

    Parameters
    ----------
    photons, missing, weights, device, should_stop : as of :func:`run`.
    keys : a seed for each loss.
    threads : losses at a time on a processor; the bits do not depend on it.
    """

    def of(loss: str, key: int) -> list[ConvexRun]:
        if torch.device(device).type == "cpu":
            torch.set_num_threads(1)
        recipe = ConvexRecipe(losses=(loss,))
        return run(
            photons, missing, weights=weights, seed=key, starts=starts, recipe=recipe, device=device,
            should_stop=should_stop,
        )  # fmt: skip

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(min(threads, len(LOSSES)) if torch.device(device).type == "cpu" else 1) as pool:
            found = list(pool.map(of, LOSSES, keys))
    finally:
        torch.set_num_threads(before)
    return [one for runs in found for one in runs if not one.problem]


def phase_shape(step: Step, shape: Sequence[int], half: Sequence[int]) -> tuple[int, ...]:
    """Values of the phase's grid along each axis of a pattern, no more than the object's grid, ``half``, has."""
    edge = float(np.prod(shape)) ** (1 / 3)
    return tuple(min(h, max(2, round(step.phase * n / edge))) for h, n in zip(half, shape, strict=True))


def memory_bytes(shape: tuple[int, ...], starts: int, recipe: ConvexRecipe | None = None) -> int:
    """About how much memory :func:`run` takes; it does not depend on the number of half-spaces."""
    recipe = recipe or ConvexRecipe()
    most, rows = 0.0, starts
    for step in fitted_schedule(recipe.schedule, shape):
        voxels = min(step.edge**3, float(np.prod(shape)))
        most = max(most, voxels * rows * 44)
        rows = max(len(recipe.losses), round(rows * recipe.kept))
    return round(most + np.prod(shape, dtype=float) * 60 + 16 * convex_shape.BLOCK["cpu"])


class _Clock:
    """Counts steps, tells of them, and remembers that somebody wants to stop."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None, should_stop: Callable[[], bool] | None):
        self.done, self.total, self.progress, self.should_stop = 0, total, progress, should_stop
        self.stopped = False

    def __call__(self) -> bool:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)
        return self.asked()

    def asked(self) -> bool:
        """Whether to stop; once yes, always."""
        self.stopped = self.stopped or (self.should_stop is not None and self.should_stop())
        return self.stopped


def _checked(
    counts: np.ndarray, missing: np.ndarray | None, weights: np.ndarray | None, starts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Photons and weights, float32; photons are zero where the weight is."""
    counts = np.asarray(counts)
    if counts.ndim != 3 or min(counts.shape) < LEAST:
        raise BraggfillError(f"pattern: shape {counts.shape}; the convex engine takes three axes of {LEAST} or more")
    if starts < 1:
        raise BraggfillError(f"convex: {starts} starts; ask for one or more")
    for name, array in (("mask", missing), ("weights", weights)):
        if array is not None and np.shape(array) != counts.shape:
            raise BraggfillError(
                f"{name}: shape {np.shape(array)} against the pattern's {counts.shape}; use equal ones"
            )
    gone = np.zeros(counts.shape, bool) if missing is None else np.asarray(missing).astype(bool)
    weight = np.where(gone, 0.0 if weights is None else weights, 1.0).astype(np.float32)
    if not ((weight >= 0) & (weight <= 1)).all():
        raise BraggfillError("weights: below 0, above 1 or not a number; give 0 for free and 1 for as if counted")
    photons = np.where(weight > 0, counts, 0).astype(np.float32)
    if not np.isfinite(photons).all() or (photons < 0).any() or not (photons > 0).any():
        raise BraggfillError("pattern: negative, not finite or without photons; add such voxels to the mask")
    return photons, weight


def _run(found: ConvexRun, number: int, figures: judging.Figures) -> Run:
    """A result of a round with the figures that engines are compared by."""
    figures = judging.NONE if found.problem else figures
    steps, start = len(found.history), number * STARTS + found.start
    return Run(
        found.obj, found.support, *figures, "convex", start, cycles=steps, seconds=found.seconds, problem=found.problem
    )


def _level(
    photons: np.ndarray, weight: np.ndarray, edge: float, recipe: ConvexRecipe, device: str | torch.device
) -> Level:
    modulus = 2 * np.pi / recipe.spacing_angstrom if recipe.spacing_angstrom else 1.0
    return Level(photons, weight, edge, recipe.softness, recipe.phase, modulus, device)


def _better(residuals: np.ndarray, names: list[str], share: float) -> list[int]:
    """Rows of the better share of each loss, at least one of each, in their order."""
    kept = []
    for name in dict.fromkeys(names):
        rows = [i for i, own in enumerate(names) if own == name]
        rows.sort(key=lambda i: (not np.isfinite(residuals[i]), residuals[i], i))
        kept += rows[: max(1, round(len(rows) * share))]
    return sorted(kept)


def _finish(
    level: Level,
    parameters: Parameters,
    photons: np.ndarray,
    weight: np.ndarray,
    moved: list[int],
    recipe: ConvexRecipe,
    history: np.ndarray,
    clock: _Clock,
) -> dict:
    """The fields of one start's result: its object at full resolution, the second stage, and back to where it was."""
    shape = photons.shape
    with torch.no_grad():
        soft, phasor = level.support(parameters), level.phasor(parameters.phase)
        small = (level.amplitude(soft, phasor)[:, None, None, None] * soft * phasor)[0].cpu().numpy()
        residual = float(level.residual(parameters)[0])
        field_ = convex_model.resample(parameters.phase, level.half)[0, 0].cpu().numpy()
        density = soft[0].cpu().numpy()
    made = pattern.pad(small, shape).astype(np.complex64)
    inside = pattern.pad(density > 0.5, shape)
    problem = "" if np.isfinite(made).all() and inside.any() else "no support is left, or values that are not finite"
    obj, found, refined = made, inside, residual
    if recipe.refinement is not None and not problem:
        obj, found, refined = convex_refine.refine(
            made, inside, photons, weight, recipe.refinement, device=level.device, should_stop=clock.asked
        )
    # The pattern was rolled, which is a phase ramp of the object.
    ramp = np.exp(
        -2j * np.pi * sum(s * g / n for s, g, n in zip(moved, fourier.grid(shape), shape, strict=True))
    ).astype(np.complex64)
    scale = np.array([level.mean / n for n in shape])
    normals = parameters.normals[0].double().cpu().numpy() * scale
    length = np.linalg.norm(normals, axis=1)
    return {
        "obj": obj * ramp,
        "support": found,
        "convex": made * ramp,
        "loss": float(history[-1]) if len(history) else float("nan"),
        "residual": refined,
        "residual_convex": residual,
        "history": history,
        "normals": normals / length[:, None],
        "offsets": parameters.offsets[0].double().cpu().numpy() / length,
        "displacement": pattern.pad(field_, shape) if recipe.phase == "displacement" else None,
        "problem": problem,
    }
