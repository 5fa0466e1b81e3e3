"""Whether a bundle is whole, which of its code is other than what is installed, and what Snakemake would run again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from braggfill.bundle import dryrun, files, records
from braggfill.bundle.about import About, checked, code_of, environment
from braggfill.errors import BraggfillError
from braggfill.runs.storage import VERSIONED
from braggfill.settings.root import load, parse
from braggfill.stages import ORDER

Plan = dict[str, Any]  # of a job
LONGEST_PLAN_S = 900
OTHER_CODE = "its code differs here"
_UPSTREAM = re.compile(r"'[0-9a-f]{32}'")


@dataclass(frozen=True)
class Verdict:
    """What :func:`verify` found; the checksums are right, or it would have raised.

    ``made`` tells the revision and versions that it was made with, ``code`` the files of its code that are others than
    those that are installed, with how, ``reruns`` by stage why it would run again here, ``unknown`` why that cannot be
    told, and ``remarks`` what reruns nothing but is worth knowing.
    """

    run: str
    files: int
    made: str
    code: list[str]
    reruns: dict[str, list[str]]
    unknown: str | None
    remarks: list[str]


def verify(path: Path, top: Path | None, *, configfiles: Iterable[Path] = ()) -> Verdict:
    """Check every checksum of a bundle, and say what Snakemake would run again of it with the code at ``top``, and why.

    Snakemake itself plans, in a process of its own, with the code of ``top``, in a scratch folder with the checked
    records and empty results.  Nothing of the bundle is run or imported, nor looked for in the current folder.
    Settings are those of the bundle as the code here understands them, or those of ``configfiles``.

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
    mine = load(*configfiles) if (configfiles := list(configfiles)) else None
    if mine is not None and mine.run != about.run:
        raise BraggfillError(f"{configfiles[-1]}: is the configuration of run {mine.run}, not of {about.run}")
    reruns, unknown = {}, None
    try:
        if top is None:
            raise BraggfillError("braggfill is installed without its workflow; ask in a clone of the project")
        settings = mine or parse(about.settings, "the settings of the bundle are not valid here")
        plain = settings.model_dump(mode="json")
        texts = records.adapted(kept, top, plain, set(about.left_out), scripts_that_differ(listed, top))
        reruns = _reasons(_plan(top, listed, texts, plain), about)
    except BraggfillError as error:
        unknown = str(error)
    return Verdict(about.run, len(listed), about.made, _code(listed, top), reruns, unknown, remarks)


def stages_of_other_code(top: Path, kept: Mapping[str, records.Record], settings: Mapping[str, Any]) -> list[str]:
    """The stages of a run that were run with other code than that at ``top``, as Snakemake finds it."""
    names = [*kept, *(name for record in kept.values() for name in record.input or () if name.startswith("results/"))]
    jobs = _plan(top, names, {output: record.text() for output, record in kept.items()}, settings)
    return _stages(job["output"][0] for job in jobs if OTHER_CODE in _changed("", job["before"], job["now"]))


def read_records(bundle: files.Bundle, listed: Iterable[str]) -> dict[str, records.Record]:
    """Snakemake's records in a bundle, by output."""
    outputs = {name: records.output_of(name) for name in listed}
    return {o: records.parse(files.read(bundle, name), o) for name, o in outputs.items() if o is not None}


def scripts_that_differ(listed: Mapping[str, str], top: Path) -> set[str]:
    """The scripts of the rules that are others in the project at ``top`` than in the bundle."""
    places = {name: top / name for name in listed if name.startswith("scripts/")}
    return {n for n, p in places.items() if not p.is_file() or files.Entry.of(n, p).sha256 != listed[n]}


def _code(listed: Mapping[str, str], top: Path | None) -> list[str]:
    """The files of the code that differ, and how."""
    here = {entry.name: entry.sha256 for entry in code_of(top)}
    within = files.CODE if top is not None else ("workflow/braggfill/",)
    how = {(True, False): "only in the bundle", (False, True): "only here", (True, True): "differs"}
    names = sorted(name for name in {*listed, *here} if name.startswith(within) and listed.get(name) != here.get(name))
    return [f"{name} ({how[name in listed, name in here]})" for name in names]


def _plan(top: Path, listed: Iterable[str], texts: Mapping[str, str], settings: Mapping[str, Any]) -> list[Plan]:
    """The jobs that Snakemake plans, see :mod:`braggfill.bundle.dryrun`."""
    with tempfile.TemporaryDirectory(prefix="braggfill-verify-") as scratch:
        answer, place = Path(scratch) / "answer.json", Path(scratch) / "in" / "project"
        contents = {name: "" for name in listed if name.startswith("results/")}
        contents |= {records.file_of(output): text for output, text in texts.items()}
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
                command, cwd=place, env=plain, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST_PLAN_S
            )
        except subprocess.TimeoutExpired:
            raise BraggfillError(f"Snakemake has no plan after {LONGEST_PLAN_S // 60} minutes") from None
        if done.returncode or not answer.is_file():
            told = " ".join(done.stderr.decode(errors="replace").replace(scratch, "").split())
            raise BraggfillError(f"Snakemake cannot plan it here: {told[-600:] or f'it ended by {done.returncode}'}")
        return json.loads(answer.read_bytes())


def _reasons(jobs: Iterable[Plan], about: About) -> dict[str, list[str]]:
    """Stages, in the order of the workflow, with Snakemake's reasons in the words of the run."""
    told, needing, follows = (defaultdict[str, list[str]](list) for _ in range(3))
    for job in jobs:
        stage = records.stage_of(job["output"][0])
        apart = [name in about.not_included for name in job["missing"]]
        told[stage] += _changed(stage, job["before"], job["now"])
        told[stage] += [f"its script or rule differs here ({job['rule']})"] if job["code"] else []
        told[stage] += ["it has other input here"] if job["input"] else []
        told[stage] += ["its software environment or input is newer here"] if job["newer"] else []
        told[stage] += ["the run is unfinished: not all of it is made yet"] if not all(apart) else []
        needing[stage] += job["needing"] if apart and all(apart) else []
        follows[stage] += job["follows"]
    for stage, why in told.items():
        if stages := _stages(needing[stage]):
            why.append(f"its arrays are not here, and {', '.join(stages)} need{'s' * (len(stages) == 1)} them")
        if not why:
            why.append(f"follows from {', '.join(name for name in _stages(follows[stage]) if name != stage)}")
    return {stage: list(dict.fromkeys(told[stage])) for stage in sorted(told, key=ORDER.index)}


def _stages(outputs: Iterable[str]) -> list[str]:
    """The stages that make the outputs, in the order of the workflow."""
    return sorted(set(map(records.stage_of, outputs)), key=ORDER.index)


def _changed(stage: str, before: Iterable[str], now: Iterable[str]) -> list[str]:
    """What the parameters mean that only the record has, and those that only the plan has."""
    there, here = (sorted((t for t in side if not _UPSTREAM.fullmatch(t)), key=_kind) for side in (before, now))
    found = []
    for old, new in zip_longest(there, here, fillvalue="nothing"):
        one, two = records.literal(old), records.literal(new)
        if _kind(old) == _kind(new) == 1:
            found.append(OTHER_CODE)
        elif isinstance(one, dict) and isinstance(two, dict):
            differ = records.differences(one, two, "" if {"run", "seed"} & two.keys() else stage)
            found.append(f"its settings differ ({', '.join(differ[:3])}{', …' if len(differ) > 3 else ''})")
        else:
            found.append(f"a parameter differs ({old[:60]} there, {new[:60]} here)")
    return found or (["what it follows from differs here"] if before or now else [])


def _kind(text: str) -> int:
    """Parameters of one kind stand side by side: settings, code, strings, numbers."""
    kinds = (r"\{.*", r"'[0-9a-f]{16}'", r"'.*", r".*")
    return next(number for number, kind in enumerate(kinds) if re.match(kind, text, re.DOTALL))


def _versions(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Packages of other versions here, those that can change a number."""
    pairs = [(name, there.get(name), here.get(name)) for name in VERSIONED]
    differ = [f"{name} {old or 'none'} there, {new or 'none'} here" for name, old, new in pairs if old != new]
    return [f"other versions, which rerun nothing but may change a digit: {'; '.join(differ)}"] if differ else []
