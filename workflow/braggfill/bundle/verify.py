"""Whether a bundle is whole, and what of its run would run again here."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from braggfill.bundle import files, records
from braggfill.bundle.crate import BUNDLE
from braggfill.bundle.pack import environment, fingerprints
from braggfill.errors import BraggfillError
from braggfill.settings import root as settings_root

LOCATE = """
import json, sys
from pathlib import Path
from braggfill.stages import fetch
from braggfill.settings.fetch import FetchSettings
names, settings = json.load(sys.stdin)
found = {out: fetch.locate(name, FetchSettings(**settings), Path(out)) for out, name in names.items()}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Verdict:
    """What :func:`verify` found; the checksums are right, or it would have raised."""

    run: str
    files: int
    made: str
    """Revision and versions that it was made with."""
    reruns: dict[str, list[str]]
    """Stage → why it would run again here."""
    remarks: list[str]
    """What reruns nothing but is worth knowing."""


def verify(path: Path, top: Path, *, configfiles: Iterable[Path] = ()) -> Verdict:
    """Check every checksum of a bundle, and say which stages would run again in the project at ``top``, and why.

    A stage runs again if its code, its settings or the software that it asks for (PyNX) are others here, if it follows
    from one that does, or if one that does needs its arrays and they are neither in the bundle nor here.  Settings are
    those of the bundle as the code here understands them, or those of ``configfiles``.  This is told from Snakemake's
    records alone, without running Snakemake, which has the last word where rules were rewritten.

    Raises
    ------
    BraggfillError : the bundle is damaged, or the settings are not valid here.
    """
    with files.opened(path) as bundle:
        listed = files.check(bundle)
        about = read_about(bundle)
        kept = {}
        for name in listed:
            output = records.output_of(PurePosixPath(name))
            if output is not None:
                kept[output] = records.parse(files.read(bundle, name), output)
        scripts = scripts_that_differ(bundle, listed, top)
        rules = [name for name in listed if name.endswith(".smk") and _differs(bundle, name, top / name)]
    jobs = records.jobs(kept)
    remarks = [*about["remarks"], *(f"left out there: {reason}" for reason in about["left_out"].values())]
    plain, refused = _settings_here(about, configfiles)
    here = environment()
    found = located(top, jobs) if about["left_out"] else {}
    codes = fingerprints(top)
    why = {job: _changes(job, plain, refused, codes, scripts, here["pynx"], about, found) for job in jobs}
    absent = {name for name, told in about["not_included"].items() if not _is_here(top / name, told)}
    reruns = _follow(jobs, why, absent, whole=f"results/{about['run']}/report.html" in kept)
    remarks += [f"{name} differs here; 'snakemake -n' has the last word" for name in rules]
    remarks += _versions(about["environment"], here)
    return Verdict(about["run"], len(listed), _made(about), reruns, remarks)


def read_about(bundle: files.Bundle) -> dict[str, Any]:
    """The content of a bundle's ``bundle.json``."""
    try:
        about = json.loads(files.read(bundle, BUNDLE))
    except ValueError as error:
        raise BraggfillError(f"{bundle.path}: {BUNDLE} is damaged; get the bundle again") from error
    if about.get("format") != 1:
        raise BraggfillError(f"{bundle.path}: was packed by a newer braggfill; update this one to read it")
    return about


def located(top: Path, jobs: Iterable[records.Job]) -> dict[str, str]:
    """Where the measured data of the jobs of ``fetch`` would be found in the project at ``top``, by output.

    The project is asked itself, in a process of its own: where it looks depends on where it lies.  Nothing where it
    does not know such data.
    """
    names = {job.outputs[0]: PurePosixPath(job.outputs[0]).stem for job in jobs if job.stage == "fetch"}
    settings = next((job.settings for job in jobs if job.stage == "fetch"), None)
    if not names:
        return {}
    done = subprocess.run(
        [sys.executable, "-c", LOCATE],
        input=json.dumps([names, settings or {}]),
        cwd=top,
        env={**os.environ, "PYTHONPATH": str(top.resolve() / "workflow")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {}
    return json.loads(done.stdout)


def scripts_that_differ(bundle: files.Bundle, listed: Iterable[str], top: Path) -> set[str]:
    """The scripts of the rules that are others in the project at ``top`` than in the bundle."""
    return {name for name in listed if name.startswith("scripts/") and _differs(bundle, name, top / name)}


def _differs(bundle: files.Bundle, name: str, here: Path) -> bool:
    return not here.is_file() or here.read_bytes() != files.read(bundle, name)


def _is_here(place: Path, told: Mapping[str, Any]) -> bool:
    if not place.is_file() or place.stat().st_size != told["bytes"]:
        return False
    with open(place, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == told["sha256"]


def _settings_here(about: Mapping[str, Any], configfiles: Iterable[Path]) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings that the run would go on with, plain, and those blocks of the bundle that are not valid here."""
    configfiles = list(configfiles)
    if configfiles:
        return settings_root.load(*configfiles).model_dump(mode="json"), {}
    blocks, refused = dict(about["settings"]), {}
    while True:
        try:
            return settings_root.parse(blocks, "bundle").model_dump(mode="json"), refused
        except BraggfillError as error:
            told = str(error).removeprefix("bundle: ")
            block = told.partition(":")[0].partition(".")[0]
            if block not in blocks:
                raise
            refused[block] = told
            del blocks[block]


def _changes(
    job: records.Job,
    plain: Mapping[str, Any],
    refused: Mapping[str, str],
    codes: Mapping[str, str],
    scripts: set[str],
    pynx: str,
    about: Mapping[str, Any],
    found_here: Mapping[str, str],
) -> list[str]:
    """Why a job would run again, apart from what it reads."""
    found = []
    if job.code is not None and job.code != codes.get(job.stage):
        found.append("its code differs here")
    if job.script in scripts:
        found.append(f"{job.script} differs here")
    if job.stage in refused:
        found.append(f"its settings are not valid here ({refused[job.stage]})")
    elif job.settings is not None and (differ := _differences(job, about["settings"], plain)):
        found.append(f"its settings differ ({', '.join(differ[:3])}{', …' if len(differ) > 3 else ''})")
    if repr(plain["seed"]) not in job.params and repr(about["seed"]) in job.params:
        found.append(f"the seed differs ({about['seed']} there, {plain['seed']} here)")
    if job.stage == "particle" and (differ := records.differences(about["settings"]["size"], plain["size"], "size")):
        found.append(f"the size differs ({', '.join(differ)})")
    if job.whole is not None and (differ := records.differences(job.whole, plain)):
        found.append(
            f"it tells all settings, and some differ ({', '.join(differ[:3])}{', …' if len(differ) > 3 else ''})"
        )
    if job.pynx is not None and job.pynx != pynx:
        found.append(f"PyNX is another (there: {job.pynx}, here: {pynx})")
    left_out = [about["left_out"][output] for output in job.outputs if output in about["left_out"]]
    here = found_here.get(job.outputs[0])
    if left_out and here is not None and repr(here) not in job.params:
        found.append(f"data that were left out there are at hand here ({here})")
    return found


def _differences(job: records.Job, there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The settings that differ, of those that the job looks at: a rule may leave some of its stage's out."""

    def seen(block: Any, there: Any, job: Any) -> Any:
        if not (isinstance(block, dict) and isinstance(there, dict) and isinstance(job, dict)):
            return block
        unseen = there.keys() - job.keys()
        return {key: seen(block[key], there.get(key), job.get(key)) for key in block if key not in unseen}

    block = seen(here.get(job.stage, {}), there.get(job.stage, {}), job.settings)
    return records.differences(job.settings, block, job.stage)


def _follow(
    jobs: list[records.Job], why: Mapping[records.Job, list[str]], absent: set[str], *, whole: bool
) -> dict[str, list[str]]:
    """Stages with their reasons, what follows from them and what they need included, as Snakemake would plan them."""
    maker = {output: job for job in jobs for output in job.outputs}
    readers: dict[str, list[records.Job]] = {}
    for job in jobs:
        for name in job.inputs:
            readers.setdefault(name, []).append(job)
    reasons = {job: list(told) for job, told in why.items() if told}
    found: dict[str, list[str]] = {}
    if not whole:
        # What was never made needs, for all that is known, every output that nobody read yet.
        found["figures"] = ["the run is unfinished: it has no report yet"]
        for job in jobs:
            missing = [output for output in job.outputs if output in absent and output not in readers]
            if missing:
                reasons.setdefault(job, []).append("its arrays are not here, and the unfinished run needs them")
    queue = list(reasons)
    while queue:
        job = queue.pop()
        for name in job.inputs:
            before = maker.get(name)
            if before is not None and name in absent:
                if before not in reasons:
                    queue.append(before)
                reasons.setdefault(before, []).append(f"its arrays are not here, and {job.stage} needs them")
        for after in (reader for output in job.outputs for reader in readers.get(output, ())):
            if after not in reasons:
                queue.append(after)
            reasons.setdefault(after, []).append(f"follows from {job.stage}")
    for job in jobs:
        for told in reasons.get(job, ()):
            if told not in found.setdefault(job.stage, []) and told != f"follows from {job.stage}":
                found[job.stage].append(told)
    order = {stage: number for number, stage in enumerate(records.STAGES)}
    return {stage: found[stage] for stage in sorted(found, key=order.__getitem__)}


def _versions(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Packages of other versions here, those that can change a number."""
    from braggfill.runs.storage import VERSIONED

    pairs = [(name, there["packages"].get(name), here["packages"].get(name)) for name in VERSIONED]
    differ = [f"{name} {old or 'none'} there, {new or 'none'} here" for name, old, new in pairs if old != new]
    return [f"other versions, which rerun nothing but may change a digit: {'; '.join(differ)}"] if differ else []


def _made(about: Mapping[str, Any]) -> str:
    git = about["git"]
    revision = "no git revision" if git is None else f"git {git['revision'][:12]}"
    changed = f" with {len(git['modified'])} changed files" if git and git["modified"] else ""
    environment = about["environment"]
    return f"{revision}{changed}, Python {environment['python']}, seed {about['seed']}"
