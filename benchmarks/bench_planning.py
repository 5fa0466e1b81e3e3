"""How long Snakemake plans: a complete run of the paper's size, and a dry run of a hundred times that.

    python benchmarks/bench_planning.py

Seconds on the clock and of processor time (user and system), the largest memory, and the processor's share of what is
aimed at: 15 s with nothing to do for ``config/paper.yaml``, 60 s for a dry run of 150,000 patterns.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
ROWS = (  # name, configuration, whether the run is complete, seconds that are aimed at
    ("paper.yaml, nothing to do", "run: bench\n", True, 15),
    (
        "15,000 particles, chunks by themselves",
        "run: bench\nsize: {particles: 15000, particles_per_chunk: null}\n",
        False,
        60,
    ),
    ("15,000 particles, 10 a chunk", "run: bench\nsize: {particles: 15000, particles_per_chunk: 10}\n", False, 60),
)


def plan(folder: Path, *options: str) -> tuple[str, float, float, float]:
    """Snakemake's output; its seconds on the clock, its seconds of processor time, its largest memory in MB."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(TOP / "Snakefile"), "--directory", str(folder)]
    command += ["--cores", "2", "--configfile", str(TOP / "config/paper.yaml"), str(folder / "change.yaml"), *options]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=TOP, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(f"snakemake ended with {process.returncode}:\n{text[-2000:]}")
    return text, time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def complete(folder: Path) -> None:
    """An empty file for every output, and Snakemake's records of them."""
    for line in re.findall(r"^ *output: (.*)$", plan(folder, "-n")[0], flags=re.MULTILINE):
        for name in line.split(", "):
            path = folder / name.split(" ")[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    plan(folder, "--touch")


def main() -> None:
    print(f"{'':40}{'jobs':>7}{'clock':>9}{'processor':>11}{'memory':>9}{'of the aim':>12}")
    for name, change, done, aim in ROWS:
        with tempfile.TemporaryDirectory(prefix="planning-") as place:
            folder = Path(place)
            (folder / "change.yaml").write_text(change)
            if done:
                complete(folder)
            output, clock, processor, memory = plan(folder, "-n")
        total = re.search(r"^total +(\d+)", output, flags=re.MULTILINE)
        if done and "Nothing to be done" not in output:
            raise SystemExit("there is something to do in a run that is complete")
        jobs = total[1] if total else "0"
        print(
            f"{name:40}{jobs:>7}{clock:>7.1f} s{processor:>9.1f} s{memory:>6.0f} MB{processor / aim:>11.0%}", flush=True
        )


if __name__ == "__main__":
    main()
