"""A copy of the project to run the tiny DAG in, and what the tests ask of it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  registers the compression filters
import numpy as np
from braggfill.runs import storage

IGNORED = shutil.ignore_patterns(
    ".git", ".venv", "results", ".snakemake", "*.egg-info", "__pycache__", ".*_cache", "data"
)


@dataclass
class Project:
    """A copy of the project in a folder of its own; ``snakemake(...)`` runs there on ``config/test.yaml``."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def copy(cls, top: Path, folder: Path) -> Project:
        shutil.copytree(top, folder, ignore=IGNORED)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
        for place in (top / "data", top.parent / "shared" / "data"):
            if place.is_dir():
                environment.setdefault("BRAGGFILL_DATA", str(place))
        environment.pop("PYTHONPATH", None)
        return cls(folder, environment)

    def command(self, *options: str, configs: tuple[str, ...] = (), jobs: int = 2) -> list[str]:
        files = ["config/test.yaml", *configs]
        base = [sys.executable, "-m", "snakemake", "--cores", str(jobs)]
        return [*base, "--configfile", *files, "--rerun-incomplete", *options]

    def snakemake(self, *options: str, configs: tuple[str, ...] = (), jobs: int = 2, check: bool = True) -> str:
        """Run Snakemake to its end; its whole output."""
        done = subprocess.run(
            self.command(*options, configs=configs, jobs=jobs),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"snakemake ended with {done.returncode}:\n{done.stdout[-6000:]}")
        return done.stdout

    def planned(self, *options: str, configs: tuple[str, ...] = ()) -> dict[str, int]:
        """Rule names and their numbers of jobs in a dry run, without the target rule."""
        return planned_jobs(self.snakemake("-n", *options, configs=configs))

    def kill_during(self, log: str, configs: tuple[str, ...] = (), limit_s: float = 900) -> bool:
        """Start a run, kill -9 it and all its jobs as soon as ``log`` appears anew; False if it ended before."""
        path = self.folder / log
        path.unlink(missing_ok=True)
        process = subprocess.Popen(
            self.command(configs=configs),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        start = time.monotonic()
        try:
            while process.poll() is None and time.monotonic() - start < limit_s:
                if path.exists():
                    time.sleep(0.3)
                    return process.poll() is None
                time.sleep(0.02)
            return False
        finally:
            _kill_tree(process)

    def write(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return name


def planned_jobs(output: str) -> dict[str, int]:
    """The table of jobs that a dry run prints."""
    table = re.search(r"^job +count\n-[- ]*\n(.*?)^total", output, flags=re.MULTILINE | re.DOTALL)
    rows = (line.split() for line in table.group(1).splitlines()) if table else ()
    return {row[0]: int(row[1]) for row in rows if row and row[0] != "all"}


def _kill_tree(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def descendants(dot: str, rules: set[str]) -> set[str]:
    """Rules reachable in Snakemake's rule graph (dot) from some rules, these included, without the target rule."""
    names = dict(re.findall(r'(\d+)\[label *= *"([^"\\]+)', dot))
    edges = [(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", dot)]
    found = set(rules)
    while True:
        more = {b for a, b in edges if a in found} - found
        if not more:
            return found - {"all"}
        found |= more


def arrays(folder: Path, pattern: str) -> dict[str, np.ndarray]:
    """Every data set of every HDF5 file that matches, by file and path; not of what a killed job left behind."""
    found = {}
    for path in storage.files(folder, pattern):
        with h5py.File(path) as file:
            file.visititems(
                lambda name, item, path=path: (
                    found.__setitem__(f"{path.relative_to(folder)}:{name}", item[()])
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )
    return found


def same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> list[str]:
    """The names whose arrays differ in any bit, or that only one side has."""
    return sorted(
        name
        for name in one.keys() | two.keys()
        if name not in one or name not in two or one[name].tobytes() != two[name].tobytes()
    )
