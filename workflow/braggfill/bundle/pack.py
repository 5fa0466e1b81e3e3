"""A run packed into a bundle."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from braggfill.bundle import crate, records
from braggfill.bundle.about import RUN, checked, code_of, environment, regular, revision
from braggfill.bundle.files import CHECKSUMS, Entry, belongs, of_run, write
from braggfill.bundle.verify import stages_of_other_code
from braggfill.errors import BraggfillError
from braggfill.runs import storage
from braggfill.settings import root as settings_root

DATA = ".h5"  # what is large: arrays
LICENSE = "BSD-3-Clause"


@dataclass
class Run:
    """What is known of a run before it is packed."""

    top: Path
    name: str
    settings: settings_root.Settings
    configfiles: list[str]
    records: dict[str, records.Record]
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
    for entry in entries:
        if not belongs(entry.name, run):
            raise BraggfillError(f"{entry.name!r}: has a name that no bundle may hold; rename it")
    listing = "".join(f"{entry.sha256}  {entry.name}\n" for entry in sorted(entries, key=lambda entry: entry.name))
    entries.insert(0, Entry.of(CHECKSUMS, listing.encode()))
    if zipped:
        with storage.replacing(out) as temporary:
            write(temporary, entries, found.created, zipped=True)
    else:
        temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
        try:
            write(temporary, entries, found.created, zipped=False)
            temporary.rename(out)
        except OSError as error:
            raise BraggfillError(f"{out}: cannot be written ({error}); free space or choose another folder") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    apart = f"; {len(left)} arrays ({_size(left)}) by checksum only, --with-data includes them" if left else ""
    say(f"packed {len(entries)} files of run {run} ({_size(entries)}): {out}{apart}")
    return out


def _look(top: Path, run: str, configfiles: Sequence[Path]) -> Run:
    folder = top / "results" / run
    if re.fullmatch(RUN, run) is None or not folder.is_dir():
        there = sorted(place.name for place in (top / "results").glob("*") if place.is_dir())
        raise BraggfillError(f"results/{run}: no such run; there are {', '.join(there) or 'none'}")
    if any(f"results/{run}/" in lock.read_text() for lock in (top / ".snakemake" / "locks").glob("*.lock")):
        told = "Snakemake is at work on it, or was killed; wait, or run 'snakemake --unlock' first"
        raise BraggfillError(f"results/{run}: {told}")
    files = [top / file for file in configfiles] or [_configuration(top, run)]
    settings = settings_root.load(*files)
    if settings.run != run:
        told = f"is the configuration of run {settings.run}, not of {run}; name its own"
        raise BraggfillError(f"{files[-1].name}: {told}")
    kept = records.read(top, run)
    if not kept:
        raise BraggfillError(f"results/{run}: Snakemake has no record of it (.snakemake/metadata); run it here first")
    names = [file.relative_to(top).as_posix() if file.is_relative_to(top) else file.name for file in files]
    found = Run(top, run, settings, names, kept, records.jobs(kept), float(int(time.time())))
    _take_what_ran(found)
    return found


def _configuration(top: Path, run: str) -> Path:
    """The file in ``config/`` that a run was made with, by its name."""
    import yaml

    for file in [*sorted((top / "config").glob("*.yaml")), top / "results" / run / "settings.yaml"]:
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
    try:
        others = stages_of_other_code(run.top, run.name, run.records, run.settings.model_dump(mode="json"))
    except BraggfillError as error:
        run.remarks.append(f"whether it was run with the code that is here now is not known ({error})")
        return
    for stage in others:
        run.remarks.append(f"{stage}: was run with other code than is here now, which is what the bundle includes")


def _entries(run: Run, with_data: bool) -> tuple[list[Entry], list[Entry]]:
    """What to write, in the order in which it was made, and what is told by its checksum only."""
    half = records.incomplete(run.top)
    made = {output: job.end for job in run.jobs for output in job.outputs}
    included, left = [], []
    for name, file in _results(run):
        if name in half or not (file.is_file() or file.is_symlink()):
            continue
        large = file.suffix == DATA and not with_data
        (left if large else included).append(Entry.of(name, regular(file, run.folder)))
    if half & made.keys():
        run.remarks.append(f"{len(half & made.keys())} half-made files are not packed; run Snakemake to the end first")
    if not (run.folder / "report.html").is_file():
        run.remarks.append(f"results/{run.name} has no report.html yet: the run is unfinished; what is there is packed")
    place = f"results/{run.name}/settings.yaml"
    included = [entry for entry in included if entry.name != place]
    included.insert(0, Entry.of(place, settings_file(run.name, run.settings.model_dump(mode="json"))))
    included.sort(key=lambda entry: made.get(entry.name, 0.0))
    kept = [Entry.of(str(records.file_of(o)), r.text().encode()) for o, r in sorted(run.records.items())]
    return [*code_of(run.top), *kept, *included], left


def settings_file(run: str, settings: Any) -> bytes:
    """The run's ``settings.yaml``."""
    import yaml

    head = f"# Every setting of run {run}, resolved. snakemake --configfile results/{run}/settings.yaml\n"
    return (head + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)).encode()


def _results(run: Run) -> list[tuple[str, Path]]:
    """Names and files below the run's folder, but for what is nobody's result: checkpoints, temporary files."""
    found = [(file.relative_to(run.top).as_posix(), file) for file in sorted(run.folder.rglob("*"))]
    return [(name, file) for name, file in found if of_run(name, run.name)]


def _about(run: Run, left: list[Entry]) -> dict[str, Any]:
    """``bundle.json``."""
    reasons, versions = {}, {}
    for name, file in _results(run):
        if file.suffix == DATA:
            with storage.read(file) as opened:
                reason, made_with = opened.attrs.get("left_out"), opened.attrs.get("versions")
            reasons |= {} if reason is None else {name: str(reason)}
            versions.setdefault(str(made_with or "{}"), []).append(name)
    about = {
        "format": 1,
        "run": run.name,
        "created": run.created,
        "seed": run.settings.seed,
        "settings": run.settings.model_dump(mode="json"),
        "configfiles": run.configfiles,
        "code": {job.rule: job.code for job in run.jobs if job.code},
        "git": revision(run.top),
        "environment": environment(),
        "arrays_made_with": versions,
        "left_out": reasons,
        "not_included": {entry.name: {"sha256": entry.sha256, "bytes": entry.size} for entry in left},
        "remarks": run.remarks,
    }
    return checked(about, f"results/{run.name}").model_dump(mode="json")


def _size(entries: Sequence[Entry]) -> str:
    return f"{sum(entry.size for entry in entries) / 1e6:.1f} MB"
