"""Phases by automatic differentiation with a convex support, every form of it (thesis, chapter 5), and by HIO, RAAR and
ER for the same time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.phasing import convex, free, score, voxels
from braggfill.phasing.convex_recipe import ConvexRecipe, Step, fitted_schedule
from braggfill.phasing.pattern import Pattern
from braggfill.phasing.recipe import Schedule
from braggfill.physics import align, fourier, support
from braggfill.runs import seeds, storage
from braggfill.settings.convex import ConvexSettings
from braggfill.settings.phase import PhaseSettings
from braggfill.stages.phase import convex_cases
from braggfill.stages.phase.starts import Starts

COLUMNS = [
    "case", "strain", "kind", "body", "range_radians", "study", "variant", "stage", "against", "accuracy",
    "modulus_pcc", "phase_std_radians", "overlap", "loss", "residual", "llk_free", "mean_to_max", "alike", "starts",
    "steps", "parameters", "cpu_seconds",
]  # fmt: skip
"""``stage``: convex, the object of half-spaces; refined, after the second stage; free, of methods without one.
``loss``: sum of |I - I'| over sum of I, of voxels that took part.  ``alike``: half-spaces that another one coincides
with."""
ALIKE = (10.0, 1.0)
"""Degrees between normals and voxels between offsets of half-spaces that coincide."""
EXAMPLES = ("methods", "gap")
"""Studies whose objects are kept."""


@dataclass(frozen=True)
class Made:
    """One object of a method, and what it took."""

    stage: str
    obj: np.ndarray = field(repr=False)
    inside: np.ndarray = field(repr=False)
    cpu_seconds: float
    starts: int
    steps: int
    parameters: int
    history: np.ndarray | None = field(default=None, repr=False)
    alike: float = float("nan")


@dataclass(frozen=True)
class Variant:
    """One way to phase a pattern."""

    study: str
    name: str
    run: Callable[[Starts, int, float], list[Made]]
    """Called with the pattern, a seed, and the processor time that it may take at the most, seconds."""
    gap: str = ""
    """masked, or zeros taken as counted; empty for no gap."""


def phase_case(settings: PhaseSettings, seed: int, case: str, obj: Path | None, out: Path, code: str = "") -> None:
    """Every method on one pattern, and every variant where the settings ask for it.

    Parameters
    ----------
    case : a name of ``settings.convex.cases``, of a simulated one with ``_<number>``.
    obj : from ``fetch``, for a case that is not simulated.

    ``out`` : HDF5 with ``counts``, ``truth`` where it is known, and a group a variant and stage, its row of the table
    as attributes, with ``history`` (loss before each step) and, of the studies methods and gap, ``obj`` and
    ``support``, laid over the truth, or over the object of another seed.  The number
    of random starts of the projections depends on the time that the machine takes; each start is keyed.

    Raises
    ------
    BraggfillError : a file is missing or damaged, or the scan is smaller than the box.
    """
    import torch

    torch.set_num_threads(1)
    chosen = settings.convex
    reason = storage.left_out(obj) if obj is not None else None
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=reason, case=case) as file:
        if reason is not None:
            return
        one = convex_cases.made(chosen, seed, case, obj)
        _keep(file, "counts", one.counts)
        if one.truth is not None:
            _keep(file, "truth", one.truth)
        first = case.rpartition("_")
        compared = first[0] in chosen.compared and first[2] == "1"
        spent = 0.0
        for variant in variants(chosen, compared):
            found = _once(chosen, one, variant, seeds.integer(seed, f"phase/convex/{case}", 0), spent)
            others: Sequence[tuple[Made, dict[str, float]] | None] = [None] * len(found)
            if one.truth is None:
                others = _once(chosen, one, variant, seeds.integer(seed, f"phase/convex/{case}", 1), spent)
            if not spent:
                spent = found[0][0].cpu_seconds
                file.attrs["levels"] = [
                    (s.edge, s.steps) for s in fitted_schedule(_recipe(chosen).schedule, one.counts.shape)
                ]
            for (made, figures), other in zip(found, others, strict=True):
                group = file.create_group(f"{variant.name}_{made.stage}")
                reference = one.truth if other is None else other[0].obj
                assert reference is not None
                laid, inside, accurate = against(made, reference)
                about: dict[str, Any] = {"case": case, "strain": one.strain, "kind": one.kind, "body": one.body}
                about |= {"range_radians": one.range_radians, "study": variant.study, "variant": variant.name}
                about |= {"against": "truth" if other is None else "another seed", **accurate, **figures}
                about |= {name: getattr(made, name) for name in ("stage", "alike", "starts", "steps", "parameters")}
                group.attrs.update({**about, "cpu_seconds": made.cpu_seconds})
                if made.history is not None:
                    group["history"] = made.history
                if variant.study in EXAMPLES:
                    _keep(group, "obj", laid)
                    _keep(group, "support", inside)


def variants(chosen: ConvexSettings, compared: bool) -> Iterator[Variant]:
    """What is run on a case; the default form is the first."""
    usual = _recipe(chosen)

    def by(study: str, name: str, recipe: ConvexRecipe, gap: str = "") -> Variant:
        return Variant(study, name, lambda ways, seed, most: _convex(ways, seed, recipe, chosen.starts), gap)

    def projections(ways: Starts, seed: int, most: float) -> list[Made]:
        hio, raar, er = chosen.projection_cycles
        schedule = Schedule((("HIO", hio), ("RAAR", raar)), er, (3.0, 0.8), 0.2)
        return _projections(ways, most, schedule)

    edge = chosen.box_px
    published = replace(
        usual, schedule=(Step(edge, edge / 2, chosen.published_steps),), losses=("absolute",), kept=1.0,
        first_phase=1.0, learning_rate=chosen.published_rate, normal_rate=chosen.published_rate,
        offset_rate=chosen.published_rate,
    )  # fmt: skip
    yield by("methods", "default", usual)
    yield Variant("methods", "projections", projections)
    yield Variant("methods", "published", lambda w, seed, most: _convex(w, seed, published, chosen.published_starts))
    yield Variant("methods", "voxels", lambda w, seed, most: _voxels(w, seed, chosen))
    if not compared:
        return
    yield by("phase", "phasor", replace(usual, phase="phasor"))
    displaced = replace(usual, phase="displacement", spacing_angstrom=chosen.spacing_angstrom)
    yield by("phase", "displacement", displaced)
    for loss in ("absolute", "amplitude", "poisson"):
        yield by("losses", loss, replace(usual, losses=(loss,)))
    small: dict[str, Any] = {"small_support": chosen.small_support}
    smooth: dict[str, Any] = {"variation": chosen.variation}
    for name, terms in (("small_support", small), ("variation", smooth), ("both_terms", small | smooth)):
        yield by("terms", name, replace(usual, **terms))
    for number in chosen.halfspace_counts:
        yield by("halfspaces", f"halfspaces_{number}", replace(usual, halfspaces=number))
    yield by("gap", "gap_masked", usual, "masked")
    yield by("gap", "gap_zeros", usual, "zeros")
    yield Variant("gap", "gap_projections", projections, "masked")


def _recipe(chosen: ConvexSettings) -> ConvexRecipe:
    return ConvexRecipe(
        halfspaces=chosen.halfspaces, schedule=tuple(Step(*step) for step in chosen.schedule),
        normal_rate=chosen.normal_rate, offset_rate=chosen.offset_rate,
    )  # fmt: skip


def _once(
    chosen: ConvexSettings, one: convex_cases.Case, variant: Variant, seed: int, most: float
) -> list[tuple[Made, dict[str, float]]]:
    """The objects of a variant, each with the figures that need no truth."""
    counts, mask = one.counts, None
    if variant.gap:
        missing = convex_cases.gap(chosen, counts)
        counts, mask = np.where(missing, 0, counts), missing if variant.gap == "masked" else None
    ways = Starts(counts, mask, None, seed)
    return [(found, judged(found, ways.pattern)) for found in variant.run(ways, seed, most)]


def _convex(ways: Starts, seed: int, recipe: ConvexRecipe, starts: int) -> list[Made]:
    """The best object of half-spaces, and the best one after the second stage, by voxels that were kept out."""
    given = ways.pattern
    began = time.process_time()
    runs = convex.run(
        given.intensity, ~given.known | given.free, weights=given.fitted, seed=seed, starts=starts, recipe=recipe
    )
    spent = time.process_time() - began
    runs = [one for one in runs if not one.problem] or runs
    first = min(runs, key=lambda one: _kept_out(one.convex, given))
    last = min(runs, key=lambda one: _kept_out(np.where(one.support, one.obj, 0), given))
    last_step, half = fitted_schedule(recipe.schedule, given.shape)[-1], [n // 2 for n in given.shape]
    phases = math.prod(convex.phase_shape(last_step, given.shape, half))
    number = int(3 * recipe.halfspaces + phases * (2 if recipe.phase == "phasor" else 1))
    soft = np.abs(first.convex)
    shared: dict[str, Any] = {"cpu_seconds": spent, "starts": starts, "parameters": number}
    return [
        Made(
            "convex", first.convex, soft > soft.max() / 2, **shared, steps=len(first.history), history=first.history,
            alike=alike(first.normals, first.offsets),
        ),
        Made("refined", np.where(last.support, last.obj, 0), last.support, **shared, steps=len(last.history)),
    ]  # fmt: skip


def _projections(ways: Starts, most: float, schedule: Schedule) -> list[Made]:
    found = ways.until(most, schedule)
    best = min(found, key=lambda one: np.nan_to_num(one.llk_free, nan=np.inf))
    spent = sum(one.cpu_seconds for one in found)
    unknowns = 2 * int((best.obj != 0).sum())
    return [Made("free", best.obj, best.obj != 0, spent, len(found), schedule.cycles, unknowns)]


def _voxels(ways: Starts, seed: int, chosen: ConvexSettings) -> list[Made]:
    given = ways.pattern
    weight = np.where(given.free, 0, given.fitted).astype(np.float32)
    began = time.process_time()
    runs = voxels.run(
        np.where(weight > 0, given.intensity, 0), weight, seed=seed, starts=chosen.published_starts,
        steps=chosen.published_steps, rate=chosen.published_rate,
    )  # fmt: skip
    spent = time.process_time() - began
    best = min(runs, key=lambda one: _kept_out(one.obj, given))
    unknowns = 2 * int(np.prod([n // 2 for n in given.shape]))
    inside = support.from_modulus(best.obj)
    return [Made("free", best.obj, inside, spent, len(runs), chosen.published_steps, unknowns, best.history)]


def _kept_out(obj: np.ndarray, given: Pattern) -> float:
    """Poisson deviance a voxel of the voxels that took no part."""
    intensity = np.abs(fourier.forward(obj)) ** 2
    value = free.likelihood(given.intensity[given.free].astype(float), intensity[given.free].astype(float))
    return value if np.isfinite(value) else float("inf")


def judged(found: Made, given: Pattern) -> dict[str, float]:
    """How well an object explains its pattern, and how even it is: mean over largest modulus inside the support."""
    model = np.abs(fourier.forward(found.obj)) ** 2
    used = given.known & ~given.free
    seen, expected = given.intensity[used].astype(float), model[used].astype(float)
    modulus = np.abs(found.obj)[found.inside]
    return {
        "loss": float(np.abs(seen - expected).sum() / seen.sum()),
        "residual": float(((np.sqrt(expected) - np.sqrt(seen)) ** 2).sum() / seen.sum()),
        "llk_free": _kept_out(found.obj, given),
        "mean_to_max": float(modulus.mean() / modulus.max()) if modulus.size and modulus.max() > 0 else float("nan"),
    }


def against(found: Made, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """An object and its support laid over a reference, and how much they agree.

    ``accuracy`` : thesis, eq. (4.5); ``modulus_pcc`` : Pearson's correlation of the moduli; ``phase_std_radians`` :
    of the phase difference inside the reference's support; ``overlap`` : twice the voxels that both supports hold over
    the sum of both.
    """
    if not np.any(found.obj) or not np.any(reference):
        nothing = {"accuracy": 0.0, "modulus_pcc": float("nan"), "phase_std_radians": float("nan"), "overlap": 0.0}
        return found.obj.astype(np.complex64), found.inside, nothing
    laid = align.align(found.obj, reference)
    mask = found.inside.astype(np.complex64)
    inside = align.shifted(align.twin(mask) if laid.twin else mask, laid.shift).real > 0.5
    expected = support.from_modulus(reference)
    difference = np.angle(laid.obj * reference.conj())[expected]
    return (
        laid.obj.astype(np.complex64),
        inside,
        {
            "accuracy": score.of_aligned(laid.obj, reference),
            "modulus_pcc": float(np.corrcoef(np.abs(laid.obj).ravel(), np.abs(reference).ravel())[0, 1]),
            "phase_std_radians": float(difference.std()),
            "overlap": float(2 * (inside & expected).sum() / max(inside.sum() + expected.sum(), 1)),
        },
    )


def alike(normals: np.ndarray, offsets: np.ndarray) -> float:
    """Share of the half-spaces that another one coincides with, as :data:`ALIKE` says."""
    near = normals @ normals.T >= np.cos(np.deg2rad(ALIKE[0]))
    near &= np.abs(offsets[:, None] - offsets[None]) <= ALIKE[1]
    return float((near.sum(axis=1) > 1).mean())


def _keep(group: Any, name: str, values: np.ndarray) -> None:
    group.create_dataset(name, data=values, compression="gzip", compression_opts=4, shuffle=True)
