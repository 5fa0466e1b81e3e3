"""What a gap costs when phase retrieval does all it can, by what it is given for the gap.

The strain error after phase retrieval from random starts is mostly a matter of which start was lucky.  Here error
reduction starts from the true object within its true support, so that what it drifts to tells the data alone: the
pattern whole, its gap masked, left at zero, filled, filled where the filling is certain, and filled with the weight
that its uncertainty allows (:mod:`braggfill.phasing.gap`).  Objects reconstructed from measurements and random
polyhedra with a phase field, crosses of 3 to 12 voxels near the peak and far from it, in three scenes:

========  ==============================================================================================================
clean     counting noise alone
blurred   a partially coherent beam, the detector's point spread, air scattering and pixels of uneven gain, as the stage
          ``perturb`` has them; phase retrieval knows nothing of them
coherence the same, and phase retrieval takes the blur into account that fits the measured voxels best, as
          ``braggfill phase`` does
========  ==============================================================================================================

fill_or_free.csv: a row a cell and treatment, with the strain RMSE, the error of the complex object, and their ratios to
those of the whole pattern (``to_whole``) and to the lower one of free and filled (``to_best``).  Cells that are in the
table already are not made again.  With ``--tune`` further weights are tried, and other limits of what is certain.

Usage: fill_or_free.py [OBJECT.h5 …] -o OUT [--polyhedra 2] [--box 48] [--cycles 300] [--seeds 1] [--tune]
       (OBJECT.h5: results/demo/fetch/id01_s11.h5 and its like)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from braggfill.filling import Filled, trust
from braggfill.phasing import coherence, gap, pattern
from braggfill.phasing.projections import Measured, Projections, from_layout, to_layout
from braggfill.physics import align, fourier, support
from braggfill.physics.crystals import draw_object
from braggfill.runs import seeds, storage
from braggfill.settings.perturb import PerturbSettings
from braggfill.settings.reconstruct import ReconstructSettings
from braggfill.stages import perturb
from braggfill.stages.reconstruct import cases, objects

OVERSAMPLING = 3.7
GAPS = ((6, 14), (6, 8), (9, 14), (3, 8), (12, 8), (12, 14), (9, 8), (3, 17))
"""Width, and distance of the middle of the nearer arm from the peak; the other one lies three voxels farther."""
SCENES = (("clean", 1e6), ("blurred", 1e6), ("clean", 1e4), ("coherence", 1e6))
"""And photons at the peak."""
RANGES = ((1.0, 2.0), (3.0, 5.0))
"""Of the phase of the polyhedra in turn, units of pi."""
REAL = {
    "smoothing_sigma_voxels": (0.45, 0.75),
    "modulus_noise": (0.1, 0.5),
    "phase_replaced_share": 0.0,
    "blur_sigma_voxels": (0.3, 0.7),
    "background_exponent": (-2.0, -1.5),
    "point_spread_pixels": (0.1, 0.4),
    "flat_field": (0.01, 0.03),
    "coherence": False,
    "coherence_extents": (1.0, 3.0),
}
"""Settings of ``perturb`` for the scenes that are not clean."""
HIGHEST = (1.05, 1.25, 1.5)
"""Relative uncertainties up to which a voxel may be filled, besides that of ``sure``."""
CELL = ["object", "seed", "gap_px", "distance_px", "scene", "photons_at_peak"]


def reduce_error(truth: np.ndarray, measured: Measured, inside: np.ndarray, cycles: int) -> np.ndarray:
    """Where error reduction from the true object within its true support ends."""
    work = Projections(measured, to_layout(truth.astype(np.complex64))[None], to_layout(inside)[None])
    with torch.no_grad():
        work.run("ER", cycles)
    return from_layout(work.obj)[0]


def made(name: str, box: int, scene: str, photons: float, gap_px: int, distance: int, seed: int) -> cases.Case:
    """A pattern with a cross; ``name`` is a file, or polyhedron-N."""
    settings = ReconstructSettings(threads=1)
    if name.startswith("polyhedron-"):
        index = int(name.split("-")[1])
        low, high = RANGES[index % len(RANGES)]
        rng = seeds.generator(0, "fill_or_free/object", index)
        truth = draw_object(
            rng, (box,) * 3, kind="correlated", range=(low * np.pi, high * np.pi), oversampling=(OVERSAMPLING,) * 2
        )
        zoom = 1.0
    else:
        threshold = settings.true_phase.support_threshold
        truth, zoom = objects.sampled(
            objects.load(Path(name)), oversampling=OVERSAMPLING, zoom=1.0, box=box, threshold=threshold, keep_phase=True
        )
    offset = (distance, distance + 3)
    if scene == "clean":
        return cases.counted(settings, seed, "map", truth, zoom, photons, gap_px, offset)
    rng = seeds.generator(seed, "fill_or_free/scene", int(photons))
    drawn = perturb.draw(PerturbSettings(photons_exponent=(np.log10(photons),) * 2, **REAL), rng)
    inside = support.from_modulus(truth, settings.true_phase.support_threshold)
    done = perturb.steps(fourier.forward(truth), drawn, rng, support.oversampling(inside))
    scale = done.intensity.sum(dtype=float) / (np.abs(done.perturbed) ** 2).sum(dtype=float)
    counts, expectation = done.counts.astype(float), done.expectation.astype(float)
    return cases.Case(
        scene, counts, expectation, objects.geometry(settings, zoom), done.perturbed * np.sqrt(scale), gap_px, offset
    )


def given(counts: np.ndarray, found: Filled, tune: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Photons and weights of each treatment."""
    mask = found.mask
    empty, whole = np.where(mask, 0.0, counts), np.ones(counts.shape)
    told = {"whole": (counts, whole), "zeros": (empty, whole)}
    for name in gap.TREATMENTS:
        one = gap.given(found, name, "braggfill")
        made = pattern.prepare(counts, mask, filled=one.filled, sigma=one.sigma)
        told[name] = (made.intensity, made.weight)
    if tune:
        taken = found.for_phasing()
        for most in HIGHEST:
            told[f"at most {most:g}"] = (taken, ~trust.uncertain(found.data, found.sigma, mask, most))
        for name, weight in WEIGHTS.items():
            with np.errstate(invalid="ignore"):
                weights = np.where(mask, np.nan_to_num(weight(found.data, found.sigma.astype(float))), 1.0)
            told[name] = (taken, weights)
    return told


def _relative(data: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Variance of the expectation over that of counts."""
    return np.maximum(sigma**2 - data, 0) / (data + trust.DARK)


WEIGHTS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "1/(1+r)": lambda d, s: 1 / (1 + _relative(d, s)),
    "1/(1+10r)": lambda d, s: 1 / (1 + 10 * _relative(d, s)),
    "1/(1+r^2)": lambda d, s: 1 / (1 + _relative(d, s) ** 2),
}
"""Further weights, functions of photons and of their standard deviation."""


def cell(name: str, wanted: argparse.Namespace, width: int, distance: int, scene: str, photons: float, seed: int):
    """Rows of one object, gap and scene."""
    settings = ReconstructSettings(threads=1)
    case = made(name, wanted.box, scene, photons, width, distance, seed)
    found = objects.fill(np.where(case.mask, 0.0, case.counts), case.mask, "braggfill", Path("none"), settings)
    inside = support.from_modulus(case.truth, settings.true_phase.support_threshold)
    held = case.truth != 0
    expected = objects.fields(case.truth, inside, case.geometry)
    blur = None
    if scene == "coherence":
        blur = coherence.estimate(case.truth, case.counts.astype(np.float32), ~case.mask)
    rows = []
    for treatment, (intensity, weight) in given(case.counts, found, wanted.tune).items():
        measured = Measured(intensity, weight, blur=blur)
        obj = reduce_error(case.truth, measured, held, wanted.cycles)
        aligned = align.align(obj, case.truth, inside)
        strain = objects.compare(objects.fields(aligned.obj, inside, case.geometry), expected, inside, case.geometry)
        rows.append({
            "treatment": treatment, "strain_rmse": strain["strain_rmse"], "phase_std_rad": strain["phase_std_rad"],
            "object_error": np.sqrt(max(2 - 2 * aligned.correlation, 0)),
        })  # fmt: skip
    errors = {row["treatment"]: row["strain_rmse"] for row in rows}
    best = min(errors["free"], errors["filled"])
    told = dict(zip(CELL, (Path(name).stem, seed, width, distance, scene, photons), strict=True))
    return [
        {**told, **row, "to_whole": row["strain_rmse"] / errors["whole"], "to_best": row["strain_rmse"] / best}
        for row in rows
    ]


def summary(table: pd.DataFrame) -> None:
    """Geometric means over cells, and the worst of them, printed."""
    for scope, part in [*table.groupby(["scene", "photons_at_peak"]), ("all", table)]:
        ratios = part.groupby("treatment", sort=False)[["to_whole", "to_best"]]
        means = ratios.agg(lambda values: float(np.exp(np.log(values).mean())))
        worst = ratios.max().add_suffix("_worst")
        print(scope, means.join(worst).round(2).to_string(), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects", nargs="*", help="objects that the stage fetch has prepared")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the table")
    parser.add_argument("--polyhedra", type=int, default=2, help="random polyhedra, too; default 2")
    parser.add_argument("--box", type=int, default=48, help="edge of the cube, voxels; default 48")
    parser.add_argument("--cycles", type=int, default=300, help="of error reduction; default 300")
    parser.add_argument("--seeds", type=int, default=1, help="draws of the counts; default 1")
    parser.add_argument("--gaps", type=int, default=len(GAPS), help="only the first so many crosses")
    parser.add_argument("--tune", action="store_true", help="try further weights")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    path = wanted.out / "fill_or_free.csv"
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=CELL)
    done = set(table[CELL].itertuples(index=False, name=None))
    names = [name for pair in zip(
        wanted.objects + [None] * wanted.polyhedra, [f"polyhedron-{i}" for i in range(wanted.polyhedra)]
        + [None] * len(wanted.objects), strict=False) for name in pair if name]  # fmt: skip
    for seed, (width, distance), name, (scene, photons) in product(
        range(wanted.seeds), GAPS[: wanted.gaps], names, SCENES
    ):
        if (Path(name).stem, seed, width, distance, scene, photons) in done:
            continue
        rows = cell(name, wanted, width, distance, scene, photons, seed)
        table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True) if len(table) else pd.DataFrame(rows)
        storage.write_table(path, table)
        told = " ".join(f"{row['treatment']} {row['to_whole']:.2f}" for row in rows)
        print(*(rows[0][key] for key in CELL), told, flush=True)
    summary(table)


if __name__ == "__main__":
    main()
