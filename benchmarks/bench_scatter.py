"""Scattering: the fast transform against PyNX and direct summation, its cost, and what a pattern costs.

Three tables, all from one run, so that their ratios hold on any machine:

1. one 128³ pattern of 134,000 atoms: `nufft` on one core against PyNX on all of them and direct summation on one, the
   latter two on fewer voxels and scaled, with the largest errors against direct summation;
2. cost of `nufft` from 10,000 to 500,000 atoms and from 64³ to 256³ voxels, against atoms + voxels log(voxels);
3. seconds and megabytes of a pattern from atoms to patches, and a job's fixed cost (start-up and imports).

Usage: bench_scatter.py [--quick]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from braggfill.runs import external, storage
from braggfill.settings.extract import ExtractSettings
from braggfill.settings.perturb import PerturbSettings
from braggfill.settings.scatter import ScatterSettings
from braggfill.stages import perturb
from braggfill.stages.extract.chunk import extract_chunk
from braggfill.stages.scatter import backends, chunk, views

GOLD = 4.08
PEAK = np.array([2, 0, 0]) / GOLD


def crystal(atoms: int) -> np.ndarray:
    """A truncated octahedron of about that many gold atoms with a smooth strain, (n, 3) Å."""
    cells = int(2 * atoms ** (1 / 3) / 1.6) // 2 + 4
    corners = np.stack(np.meshgrid(*[np.arange(-cells, cells)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    positions = (corners + basis).reshape(-1, 3)
    size = np.maximum(np.abs(positions).sum(1) / np.sqrt(3), 1.1 * np.abs(positions).max(1))
    positions = positions[np.argsort(size, kind="stable")[:atoms]] * GOLD
    return positions + 0.1 * np.sin(positions[:, [1, 2, 0]] / 25)


def best(
    compute: Callable[[], np.ndarray], times: int = 3, clock: Callable[[], float] = time.perf_counter
) -> tuple[np.ndarray, float]:
    """The result, and the shortest of a few times in seconds: wall time, or processor time with another clock."""
    shortest = np.inf
    for _ in range(times):
        start = clock()
        result = compute()
        shortest = min(shortest, clock() - start)
    return result, shortest


def against_the_others(atoms: int, side: int, block: int, samples: int) -> None:
    positions = crystal(atoms)
    rotation = views.random_rotation(np.random.default_rng(1))
    step = 1 / (2.5 * views.extents(positions, rotation, GOLD).max())
    shape = (side, side, side)
    fast, seconds = best(lambda: backends.amplitude(positions, PEAK, rotation, step, shape, device="cpu"))
    maximum, voxels = np.abs(fast).max(), fast.size
    rng = np.random.default_rng(2)
    near = np.stack(np.meshgrid(*[np.arange(block) - block // 2] * 3, indexing="ij"), -1).reshape(-1, 3)
    few = np.concatenate(
        [rng.permutation(near)[: samples // 2], rng.integers(-(side // 2), side // 2, (samples // 2, 3))]
    )

    def reciprocal(places: np.ndarray) -> np.ndarray:
        return PEAK + step * places @ rotation

    def error(found: np.ndarray) -> float:
        return float(np.abs(found - exact).max() / maximum)

    exact, direct_seconds = best(lambda: backends.direct_at(positions, reciprocal(few)), 1)
    mine = error(fast[tuple((few + side // 2).T)])
    print(f"\n{len(positions):,} atoms, {side}³ voxels")
    print("back end   seconds for the pattern   largest error against direct, share of the peak")
    print(f"nufft      {seconds:12.2f}              {mine:.1e}   (one core, {len(few)} voxels compared)")
    print(
        f"direct     {direct_seconds * voxels / len(few):12.0f}              -         (NumPy, from {len(few)} voxels)"
    )
    if not (external.have_pynx() and external.have_opencl()):
        print("pynx       left out: PyNX or a device for it is not installed (envs/pynx.sh)")
        return
    backends.pynx_at(positions[:100], reciprocal(near[:100]))
    _, theirs = best(lambda: backends.pynx_at(positions, reciprocal(near)), 1)
    whole = theirs * voxels / len(near)
    yours = error(backends.pynx_at(positions, reciprocal(few)))
    print(f"pynx       {whole:12.0f}              {yours:.1e}   ({os.cpu_count()} cores, from {block}³ voxels)")
    print(
        f"nufft against pynx: {whole / seconds:,.0f} times faster (target 1,000), "
        f"error 1/{yours / mine:,.0f} (target 1/100)"
    )


def cost(numbers: list[int], sides: list[int]) -> None:
    rows = []
    for atoms in numbers:
        positions = crystal(atoms)
        step = 1 / (3 * views.extents(positions, np.eye(3), GOLD).max())
        for side in sides:
            shape = (side, side, side)
            times = 2 if side > 128 else 3
            rows.append(
                (atoms, side**3, best(lambda p=positions, s=step, n=shape: _sum(p, s, n), times, time.process_time)[1])
            )
    count, voxels, seconds = np.array(rows).T
    work = np.stack([count, voxels * np.log2(voxels)], 1)
    # Least squares of the relative deviations, so that the small cases weigh as much as the large ones.
    factors = np.linalg.lstsq(work / seconds[:, None], np.ones(len(rows)), rcond=None)[0]
    table = seconds.reshape(len(numbers), len(sides))
    print("\nprocessor seconds of nufft, one core")
    print("atoms     " + "".join(f"{side}³".rjust(10) for side in sides))
    for atoms, line in zip(numbers, table, strict=True):
        print(f"{atoms:>9,} " + "".join(f"{value:10.3f}" for value in line))
    print(
        f"fit: {factors[0] * 1e6:.2f} µs an atom + {factors[1] * 1e9:.2f} ns a voxel and log2(voxels); "
        f"measured over fit {np.min(seconds / (work @ factors)):.2f} to {np.max(seconds / (work @ factors)):.2f}"
    )
    allowed = work[:, 0].reshape(table.shape) * factors[0] + work[:, 1].reshape(table.shape) * factors[1]
    growth = (table[-1, -1] / table[0, 0]) / (allowed[-1, -1] / allowed[0, 0])
    print(
        f"from the smallest to the largest case it grew {growth:.2f} times as much as "
        "atoms + voxels log(voxels) (target <= 1)"
    )


def _sum(positions: np.ndarray, step: float, shape: tuple[int, int, int]) -> np.ndarray:
    return backends.amplitude(positions, PEAK, np.eye(3), step, shape, device="cpu")


def a_pattern(atoms: int, views: int, side: int) -> None:
    with tempfile.TemporaryDirectory(prefix="scatter-") as name:
        folder = Path(name)
        with storage.create(folder / "atoms.h5") as file:
            group = file.create_group("000000")
            group["positions"] = crystal(atoms)
            group.attrs.update({"index": 0, "lattice_constant_angstrom": GOLD, "element": "Au", "shape": "octahedron"})
        stages = [
            ("scatter", chunk.scatter_chunk, ScatterSettings(views=views, shape=(side,) * 3), "atoms"),
            ("perturb", perturb.perturb_chunk, PerturbSettings(), "scatter"),
            ("extract", extract_chunk, ExtractSettings(), "perturb"),
        ]
        print(f"\na {side}³ pattern of {atoms:,} atoms on one core; fixed cost of a job of 100 patterns")
        print("stage      s a pattern   MB a pattern   start-up s   share of the job   (processor seconds)")
        total = fixed = 0.0
        for stage, run, own, source in stages:
            out = folder / f"{stage}.h5"
            start = time.process_time()
            run(own, 1, folder / f"{source}.h5", out)
            each = (time.process_time() - start) / views
            script = f"import braggfill.runs.job, braggfill.settings.{stage}, braggfill.{stage}"
            script += ", finufft" if stage == "scatter" else ""
            _, startup = best(lambda s=script: subprocess.run([sys.executable, "-c", s], check=True), clock=_children)
            size = out.stat().st_size / 1e6 / views
            print(f"{stage:10s} {each:9.2f} {size:14.1f} {startup:13.2f} {startup / (startup + 100 * each):15.1%}")
            total, fixed = total + each, fixed + startup
        print(f"all three  {total:9.2f} {'':14s} {fixed:13.2f} {fixed / (fixed + 100 * total):15.1%} (target <= 10 %)")


def _children() -> float:
    """Processor seconds of the programs that this one has run."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller cases, seconds instead of a minute")
    quick = parser.parse_args().quick
    against_the_others(*((20_000, 64, 12, 64) if quick else (134_000, 128, 24, 400)))
    cost(*(([10_000, 50_000], [32, 64]) if quick else ([10_000, 50_000, 134_000, 500_000], [64, 128, 256])))
    a_pattern(*((20_000, 2, 64) if quick else (134_000, 10, 128)))


if __name__ == "__main__":
    main()
