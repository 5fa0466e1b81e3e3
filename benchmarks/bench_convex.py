"""What the convex engine recovers, where it wins and where it fails (Masto, thesis, sections 5.3.1 and 5.3.2).

Low strain (a phase range of 1 pi), high strain (3 and 5 pi, three kinds of field), objects reconstructed from
measurements at ESRF ID01, and a measured scan of APS 34-ID-C.  Beside it, from the same counts, the best of two runs of
HIO, RAAR and error reduction with a support from the autocorrelation that follows the object.

An object is right where (PCC of the moduli + coherent average of the phase difference) / 2 is 0.95 or more after
alignment (thesis, eq. 4.5).  The scan has no truth: its objects are compared with those from another seed.

convex.csv: a row a case and method.  convex.png: central slices of the phase inside the support, a row a case.

Usage: bench_convex.py OUT [--data FOLDER] [--size 64] [--objects 1] [--only low,high,higher,id01,aps] [--starts 16]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from braggfill.phasing import convex, modes, pattern, projections, support
from braggfill.physics import boxes, crystals, fourier
from braggfill.runs import seeds

PHOTONS = 1e6
"""Expected at the peak."""
RANGES = {"low": 1.0, "high": 3.0, "higher": 5.0}
"""Of the phase, peak to valley, in pi."""
KINDS = ("gaussians", "cosines", "correlated")
CYCLES = (("HIO", 300), ("RAAR", 200), ("ER", 60))
OVERSAMPLING = 3.0


@dataclass
class Case:
    """A pattern and, where it is known, the object that it comes from."""

    name: str
    counts: np.ndarray
    truth: np.ndarray | None


def bright(obj: np.ndarray) -> np.ndarray:
    """Where the modulus is above 0.3 of its largest value."""
    return np.abs(obj) > 0.3 * np.abs(obj).max()


def exposed(name: str, obj: np.ndarray, seed: int) -> Case:
    """Counts of an object with :data:`PHOTONS` at the peak, and the object in the same unit."""
    intensity = np.abs(fourier.forward(obj.astype(complex))) ** 2
    scale = PHOTONS / intensity.max()
    counts = seeds.generator(seed, "bench/convex/noise").poisson(scale * intensity)
    return Case(name, counts.astype(np.float32), (np.sqrt(scale) * obj).astype(np.complex64))


def simulated(strained: str, size: int, objects: int, seed: int) -> Iterator[Case]:
    """Random polyhedra with random phases."""
    span = RANGES[strained]
    for number, kind in enumerate(KINDS):
        for i in range(objects):
            rng = seeds.generator(seed, "bench/convex", i, number, round(span))
            obj = crystals.draw_object(rng, (size,) * 3, kind=kind, range=span * np.pi, oversampling=OVERSAMPLING)
            yield exposed(f"{kind} {span:g} pi #{i}", obj, seed)


def reconstructed(folder: Path, size: int, seed: int) -> Iterator[Case]:
    """The ID01 objects with their own phase, resampled to the oversampling."""
    from scipy.ndimage import zoom

    for name in ("S978", "S11"):
        with np.load(folder / f"id01_{name}_object.npz") as file:
            obj = file["obj"]
        inside = bright(obj)
        cut = np.where(inside, obj, 0)[boxes.bounding_box(inside)]
        factor = size / OVERSAMPLING / max(cut.shape)
        small = zoom(cut.real, factor, order=1) + 1j * zoom(cut.imag, factor, order=1)
        yield exposed(f"ID01 {name}", pattern.pad(small, (size,) * 3), seed)


def measured(folder: Path, size: int) -> Iterator[Case]:
    """The middle of the APS scan."""
    with np.load(folder / "aps34idc_Staff20-1a_S0054.npz") as file:
        data = file["data"]
    peak = pattern.peak(data.astype(np.float32), np.ones(data.shape, bool))
    yield Case("APS S0054", data[tuple(slice(p - size // 2, p - size // 2 + size) for p in peak)], None)


def by_projections(counts: np.ndarray, starts: int, seed: int) -> tuple[np.ndarray, float]:
    """The best by residual of several runs, and its residual."""
    measure = projections.Measured(counts.astype(np.float32))
    found = []
    for start in range(starts):
        rng = seeds.generator(seed, "bench/projections", start)
        first = support.autocorrelation(counts)
        random = np.where(first, rng.random(counts.shape) * np.exp(2j * np.pi * rng.random(counts.shape)), 0)
        layout = [projections.to_layout(a)[None] for a in (random.astype(np.complex64), first)]
        run = projections.Projections(measure, *layout)
        run.rescale()
        done, total = 0, sum(n for _, n in CYCLES[:-1])
        for name, cycles in CYCLES[:-1]:
            for _ in range(0, cycles, 20):
                run.run(name, 20)
                done += 20
                width = support.smoothing(done / total, 3.0, 0.8)
                run.support = support.update(run.obj, run.support, threshold=0.2, width=width)
        run.run(*CYCLES[-1])
        found.append((float(run.residual()[0]), projections.from_layout(run.obj * run.support)[0]))
    residual, obj = min(found, key=lambda pair: pair[0])
    return obj, residual


def score(obj: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Equation 4.5, the complex correlation inside the support, and the spread of the phase there, radians."""
    inside = bright(truth)
    aligned, correlation = (a[0] for a in modes.align_all([obj.astype(complex)], truth.astype(complex), inside))
    modulus, difference = np.abs(aligned), np.angle(aligned * truth.conj())
    coherent = np.abs((modulus * np.exp(1j * difference)).sum()) / modulus.sum()
    pcc = np.corrcoef(modulus.ravel(), np.abs(truth).ravel())[0, 1]
    return {
        "score": (pcc + coherent) / 2,
        "correlation": correlation,
        "phase_std": difference[inside].std(),
    }


def rows(case: Case, starts: int, seed: int) -> tuple[list[dict], dict[str, np.ndarray]]:
    """A row a method, and the objects."""
    objects, found = {}, []

    def add(method: str, obj: np.ndarray, residual: float, seconds: float, against: np.ndarray, detail: str) -> None:
        objects[method] = obj
        base = {"case": case.name, "method": method, "residual": residual, "cpu_seconds": seconds, "detail": detail}
        found.append(base | score(obj, against))

    began = time.process_time()
    runs = convex.run(case.counts, None, seed=seed, starts=starts)
    spent = time.process_time() - began
    best = runs[0]
    truth = case.truth
    if truth is None:
        truth = convex.run(case.counts, None, seed=seed + 1, starts=starts)[0].obj
    own = min(runs, key=lambda r: r.residual_convex)
    add("convex", own.convex, own.residual_convex, spent, truth, own.loss_name)
    add("convex, refined", best.obj, best.residual, spent, truth, best.loss_name)
    began = time.process_time()
    obj, residual = by_projections(case.counts, 2, seed)
    add("projections", obj, residual, time.process_time() - began, truth, "2 starts")
    objects["truth" if case.truth is not None else "other seed"] = truth
    return found, objects


def draw(shown: list[tuple[str, dict[str, np.ndarray]]], out: Path) -> None:
    """Phase in the central slice, a row a case, all laid over the truth."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = ("truth", "convex", "convex, refined", "projections")
    figure, axes = plt.subplots(len(shown), 4, figsize=(7, 1.75 * len(shown)), squeeze=False)
    for row, (name, objects) in zip(axes, shown, strict=True):
        truth = objects.get("truth", objects.get("other seed")).astype(complex)
        inside = bright(truth)
        edge = [slice(max(s.start - 2, 0), s.stop + 2) for s in boxes.bounding_box(inside)]
        for axis, column in zip(row, columns, strict=True):
            obj = objects.get(column, truth)
            obj = modes.align_all([obj.astype(complex)], truth, inside)[0][0] if column != "truth" else truth
            image = np.ma.masked_where(~bright(obj), np.angle(obj))[obj.shape[0] // 2]
            axis.imshow(image[edge[1], edge[2]], cmap="twilight", vmin=-np.pi, vmax=np.pi)
            axis.set_xticks([])
            axis.set_yticks([])
            title = "another seed" if column == "truth" and "truth" not in objects else column
            axis.set_title(title, fontsize=7)
        row[0].set_ylabel(name, fontsize=7)
    figure.tight_layout()
    figure.savefig(out, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--only", default="low,high,higher,id01,aps")
    parser.add_argument("--starts", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    sources = {
        **{key: partial(simulated, key, options.size, options.objects, options.seed) for key in RANGES},
        "id01": lambda: reconstructed(options.data, options.size, options.seed),
        "aps": lambda: measured(options.data, options.size),
    }
    table, shown = [], []
    for name in options.only.split(","):
        for case in sources[name]():
            found, objects = rows(case, options.starts, options.seed)
            table += found
            shown.append((case.name, objects))
            for row in found:
                print(
                    f"{row['case']:28} {row['method']:16} {row['score']:.3f} correlation {row['correlation']:.3f} "
                    f"residual {row['residual']:.4f} {row['cpu_seconds']:.0f} s",
                    flush=True,
                )
            pd.DataFrame(table).to_csv(options.out / "convex.csv", index=False)
    draw(shown, options.out / "convex.png")


if __name__ == "__main__":
    main()
