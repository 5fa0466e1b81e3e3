"""Real space by phase retrieval: the same pattern whole, with its gap left free or at zero, and filled.

Two cases, both with counting noise: the object reconstructed from a measurement, with its own phase, and a simulated
particle of the run.  The truth is known, except for patterns from ``perturb``, which keep no object: there, what the
whole pattern gives stands in for it.

Source: paper section 2.6.2, supplement S8 (Figs 19 to 21), thesis 3.8.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from braggfill import external, fourier, networks, retrieval, seeds, storage, strain
from braggfill.errors import BraggfillError
from braggfill.reconstruct import objects
from braggfill.settings.reconstruct import ReconstructSettings

RETRIEVAL_COLUMNS = [
    "case",
    "reference",
    "treatment",
    "gap_px",
    "converged",
    "starts_converged",
    "starts",
    "phase_rmse_rad",
    "start_spread_rad",
    "strain_rmse",
    "mean_strain",
    "strain_spread",
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


@dataclass(frozen=True)
class Case:
    """A pattern to phase."""

    name: str
    counts: np.ndarray
    expectation: np.ndarray
    """What the counts were drawn from, photons."""
    geometry: objects.Geometry
    truth: np.ndarray | None
    """The object behind it, if it is known."""


def retrieve(
    settings: ReconstructSettings,
    seed: int,
    patterns: Path,
    obj: Path,
    model: Path,
    out: Path,
    table: Path,
    code: str = "",
) -> None:
    """Phase retrieval of one pattern a case, for each treatment of its gap, from several random starts.

    A start that did not converge never counts; a treatment none of whose starts did has a row with ``converged`` false,
    the reason in ``problem``, and no figures.

    ``table``: one row for each case and treatment, see :func:`braggfill.reconstruct.objects.compare`
    (``phase_rmse_rad`` is its ``phase_std_rad``); ``gap_intensity_ratio`` is the intensity that the object has in the
    gap over the expected one; ``start_spread_rad`` the phase error of the second best start against the best one, which
    is what chance alone does; ``reference`` is ``truth`` or, where that is unknown, ``whole``.

    ``out``: groups ``<case>/truth`` and ``<case>/<treatment>``, see :func:`braggfill.reconstruct.objects.write`; for
    each case that could not be done the attribute ``left_out_<case>``.

    Raises
    ------
    BraggfillError : a file is missing or damaged, or a pattern, an object or the gap does not fit the box.
    """
    import pandas

    sources = {"simulated": patterns, "known": obj}
    reasons = {case: storage.left_out(sources[case]) for case in settings.retrieval.cases}
    if not external.have_pynx():
        reasons = dict.fromkeys(reasons, NO_PYNX)
    missing = {case: reason for case, reason in reasons.items() if reason is not None}
    everything = "; ".join(dict.fromkeys(missing.values())) if len(missing) == len(reasons) else None
    rows: list[dict[str, Any]] = []
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=everything) as file:
        for case, reason in missing.items():
            file.attrs[f"left_out_{case}"] = reason
        for name in settings.retrieval.cases:
            if name not in missing:
                case = known(settings, seed, obj) if name == "known" else simulated(settings, seed, patterns)
                rows += _treat(settings, seed, case, model, file.create_group(name))
    storage.write_table(table, pandas.DataFrame(rows), columns=RETRIEVAL_COLUMNS)


def known(settings: ReconstructSettings, seed: int, obj: Path) -> Case:
    """The object reconstructed from a measurement with its own phase, and Poisson counts of its intensity."""
    chosen = settings.retrieval
    truth = objects.prepare(
        objects.load(obj),
        zoom=chosen.zoom,
        box=chosen.box_px,
        threshold=settings.true_phase.support_threshold,
        keep_phase=True,
    )
    intensity = objects.intensity_of(truth)
    scale = chosen.photons_at_peak / intensity.max()
    counts = seeds.generator(seed, "reconstruct/counts", 0).poisson(intensity * scale)
    geometry = objects.Geometry(
        settings.d_spacing_angstrom,
        (settings.voxel_nm * 10 / chosen.zoom,) * 3,
        tuple(np.eye(3)[settings.strain_axis]),
        settings.surface_layers,
    )
    return Case("known", counts.astype(float), intensity * scale, geometry, truth * np.sqrt(scale))


def simulated(settings: ReconstructSettings, seed: int, patterns: Path) -> Case:
    """A simulated pattern of the run, its middle cut out, so that strain stays relative to the perfect lattice.

    A file from ``scatter`` gives a particle's amplitude: the true object is its inverse transform, and counts are
    drawn.  A file from ``perturb`` gives counts, and no truth.  Among the patterns whose oversampling is at least
    ``min_oversampling`` along each axis it is the one with the largest oversampling over blur, whose fringes are
    sharpest; if none is, the one with the highest oversampling.

    Raises
    ------
    BraggfillError : the file is damaged or holds no pattern, or the pattern is smaller than the box.
    """
    chosen = settings.retrieval
    with storage.read(patterns) as file:
        ranked = []
        for particle in sorted(file):
            for view in sorted(file[particle]):
                attrs = file[particle][view].attrs
                least = float(np.min(attrs["oversampling"]))
                enough = least >= chosen.min_oversampling
                sharpness = least / max(float(attrs.get("blur_sigma_voxels", 0)), 0.05) if enough else least
                ranked.append((enough, sharpness, f"{particle}/{view}"))
        if not ranked:
            raise BraggfillError(f"{patterns}: holds no pattern; make it again")
        group = file[max(ranked)[2]]
        amplitude = storage.array(group, "amplitude") if "amplitude" in group else None
        expectation = np.abs(amplitude) ** 2 if amplitude is not None else storage.array(group, "expectation")
        counts = None if amplitude is not None else storage.array(group, "counts").astype(float)
        attrs = dict(group.attrs)
    if min(expectation.shape) < chosen.box_px:
        raise BraggfillError(
            f"reconstruct.retrieval.box_px: {chosen.box_px} is more than the {min(expectation.shape)} voxels of the "
            f"pattern in {patterns}; lower it"
        )
    part = tuple(objects.span(n // 2, chosen.box_px, n) for n in expectation.shape)
    expectation = expectation[part].astype(float)
    truth = None
    if counts is None:
        scale = chosen.photons_at_peak / expectation.max()
        expectation *= scale
        truth = fourier.inverse(amplitude[part].astype(complex)) * np.sqrt(scale)
        counts = seeds.generator(seed, "reconstruct/counts", 1).poisson(expectation).astype(float)
    else:
        counts = counts[part]
    hkl = np.asarray(attrs["hkl"], float)
    geometry = objects.Geometry(
        float(attrs["lattice_constant_angstrom"]) / float(np.linalg.norm(hkl)),
        tuple(1 / (chosen.box_px * np.asarray(attrs["step_inverse_angstrom"], float))),
        tuple(np.asarray(attrs["rotation"]) @ hkl / np.linalg.norm(hkl)),
        settings.surface_layers,
    )
    return Case("simulated", counts, expectation, geometry, truth)


def _peak(intensity: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(intensity)), intensity.shape))


def _treat(settings: ReconstructSettings, seed: int, case: Case, model: Path, group: Any) -> list[dict[str, Any]]:
    """Phase a case's pattern whole and with each treatment of its gap; rows of the table."""
    chosen = settings.retrieval
    mask = objects.cross(case.counts.shape, chosen.gap_width_px, chosen.offset_px, _peak(case.expectation))
    empty = np.where(mask, 0.0, case.counts)
    free = retrieval.free_voxels(
        case.counts.shape, mask, chosen.free_fraction, seeds.generator(seed, f"reconstruct/free/{case.name}")
    )
    data: dict[str, tuple[np.ndarray, np.ndarray | None]] = {"whole": (case.counts, None)}
    for treatment in networks.at_hand(chosen.treatments):
        if treatment == "free":
            data[treatment] = (empty, mask)
        elif treatment == "zeros":
            data[treatment] = (empty, None)
        else:
            data[treatment] = (objects.fill(empty, mask, treatment, model, settings), None)
    # The same random starts for each treatment: they differ in the gap alone.
    starts = [
        retrieval.Start(pattern, seeds.generator(seed, f"reconstruct/start/{case.name}", number), missing, free, number)
        for pattern, missing in data.values()
        for number in range(chosen.starts)
    ]
    runs = retrieval.retrieve(starts, chosen, threads=settings.threads, title=f"phase {case.name}")
    found = {name: runs[i * chosen.starts : (i + 1) * chosen.starts] for i, name in enumerate(data)}
    return _compare(settings, case, mask, found, group)


def _compare(
    settings: ReconstructSettings,
    case: Case,
    mask: np.ndarray,
    found: dict[str, list[retrieval.Retrieved]],
    group: Any,
) -> list[dict[str, Any]]:
    """Align the best start of each treatment with the truth, or with what the whole pattern gave; rows of the table."""
    best = {name: retrieval.best(runs) for name, runs in found.items()}
    truth = case.truth if case.truth is not None or not best["whole"].converged else best["whole"].obj
    reference = "truth" if case.truth is not None else "whole"
    if truth is not None:
        inside = strain.support(truth, settings.true_phase.support_threshold)
        expected = objects.fields(truth, inside, case.geometry)
        objects.write_truth(group.create_group("truth"), expected, case.expectation, inside, case.geometry)
        sampling = {f"oversampling_{axis}": value for axis, value in enumerate(strain.oversampling(inside))}
    rows = []
    for name, run in best.items():
        row: dict[str, Any] = {
            "case": case.name,
            "reference": reference,
            "treatment": name,
            "gap_px": settings.retrieval.gap_width_px,
            "converged": run.converged,
            "starts_converged": sum(r.converged for r in found[name]),
            "starts": len(found[name]),
            "seconds": sum(r.seconds for r in found[name]),
            "photons_at_peak": float(case.expectation.max()),
            "problem": run.problem,
        }
        here = group.create_group(name)
        if run.converged and truth is None:
            row["problem"] = "the whole pattern, which the others are compared with, did not converge"
        elif run.converged:
            aligned = strain.align(run.obj, truth, inside)
            result = objects.fields(aligned.obj, inside, case.geometry)
            own = objects.intensity_of(run.obj)
            objects.write(here, result, own, inside)
            row |= objects.compare(result, expected, inside, case.geometry) | sampling
            row |= {
                "phase_rmse_rad": row["phase_std_rad"],
                "start_spread_rad": _spread(found[name], run, inside, aligned),
                "gap_intensity_ratio": float(own[mask].sum() / case.expectation[mask].sum()),
                "llk_free": run.llk_free,
                "llk": run.llk,
                "residual": run.residual,
                "twin": aligned.twin,
            }
            if name == reference:  # against itself: no figures
                row |= dict.fromkeys(("phase_rmse_rad", "strain_rmse", "displacement_rms_pm", "modulus_rmse"), np.nan)
        here.attrs.update({key: value for key, value in row.items() if key in RETRIEVAL_COLUMNS})
        rows.append(row)
    return rows


def _spread(
    runs: list[retrieval.Retrieved], best: retrieval.Retrieved, inside: np.ndarray, aligned: strain.Aligned
) -> float:
    """Phase error of the second best start against the best one: what the choice of the start alone does."""
    others = [run for run in runs if run.converged and run is not best]
    if not others:
        return float("nan")
    second = strain.align(retrieval.best(others).obj, aligned.obj, inside)
    return strain.phase_spread(second.obj, inside, aligned.obj)
