"""A run packed into a bundle."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from braggfill.bundle import crate, records
from braggfill.bundle.files import CHECKSUMS, Entry, remove, write_folder, write_zip
from braggfill.errors import BraggfillError
from braggfill.runs import storage
from braggfill.runs.external import pynx_version
from braggfill.runs.fingerprint import code, module_files
from braggfill.settings import root as settings_root

CODE = (
    "Snakefile",
    "workflow",
    "scripts",
    "config",
    "envs",
    "profiles",
    "slurm",
    "Makefile",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CITATION.cff",
    "CHANGELOG.md",
)
DATA = ".h5"  # what is large: arrays
LICENSE = "BSD-3-Clause"


@dataclass
class Run:
    """What is known of a run before it is packed."""

    top: Path
    name: str
    settings: settings_root.Settings
    configfiles: list[str]
    records: dict[str, dict[str, Any]]
    jobs: list[records.Job]
    created: float
    remarks: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.top / "results" / self.name


def pack(
    top: Path,
    run: str,
    out: Path | None = None,
    *,
    with_data: bool = False,
    configfiles: Sequence[Path] = (),
    author: str | None = None,
    license: str = LICENSE,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Pack ``results/<run>`` of the project at ``top`` into a bundle; its path.

    Parameters
    ----------
    out : a file that ends in ``.zip``, or a new folder; by default ``results/<run>.crate.zip``.
    with_data : include the arrays (HDF5); otherwise they are named with their checksums.
    configfiles : the run's configuration; by default the file in ``config/`` whose ``run`` it is.
    author, license : told in the bundle; the licence as an SPDX identifier or a URL.
    say : is told, in lines, what is unusual about the run, and what was packed.

    Raises
    ------
    BraggfillError : there is no such run or configuration; Snakemake is at work on it; ``out`` exists.
    """
    top = top.resolve()
    out = top / "results" / f"{run}.crate.zip" if out is None else out
    zipped = out.suffix == ".zip"
    if out.exists() and not (force and zipped):
        raise BraggfillError(f"{out}: exists; {'add --force to replace it, or ' if zipped else ''}choose another name")
    found = _look(top, run, configfiles)
    entries, left = _entries(found, with_data)
    about = _about(found, left)
    for line in found.remarks:
        say(f"warning: {line}")
    described = crate.describe(found.jobs, entries, left, about, author=author, license=license)
    entries = [*(Entry.of(name, text.encode()) for name, text in described.items()), *entries]
    listing = "".join(f"{entry.sha256}  {entry.name}\n" for entry in sorted(entries, key=lambda entry: entry.name))
    entries.insert(0, Entry.of(CHECKSUMS, listing.encode()))
    if zipped:
        with storage.replacing(out) as temporary:
            write_zip(temporary, entries, found.created)
    else:
        temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
        try:
            write_folder(temporary, entries, found.created)
            temporary.rename(out)
        except OSError as error:
            raise BraggfillError(f"{out}: cannot be written ({error}); free space or choose another folder") from error
        finally:
            remove(temporary)
    apart = f"; {len(left)} arrays ({_size(left)}) by checksum only, --with-data includes them" if left else ""
    say(f"packed {len(entries)} files of run {run} ({_size(entries)}): {out}{apart}")
    return out


def _look(top: Path, run: str, configfiles: Sequence[Path]) -> Run:
    folder = top / "results" / run
    if not folder.is_dir():
        there = sorted(place.name for place in (top / "results").glob("*") if place.is_dir())
        raise BraggfillError(f"results/{run}: no such run; there {_are(there)}")
    if any(f"results/{run}/" in lock.read_text() for lock in (top / ".snakemake" / "locks").glob("*.lock")):
        raise BraggfillError(
            f"results/{run}: Snakemake is at work on it, or was killed; wait, or run 'snakemake --unlock' first"
        )
    files = [top / file for file in configfiles] or [_configuration(top, run)]
    settings = settings_root.load(*files)
    if settings.run != run:
        raise BraggfillError(
            f"{files[-1].name}: is the configuration of run {settings.run}, not of {run}; name its own"
        )
    kept = records.read(top, run)
    if not kept:
        raise BraggfillError(f"results/{run}: Snakemake has no record of it (.snakemake/metadata); run it here first")
    names = [file.relative_to(top).as_posix() if file.is_relative_to(top) else file.name for file in files]
    found = Run(top, run, settings, names, kept, records.jobs(kept), float(int(time.time())))
    _take_what_ran(found)
    return found


def _configuration(top: Path, run: str) -> Path:
    """The file in ``config/`` that a run was made with, by its name."""
    unpacked = top / "results" / run / "settings.yaml"
    for file in [*sorted((top / "config").glob("*.yaml")), *([unpacked] if unpacked.is_file() else [])]:
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(content, dict) and content.get("run", "default") == run:
            return file
    raise BraggfillError(
        f"results/{run}: no file in config/ says 'run: {run}'; name its configuration with --configfile"
    )


def _take_what_ran(run: Run) -> None:
    """Settings that Snakemake recorded win over those of the configuration; say where they, or the code, differ."""
    plain = run.settings.model_dump(mode="json")
    ran = records.settings_that_ran(run.jobs, plain)
    differ = records.differences(ran, plain)
    if differ:
        more = f" and {len(differ) - 1} more" if len(differ) > 1 else ""
        told = f"{differ[0]}{more}; here: {' + '.join(run.configfiles)}"
        try:
            run.settings = settings_root.parse(ran)
            run.remarks.append(f"it was run with other settings, which the bundle takes ({told})")
        except BraggfillError:
            run.remarks.append(f"it was run with settings that this code does not know ({told})")
    here = fingerprints(run.top)
    for stage in dict.fromkeys(job.stage for job in run.jobs):
        codes = {job.code for job in run.jobs if job.stage == stage} - {None}
        if codes and codes != {here.get(stage)}:
            run.remarks.append(f"{stage}: was run with other code than is here now, which is what the bundle includes")


def fingerprints(top: Path) -> dict[str, str]:
    """The code fingerprint of every stage, of the project at ``top``."""
    package = top / "workflow" / "braggfill"
    return {stage: code(stage, package) for stage in records.STAGES if module_files(f"braggfill.{stage}", package)}


def _entries(run: Run, with_data: bool) -> tuple[list[Entry], list[Entry]]:
    """What to write, in the order in which it was made, and what is told by its checksum only."""
    half = records.incomplete(run.top)
    made = {output: job.end for job in run.jobs for output in job.outputs}
    included, left = [], []
    for file in sorted(run.folder.rglob("*")):
        name = file.relative_to(run.top).as_posix()
        if not file.is_file() or name in half or _passing(file.relative_to(run.folder)):
            continue
        large = file.suffix == DATA and not with_data
        (left if large else included).append(Entry.of(name, file))
    if half & made.keys():
        run.remarks.append(f"{len(half & made.keys())} half-made files are not packed; run Snakemake to the end first")
    if not (run.folder / "report.html").is_file():
        run.remarks.append(f"results/{run.name} has no report.html yet: the run is unfinished; what is there is packed")
    own = yaml.safe_dump(run.settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    head = f"# Every setting of run {run.name}, resolved. snakemake --configfile results/{run.name}/settings.yaml\n"
    place = f"results/{run.name}/settings.yaml"
    included = [entry for entry in included if entry.name != place]
    included.insert(0, Entry.of(place, (head + own).encode()))
    included.sort(key=lambda entry: made.get(entry.name, 0.0))
    kept = [Entry.of(str(records.file_of(o)), json.dumps(r).encode()) for o, r in sorted(run.records.items())]
    return [*_code(run.top), *kept, *included], left


def _passing(file: Path) -> bool:
    """Whether a file below a run's folder is nobody's result: checkpoints of the training, temporary files."""
    return file.parts[:2] == ("train", "work") or any(part.startswith(".") for part in file.parts)


def _code(top: Path) -> Iterator[Entry]:
    for name in CODE:
        place = top / name
        for file in [place] if place.is_file() else sorted(place.rglob("*")):
            inside = file.relative_to(top)
            hidden = any(part.startswith(".") or part.endswith((".egg-info", "__pycache__")) for part in inside.parts)
            if file.is_file() and not hidden and file.suffix != ".pyc":
                yield Entry.of(inside.as_posix(), file)


def _about(run: Run, left: list[Entry]) -> dict[str, Any]:
    """``bundle.json``."""
    reasons, versions = {}, {}
    for file in sorted(run.folder.rglob(f"*{DATA}")):
        if _passing(file.relative_to(run.folder)):
            continue
        with storage.read(file) as opened:
            reason, made_with = opened.attrs.get("left_out"), opened.attrs.get("versions")
        if reason is not None:
            reasons[file.relative_to(run.top).as_posix()] = str(reason)
        if made_with:
            versions.setdefault(str(made_with), []).append(file.relative_to(run.top).as_posix())
    return {
        "format": 1,
        "run": run.name,
        "created": run.created,
        "seed": run.settings.seed,
        "settings": run.settings.model_dump(mode="json"),
        "configfiles": run.configfiles,
        "code": {job.stage: job.code for job in run.jobs if job.code},
        "code_included": fingerprints(run.top),
        "git": revision(run.top),
        "environment": environment(),
        "arrays_made_with": [{"versions": json.loads(key), "files": names} for key, names in versions.items()],
        "left_out": reasons,
        "not_included": {entry.name: {"sha256": entry.sha256, "bytes": entry.size} for entry in left},
        "remarks": run.remarks,
    }


def environment() -> dict[str, Any]:
    """Python, the platform and the version of every package that is installed here."""
    packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
    return {
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()} {' '.join(platform.libc_ver())}".strip(),
        "pynx": pynx_version() or "none",
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def revision(top: Path) -> dict[str, Any] | None:
    """The git revision of the code and the files of it that differ from that revision; None outside git."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(top), *arguments], capture_output=True, text=True, check=False)
        except OSError:
            return None
        return done.stdout.rstrip("\n") if done.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    if head is None or git("rev-parse", "--show-prefix") != "":
        return None
    there = [name for name in CODE if (top / name).exists()]
    changed = git("status", "--porcelain", "--untracked-files=all", "--", *there) or ""
    return {"revision": head, "modified": sorted(line[3:] for line in changed.splitlines())}


def _are(names: list[str]) -> str:
    return f"{'is' if len(names) == 1 else 'are'} {', '.join(names)}" if names else "is none"


def _size(entries: Sequence[Entry]) -> str:
    return f"{sum(entry.size for entry in entries) / 1e6:.1f} MB"
