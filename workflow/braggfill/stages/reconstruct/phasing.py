"""Real space by phase retrieval: the same pattern whole, with its gap left free or at zero, and filled.

In three steps, so that the starts run side by side: :func:`prepare` makes the cases and fills their gaps,
:func:`phase` takes every case and treatment through one random start, :func:`collect` compares the best starts with the
truth.  The truth is known, except for the measured scan and for patterns from ``perturb``, which keep no object: there,
what the whole pattern gives stands in for it.

Source: paper section 2.6.2, supplement S8 (Figs 19 to 21), thesis 3.8.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from braggfill.filling import Filled
from braggfill.phasing import single
from braggfill.phasing.free import free_voxels
from braggfill.physics import align, boxes, support
from braggfill.runs import seeds, storage
from braggfill.settings.reconstruct import RecipeSettings, ReconstructSettings
from braggfill.stages.reconstruct import cases as _cases
from braggfill.stages.reconstruct import objects, treatments
from braggfill.stages.reconstruct.cases import Case

RETRIEVAL_COLUMNS = [
    "case",
    "reference",
    "treatment",
    "gap_px",
    "converged",
    "starts_converged",
    "starts",
    "phase_rmse_rad",
    "start_std_rad",
    "strain_rmse",
    "strain_start_rmse",
    "mean_strain",
    "strain_std",
    "displacement_rms_pm",
    "modulus_rmse",
    "inhomogeneity",
    "gap_intensity_ratio",
    "llk_free",
    "llk",
    "residual",
    "twin",
    "seconds",
    "photons_at_peak",
    "oversampling_0",
    "oversampling_1",
    "oversampling_2",
    "problem",
]
NO_PYNX = "PyNX is not installed (bash envs/pynx.sh .venv installs it where it can be had)"
CONVERGED = 1.25
"""Below this free log-likelihood a start of the whole pattern has converged; counting noise alone gives about 1."""
STALLED = 1.5
"""A start whose free log-likelihood is this many times that of the best start of all, with 0.5 added to both, has not
arrived."""


def prepare(
    settings: ReconstructSettings,
    seed: int,
    patterns: Sequence[Path],
    obj: Path,
    strained: Path,
    scan: Path,
    model: Path,
    out: Path,
    chosen: Sequence[int] = (),
    code: str = "",
) -> None:
    """Make the patterns of the cases, and fill their gaps by each way that the treatments need.

    Parameters
    ----------
    patterns : files from ``scatter`` or ``perturb``.
    chosen : the numbers of the particles in them that may be taken; all by default.

    ``out``: a group a case, see :func:`braggfill.stages.reconstruct.cases.store`; for each case that could not be made
    the attribute ``left_out_<case>``.

    Raises
    ------
    BraggfillError : a file is missing or damaged, or a pattern, an object or the gap does not fit the box.
    """
    recipe = settings.retrieval
    source = {"simulated": patterns, "known": [obj], "far": [obj], "strained": [strained], "measured": [scan]}
    make: dict[str, Callable[[], list[Case]]] = {
        "simulated": lambda: _cases.simulated(settings, seed, patterns, chosen),
        "known": lambda: [_cases.known(settings, seed, obj)],
        "far": lambda: [_cases.far(settings, seed, obj)],
        "strained": lambda: [_cases.strained(settings, seed, strained)],
        "measured": lambda: [_cases.measured(settings, scan)],
    }
    missing = {}
    for name in recipe.cases:
        found = [storage.left_out(path) for path in source[name]]
        reason = NO_PYNX if engine(recipe) is None else next(filter(None, found), None)
        if reason is not None:
            missing[name] = reason
    everything = "; ".join(dict.fromkeys(missing.values())) if len(missing) == len(set(recipe.cases)) else None
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=everything) as file:
        for name, reason in missing.items():
            file.attrs[f"left_out_{name}"] = reason
        for name in dict.fromkeys(recipe.cases):
            for case in make[name]() if name not in missing else []:
                filled = treatments.fill(case.counts, case.mask, recipe, model, settings)
                _cases.store(file.create_group(case.name), case, filled)


def phase(settings: ReconstructSettings, seed: int, cases: Path, start: int, out: Path, code: str = "") -> None:
    """Take every case and treatment through one random start, the same one for each treatment.

    ``out``: groups ``<case>/<treatment>``: ``obj``, complex64, what is not zero of the object, its first voxel in the
    attribute ``origin``; and as attributes the figures of :class:`braggfill.phasing.single.Retrieved`.

    Raises
    ------
    BraggfillError : the file of cases is missing or damaged.
    """
    reason = storage.left_out(cases)
    chosen = settings.retrieval
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=reason, start=start) as file:
        if reason is not None:
            return
        with storage.read(cases) as source:
            for name in sorted(source):
                case, filled = _cases.restore(source[name])
                found = run(case, filled, chosen, seed, [start])
                for treatment, runs in found.items():
                    _store(file.create_group(f"{name}/{treatment}"), runs[0])


def engine(recipe: RecipeSettings) -> str | None:
    """The engine of a recipe; None where it is not installed."""
    return single.engine(recipe.engine, bool(treatments.WEIGHTED & set(recipe.treatments)))


def retrieve(
    starts: Sequence[single.Start], recipe: RecipeSettings, title: str | None = None
) -> list[single.Retrieved]:
    """Phase retrieval from each start by the recipe's engine."""
    return single.retrieve(str(engine(recipe)), starts, single.Recipe.of(recipe), title=title)


def run(
    case: Case,
    filled: dict[str, Filled],
    recipe: RecipeSettings,
    seed: int,
    starts: Sequence[int],
) -> dict[str, list[single.Retrieved]]:
    """Phase a case's pattern whole and with each treatment of its gap, from the same random starts: they differ in the
    gap alone.  One after the other: what runs side by side are jobs."""
    gapped = treatments.Gapped(case.counts, case.mask, filled, recipe)
    names = treatments.names(recipe)
    todo = [start for name in names for start in _starts(case, treatments.start(name, gapped), recipe, seed, starts)]
    runs = retrieve(todo, recipe, title=f"phase {case.name}")
    return {name: runs[i * len(starts) : (i + 1) * len(starts)] for i, name in enumerate(names)}


def converging(case: Case, recipe: RecipeSettings, seed: int, most: int) -> tuple[list[int], int]:
    """The first random starts from which the whole pattern arrives, as many as the recipe asks for, and how many were
    tried, at most ``most``.  Treatments that begin there differ by what they do to the gap, not by luck."""
    found: list[int] = []
    for number in range(most):
        start = _starts(case, {"intensity": case.counts}, recipe, seed, [number])
        run = retrieve(start, recipe)[0]
        if run.converged and run.llk_free <= CONVERGED:
            found.append(number)
        if len(found) == recipe.starts:
            return found, number + 1
    return found, most


def _starts(
    case: Case, given: dict[str, Any], recipe: RecipeSettings, seed: int, numbers: Sequence[int]
) -> list[single.Start]:
    rng = seeds.generator(seed, f"reconstruct/free/{case.name}")
    judged = free_voxels(case.counts.shape, case.mask, recipe.free_fraction, rng)
    return [
        single.Start(
            rng=seeds.generator(seed, f"reconstruct/start/{case.name}", number), free=judged, number=number, **given
        )
        for number in numbers
    ]


def collect(
    settings: ReconstructSettings,
    seed: int,
    cases: Path,
    starts: Sequence[Path],
    out: Path,
    table: Path,
    code: str = "",
) -> None:
    """The best start of each case and treatment, compared with the truth.

    A start that did not converge never counts: one whose support diverged, or whose free log-likelihood is far above
    that of the same treatment's best (see ``STALLED``).  A treatment none of whose starts converged has a row with
    ``converged`` false, the reason in ``problem``, and no figures.

    ``table``: one row for each case and treatment, see :func:`braggfill.stages.reconstruct.objects.compare`
    (``phase_rmse_rad`` is its ``phase_std_rad``); ``gap_intensity_ratio`` is the intensity that the object has in the
    gap over the expected one; ``start_std_rad`` and ``strain_start_rmse`` are the phase and strain errors of the
    second best start against the best one, which is what chance alone does; ``reference`` is ``truth`` or, where that
    is unknown, ``whole``; ``seconds`` is what all starts together took.

    ``out``: groups ``<case>/truth`` and ``<case>/<treatment>``, see :func:`braggfill.stages.reconstruct.objects.write`.

    Raises
    ------
    BraggfillError : a file is missing or damaged.
    """
    import pandas

    reason = storage.left_out(cases)
    rows: list[dict[str, Any]] = []
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=reason) as file:
        if reason is None:
            with storage.read(cases) as source:
                file.attrs.update({k: v for k, v in source.attrs.items() if k.startswith("left_out_")})
                for name in sorted(source, key=lambda name: _place(settings, name)):
                    case, _ = _cases.restore(source[name])
                    found = {
                        treatment: [_restore(path, f"{name}/{treatment}", case.counts.shape) for path in starts]
                        for treatment in treatments.names(settings.retrieval)
                    }
                    rows += compare(settings, case, found, file.create_group(name))
    storage.write_table(table, pandas.DataFrame(rows), columns=RETRIEVAL_COLUMNS)


def compare(
    settings: ReconstructSettings, case: Case, found: dict[str, list[single.Retrieved]], group: Any = None
) -> list[dict[str, Any]]:
    """Align the best start of each treatment with the truth, or with what the whole pattern gave; rows of the table."""
    best = {name: single.best(runs) for name, runs in found.items()}
    truth = case.truth if case.truth is not None or not best["whole"].converged else best["whole"].obj
    reference = "truth" if case.truth is not None else "whole"
    if truth is not None:
        inside = support.from_modulus(truth, settings.true_phase.support_threshold)
        expected = objects.fields(truth, inside, case.geometry)
        if group is not None:
            objects.write_truth(group.create_group("truth"), expected, case.expectation, inside, case.geometry)
        sampling = {f"oversampling_{axis}": value for axis, value in enumerate(support.oversampling(inside))}
    rows = []
    for name, run in best.items():
        arrived = [r for r in found[name] if r.converged and _converged(r, run)]
        row: dict[str, Any] = {
            "case": case.name,
            "reference": reference,
            "treatment": name,
            "gap_px": case.gap_px,
            "converged": run.converged,
            "starts_converged": len(arrived),
            "starts": len(found[name]),
            "seconds": sum(r.seconds for r in found[name]),
            "photons_at_peak": float(case.expectation.max()),
            "problem": run.problem,
        }
        here = group.create_group(name) if group is not None else None
        if run.converged and truth is None:
            row["problem"] = "the whole pattern, which the others are compared with, did not converge"
        elif run.converged and truth is not None:
            aligned = align.align(run.obj, truth, inside)
            result = objects.fields(aligned.obj, inside, case.geometry)
            own = objects.intensity_of(run.obj)
            if here is not None:
                objects.write(here, result, own, inside)
            row |= objects.compare(result, expected, inside, case.geometry) | sampling
            row |= {
                "phase_rmse_rad": row["phase_std_rad"],
                "gap_intensity_ratio": float(own[case.mask].sum() / case.expectation[case.mask].sum()),
                "llk_free": run.llk_free,
                "llk": run.llk,
                "residual": run.residual,
                "twin": aligned.twin,
            }
            row |= _spread(arrived, run, inside, aligned, result, case.geometry)
            if name == reference:  # against itself: no figures
                row |= dict.fromkeys(("phase_rmse_rad", "strain_rmse", "displacement_rms_pm", "modulus_rmse"), np.nan)
        if here is not None:
            here.attrs.update({key: value for key, value in row.items() if key in RETRIEVAL_COLUMNS})
        rows.append(row)
    return rows


def _converged(run: single.Retrieved, best: single.Retrieved) -> bool:
    return run.llk_free + 0.5 <= STALLED * (best.llk_free + 0.5)


def _spread(
    runs: list[single.Retrieved],
    best: single.Retrieved,
    inside: np.ndarray,
    aligned: align.Aligned,
    result: objects.Fields,
    geometry: objects.Geometry,
) -> dict[str, float]:
    """Errors of the second best start against the best one: what the choice of the start alone does."""
    others = [run for run in runs if run is not best]
    if not others:
        return {}
    second = align.align(single.best(others).obj, aligned.obj, inside)
    figures = objects.compare(objects.fields(second.obj, inside, geometry), result, inside, geometry)
    return {"start_std_rad": figures["phase_std_rad"], "strain_start_rmse": figures["strain_rmse"]}


def _place(settings: ReconstructSettings, name: str) -> tuple[int, str]:
    """Cases in the order of the settings."""
    return list(settings.retrieval.cases).index(name.split("_")[0]), name  # type: ignore[arg-type]


def _store(group: h5py.Group, run: single.Retrieved) -> None:
    box = boxes.bounding_box(run.obj != 0) if run.obj.any() else (slice(0, 0),) * 3
    group["obj"] = run.obj[box].astype(np.complex64)
    group["obj"].attrs["origin"] = [s.start for s in box]
    group.attrs.update({f.name: getattr(run, f.name) for f in fields_of(run) if f.name not in ("obj", "support")})


def _restore(path: Path, name: str, shape: tuple[int, ...]) -> single.Retrieved:
    with storage.read(path) as file:
        group = file[name]
        part = storage.array(group, "obj")
        obj = np.zeros(shape, np.complex64)
        origin = group["obj"].attrs["origin"]
        obj[tuple(slice(int(o), int(o) + n) for o, n in zip(origin, part.shape, strict=True))] = part
        told = {f.name: group.attrs[f.name] for f in fields_of(single.Retrieved) if f.name not in ("obj", "support")}
    kinds = {"converged": bool, "start": int, "problem": str}
    return single.Retrieved(obj, obj != 0, **{k: kinds.get(k, float)(v) for k, v in told.items()})
