"""Planning is quick: with nothing to do at the paper's scale, and with everything to do at a hundred times that."""

from __future__ import annotations

import re
import resource
import subprocess
import sys

import pytest
from workflow_helpers import Project, planned_jobs

pytestmark = pytest.mark.dag

HUNDREDFOLD = "run: hundredfold\nsize: {particles: 15000, particles_per_chunk: 100}\n"


def plan(project: Project, *options: str) -> tuple[str, float]:
    """What Snakemake prints for the paper's configuration, and the seconds of processor time that it took.

    Not the seconds on the clock, which are others' too on a machine that is busy.
    """
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config/paper.yaml", *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=project.folder, env=project.environment, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture
def project(top, tmp_path) -> Project:
    return Project.copy(top, tmp_path / "project")


def test_nothing_to_do_is_found_in_15_s(project):
    output, _ = plan(project, "-n")
    for line in re.findall(r"^ *output: (.*)$", output, flags=re.MULTILINE):
        for name in line.split(", "):
            path = project.folder / name.split(" ")[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    plan(project, "--touch")
    output, seconds = plan(project, "-n")
    assert "Nothing to be done" in output
    assert seconds < 15


def test_a_hundred_times_the_paper_is_planned_in_60_s(project):
    change = project.write("hundredfold.yaml", HUNDREDFOLD)
    output, seconds = plan(project, change, "-n")
    jobs = planned_jobs(output)
    assert jobs["particle"] == jobs["extract"] == 150
    assert seconds < 60
