"""A run packed into a bundle."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from braggfill.bundle import records
from braggfill.bundle.about import RUN, checked, code_of, environment, regular, revision
from braggfill.bundle.files import CHECKSUMS, Entry, belongs, of_run, settle, write
from braggfill.bundle.records import Record
from braggfill.bundle.verify import stages_of_other_code
from braggfill.errors import BraggfillError
from braggfill.runs import storage
from braggfill.settings.root import Settings, load, parse

DATA = ".h5"  # what is large: arrays


def pack(
    top: Path,
    run: str,
    out: Path | None = None,
    *,
    with_data: bool = False,
    configfiles: Sequence[Path] = (),
    author: str | None = None,
    license: str = "BSD-3-Clause",
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
    try:
        from braggfill.bundle import crate
    except ImportError as error:
        raise BraggfillError("bundle: the package rocrate is not installed; install braggfill[pipeline]") from error
    top, created = top.resolve(), float(int(time.time()))
    out = top / "results" / f"{run}.crate.zip" if out is None else out
    zipped = out.suffix == ".zip"
    if out.exists() and not (force and zipped):
        raise BraggfillError(f"{out}: exists; {'add --force to replace it, or ' if zipped else ''}choose another name")
    _check_at_rest(top, run)
    files = [top / file for file in configfiles] or [_configuration(top, run)]
    settings = load(*files)
    if settings.run != run:
        told = f"is the configuration of run {settings.run}, not of {run}; name its own"
        raise BraggfillError(f"{files[-1].name}: {told}")
    names = [file.relative_to(top).as_posix() if file.is_relative_to(top) else file.name for file in files]
    kept = records.read(top, run)
    if not kept:
        raise BraggfillError(f"results/{run}: Snakemake has no record of it (.snakemake/metadata); run it here first")
    jobs = records.jobs(kept)
    settings, remarks = _what_ran(top, settings, kept, " + ".join(names))
    plain = settings.model_dump(mode="json")
    made = {output: job.endtime for job in jobs for output in job.outputs}
    half = records.incomplete(top)
    if half & made.keys():
        remarks.append(f"{len(half & made.keys())} half-made files are not packed; run Snakemake to the end first")
    results = {name: file for name, file in _results(top, run).items() if name not in half}
    if f"results/{run}/report.html" not in results:
        remarks.append(f"results/{run} has no report.html yet: the run is unfinished; what is there is packed")
    results[f"results/{run}/settings.yaml"] = settings_file(run, plain)
    left = [Entry.of(name, file) for name, file in results.items() if name.endswith(DATA) and not with_data]
    found = {name: file for name, file in results.items() if with_data or not name.endswith(DATA)}
    entries = [*code_of(top), *(Entry.of(records.file_of(o), r.text().encode()) for o, r in sorted(kept.items()))]
    entries += [Entry.of(name, found[name]) for name in sorted(found, key=lambda name: (made.get(name, 0.0), name))]
    record: dict[str, Any] = {"format": 1, "run": run, "created": created, "seed": settings.seed, "settings": plain}
    record |= {"configfiles": names, "code": {job.rule: job.fingerprint for job in jobs if job.fingerprint}}
    record |= {"git": revision(top), "environment": environment(), "remarks": remarks, **_arrays(results)}
    record["not_included"] = {entry.name: {"sha256": entry.sha256, "bytes": entry.size} for entry in left}
    about = checked(record, f"results/{run}")
    for line in remarks:
        say(f"warning: {line}")
    described = crate.describe(jobs, entries, left, about, author, license)
    entries = [*(Entry.of(name, text.encode()) for name, text in described.items()), *entries]
    if odd := [entry.name for entry in entries if not belongs(entry.name, run)]:
        raise BraggfillError(f"{odd[0]!r}: has a name that no bundle may hold; rename it")
    listing = "".join(f"{entry.sha256}  {entry.name}\n" for entry in sorted(entries, key=lambda entry: entry.name))
    entries.insert(0, Entry.of(CHECKSUMS, listing.encode()))
    _write(out, entries, created)
    apart = f"; {len(left)} arrays ({_size(left)}) by checksum only, --with-data includes them" if left else ""
    say(f"packed {len(entries)} files of run {run} ({_size(entries)}): {out}{apart}")
    return out


def _check_at_rest(top: Path, run: str) -> None:
    """That there is such a run, and that Snakemake is not at work on it."""
    if re.fullmatch(RUN, run) is None or not (top / "results" / run).is_dir():
        there = sorted(place.name for place in (top / "results").glob("*") if place.is_dir())
        raise BraggfillError(f"results/{run}: no such run; there are {', '.join(there) or 'none'}")
    if any(f"results/{run}/" in lock.read_text() for lock in (top / ".snakemake" / "locks").glob("*.lock")):
        told = "Snakemake is at work on it, or was killed; wait, or run 'snakemake --unlock' first"
        raise BraggfillError(f"results/{run}: {told}")


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
    told = f"no file in config/ says 'run: {run}'; name its configuration with --configfile"
    raise BraggfillError(f"results/{run}: {told}")


def _what_ran(top: Path, settings: Settings, kept: Mapping[str, Record], files: str) -> tuple[Settings, list[str]]:
    """The settings that Snakemake recorded, which win over the configuration's; where they, or the code, differ."""
    remarks, plain = [], settings.model_dump(mode="json")
    ran = records.settings_that_ran(records.jobs(kept), plain)
    if differ := records.differences(ran, plain):
        told = f"{differ[0]}{f' and {len(differ) - 1} more' if len(differ) > 1 else ''}; here: {files}"
        try:
            settings = parse(ran)
            remarks.append(f"it was run with other settings, which the bundle takes ({told})")
        except BraggfillError:
            remarks.append(f"it was run with settings that this code does not know ({told})")
    try:
        others = stages_of_other_code(top, kept, settings.model_dump(mode="json"))
    except BraggfillError as error:
        return settings, [*remarks, f"whether it was run with the code that is here now is not known ({error})"]
    told = "was run with other code than is here now, which is what the bundle includes"
    return settings, [*remarks, *(f"{stage}: {told}" for stage in others)]


def settings_file(run: str, settings: Any) -> bytes:
    """The run's ``settings.yaml``."""
    import yaml

    head = f"# Every setting of run {run}, resolved. snakemake --configfile results/{run}/settings.yaml\n"
    return (head + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)).encode()


def _results(top: Path, run: str) -> dict[str, Path | bytes]:
    """The files of a run by name, but for what is nobody's result: checkpoints, temporary files."""
    found = {file.relative_to(top).as_posix(): file for file in sorted((top / "results" / run).rglob("*"))}
    there = {name: file for name, file in found.items() if of_run(name, run) and (file.is_file() or file.is_symlink())}
    return {name: regular(file, top / "results" / run) for name, file in there.items()}


def _arrays(results: Mapping[str, Path | bytes]) -> dict[str, Any]:
    """What arrays say of themselves: why a step was left out, and which versions made them."""
    reasons, versions = dict[str, str](), dict[str, list[str]]()
    for name, file in results.items():
        if name.endswith(DATA) and isinstance(file, Path):
            with storage.read(file) as opened:
                reason, made_with = opened.attrs.get("left_out"), opened.attrs.get("versions")
            reasons |= {} if reason is None else {name: str(reason)}
            versions.setdefault(str(made_with or "{}"), []).append(name)
    return {"left_out": reasons, "arrays_made_with": versions}


def _write(out: Path, entries: Sequence[Entry], created: float) -> None:
    """The zip file or the folder, whole or not at all."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as beside:
            whole = Path(beside) / out.name
            write(whole, entries, created, zipped=out.suffix == ".zip")
            if whole.is_file():
                settle(whole, created)
            whole.replace(out)
    except OSError as error:
        raise BraggfillError(f"{out}: cannot be written ({error}); free space or choose another folder") from error


def _size(entries: Sequence[Entry]) -> str:
    return f"{sum(entry.size for entry in entries) / 1e6:.1f} MB"
