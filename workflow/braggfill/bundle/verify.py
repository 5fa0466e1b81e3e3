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
from pathlib import Path, PurePosixPath
from typing import Any

from braggfill.bundle import dryrun, files, records
from braggfill.bundle.about import About, code_of, environment, read_about
from braggfill.errors import BraggfillError
from braggfill.settings import root as settings_root

LONGEST_PLAN_S = 900
_KINDS = {  # of a rule's parameters, by their repr
    "code": r"'[0-9a-f]{16}'",
    "upstream": r"'[0-9a-f]{32}'",
    "network": r"'[0-9a-f]{64}'",
    "PyNX": r"'(?:none|\d+(?:\.\w+)+)'",
    "seed": r"\d+",
    "settings": r"\{.*\}",
}


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
        about = read_about(bundle)
        listed = files.listing(bundle, about.run)
        files.check(bundle, listed)
        kept = read_records(bundle, listed)
    settings, refused = settings_here(about, configfiles)
    remarks = [*about.remarks, *(f"left out there: {reason}" for reason in about.left_out.values()), *refused]
    remarks += _versions(about.environment.packages, environment()["packages"])
    reruns, unknown = {}, None
    if top is None:
        unknown = "braggfill is installed without its workflow; ask in a clone of the project, set up there"
    else:
        texts = records.adapted(kept, top, settings.fetch, set(about.left_out), scripts_that_differ(listed, top))
        try:
            reruns = _reasons(_plan(top, listed, texts, settings), about)
        except BraggfillError as error:
            unknown = str(error)
    return Verdict(about.run, len(listed), about.made, _code(listed, top), reruns, unknown, remarks)


def read_records(bundle: files.Bundle, listed: Iterable[str]) -> dict[str, records.Record]:
    """Snakemake's records in a bundle, by output."""
    outputs = {name: records.output_of(PurePosixPath(name)) for name in listed}
    return {o: records.parse(files.read(bundle, name), o) for name, o in outputs.items() if o is not None}


def scripts_that_differ(listed: Mapping[str, str], top: Path) -> set[str]:
    """The scripts of the rules that are others in the project at ``top`` than in the bundle."""
    places = {name: top / name for name in listed if name.startswith("scripts/")}
    return {n for n, p in places.items() if not p.is_file() or hashlib.sha256(p.read_bytes()).hexdigest() != listed[n]}


def settings_here(about: About, configfiles: Iterable[Path] = ()) -> tuple[settings_root.Settings, list[str]]:
    """The settings that the run would go on with, and what blocks of the bundle are not valid here."""
    configfiles = list(configfiles)
    if configfiles:
        settings = settings_root.load(*configfiles)
        if settings.run != about.run:
            raise BraggfillError(f"{configfiles[-1]}: is the configuration of run {settings.run}, not of {about.run}")
        return settings, []
    blocks, refused = dict(about.settings), []
    while True:
        try:
            return settings_root.parse(blocks, "bundle"), refused
        except BraggfillError as error:
            told = str(error).removeprefix("bundle: ")
            block = re.split(r"[:.]", told)[0]
            if block not in blocks:
                raise
            refused.append(f"its settings are not valid here, those by default are taken ({told})")
            del blocks[block]


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
    top: Path, listed: Iterable[str], texts: Mapping[str, str], settings: settings_root.Settings
) -> list[dict[str, Any]]:
    """The jobs that Snakemake plans, see :mod:`braggfill.bundle.dryrun`."""
    with tempfile.TemporaryDirectory(prefix="braggfill-verify-") as scratch:
        answer, place = Path(scratch) / "answer.json", Path(scratch) / "in" / "project"
        contents = {name: "" for name in listed if name.startswith("results/")}
        contents |= {str(records.file_of(output)): text for output, text in texts.items()}
        # JSON, which Snakemake takes as it is; in YAML it may evaluate expressions.
        contents["config/default.yaml"] = json.dumps(settings.model_dump(mode="json"))
        now = records.moment(top)
        for name, text in contents.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text, encoding="utf-8")
            os.utime(place / name, (now, now))
        (place / ".snakemake" / "incomplete").mkdir(parents=True, exist_ok=True)
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
        why = _changed(stage, job["before"], job["now"], about)
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
    return sorted(stages, key=records.STAGES.index)


def _changed(stage: str, before: Iterable[str], now: Iterable[str], about: About) -> list[str]:
    """What the parameters that differ mean: those that only the record has, and those that only the plan has."""
    there, here = _by_kind(before), _by_kind(now)
    found = []
    for kind in dict.fromkeys([*there, *here]):
        old, new = there.get(kind, "none"), here.get(kind, "none")
        if kind in ("settings", "whole"):
            prefix = stage if kind == "settings" else ""
            differ = records.differences(records.literal(old), records.literal(new), prefix)
            told = f"{', '.join(differ[:3])}{', …' if len(differ) > 3 else ''}"
            whole = "it tells all settings, and some differ" if kind == "whole" else "its settings differ"
            found.append(f"{whole} ({told})")
        elif kind == "seed" and old == repr(about.seed):
            found.append(f"the seed differs ({old} there, {new} here)")
        elif kind == "PyNX":
            found.append(f"PyNX is another (there: {old}, here: {new})")
        elif kind in ("code", "network"):
            found.append("its code differs here" if kind == "code" else "the network of the package is another here")
        elif kind == "other" and stage == "fetch":
            found.append(f"data that were left out there are at hand here ({new})")
        elif kind != "upstream":
            found.append(f"a parameter differs ({old[:60]} there, {new[:60]} here)")
    return found or (["what it follows from differs here"] if there or here else [])


def _by_kind(parameters: Iterable[str]) -> dict[str, str]:
    found = {}
    for text in parameters:
        kind = next((name for name, pattern in _KINDS.items() if re.fullmatch(pattern, text, re.DOTALL)), "other")
        block = records.literal(text) if kind == "settings" else None
        found["whole" if isinstance(block, dict) and "run" in block else kind] = text
    return found


def _versions(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Packages of other versions here, those that can change a number."""
    from braggfill.storage import VERSIONED

    pairs = [(name, there.get(name), here.get(name)) for name in VERSIONED]
    differ = [f"{name} {old or 'none'} there, {new or 'none'} here" for name, old, new in pairs if old != new]
    return [f"other versions, which rerun nothing but may change a digit: {'; '.join(differ)}"] if differ else []
