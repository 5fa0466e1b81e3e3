"""How often phase retrieval is right, what its verdict is worth, and how long it takes beside PyNX.

Random polyhedra with three kinds of phase field, cell by cell: the kind, the range of the phase in units of pi, the
photons at the peak and the oversampling.  An object is right if its score (thesis, eq. 4.5) is at least 0.95.  PyNX is
run as the thesis does, 400 HIO, 1000 RAAR and 300 ER from each start, the best of all by free log-likelihood; its runs
and those of the engine are made in turn on the same cores.  Times are those of the processor, all its threads
together, so that they mean something on a busy machine.

phase.csv: a row an object and engine, written after each, the objects of all cells in turn.  What is in it already is
not made again.  A summary a cell, and how often each word of the verdict was right, are printed.
With ``--cycles`` it times single cycles instead.

The engine ``auto`` begins with a network's objects beside random ones, as ``braggfill phase`` does, and ``random`` is
the same without.

Usage: bench_phase.py -o OUT [--objects 20] [--ranges 0-5 5-9] [--photons 1e6] [--oversampling 2.3-4] [--size 64]
                      [--engines auto random pynx] [--pynx-runs 60] [--network FILE]
"""

from __future__ import annotations

import argparse
import io
import os
import time
import warnings
from contextlib import redirect_stdout
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from braggfill.phasing import engines, named, pattern, score, starts
from braggfill.phasing.context import Context
from braggfill.phasing.phase import phase_pattern
from braggfill.phasing.projections import Measured, Projections, to_layout
from braggfill.phasing.recipe import Recipe
from braggfill.physics import fourier
from braggfill.physics.crystals import draw_object
from braggfill.runs import seeds, storage

KEYS = ("kind", "range_pi", "photons", "oversampling", "size", "object", "engine")
KINDS = ("correlated", "gaussians", "cosines")


def made(
    size: int, kind: str, span: tuple[float, float], photons: float, oversampling: tuple[float, float], index: int
):
    """A true object and its counts."""
    rng = seeds.generator(0, f"bench/{kind}", index, round(100 * span[0]), round(100 * span[1]))
    wide = (span[0] * np.pi, span[1] * np.pi)
    truth = draw_object(rng, (size,) * 3, kind=kind, range=wide, oversampling=oversampling)
    intensity = np.abs(fourier.forward(truth)).astype(float) ** 2
    intensity *= photons / intensity.max()
    return truth, rng.poisson(intensity).astype(np.float32)


def run(engine: str, counts: np.ndarray, index: int, arguments: argparse.Namespace) -> dict:
    """What an engine makes of counts."""
    began = time.process_time()
    if engine == "pynx":
        given = pattern.prepare(counts, seed=index).centred()
        runs = []
        for runs in engines.engine("pynx")(given, Recipe(), Context(index, threads=arguments.threads)):
            if len(runs) >= arguments.pynx_runs:
                break
        found, told = runs[0].obj, {"llk_free": runs[0].llk_free, "runs": len(runs)}
    else:
        network = None if engine == "random" else arguments.network
        phased = phase_pattern(
            counts, engine="auto" if engine == "random" else engine, network=network, seed=index,
            threads=arguments.threads,
        )  # fmt: skip
        found = phased.obj
        told = {"llk_free": phased.llk_free, "llk_expected": phased.llk_expected, "agreement": phased.agreement}
        told |= {"verdict": phased.verdict.word, "runs": len(phased.runs), "cycles": phased.cycles}
    return {"engine": engine, "cpu_seconds": time.process_time() - began, **told, "_obj": found}


def cycles(size: int, number: int = 40) -> None:
    """Milliseconds a cycle of this package on one thread and of PyNX, in turns; the median of each."""
    os.environ["PYNX_PU"] = "cpu"
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pynx.cdi as cdi
    truth, counts = made(size, "gaussians", (1, 2), 1e6, (3, 3), 0)
    inside = np.abs(truth) > 0.2 * np.abs(truth).max()
    obj = 100 * starts.random(inside, np.random.default_rng(1))
    theirs = cdi.CDI(np.fft.ifftshift(counts))
    theirs.set_support(np.fft.ifftshift(inside))
    theirs.set_obj(np.fft.ifftshift(obj).copy())
    for name in ("HIO", "RAAR", "ER"):
        ours = Projections(Measured(counts), to_layout(obj)[None].clone(), to_layout(inside)[None])
        operator = getattr(cdi, name)()
        times = {"ours": [], "pynx": []}
        for _ in range(number):
            for who in times:
                began = time.perf_counter()
                if who == "ours":
                    ours.run(name, 1)
                else:
                    theirs = operator * theirs
                times[who].append(1e3 * (time.perf_counter() - began))
        one, two = (float(np.median(times[who])) for who in ("ours", "pynx"))
        print(f"{size}^3 {name}: {one:.2f} ms a cycle, PyNX {two:.2f} ms, ratio {one / two:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, help="folder of the table")
    parser.add_argument("--objects", type=int, default=20, help="in each cell")
    parser.add_argument("--first", type=int, default=0, help="number of the first object")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--ranges", nargs="+", default=["0-5", "5-9"], help="of the phase, units of pi")
    parser.add_argument("--photons", nargs="+", type=float, default=[1e6], help="at the peak")
    parser.add_argument("--oversampling", nargs="+", default=["2.3-4"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--engines", nargs="+", default=["auto", "pynx"])
    parser.add_argument("--network", metavar="FILE", help="of the engine auto, where not the one that comes along")
    parser.add_argument("--pynx-runs", type=int, default=60)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--cycles", action="store_true", help="time single cycles, and nothing else")
    wanted = parser.parse_args()
    if wanted.cycles:
        torch.set_num_threads(1)
        return cycles(wanted.size)
    if wanted.out is None:
        parser.error("-o is needed")
    wanted.threads = wanted.threads or len(os.sched_getaffinity(0))
    spans = [tuple(map(float, text.split("-"))) for text in wanted.ranges]
    samplings = [tuple(map(float, text.split("-"))) for text in wanted.oversampling]
    wanted.network = named.network(wanted.network)
    cells = list(product(wanted.kinds, spans, wanted.photons, samplings))
    place = wanted.out / "phase.csv"
    rows = pd.read_csv(place).to_dict("records") if place.exists() else []
    there = {tuple(str(row[name]) for name in KEYS) for row in rows}
    for index in range(wanted.first, wanted.first + wanted.objects):
        for kind, span, photons, sampling in cells:
            cell = {"kind": kind, "range_pi": f"{span[0]:g}-{span[1]:g}", "photons": float(photons)}
            cell |= {"oversampling": f"{sampling[0]:g}-{sampling[-1]:g}", "size": wanted.size, "object": index}
            engines_left = [e for e in wanted.engines if tuple(str(v) for v in (*cell.values(), e)) not in there]
            if not engines_left:
                continue
            truth, counts = made(wanted.size, kind, span, photons, (sampling[0], sampling[-1]), index)
            for engine in engines_left:
                row = run(engine, counts, index, wanted)
                row["score"] = score.accuracy(row.pop("_obj"), truth)
                row["right"] = row["score"] >= score.RIGHT
                rows.append({**cell, **row})
                storage.write_table(place, pd.DataFrame(rows))
                told = " ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items())
                print(*cell.values(), told, flush=True)
    table = pd.DataFrame(rows)
    cell_keys = [name for name in KEYS if name != "object"]
    print(table.groupby(cell_keys)[["right", "score", "cpu_seconds"]].mean().round(3).to_string())
    if "verdict" in table:
        print(table.groupby(["engine", "verdict"])["right"].agg(["mean", "size"]).round(3).to_string())


if __name__ == "__main__":
    main()
