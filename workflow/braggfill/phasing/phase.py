"""From photons to an object: one function, which asks an engine for runs until they agree or the time is up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.phasing import coherence as _coherence
from braggfill.phasing import cycling, engines, judging, modes, projections, verdict
from braggfill.phasing import named as _named
from braggfill.phasing import pattern as _pattern
from braggfill.phasing.context import Context, Progress
from braggfill.phasing.pattern import Pattern
from braggfill.phasing.recipe import Recipe
from braggfill.phasing.result import FAILED, Phased, Run, Verdict
from braggfill.phasing.starts import Start
from braggfill.runs import seeds

if TYPE_CHECKING:
    from braggfill.networks.phase.predicts import PhaseNetwork

FEWEST = 1000.0
"""Photons below which no pattern is phased."""
MOST_CHOSEN = 6
"""So many runs make up the result at the most."""
STARTED = ("auto", "projections")
"""Engines that begin with other objects than random ones."""
PATIENCE = 2
"""Rounds without a better fit after which starts that come close to each other, or that no longer tell themselves apart
by their fits, are not followed by more."""
LONG_PATIENCE = 4
"""The same where the best fit leaves much more than counting noise."""
LAST_PATIENCE = 6
"""The same of any starts that do not fit: by then those on the coarse and on the whole array and by automatic
differentiation have had their turn.  One that fits waits for another to confirm it until the last round."""
MUCH = 4.0
"""So many times counting noise, which blur and background of a measured scan rarely reach."""
FLAT = 0.6
"""Where the planes at both ends of an axis hold more of what the brightest ones do, the pattern does not fall off, and
some thin plane of voxels would explain it to the noise."""
BYTES_A_VOXEL = 120
"""Memory that one start works in, and as much again for the pattern."""
BYTES_A_RUN = 9
"""Memory that a run's object and support keep."""


def phase_pattern(
    counts: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    filled: np.ndarray | None = None,
    sigma: np.ndarray | None = None,
    engine: str = "auto",
    seed: int = 0,
    budget_s: float | None = None,
    starts: int | None = None,
    support_threshold: float | None = None,
    recipe: Recipe | None = None,
    start: str = "auto",
    network: PhaseNetwork | None = None,
    device: str = "cpu",
    threads: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Phased:
    """Phase a pattern, and say how far the result is to be trusted.

    Parameters
    ----------
    counts : photons, three axes of any length; values at missing voxels do not matter.
    mask : True where missing; None for nowhere.
    filled : expected photons in the gap; None leaves missing voxels free.
    sigma : standard deviation of that expectation in photons, counting noise not included: a filled voxel pulls as
        strongly as its uncertainty allows (:func:`braggfill.phasing.pattern.gap_weight`); None takes it as if counted.
    engine : auto, or a name of :data:`braggfill.phasing.engines.ENGINES`.
    seed : the same seed gives the same bits on a processor, whatever ``threads``, unless time or ``should_stop`` ended
        the search.
    budget_s : seconds after which no more is begun; None for no limit but the recipe's.
    starts : runs on the whole array at the most; None for as many as it takes to agree, within the recipe's rounds.
    support_threshold : the only threshold of support updates, relative to the rms; None for several side by side.
    start : where it begins, one of :data:`braggfill.phasing.named.CHOICES`; network : whose objects are tried beside
        random ones (:func:`braggfill.phasing.named.network`), None for none.
    device : cpu or a CUDA device; threads : starts at a time on the processor, all its cores by default.
    progress : told how far it is, between rounds; should_stop : asked in every cycle; True keeps the best so far.

    Raises
    ------
    BraggfillError : the input is no pattern, the engine is not there, or memory does not suffice.
    """
    began = time.monotonic()
    make = engines.engine(engine)
    recipe = recipe or Recipe()
    if support_threshold is not None:
        if not 0 < support_threshold < 1:
            raise BraggfillError(f"support threshold: {support_threshold:g}; it lies between 0 and 1")
        recipe = recipe.with_threshold(support_threshold)
    if starts is not None and starts < 1:
        raise BraggfillError(f"starts: {starts}; at least one is needed")
    if start not in _named.CHOICES:
        raise BraggfillError(f"start: {start!r} is none of {', '.join(_named.CHOICES)}; choose one of them")
    if start == "network" and (network is None or engine not in STARTED):
        raise BraggfillError(f"start: network takes a network, and an engine of {', '.join(STARTED)}; use random")
    threads = max(1, threads or _cores())
    given = _pattern.prepare(counts, mask, filled=filled, sigma=sigma, seed=seed)
    reason = unphasable(given)
    if reason is not None:
        return _nothing(given, reason, seed, began)
    begins = network is not None and start != "random"
    _ask_for_memory(given.shape, threads if device == "cpu" else 1)
    pattern = given.centred()
    deadline = None if budget_s is None else began + budget_s
    context = Context(seed, device, threads, deadline, should_stop, progress, began)
    if network is not None and begins:
        context.named = _named.of_network(network, pattern, threads=threads)
        context.random = start != "network"
    agreement = verdict.Agreement()
    runs: list[Run] = []
    found = Verdict(FAILED, "no start was finished", "give more time")
    expected, best_yet, idle = float("nan"), float("inf"), 0
    for so_far in make(pattern, recipe, context):
        runs = verdict.ordered(so_far, agreement)
        usable = [run for run in runs if not run.problem]
        if usable:
            expected = judging.expected(pattern, usable[0])
        found = verdict.judge(runs, agreement, expected)
        lowest = min((run.llk_free for run in usable), default=float("inf"))
        idle, best_yet = (0, lowest) if lowest < verdict.WORTH * best_yet else (idle + 1, best_yet)
        if idle >= _patience(usable, agreement, expected):
            break
        if found.word == verdict.CONVERGED or context.over() or (starts is not None and len(runs) >= starts):
            break
    usable = [run for run in runs if not run.problem]
    if not usable:
        return _nothing(given, found, seed, began, tuple(runs), context.cycles)
    return _finished(pattern, runs, usable, found, agreement, expected, recipe, context)


def unphasable(pattern: Pattern) -> Verdict | None:
    """Why a pattern need not be tried; None if it may."""
    known = pattern.known
    if not known.any():
        return Verdict(FAILED, "every voxel is masked", "check the mask")
    photons = pattern.photons
    if photons < FEWEST:
        return Verdict(
            FAILED, f"{photons:.0f} photons were counted; fewer than {FEWEST:.0f} determine no object", "count longer"
        )
    if min(pattern.shape) < 8:
        return Verdict(FAILED, f"shape {pattern.shape}: fewer than 8 voxels along an axis", "crop less, or bin less")
    for axis in range(3):
        if _border(pattern, axis) > FLAT:
            what = f"the pattern does not fall off along axis {axis}, as a ring or an even background does not"
            return Verdict(FAILED, what, "crop so that one peak is inside with its fringes")
    return None


def _border(pattern: Pattern, axis: int) -> float:
    """Photons near both ends of an axis, at the fainter end, over those of the brightest planes: of a measured voxel on
    average, or of the brightest voxel of a plane, whichever is less.  An even background does not lower the latter, a
    hot pixel not the former."""
    others = tuple(a for a in range(3) if a != axis)
    number = pattern.known.sum(axis=others)
    photons = np.where(pattern.known, pattern.intensity, 0)
    seen = number > number.max() / 10
    number, total, most = number[seen], photons.sum(axis=others, dtype=float)[seen], photons.max(axis=others)[seen]
    if len(number) < 4:
        return 0.0
    mean, peak = (total[1:] + total[:-1]) / (number[1:] + number[:-1]), np.maximum(most[1:], most[:-1])
    return min(float(min(x[0], x[-1]) / max(x.max(), 1e-300)) for x in (mean, peak))


def _finished(
    pattern: Pattern,
    runs: Sequence[Run],
    usable: Sequence[Run],
    found: Verdict,
    agreement: verdict.Agreement,
    expected: float,
    recipe: Recipe,
    context: Context,
) -> Phased:
    """The result: the chosen runs refined with no voxel kept out, aligned, and taken together."""
    best = usable[0]
    same = verdict.group(usable, agreement)[:MOST_CHOSEN]
    blur = best.blur
    objects = [(usable[i].obj, usable[i].support) for i in same]
    if not context.over():
        objects = _refine(pattern, [usable[i] for i in same], blur, recipe, context)
    reference, inside = modes.canonical(*objects[0])
    aligned, _ = modes.align_all([obj for obj, _ in objects], reference, inside)
    parts, weights = modes.modes(aligned)
    obj, inside = modes.canonical(np.where(inside, parts[0], 0), inside)
    aligned, _ = modes.align_all(list(aligned), obj, inside)
    parts, weights = modes.modes(aligned)
    modulus_std, phase_std = modes.spread(aligned)
    centre = tuple(n // 2 for n in pattern.shape)
    prtf = modes.transfer(aligned, pattern.intensity, pattern.known, centre)
    place = {id(run): i for i, run in enumerate(runs)}
    return Phased(
        obj=obj,
        support=inside,
        verdict=found,
        llk_free=best.llk_free,
        llk_expected=expected,
        agreement=verdict.support_of(usable, agreement),
        runs=tuple(runs),
        chosen=tuple(place[id(usable[i])] for i in same),
        aligned=aligned,
        modes=parts,
        weights=weights,
        modulus_std=np.where(inside, modulus_std, 0),
        phase_std=np.where(inside, phase_std, 0),
        prtf=prtf,
        resolution=modes.resolution(*prtf),
        blur=blur,
        seed=context.seed,
        cycles=context.cycles,
        seconds=time.monotonic() - context.began,
        notes=pattern.notes,
    )


def _patience(usable: Sequence[Run], agreement: verdict.Agreement, expected: float) -> float:
    """Rounds without a better fit after which a search is over."""
    if usable and (verdict.close(usable, agreement) or verdict.floor(usable)):
        return PATIENCE if verdict.fits(usable[0], expected, MUCH) else LONG_PATIENCE
    return float("inf") if usable and verdict.fits(usable[0], expected) else LAST_PATIENCE


def _refine(
    pattern: Pattern, runs: Sequence[Run], blur: _coherence.Blur | None, recipe: Recipe, context: Context
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Objects and supports after the last schedule, with the voxels that were kept out."""
    measured = projections.Measured(pattern.intensity, pattern.weight, blur=blur, device=context.device)
    rng = seeds.generator(context.seed, "phase/last")
    begun = [Start(run.obj, run.support, _threshold(run, recipe), rng, run.start, run.origin) for run in runs]
    last = replace(recipe.settle, rim_cycles=0)  # nothing is judged any more
    done = cycling.cycle(measured, begun, last, recipe, threads=context.threads, should_stop=context.over)
    context.cycles += sum(one.cycles for one in done)
    return [(one.obj, one.support) for one in done]


def _threshold(run: Run, recipe: Recipe) -> float:
    return run.threshold if np.isfinite(run.threshold) else recipe.support_thresholds[0]


def _nothing(
    pattern: Pattern, reason: Verdict, seed: int, began: float, runs: tuple[Run, ...] = (), cycles: int = 0
) -> Phased:
    """A failed result without an object."""
    shape = pattern.shape
    nan = float("nan")
    none = np.zeros((0, *shape), np.complex64)
    empty = np.zeros(0)
    return Phased(
        np.zeros(shape, np.complex64), np.zeros(shape, bool), reason, nan, nan, nan, runs, (), none, none, empty,
        np.zeros(shape, np.float32), np.zeros(shape, np.float32), (empty, empty), nan, None, seed, cycles,
        time.monotonic() - began, pattern.notes,
    )  # fmt: skip


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _ask_for_memory(shape: Sequence[int], threads: int) -> None:
    """BraggfillError if the memory that is free does not hold the work."""
    needed = prod(shape) * (BYTES_A_VOXEL * (threads + 1) + BYTES_A_RUN * 24)
    try:
        there = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on every system
        return
    if needed > there:
        raise BraggfillError(
            f"pattern: shape {tuple(shape)} takes {needed / 2**30:.1f} GiB with {threads} starts at a time, and"
            f" {there / 2**30:.1f} GiB are free; crop it, or use fewer threads"
        )
