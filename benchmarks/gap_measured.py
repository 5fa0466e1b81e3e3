"""Which treatment of a gap brings a measured scan's object closest to that of the whole scan?

Crosses are laid over a measured scan without gaps.  The scan whole and with each treatment of each cross
(:mod:`braggfill.phasing.gap`, and zeros) is phased from the same random starts: the pattern's centre on half the
array first, then the whole, each start by itself.  Their objects are compared with the mean object of the whole scan's
other starts, after alignment; the whole scan's own starts, compared in the same way, say how much chance alone does.

runs.csv: a row a run, as it ends; objects are kept beside it, so that it goes on where it was interrupted.
measured.csv: for each cross and treatment the correlation with the whole scan's object inside its support and the
standard deviation of the phase difference (rad), mean and standard error over the starts, and of the mean object.

Usage: gap_measured.py SCAN.h5 -o OUT [--starts 6] [--box 96] [--crosses 6,14 9,30 4,7] [--only-table]
       (SCAN.h5: results/demo/fetch/aps_staff20_s0054.h5)
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from braggfill.filling import Filled, inpaint
from braggfill.phasing import cycling, free, gap, pattern, starts, support
from braggfill.phasing.projections import Measured
from braggfill.phasing.recipe import Recipe, Schedule
from braggfill.physics import align, boxes
from braggfill.runs import seeds, storage
from braggfill.stages.reconstruct import objects

CROSSES = ("6,14", "9,30", "4,7")
"""Width, and distance of the middle of both arms from the peak."""
TREATMENTS = ("filled", "soft", "free", "sure", "zeros")
COARSE = Schedule((("HIO", 300), ("RAAR", 200)), 20, (2.0, 0.6), 0.2)
FINE = Schedule((("RAAR", 60), ("HIO", 40), ("RAAR", 60)), 20, (1.5, 0.8), 0.2)
LAST = Schedule((("ER", 20),), 10, (0.8, 0.8), 0.15, border=1)
KEYS = ["gap_px", "distance_px", "treatment"]


@dataclass(frozen=True)
class Given:
    """A pattern as phase retrieval has it: photons, weights, and the voxels that judge it."""

    intensity: np.ndarray
    weight: np.ndarray
    judged: np.ndarray
    used: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray, found: Filled | None, treatment: str) -> Given:
        """Of a filled pattern, or of the whole one; voxels that judge are the same for all treatments of a cross."""
        missing = np.zeros(counts.shape, bool) if found is None else found.mask
        judged = free.free_voxels(counts.shape, missing, 0.03, seeds.generator(0, "gap_measured/free"))
        intensity, weight = np.where(missing, 0, counts).astype(np.float32), np.ones(counts.shape, np.float32)
        if found is not None and treatment != "zeros":
            told = gap.given(found, treatment, "braggfill")
            made = pattern.prepare(counts, missing, filled=told.filled, sigma=told.sigma)
            intensity, weight = made.intensity, made.weight
        return cls(intensity, np.where(judged, 0, weight), judged, ~missing & ~judged)


def phased(given: Given, number: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Object, support, free and other log-likelihood from one random start."""
    recipe, shape = Recipe(), given.intensity.shape
    small = tuple(n // 4 * 2 for n in shape)
    window = pattern.window(small, recipe.coarse_window)
    part, weight = pattern.crop(given.intensity, small) * window**2, pattern.crop(given.weight, small)
    inside = support.autocorrelation(part, 0.1)
    rng = seeds.generator(0, "gap_measured/start", number)
    first = starts.Start(starts.random(inside, rng), inside, 0.25, rng, number)
    (done,) = cycling.cycle(Measured(part, weight), [first], COARSE, recipe)
    obj, inside = starts.on_finer(done.obj, done.support, shape, window)
    whole = Measured(given.intensity, given.weight)
    for schedule in (FINE, LAST):
        begun = starts.Start(obj, inside, 0.2, rng, number)
        (done,) = cycling.cycle(whole, [begun], schedule, recipe)
        obj, inside = done.obj, done.support
    figures = [
        free.likelihood(given.intensity[where].astype(float), done.model[where].astype(float))
        for where in (given.judged, given.used)
    ]
    return obj, inside, *figures


def middle(path: Path, box: int) -> np.ndarray:
    """Counts around the brightest voxel."""
    with storage.read(path) as file:
        counts = storage.array(file, "data")
    peak = pattern.peak(counts, np.ones(counts.shape, bool))
    return counts[tuple(objects.span(int(p), box, n) for p, n in zip(peak, counts.shape, strict=True))].astype(float)


def kept(folder: Path, name: str, number: int, obj: np.ndarray | None = None, box: int = 0) -> np.ndarray:
    """An object on file, written or read."""
    path = folder / "objects" / f"{name}-{number:02d}.npz"
    if obj is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        window = boxes.bounding_box(obj != 0)
        np.savez(path, obj=obj[window], origin=[s.start for s in window])
        return obj
    with np.load(path, allow_pickle=False) as file:
        part, origin = file["obj"], file["origin"]
    whole = np.zeros((box,) * 3, np.complex64)
    whole[tuple(slice(o, o + n) for o, n in zip(origin, part.shape, strict=True))] = part
    return whole


def table_of(folder: Path, runs: pd.DataFrame, box: int) -> pd.DataFrame:
    """measured.csv, see above."""
    wholes = {n: kept(folder, "whole", n, box=box) for n in runs[runs.treatment == "whole"].start}
    best = min(wholes, key=lambda n: runs[(runs.treatment == "whole") & (runs.start == n)].llk_free.item())
    inside = np.abs(wholes[best]) > 0.2 * np.abs(wholes[best]).max()
    laid = {n: align.align(obj, wholes[best], inside).obj for n, obj in wholes.items()}
    rows = []
    for key, part in runs.groupby(KEYS, sort=False):
        figures, all_objects = [], []
        for number in part.start:
            name = _name(*key)
            obj = align.align(kept(folder, name, number, box=box), laid[best], inside).obj
            others = np.mean([one for n, one in laid.items() if n != number], axis=0)
            figures.append(_apart(obj, others, inside))
            all_objects.append(obj)
        values = np.array(figures)
        own = _apart(np.mean(all_objects, axis=0), np.mean(list(laid.values()), axis=0), inside)
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else [np.nan] * 2
        rows.append(dict(zip(KEYS, key, strict=True)) | {
            "starts": len(values), "correlation": values[:, 0].mean(), "correlation_error": error[0],
            "phase_std_rad": values[:, 1].mean(), "phase_std_rad_error": error[1],
            "correlation_of_mean": own[0], "phase_std_rad_of_mean": own[1], "llk_free": part.llk_free.mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _apart(obj: np.ndarray, reference: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    product = (obj * reference.conj())[inside]
    norm = np.linalg.norm(obj[inside]) * np.linalg.norm(reference[inside])
    turned = np.angle(product * np.exp(-1j * np.angle(product.sum())))
    return abs(product.sum()) / norm, float(np.sqrt((turned**2).mean()))


def _name(width: int, distance: int, treatment: str) -> str:
    return treatment if treatment == "whole" else f"{width}-{distance}-{treatment}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", type=Path, help="measured scan without gaps that the stage fetch has prepared")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--starts", type=int, default=6)
    parser.add_argument("--box", type=int, default=96, help="edge of the cube around the peak, voxels")
    parser.add_argument("--crosses", nargs="+", default=CROSSES, help="width and distance from the peak, voxels")
    parser.add_argument("--only-table", action="store_true", help="of the runs that there are")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    crosses = [tuple(map(int, text.split(","))) for text in wanted.crosses]
    path = wanted.out / "runs.csv"
    runs = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=[*KEYS, "start"])
    done = set(runs[[*KEYS, "start"]].itertuples(index=False, name=None))
    counts = middle(wanted.scan, wanted.box)
    given: dict[str, Given] = {}
    found: dict[tuple[int, int], Filled | None] = {(0, 0): None}
    todo = [(0, 0, "whole"), *((width, distance, name) for width, distance in crosses for name in TREATMENTS)]
    for number in range(0 if wanted.only_table else wanted.starts):
        for width, distance, treatment in todo:
            if (width, distance, treatment, number) in done:
                continue
            name = _name(width, distance, treatment)
            if name not in given:
                if (width, distance) not in found:
                    mask = objects.cross(counts.shape, width, (distance, distance))
                    found[width, distance] = inpaint(np.where(mask, 0, counts), mask)
                given[name] = Given.of(counts, found[width, distance], treatment)
            began = time.process_time()
            obj, _, llk_free, llk = phased(given[name], number)
            kept(wanted.out, name, number, obj)
            row = dict(zip(KEYS, (width, distance, treatment), strict=True)) | {
                "start": number, "llk_free": llk_free, "llk": llk, "cpu_seconds": time.process_time() - began
            }  # fmt: skip
            runs = pd.concat([runs, pd.DataFrame([row])], ignore_index=True) if len(runs) else pd.DataFrame([row])
            storage.write_table(path, runs)
            print(name, number, f"free log-likelihood {llk_free:.3f}, {row['cpu_seconds']:.0f} s", flush=True)
    table = table_of(wanted.out, runs, wanted.box)
    storage.write_table(wanted.out / "measured.csv", table)
    print(table.round(4).to_string())


if __name__ == "__main__":
    main()
