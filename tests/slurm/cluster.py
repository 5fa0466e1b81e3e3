"""A Slurm of one node on loopback, in a folder of its own: started, and stopped.

Nothing of the machine's own Slurm or MUNGE, if there is one, is read, changed or stopped: ports, sockets, keys and
state are this cluster's, and only the processes started here are ended.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from slurm.programs import Programs, programs

NO_ACCOUNTING = Path(__file__).resolve().parents[2] / "slurm" / "no-accounting"  # as the documentation says
START_LIMIT_S = 180
STOP_LIMIT_S = 60


@dataclass
class Cluster:
    """A running cluster; ``environment`` is what its clients need, ``folder`` has its logs."""

    folder: Path
    environment: dict[str, str]
    programs: Programs

    def call(self, *command: str, check: bool = True) -> str:
        """The output of one of Slurm's commands."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def jobs(self, *states: str) -> dict[str, str]:
        """Comments (``group_…``, ``rule_…``) of the jobs in these states, or that are not over, by job number."""
        options = ("--states", ",".join(states)) if states else ()
        rows = self.call("squeue", "--noheader", "--format", "%i|%k", *options).splitlines()
        return dict(row.split("|", 1) for row in rows)


@contextlib.contextmanager
def started(cpus: int = 2) -> Iterator[Cluster]:
    """A cluster that lives as long as the block, also where that ends by an error, Ctrl-C or a termination.

    Raises
    ------
    Unavailable : there is no Slurm to be had here.
    RuntimeError : a daemon does not start, not at the third try either; with the end of its log.
    """
    before = signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # short: a socket's path has 108 characters at most
    folder.chmod(0o755)
    processes: list[subprocess.Popen] = []
    cluster = Cluster(folder, {}, Programs())
    try:
        cluster.programs = programs(folder)
        path = os.pathsep.join([str(folder), str(NO_ACCOUNTING), cluster.programs.path])
        own = {"PATH": path, "SLURM_CONF": str(folder / "slurm.conf"), **cluster.programs.environment}
        cluster.environment = {**os.environ, **own}
        for last in (False, False, True):  # a port that was free may be taken when a daemon asks for it
            try:
                _launch(cluster, cpus, processes)
                break
            except RuntimeError:
                _stop(cluster, processes)
                if last:
                    raise
        yield cluster
    finally:
        again = signal.signal(signal.SIGINT, signal.SIG_IGN)  # what was started is stopped, however impatient one is
        _stop(cluster, processes)
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGINT, again)
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_) -> None:
    raise KeyboardInterrupt


def _launch(cluster: Cluster, cpus: int, processes: list[subprocess.Popen]) -> None:
    """Start the three daemons, each as soon as the one before it answers."""
    folder = cluster.folder
    _configure(cluster, cpus)
    configuration = ("-f", str(folder / "slurm.conf"))

    def answers(*command: str) -> str:
        return cluster.call(*command, check=False)

    steps: list[tuple[tuple[str, ...], Callable[[], object]]] = [
        (("munged", "--foreground", "--force", *_munge(folder)), (folder / "munge.socket").is_socket),
        (("slurmctld", "-D", "-i", *configuration), lambda: "UP" in answers("scontrol", "ping")),
        (
            ("slurmd", "-D", "-N", "localhost", *cluster.programs.options, *configuration),
            lambda: "idle" in answers("sinfo", "--noheader", "--format", "%T").split(),
        ),
    ]
    for command, ready in steps:
        processes.append(_start(command, cluster))
        end = time.monotonic() + START_LIMIT_S
        while not ready():
            if any(process.poll() is not None for process in processes) or time.monotonic() > end:
                raise RuntimeError(f"{command[0]} does not start: {_last_words(cluster)}")
            time.sleep(0.1)


def _munge(folder: Path) -> tuple[str, ...]:
    names = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return tuple(f"--{option}={folder}/munge.{name}" for option, name in names.items())


def _configure(cluster: Cluster, cpus: int) -> None:
    folder = cluster.folder
    for name in ("state", "spool"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.unlink(missing_ok=True)
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], two.getsockname()[1]
    text = Path(__file__).with_name("slurm.conf").read_text()
    values = {"FOLDER": folder, "USER": getpass.getuser(), "CPUS": cpus}
    for name, value in {**values, "CONTROLLER_PORT": ports[0], "NODE_PORT": ports[1]}.items():
        text = text.replace(f"{{{name}}}", str(value))
    (folder / "slurm.conf").write_text(text + cluster.programs.settings)
    # Snakemake hides Slurm's variables from the srun inside a job; one on a cluster of /etc/slurm doesn't need them.
    srun = folder / "srun"
    needed = {"SLURM_CONF": f"{folder}/slurm.conf", **cluster.programs.environment}
    variables = " ".join(f"{name}={value}" for name, value in needed.items())
    srun.write_text(f'#!/bin/sh\n{variables} exec {cluster.programs.which("srun")} "$@"\n')
    srun.chmod(0o755)


def _start(command: tuple[str, ...], cluster: Cluster) -> subprocess.Popen:
    dies_with_us = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
    with open(cluster.folder / f"{command[0]}.out", "w") as output:
        return subprocess.Popen(
            (*dies_with_us, cluster.programs.which(command[0]), *command[1:]),
            env=cluster.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _last_words(cluster: Cluster) -> str:
    files = sorted([*cluster.folder.glob("*.out"), *cluster.folder.glob("*.log")])
    return "\n".join(f"{file.name}: {file.read_text(errors='replace')[-1000:]}" for file in files)


def _stop(cluster: Cluster, processes: list[subprocess.Popen]) -> None:
    """End every job, then every daemon that was started here, the last one first, then what may be left of the jobs."""
    with contextlib.suppress(Exception):
        if len(processes) == 3 and all(process.poll() is None for process in processes) and cluster.jobs():
            cluster.call("scancel", "--user", getpass.getuser(), check=False)
            end = time.monotonic() + STOP_LIMIT_S
            while cluster.jobs() and time.monotonic() < end:
                time.sleep(0.2)
    while processes:
        process = processes.pop()
        process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for process in _of(cluster):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def _of(cluster: Cluster) -> Iterator[int]:
    """Processes that know this cluster and no other by its folder: steps of jobs that outlived their daemon."""
    mark = f"SLURM_CONF={cluster.folder}/slurm.conf".encode()
    for place in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in place.read_bytes().split(b"\0") and int(place.parent.name) != os.getpid():
                yield int(place.parent.name)
