"""Snakemake's records of a run, read: which job made which file, with what code, settings and input.

Snakemake keeps one JSON file an output in ``.snakemake/metadata``, named by the base64 of the output's path, relative
to the folder that it ran in: so they can move with the results.
"""

from __future__ import annotations

import ast
import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from braggfill.errors import BraggfillError
from braggfill.settings.root import merge, stages

FOLDER = PurePosixPath(".snakemake/metadata")
STAGES = stages()
_LONGEST = 254  # Snakemake cuts longer names into folders that begin with @.
_CODE = re.compile(r"'([0-9a-f]{16})'")
_VERSION = re.compile(r"'(none|\d+(?:\.\w+)+)'")


@dataclass(frozen=True)
class Job:
    """One job that was run, from the records of its outputs."""

    rule: str
    stage: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: tuple[str, ...]
    """``repr`` of each parameter, without names."""
    script: str | None
    log: tuple[str, ...]
    start: float
    end: float

    @property
    def code(self) -> str | None:
        """The code fingerprint that it ran with."""
        return next((found[1] for found in map(_CODE.fullmatch, self.params) if found), None)

    @property
    def pynx(self) -> str | None:
        """The version of PyNX that it ran with, ``none`` without one; None for a job that does not use it."""
        return next((found[1] for found in map(_VERSION.fullmatch, self.params) if found), None)

    @property
    def settings(self) -> dict[str, Any] | None:
        """The block of its stage's settings that it ran with: the largest mapping among the parameters."""
        return max((block for block in self._mappings if "run" not in block), key=len, default=None)

    @property
    def whole(self) -> dict[str, Any] | None:
        """The settings of the whole run, if it looks at them: the mapping that names the run."""
        return next((block for block in self._mappings if "run" in block), None)

    @property
    def _mappings(self) -> list[dict[str, Any]]:
        return [value for value in map(_literal, self.params) if isinstance(value, dict)]


def file_of(output: str) -> PurePosixPath:
    """The file of an output's record, relative to the folder of the run."""
    name = base64.urlsafe_b64encode(output.encode()).decode()
    parts = [name[i : i + _LONGEST] for i in range(0, len(name), _LONGEST)]
    return FOLDER.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])


def output_of(file: PurePosixPath) -> str | None:
    """The output whose record a file is, or None if it is no record."""
    try:
        name = "".join(part.removeprefix("@") for part in file.relative_to(FOLDER).parts)
        return base64.urlsafe_b64decode(name.encode()).decode()
    except (ValueError, binascii.Error):
        return None


def read(top: Path, run: str) -> dict[str, dict[str, Any]]:
    """The records of a run's outputs that Snakemake keeps below ``top``, by output."""
    found = {}
    for file in sorted((top / FOLDER).rglob("*")):
        output = output_of(PurePosixPath(file.relative_to(top).as_posix())) if file.is_file() else None
        if output is not None and output.startswith(f"results/{run}/"):
            found[output] = parse(file.read_bytes(), output)
    return found


def parse(content: bytes, output: str) -> dict[str, Any]:
    """A record from its bytes.

    Raises
    ------
    BraggfillError : it is not JSON.
    """
    try:
        record = json.loads(content)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise BraggfillError(f"{output}: Snakemake's record of it is damaged; delete the file and run again")
    return record


def incomplete(top: Path) -> set[str]:
    """The outputs that Snakemake holds for half-made: their job was at work when it was last seen."""
    folder = top / ".snakemake" / "incomplete"
    names = (PurePosixPath(file.relative_to(folder).as_posix()) for file in folder.rglob("*") if file.is_file())
    return set(filter(None, (output_of(FOLDER / name) for name in names)))


def jobs(records: Mapping[str, Mapping[str, Any]]) -> list[Job]:
    """The jobs behind the records, in the order in which they were started."""
    together: dict[tuple, list[str]] = {}
    for output, record in records.items():
        log = tuple(record.get("log") or ())
        together.setdefault((record.get("rule"), log or output), []).append(output)
    found = []
    for (rule, _), outputs in together.items():
        latest = max((records[output] for output in outputs), key=lambda record: record.get("endtime") or 0)
        script = re.search(r"scripts/\w+\.py", latest.get("code") or "")
        found.append(
            Job(
                rule=str(rule),
                stage=stage_of(outputs[0]),
                inputs=tuple(latest.get("input") or ()),
                outputs=tuple(sorted(outputs)),
                params=tuple(map(str, latest.get("params") or ())),
                script=script[0] if script else None,
                log=tuple(latest.get("log") or ()),
                start=float(latest.get("starttime") or 0),
                end=float(latest.get("endtime") or 0),
            )
        )
    return sorted(found, key=lambda job: (job.start, job.outputs))


def stage_of(output: str) -> str:
    """The stage that makes an output: its folder below the run's; the report and what lies beside it are figures."""
    parts = PurePosixPath(output).parts
    return parts[2] if len(parts) > 3 and parts[2] in STAGES else "figures"


def settings_that_ran(jobs: Iterable[Job], otherwise: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the jobs ran with, the last job's where they differ; ``otherwise`` where none looked at one."""
    found = dict(otherwise)
    for job in sorted(jobs, key=lambda job: job.end):
        found = dict(job.whole or found)
        # A rule may leave out some of its stage's settings.
        found[job.stage] = merge(found.get(job.stage, {}), job.settings or {})
    return found


def differences(there: Any, here: Any, name: str = "") -> list[str]:
    """What differs between two blocks of settings, one phrase a setting."""
    if isinstance(there, dict) and isinstance(here, dict):
        found = []
        prefix = f"{name}." if name else ""
        for key in dict.fromkeys([*there, *here]):
            if key not in here:
                found.append(f"{prefix}{key} is no setting here")
            elif key not in there:
                found.append(f"{prefix}{key} was no setting there")
            else:
                found += differences(there[key], here[key], f"{prefix}{key}")
        return found
    same = repr(there) == repr(here)
    return [] if same else [f"{name} {_short(there)} there, {_short(here)} here"]


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else text[:37] + "…"


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
