"""Planning at a hundred times the paper's size: the right jobs, none where nothing is to be done, chunks that grow.

How long it takes is measured by ``benchmarks/bench_planning.py``.
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from braggfill.settings.size import MOST_CHUNKS, SMALLEST_CHUNK, SizeSettings
from hypothesis import given
from hypothesis import strategies as st
from workflow_helpers import Project, planned_jobs

HUNDREDFOLD = "run: hundredfold\nsize: {particles: 15000, particles_per_chunk: 1250}\n"


def plan(project: Project, *options: str) -> str:
    """What Snakemake prints for a hundred times the paper's configuration."""
    files = ["--configfile", "config/paper.yaml", "hundredfold.yaml"]
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *files, *options]
    done = subprocess.run(
        command, cwd=project.folder, env=project.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.dag
def test_a_hundred_times_the_paper_is_planned_once(top, tmp_path):
    """Every chunk has its job in every stage of the simulation; when their files are there, there is nothing to do."""
    project = Project.copy(top, tmp_path / "project")
    project.write("hundredfold.yaml", HUNDREDFOLD)
    output = plan(project, "-n")
    jobs = planned_jobs(output)
    # Twelve chunks of the run, and two of the particles that the evaluation has for itself.
    assert {jobs[stage] for stage in ("particle", "relax", "scatter", "perturb", "extract")} == {14}
    assert {jobs[rule] for rule in ("train", "inpaint", "figures", "report")} == {1}
    for line in re.findall(r"^ *output: (.*)$", output, flags=re.MULTILINE):
        for name in line.split(", "):
            path = project.folder / name.split(" ")[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    plan(project, "--touch")
    assert "Nothing to be done" in plan(project, "-n")


@given(st.integers(1, 1_000_000))
def test_chunks_are_never_many_and_never_too_large(particles):
    size = SizeSettings(particles=particles)
    assert (size.chunks - 1) * size.chunk < particles <= size.chunks * size.chunk
    assert size.chunks <= MOST_CHUNKS
    assert size.chunk == SMALLEST_CHUNK or size.chunks > MOST_CHUNKS // 2, "no larger than it has to be"


@given(st.integers(1, 1_000_000), st.integers(1, 100_000))
def test_the_chunk_that_is_asked_for_is_taken(particles, asked):
    size = SizeSettings(particles=particles, particles_per_chunk=asked)
    assert size.chunk == asked
    assert (size.chunks - 1) * asked < particles <= size.chunks * asked


def test_the_paper_and_a_hundred_times_that():
    assert (SizeSettings(particles=150).chunk, SizeSettings(particles=150).chunks) == (10, 15)
    assert (SizeSettings(particles=15_000).chunk, SizeSettings(particles=15_000).chunks) == (40, 375)
