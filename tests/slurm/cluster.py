"""A Slurm of one node on loopback, in a folder of its own: installed where it can be, started, stopped.

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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "squeue", "scancel", "scontrol")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
NO_ACCOUNTING = Path(__file__).resolve().parents[2] / "slurm" / "no-accounting"  # as the documentation says
POLICY = Path("/usr/sbin/policy-rc.d")


class Unavailable(Exception):
    """Why there is no Slurm to be had here, in one line."""


def install() -> None:
    """Make Slurm's programs available, from Debian's packages where they are missing.

    Raises
    ------
    Unavailable : not root, no apt, or the packages cannot be had.
    """
    if os.getuid() != 0:
        raise Unavailable("only root can start a Slurm node")
    if not _missing():
        return
    if shutil.which("apt-get") is None:
        raise Unavailable(f"no {_missing()[0]} and no apt-get to install it with")
    lock = ("-o", "DPkg::Lock::Timeout=120")
    commands = [("apt-get", *lock, "-qq", "install", "-y", "--no-install-recommends", *PACKAGES)]
    commands = [*commands, ("apt-get", *lock, "-qq", "update"), *commands]  # perhaps the lists are fresh already
    with _no_services():
        for command in commands:
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
            if not _missing():
                return
    reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
    raise Unavailable(f"apt-get cannot install {' '.join(PACKAGES)}: {reason}")


def _missing() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """While packages are installed, none of their services is started."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


@dataclass
class Cluster:
    """A running cluster; ``environment`` is what its clients need, ``folder`` has its logs."""

    folder: Path
    environment: dict[str, str]

    def call(self, *command: str, check: bool = True) -> str:
        """The output of one of Slurm's commands."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
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
    """A cluster that lives as long as the block.

    Raises
    ------
    RuntimeError : a daemon does not start; with the end of its log.
    """
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # short: a socket's path has 108 characters at most
    folder.chmod(0o755)
    path = os.pathsep.join([str(folder), str(NO_ACCOUNTING), PATH])
    environment = {**os.environ, "PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}
    cluster = Cluster(folder, environment)
    processes: list[subprocess.Popen] = []
    try:
        _configure(folder, cpus)
        daemons = {
            "munged": ("munged", "--foreground", "--force", *_munge(folder)),
            "slurmctld": ("slurmctld", "-D", "-i", "-f", str(folder / "slurm.conf")),
            "slurmd": ("slurmd", "-D", "-N", "localhost", "-f", str(folder / "slurm.conf")),
        }
        for name, command in daemons.items():
            processes.append(_start(name, command, cluster))
        _wait_for_node(cluster, processes)
        yield cluster
    finally:
        _stop(cluster, processes)
        shutil.rmtree(folder, ignore_errors=True)


def _munge(folder: Path) -> tuple[str, ...]:
    names = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return tuple(f"--{option}={folder}/munge.{name}" for option, name in names.items())


def _configure(folder: Path, cpus: int) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
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
    (folder / "slurm.conf").write_text(text)
    # Snakemake hides Slurm's variables from the srun inside a job; one on a cluster of /etc/slurm doesn't need them.
    srun = folder / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun", path=PATH)} "$@"\n')
    srun.chmod(0o755)


def _start(name: str, command: tuple[str, ...], cluster: Cluster) -> subprocess.Popen:
    dies_with_us = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()
    with open(cluster.folder / f"{name}.out", "w") as output:
        process = subprocess.Popen(
            (*dies_with_us, *command),
            env=cluster.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    time.sleep(0.5)
    if process.poll() is not None:
        raise RuntimeError(f"{name} ended with {process.returncode}: {_last_words(cluster)}")
    return process


def _wait_for_node(cluster: Cluster, processes: list[subprocess.Popen], limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if "idle" in cluster.call("sinfo", "--noheader", "--format", "%T", check=False).split():
            return
        if any(process.poll() is not None for process in processes):
            break
        time.sleep(0.3)
    raise RuntimeError(f"no idle node after {limit_s:.0f} s: {_last_words(cluster)}")


def _last_words(cluster: Cluster) -> str:
    files = sorted([*cluster.folder.glob("*.out"), *cluster.folder.glob("*.log")])
    return "\n".join(f"{file.name}: {file.read_text(errors='replace')[-1000:]}" for file in files)


def _stop(cluster: Cluster, processes: list[subprocess.Popen]) -> None:
    """End every job, then every daemon that was started here, the last one first."""
    with contextlib.suppress(Exception):
        if len(processes) == 3 and cluster.jobs():
            cluster.call("scancel", "--user", getpass.getuser(), check=False)
            end = time.monotonic() + 15
            while cluster.jobs() and time.monotonic() < end:
                time.sleep(0.3)
    for process in reversed(processes):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
