"""Whether a bundle is whole, which of its code is other than what is installed, and what Snakemake would run again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any

from braggfill.bundle import dryrun, files, records
from braggfill.bundle.about import About, checked, code_of, environment
from braggfill.errors import BraggfillError
from braggfill.settings import root as settings_root
from braggfill.stages import ORDER

LONGEST_PLAN_S = 900
OTHER_CODE = "its code differs here"
_UPSTREAM = re.compile(r"'[0-9a-f]{32}'")


@dataclass(frozen=True)
class Verdict:
    """What :func:`verify` found; the checksums are right, or it would have raised."""

    run: str
    files: int
    made: str
    """Revision and versions that it was made with."""
    code: list[str]
    """Files of its code that are others than those that are installed, with how."""
    reruns: dict[str, list[str]]
    """Stage → why it would run again here."""
    unknown: str | None
    """Why it cannot be told what would run again here."""
    remarks: list[str]
    """What reruns nothing but is worth knowing."""


def verify(path: Path, top: Path | None, *, configfiles: Iterable[Path] = ()) -> Verdict:
    """Check every checksum of a bundle, and say what Snakemake would run again of it with the code at ``top``, and why.

    Snakemake itself is asked: its records of the run, checked, and empty files for the results are laid into a scratch
    folder, and there it plans with the Snakefile and the package of ``top``, in a process of its own.  Nothing of the
    bundle is run or imported, nor looked for in the current folder.  Settings are those of the bundle as the code here
    understands them, or those of ``configfiles``.

    Parameters
    ----------
    top : the project whose code is trusted, that of the running package; None if that was installed without one. Then,
        or without Snakemake, it is not known what would run again.

    Raises
    ------
    BraggfillError : the bundle is damaged or no run's, or the settings are not valid here.
    """
    with files.opened(path) as bundle:
        about = checked(files.read(bundle, "bundle.json"), str(path))
        listed = files.listing(bundle, about.run)
        files.check(bundle, listed)
        kept = read_records(bundle, listed)
    remarks = [*about.remarks, *(f"left out there: {reason}" for reason in about.left_out.values())]
    remarks += _versions(about.environment["packages"], environment()["packages"])
    mine = settings_root.load(*configfiles) if (configfiles := list(configfiles)) else None
    if mine is not None and mine.run != about.run:
        raise BraggfillError(f"{configfiles[-1]}: is the configuration of run {mine.run}, not of {about.run}")
    reruns, unknown = {}, None
    try:
        if top is None:
            raise BraggfillError("braggfill is installed without its workflow; ask in a clone of the project")
        settings = mine or settings_root.parse(about.settings, "the settings of the bundle are not valid here")
        plain = settings.model_dump(mode="json")
        texts = records.adapted(kept, top, plain, set(about.left_out), scripts_that_differ(listed, top))
        reruns = _reasons(_plan(top, listed, texts, plain), about)
    except BraggfillError as error:
        unknown = str(error)
    return Verdict(about.run, len(listed), about.made, _code(listed, top), reruns, unknown, remarks)


def stages_of_other_code(
    top: Path, run: str, kept: Mapping[str, records.Record], settings: Mapping[str, Any]
) -> list[str]:
    """The stages of a run that were run with other code than that at ``top``, as Snakemake finds it.

    Raises
    ------
    BraggfillError : Snakemake has no plan.
    """
    names = [*kept, *(name for record in kept.values() for name in record.input or () if name.startswith("results/"))]
    jobs = _plan(top, names, {output: record.text() for output, record in kept.items()}, settings)
    told = {records.stage_of(job["output"][0]) for job in jobs if OTHER_CODE in _changed("", job["before"], job["now"])}
    return _in_order(told)


def read_records(bundle: files.Bundle, listed: Iterable[str]) -> dict[str, records.Record]:
    """Snakemake's records in a bundle, by output."""
    outputs = {name: records.output_of(PurePosixPath(name)) for name in listed}
    return {o: records.parse(files.read(bundle, name), o) for name, o in outputs.items() if o is not None}


def scripts_that_differ(listed: Mapping[str, str], top: Path) -> set[str]:
    """The scripts of the rules that are others in the project at ``top`` than in the bundle."""
    places = {name: top / name for name in listed if name.startswith("scripts/")}
    return {n for n, p in places.items() if not p.is_file() or hashlib.sha256(p.read_bytes()).hexdigest() != listed[n]}


def _code(listed: Mapping[str, str], top: Path | None) -> list[str]:
    """The files of the code that differ, and how."""
    here = {entry.name: entry.sha256 for entry in code_of(top)}
    within = files.CODE if top is not None else ("workflow/braggfill/",)
    found = []
    for name in sorted({*listed, *here}):
        if name.startswith(within) and listed.get(name) != here.get(name):
            how = "only in the bundle" if name not in here else "only here" if name not in listed else "differs"
            found.append(f"{name} ({how})")
    return found


def _plan(
    top: Path, listed: Iterable[str], texts: Mapping[str, str], settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The jobs that Snakemake plans, see :mod:`braggfill.bundle.dryrun`."""
    with tempfile.TemporaryDirectory(prefix="braggfill-verify-") as scratch:
        answer, place = Path(scratch) / "answer.json", Path(scratch) / "in" / "project"
        contents = {name: "" for name in listed if name.startswith("results/")}
        contents |= {str(records.file_of(output)): text for output, text in texts.items()}
        # JSON, which Snakemake takes as it is; in YAML it may evaluate expressions.
        contents["config/default.yaml"] = json.dumps(settings)
        now = records.moment(top)
        try:
            for name, text in contents.items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_text(text, encoding="utf-8")
                os.utime(place / name, (now, now))
            (place / ".snakemake" / "incomplete").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BraggfillError(f"{tempfile.gettempdir()}: cannot be written ({error.strerror or error})") from error
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SNAKEMAKE"))}
        command = [sys.executable, "-I", dryrun.__file__, str(top.resolve() / "Snakefile"), str(answer)]
        try:
            done = subprocess.run(
                command, cwd=place, env=plain, capture_output=True, timeout=LONGEST_PLAN_S, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise BraggfillError(f"Snakemake has no plan after {LONGEST_PLAN_S // 60} minutes") from None
        if done.returncode or not answer.is_file():
            lines = done.stderr.decode(errors="replace").replace(scratch, "").split("\n")
            told = " ".join(line.strip() for line in lines if line.strip())
            raise BraggfillError(f"Snakemake cannot plan it here: {told[-600:] or f'it ended by {done.returncode}'}")
        return json.loads(answer.read_bytes())


def _reasons(jobs: Iterable[Mapping[str, Any]], about: About) -> dict[str, list[str]]:
    """Stages, in the order of the workflow, with Snakemake's reasons in the words of the run."""
    found: dict[str, list[str]] = {}
    needing: dict[str, set[str]] = {}
    follows: dict[str, set[str]] = {}
    for job in jobs:
        stage = records.stage_of(job["output"][0])
        told = found.setdefault(stage, [])
        why = _changed(stage, job["before"], job["now"])
        why += [f"its script or rule differs here ({job['rule']})"] if job["code"] else []
        why += ["it has other input here"] if job["input"] else []
        why += ["its software environment or input is newer here"] if job["software"] or job["newer"] else []
        if any(name not in about.not_included for name in job["missing"]):
            why.append("the run is unfinished: not all of it is made yet")
        elif job["missing"]:
            needing.setdefault(stage, set()).update(map(records.stage_of, job["needing"]))
        told += [reason for reason in why if reason not in told]
        follows.setdefault(stage, set()).update(records.stage_of(name) for name in job["follows"])
    for stage, told in found.items():
        if stages := _in_order(needing.get(stage, ())):
            told.append(
                f"its arrays are not here, and {', '.join(stages)} {'need' if len(stages) > 1 else 'needs'} them"
            )
        if not told:
            told.append(f"follows from {', '.join(_in_order(follows[stage] - {stage}))}")
    return {stage: found[stage] for stage in _in_order(found)}


def _in_order(stages: Iterable[str]) -> list[str]:
    return sorted(stages, key=ORDER.index)


def _changed(stage: str, before: Iterable[str], now: Iterable[str]) -> list[str]:
    """What the parameters mean that only the record has, and those that only the plan has."""
    there, here = ([text for text in side if not _UPSTREAM.fullmatch(text)] for side in (before, now))
    found = []
    for old, new in zip_longest(sorted(there, key=_kind), sorted(here, key=_kind), fillvalue="nothing"):
        blocks = records.literal(old), records.literal(new)
        if _kind(old) == _kind(new) == 1:
            found.append(OTHER_CODE)
        elif all(isinstance(block, dict) for block in blocks):
            differ = records.differences(*blocks, "" if "run" in blocks[1] else stage)
            found.append(f"its settings differ ({', '.join(differ[:3])}{', …' if len(differ) > 3 else ''})")
        else:
            found.append(f"a parameter differs ({old[:60]} there, {new[:60]} here)")
    return found or (["what it follows from differs here"] if before or now else [])


def _kind(text: str) -> int:
    """Parameters of one kind stand side by side: settings, code, strings, numbers."""
    return next(
        i for i, kind in enumerate((r"\{.*", r"'[0-9a-f]{16}'", r"'.*", r".*")) if re.match(kind, text, re.DOTALL)
    )


def _versions(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Packages of other versions here, those that can change a number."""
    from braggfill.runs.storage import VERSIONED

    pairs = [(name, there.get(name), here.get(name)) for name in VERSIONED]
    differ = [f"{name} {old or 'none'} there, {new or 'none'} here" for name, old, new in pairs if old != new]
    return [f"other versions, which rerun nothing but may change a digit: {'; '.join(differ)}"] if differ else []
