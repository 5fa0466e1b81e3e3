"""What a gap costs when phase retrieval does all it can: which filled voxels should be left free?

The strain error after phase retrieval from random starts is mostly a matter of which start was lucky.  Here error
reduction starts from the true object within its true support, so that what it drifts to tells the data alone: the
pattern whole, its gap masked, filled, and filled where the relative uncertainty of the filling
(:func:`braggfill.filling.trust.uncertainty`) is at most so much.  The reconstructed objects with their own phase,
counting noise, crosses of 3 to 9 voxels.

uncertainty.csv: a row a cell and treatment, with the strain RMSE, its ratio to that of the whole pattern and to the
lower one of free and filled.  About five minutes on one core.

Usage: fill_or_free.py OBJECT.h5 … -o OUT [--box 48]          (results/demo/fetch/id01_s11.h5 and its like)
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.fft
from braggfill.filling import trust
from braggfill.physics import align, support
from braggfill.runs import storage
from braggfill.settings.reconstruct import MapSettings, ReconstructSettings
from braggfill.stages.reconstruct import cases, objects, treatments

OVERSAMPLINGS = (3.7,)
PHOTONS = (3e3, 3e4, 1e6)
GAPS = ((3, 8), (6, 8), (6, 14), (9, 14))
"""Width, and distance of its middle from the peak."""
HIGHEST = (1.05, 1.1, 1.15, 1.2, 1.25, 1.5)
CYCLES = 200


def reduce_error(truth: np.ndarray, intensity: np.ndarray, missing: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Where error reduction from the true object ends: amplitudes as given, but for ``missing``, zero out of support.

    Parameters
    ----------
    truth : complex object whose unitary Fourier transform, peak in the middle, has the intensities that were counted.
    intensity : photons; missing, support : boolean; all of one shape.
    """
    amplitude, free, inside = (np.fft.ifftshift(array) for array in (np.sqrt(intensity), missing, support))
    obj = np.fft.ifftshift(truth).astype(np.complex64)
    for _ in range(CYCLES):
        wave = scipy.fft.fftn(obj, norm="ortho")
        wave = np.where(free, wave, amplitude.astype(np.float32) * np.exp(1j * np.angle(wave)))
        obj = np.where(inside, scipy.fft.ifftn(wave, norm="ortho"), 0)
    return np.fft.fftshift(obj)


def cell(path: Path, box: int, oversampling: float, photons: float, width: int, distance: int) -> list[dict]:
    """Rows of one object, oversampling, number of photons and gap."""
    settings = ReconstructSettings(threads=1)
    recipe = MapSettings(treatments=("braggfill", "sure"))
    threshold = settings.true_phase.support_threshold
    truth, zoom = objects.sampled(
        objects.load(path), oversampling=oversampling, zoom=1.0, box=box, threshold=threshold, keep_phase=True
    )
    case = cases.counted(settings, 3, "map", truth, zoom, photons, width, (distance, distance + 3))
    filled = treatments.fill(case.counts, case.mask, recipe, Path("none"), settings)
    gapped = treatments.Gapped(case.counts, case.mask, filled, recipe)
    best = gapped.best
    nowhere, taken = np.zeros_like(case.mask), best.for_phasing()
    todo = {
        "whole": (case.counts, nowhere),
        "free": (gapped.empty, case.mask),
        "zeros": (gapped.empty, nowhere),
        "expectation": (best.data, nowhere),
        "filled": (taken, nowhere),
        **{f"at most {most:g}": (taken, trust.uncertain(best.data, best.sigma, case.mask, most)) for most in HIGHEST},
    }
    inside = support.from_modulus(case.truth, threshold)
    expected = objects.fields(case.truth, inside, case.geometry)
    unit = np.sqrt(case.expectation.sum() / (np.abs(case.truth) ** 2).sum())
    errors = {}
    for name, (intensity, missing) in todo.items():
        obj = align.align(reduce_error(case.truth * unit, intensity, missing, inside), case.truth, inside).obj
        found = objects.fields(obj, inside, case.geometry)
        errors[name] = objects.compare(found, expected, inside, case.geometry)["strain_rmse"]
    best = min(errors["free"], errors["filled"])
    told = {"object": path.stem, "oversampling": oversampling, "photons_at_peak": photons}
    told |= {"gap_px": width, "distance_px": distance}
    rows = [{**told, "treatment": name, "strain_rmse": error} for name, error in errors.items()]
    return [
        row | {"to_whole": row["strain_rmse"] / errors["whole"], "to_best": row["strain_rmse"] / best} for row in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects", type=Path, nargs="+", help="objects that the stage fetch has prepared")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the table")
    parser.add_argument("--box", type=int, default=48, help="edge of the cube, voxels; default 48")
    wanted = parser.parse_args()
    rows = []
    for path, oversampling, photons, gap in product(wanted.objects, OVERSAMPLINGS, PHOTONS, GAPS):
        rows += cell(path, wanted.box, oversampling, photons, *gap)
        told = " ".join(f"{row['treatment']} {row['to_whole']:.2f}" for row in rows[-len(HIGHEST) - 4 :])
        print(f"{path.stem} {oversampling:g} {photons:.0e} {gap}: {told}", flush=True)
    table = pd.DataFrame(rows)
    storage.write_table(wanted.out / "uncertainty.csv", table)
    for scope, part in [*table.groupby("photons_at_peak"), ("all", table)]:
        ratios = part.groupby("treatment", sort=False)[["to_whole", "to_best"]]
        means = ratios.agg(lambda values: float(np.exp(np.log(values).mean())))
        worst = ratios.max().add_suffix("_worst")
        print(scope, means.join(worst).round(2).to_string(), sep="\n")


if __name__ == "__main__":
    main()
