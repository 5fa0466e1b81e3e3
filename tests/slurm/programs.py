"""Slurm's programs: those of this machine, else those of Debian's packages, laid into a folder and not installed.

Nothing is installed, no service is started, no user is added: what the folder does not hold is as it was.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
NAMES = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
SYSTEM = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
LIMIT_S = 600


class Unavailable(Exception):
    """Why there is no Slurm to be had here, in one line."""


@dataclass(frozen=True)
class Programs:
    """Where the programs are; ``environment`` is what they need to run."""

    path: str = SYSTEM
    environment: dict[str, str] = field(default_factory=dict)
    settings: str = ""
    """Lines of ``slurm.conf`` that they need."""
    options: tuple[str, ...] = ()
    """Options of ``slurmd``."""

    def which(self, name: str) -> str:
        """The file of a program."""
        return shutil.which(name, path=self.path) or name


def programs(folder: Path) -> Programs:
    """Slurm's programs, from packages that are unpacked in ``folder`` if this machine has none.

    Raises
    ------
    Unavailable : not root, no apt, or the packages cannot be had.
    """
    if os.getuid() != 0:
        raise Unavailable("only root can start a Slurm node")
    if not missing(SYSTEM):
        return Programs()
    return unpacked(folder)


def missing(path: str) -> list[str]:
    """The programs that are in none of these folders."""
    return [name for name in NAMES if shutil.which(name, path=path) is None]


def unpacked(folder: Path, *options: str) -> Programs:
    """The programs of Debian's packages, laid into ``folder``."""
    packages, root = _download(folder, *options), folder / "root"
    for package in packages:
        _run("dpkg-deb", "--extract", str(package), str(root))
    for file in (root / "usr/sbin").glob("*-wlm"):  # what Debian's alternatives are
        file.with_name(file.name.removesuffix("-wlm")).symlink_to(file.name)
    path = os.pathsep.join([f"{root}/usr/sbin", f"{root}/usr/bin", SYSTEM])
    plugins = next(root.glob("usr/lib/*/slurm-wlm"), None)
    if plugins is None or missing(path):
        raise Unavailable(f"the packages {', '.join(PACKAGES)} hold no {', '.join(missing(path)) or 'plug-ins'}")
    return Programs(
        path=path,
        environment={"LD_LIBRARY_PATH": f"{plugins.parent}{os.pathsep}{plugins}"},
        settings=f"PluginDir={plugins}\n",
        options=("-d", f"{root}/usr/sbin/slurmstepd"),
    )


def _download(folder: Path, *options: str) -> list[Path]:
    """The packages that are not installed, and what they need, as files."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable("no Slurm and no apt-get to get it with")
    for name in ("debs/partial", "lists/partial"):
        (folder / name).mkdir(parents=True)
    apt = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=1")
    apt += ("-o", "Acquire::http::Timeout=20", "-o", f"Dir::Cache::archives={folder}/debs")
    apt += ("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=")
    get = ("install", "-y", "--no-install-recommends", "--download-only", *options, *PACKAGES)
    try:
        _run(*apt, *get)
    except Unavailable:  # the lists of packages are missing or old
        apt += ("-o", f"Dir::State::lists={folder}/lists")
        _run(*apt, "update")
        _run(*apt, *get)
    return sorted((folder / "debs").glob("*.deb"))


def _run(*command: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    quiet = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    try:
        done = subprocess.run(command, env=environment, timeout=LIMIT_S, check=False, **quiet)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} did not end in {LIMIT_S} s") from None
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise Unavailable(f"{command[0]} cannot get {', '.join(PACKAGES)}: {reason}")
