"""The tiny DAG through a real Slurm of one node, with everything that goes wrong on a cluster going wrong on the way.

One run, three times started:

1. one scan is damaged: its job fails for good, the rest goes on; meanwhile a job is cancelled by hand and another is
   killed for its memory, and both are tried again; a second Snakemake is started beside the first;
2. the scan is repaired; Snakemake is killed with -9 in training;
3. what is left is started again and ends.

Then the arrays are those of a run on this machine without Slurm. Nothing here depends on how fast the machine is: every
wait is for something to happen, and its limit only ends a test that hangs.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest
from slurm.cluster import Cluster, started
from slurm.programs import Unavailable
from workflow_helpers import Project, arrays, same

LIMIT_S = 2400  # of one Snakemake, which takes one to three minutes on two cores that nobody else uses
pytestmark = [pytest.mark.slurm, pytest.mark.dag, pytest.mark.timeout(3 * LIMIT_S)]

CONFIGS = ("config/test.yaml", "scan.yaml")
# Every kind of job, and of the second half, whose jobs are like the others, the measured scan alone.
SCAN = """
extract: {scans: {own: {path: own.npy}}}
phase: {parts: [measured]}
figures: {chapters: [gaps, phase]}
"""
# The profile as it stands; only, there is no network file system to wait for.
PROFILE = ("--profile", "slurm", "--latency-wait", "5")
SHORT_OF_MEMORY = "scatter_check"
LITTLE = f"{SHORT_OF_MEMORY}:mem_mb=150 if attempt == 1 else 3000"  # Snakemake alone takes more than 150 MB
QUICK = Path(__file__).with_name("slurm") / "quick.py"


@pytest.fixture(scope="module")
def cluster():
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(started())
        except Unavailable as reason:
            pytest.skip(f"no Slurm here: {reason}")
        yield running


@dataclass
class Run:
    """One start of Snakemake on the cluster: its exit code, what it printed, and what it left."""

    code: int
    output: str
    files: dict[str, tuple[int, int]]
    notes: dict[str, str] = field(default_factory=dict)


class Session:
    """A project on a cluster."""

    def __init__(self, project: Project, cluster: Cluster):
        self.project, self.cluster = project, cluster
        names = ("PATH", "SLURM_CONF", *cluster.programs.environment)
        self.environment = {**project.environment, **{name: cluster.environment[name] for name in names}}
        self.results = project.folder / "results/test"

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-P", str(QUICK), *PROFILE, "--configfile", *CONFIGS, *options]

    def call(self, *options: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(*options),
            cwd=self.project.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def start(self, *options: str, meanwhile: Callable[[subprocess.Popen], dict[str, str]] | None = None) -> Run:
        """Snakemake to its end, or to the end that ``meanwhile`` puts to it."""
        log = self.project.folder / "snakemake.out"
        with open(log, "w") as output:
            process = subprocess.Popen(
                self.command(*options),
                cwd=self.project.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            notes = meanwhile(process) if meanwhile else {}
            process.wait(LIMIT_S)
        except BaseException as error:
            error.add_note(log.read_text()[-4000:])
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return Run(process.returncode, log.read_text(), self.files(), notes)

    def files(self) -> dict[str, tuple[int, int]]:
        """Every result by its name, with what changes when it is made again."""
        found = {}
        for path in self.results.rglob("*"):
            name = path.relative_to(self.results)
            if path.is_file() and name.parts[0] not in ("logs", "benchmarks"):
                found[str(name)] = (path.stat().st_mtime_ns, path.stat().st_ino)
        return found

    def running(self, comment: str) -> list[str]:
        return [job for job, of in self.cluster.jobs("RUNNING").items() if comment in of]

    def wait_for(self, what: Callable[[], object], process: subprocess.Popen) -> None:
        end = time.monotonic() + LIMIT_S
        while not what():
            assert process.poll() is None, "Snakemake ended too early"
            assert time.monotonic() < end, f"nothing in {LIMIT_S} s"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def session(cluster, top, tmp_path_factory) -> Session:
    project = Project.copy(top, tmp_path_factory.mktemp("slurm") / "project")
    project.write("scan.yaml", SCAN)
    return Session(project, cluster)


@pytest.fixture(scope="module")
def first(session) -> Run:
    """The run with a damaged scan, a cancelled job and one that is short of memory."""
    session.project.write("own.npy", "this is no array\n")

    def cancel(process: subprocess.Popen) -> dict[str, str]:
        # When the first stage of a chunk begins, four are still to come.
        session.wait_for((session.results / "logs/particle/0000.log").exists, process)
        job = session.running("simulate")[0]
        session.cluster.call("scancel", job)
        other = session.call()
        return {"cancelled": job, "other": other.stdout, "other code": str(other.returncode)}

    return session.start("--set-resources", LITTLE, meanwhile=cancel)


@pytest.fixture(scope="module")
def second(session, first) -> Run:
    """The run with the scan repaired; Snakemake is killed in training."""
    counts = np.random.default_rng(5).poisson(40 / (1 + np.hypot(*np.mgrid[-20:20, -20:20])), (40, 40, 40))
    np.save(session.project.folder / "own.npy", counts)

    def kill(process: subprocess.Popen) -> dict[str, str]:
        session.wait_for((session.results / "logs/train.log").exists, process)
        (job,) = session.running("rule_train")
        session.cluster.call("scontrol", "suspend", job)  # lest it ends before anybody has looked
        process.kill()
        process.wait()
        return {"job": job}

    return session.start(meanwhile=kill)


@pytest.fixture(scope="module")
def third(session, second) -> Run:
    """The rest, after what the documentation says to do when Snakemake was killed."""
    script = ["bash", "slurm/leftovers.sh", "cancel"]
    told = subprocess.run(
        script, cwd=session.project.folder, env=session.environment, capture_output=True, text=True, check=True
    )
    assert session.call("--unlock").returncode == 0
    run = session.start()
    run.notes["leftovers"] = told.stdout
    return run


def test_a_job_that_fails_for_good_leaves_the_rest_running(session, first):
    assert first.code != 0
    simulated = sorted(p.name for p in (session.results / "extract").glob("chunk-[0-9]*.h5"))
    assert simulated == ["chunk-0000.h5", "chunk-0001.h5"]
    assert (session.results / "evaluate/realism.csv").exists()
    assert not (session.results / "extract/scan-own.h5").exists()
    assert not (session.results / "train/model.safetensors").exists()


def test_it_names_its_log_and_shows_its_last_lines(session, first):
    log = session.results / "logs/extract/scan-own.log"
    last = log.read_text().splitlines()[-1]
    assert "own.npy" in last
    assert str(log.relative_to(session.project.folder)) in first.output
    assert last in first.output
    slurm_logs = re.findall(r"(\S+slurm_logs/rule_extract_scan/own/\d+\.log)", first.output)
    assert slurm_logs
    assert all(Path(name).is_file() for name in slurm_logs)


def test_it_was_tried_as_often_as_the_profile_says(first):
    logs = set(re.findall(r"slurm_logs/rule_extract_scan/own/(\d+)\.log", first.output))
    assert len(logs) == 3, "tried once and again twice"


def test_a_cancelled_job_is_tried_again(session, first):
    job = ("--jobs", first.notes["cancelled"])
    state = session.cluster.call("squeue", "--noheader", "--states", "all", "--format", "%T", *job)
    assert state.split() == ["CANCELLED"]
    assert "Error in group simulate" in first.output
    jobs = session.cluster.jobs("all")
    chunks = 3  # two of the run, one of the evaluation's own particles
    assert sum("simulate" in comment for comment in jobs.values()) == chunks + 1, "one of them twice"


def test_a_job_killed_for_its_memory_gets_more(session, first):
    rows = session.cluster.call("squeue", "--noheader", "--states", "all", "--format", "%i|%T|%m|%k").splitlines()
    tries = [row.split("|")[1:3] for row in sorted(rows, key=lambda r: int(r.split("|")[0])) if SHORT_OF_MEMORY in row]
    states, memory = zip(*tries, strict=True)
    assert memory == ("150M", "3000M")
    assert states[0] in {"FAILED", "OUT_OF_MEMORY", "CANCELLED"}
    assert states[1] == "COMPLETED"
    assert (session.results / "scatter/check.csv").exists()


def test_a_second_snakemake_in_the_folder_says_so(first):
    assert first.notes["other code"] != "0"
    assert "cannot be locked" in first.notes["other"]
    assert "no other Snakemake process" in first.notes["other"]


def test_the_chain_of_a_chunk_is_one_job(session, first):
    alone = re.compile(r"rule_(particle|relax|scatter|perturb|extract)(_wildcards.*)?$")
    assert not [comment for comment in session.cluster.jobs("all").values() if alone.match(comment)]


def test_killed_with_9_its_job_lives_on_and_is_found(second, third):
    assert second.code == -signal.SIGKILL
    assert re.search(rf"^{second.notes['job']} \w+ rule_train", third.notes["leftovers"], flags=re.MULTILINE)
    assert "cancelled" in third.notes["leftovers"]


def test_it_ends_and_does_no_finished_work_twice(session, first, second, third):
    assert third.code == 0, third.output[-4000:]
    for before in (first, second):
        again = [name for name in before.files if "work" not in name and third.files.get(name) != before.files[name]]
        assert not again
    assert (session.results / "train/model.safetensors").exists()
    assert "Nothing to be done" in session.call("-n").stdout


def test_no_file_is_half_written(session, third):
    files = sorted(session.results.rglob("*.h5"))
    assert files
    for path in files:
        assert arrays(path.parent, path.name) or "left_out" in _attributes(path), path
    assert not [p for p in session.results.rglob("*.part*") if p.is_file()]


def _attributes(path: Path) -> dict:
    with h5py.File(path) as file:
        return dict(file.attrs)


def test_the_arrays_are_those_of_a_run_without_slurm(session, third, tmp_path):
    local = Project(Project.copy(session.project.folder, tmp_path / "local").folder, session.project.environment)
    for rules in (["train"], ["extract", "perturb_oversampling"]):  # the latter of the evaluation's own particles, too
        local.snakemake("--until", *rules, configs=CONFIGS[1:])
    results = local.folder / "results/test"
    for stage in ("particle", "relax", "scatter", "perturb", "extract"):
        one, two = (arrays(folder, f"{stage}/*-*.h5") for folder in (session.results, results))  # chunks and scans
        assert one
        assert not same(one, two), f"{stage}: {same(one, two)[:3]}"
    one, two = ((folder / "train/model.safetensors").read_bytes() for folder in (session.results, results))
    assert one == two, "the network that was trained on the cluster, killed and resumed, differs"


def test_every_rule_asks_for_more_with_every_attempt(top, tmp_path):
    """What Slurm is asked for: memory and time of every job grow with the attempt; the target rule is no job."""
    project = Project.copy(top, tmp_path / "project")
    asked = [_asked(project.snakemake("-n", "--profile", "slurm", "--attempt", attempt)) for attempt in ("1", "3")]
    assert asked[0].keys() == asked[1].keys()
    for rule, (memory, minutes) in asked[0].items():
        assert asked[1][rule] == (3 * memory, 3 * minutes), rule
    assert len(asked[0]) > 10


def _asked(output: str) -> dict[str, tuple[int, int]]:
    found = re.findall(r"(?<!local)rule (\w+):\n(?:(?!rule ).*\n)*?.*resources:.*mem_mb=(\d+).*runtime=(\d+)", output)
    return {rule: (int(memory), int(minutes)) for rule, memory, minutes in found if rule != "all"}
