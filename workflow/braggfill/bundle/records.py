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
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from braggfill.errors import BraggfillError
from braggfill.settings.fetch import FetchSettings
from braggfill.settings.root import explain, merge
from braggfill.stages import ORDER

FOLDER = PurePosixPath(".snakemake/metadata")
_LONGEST = 254  # Snakemake cuts longer names into folders that begin with @.
_CODE = re.compile(r"'([0-9a-f]{16})'")
_LONGEST_PARAMETER = 200_000  # characters; those of the paper's run have a few thousand

Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]


class Record(BaseModel):
    """Snakemake's record of an output, as it writes them; what it does not know is dropped."""

    model_config = ConfigDict(extra="ignore")

    rule: Annotated[str, Field(pattern=r"^\w{1,200}$")]
    input: list[str] | None = None
    log: list[str] | None = None
    shellcmd: str | None = None
    params: list[str] | None = None
    code: str | None = None
    record_format_version: Annotated[int, Field(ge=0, le=1000)] = 0
    conda_env: str | None = None
    container_img_url: str | None = None
    software_stack_hash: str | None = None
    job_hash: int | None = None
    starttime: Moment | None = None
    endtime: Moment | None = None
    incomplete: bool | None = None
    external_jobid: str | None = None
    input_checksums: dict[str, str] | None = None

    @property
    def script(self) -> str | None:
        """The script that made the output."""
        found = re.search(r"scripts/\w+\.py", self.code or "")
        return found[0] if found else None

    def text(self) -> str:
        """The record as Snakemake reads it."""
        return json.dumps(self.model_dump(exclude_unset=True))


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
    start: float
    end: float

    @property
    def code(self) -> str | None:
        """The code fingerprint that it ran with."""
        return next((found[1] for found in map(_CODE.fullmatch, self.params) if found), None)

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
        return [value for value in map(literal, self.params) if isinstance(value, dict)]


def file_of(output: str) -> PurePosixPath:
    """The file of an output's record, relative to the folder of the run."""
    name = base64.urlsafe_b64encode(output.encode()).decode()
    parts = [name[i : i + _LONGEST] for i in range(0, len(name), _LONGEST)]
    return FOLDER.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])


def output_of(file: PurePosixPath) -> str | None:
    """The output whose record a file is, or None if it is no record."""
    try:
        name = "".join(part.removeprefix("@") for part in file.relative_to(FOLDER).parts)
        output = base64.b64decode(name.encode(), b"-_", validate=True).decode()
        return output if file_of(output) == file else None
    except (ValueError, binascii.Error):
        return None


def read(top: Path, run: str) -> dict[str, Record]:
    """The records of a run's outputs that Snakemake keeps below ``top``, by output."""
    found = {}
    for file in sorted((top / FOLDER).rglob("*")):
        output = output_of(PurePosixPath(file.relative_to(top).as_posix())) if file.is_file() else None
        if output is not None and output.startswith(f"results/{run}/"):
            found[output] = parse(file.read_bytes(), output)
    return found


def parse(content: bytes, output: str) -> Record:
    """A record from its bytes.

    Raises
    ------
    BraggfillError : it is none of Snakemake's.
    """
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        told = f"{output}: Snakemake's record of it is damaged ({explain(error, Record)})"
        raise BraggfillError(f"{told}; delete the file and run again") from None


def incomplete(top: Path) -> set[str]:
    """The outputs that Snakemake holds for half-made: their job was at work when it was last seen."""
    folder = top / ".snakemake" / "incomplete"
    names = (PurePosixPath(file.relative_to(folder).as_posix()) for file in folder.rglob("*") if file.is_file())
    return set(filter(None, (output_of(FOLDER / name) for name in names)))


def jobs(records: Mapping[str, Record]) -> list[Job]:
    """The jobs behind the records, in the order in which they were started."""
    together: dict[tuple, list[str]] = {}
    for output, record in records.items():
        together.setdefault((record.rule, tuple(record.log or ()) or output), []).append(output)
    found = []
    for outputs in together.values():
        latest = max((records[output] for output in outputs), key=lambda record: record.endtime or 0)
        found.append(
            Job(
                rule=latest.rule,
                stage=stage_of(outputs[0]),
                inputs=tuple(latest.input or ()),
                outputs=tuple(sorted(outputs)),
                params=tuple(latest.params or ()),
                script=latest.script,
                start=latest.starttime or 0.0,
                end=latest.endtime or 0.0,
            )
        )
    return sorted(found, key=lambda job: (job.start, job.outputs))


def stage_of(output: str) -> str:
    """The stage that makes an output: its folder below the run's; the report and what lies beside it are figures."""
    parts = PurePosixPath(output).parts
    return parts[2] if len(parts) > 3 and parts[2] in ORDER else "figures"


def settings_that_ran(jobs: Iterable[Job], otherwise: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the jobs ran with, the last job's where they differ; ``otherwise`` where none looked at one.

    A stage's settings are those of the rule of its name, if it has one: other rules may change some for a purpose.
    """
    found = dict(otherwise)
    named = {job.stage for job in jobs if job.rule == job.stage}
    for job in sorted(jobs, key=lambda job: job.end):
        found = dict(job.whole or found)
        if job.rule == job.stage or job.stage not in named:
            found[job.stage] = merge(found.get(job.stage, {}), job.settings or {})  # a rule may leave some out
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


def literal(text: str) -> Any:
    """The value of a parameter's ``repr``; None for one that is no plain value."""
    try:
        return ast.literal_eval(text) if len(text) <= _LONGEST_PARAMETER else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def adapted(
    kept: Mapping[str, Record], top: Path, settings: Mapping[str, Any], told: set[str], differ: set[str]
) -> dict[str, str]:
    """Records as Snakemake will ask for them in the project at ``top``, as text by output.

    Measured data are known by their content and may lie elsewhere here: the record of one says where it would be found,
    but for those outputs in ``told``, which say it themselves or were left out.  A job of a script in ``differ`` is one
    of other code.  ``settings`` are the run's.
    """
    from braggfill.stages import fetch

    try:
        looks = FetchSettings.model_validate(settings.get("fetch", {}))
    except ValidationError:
        looks = FetchSettings()
    looks = looks.model_copy(update={"folders": tuple(str(top / Path(f).expanduser()) for f in looks.folders)})
    found = {}
    for output, record in kept.items():
        changed: dict[str, Any] = {"code": "another script"} if record.script in differ else {}
        name = PurePosixPath(output).stem
        if stage_of(output) == "fetch" and output not in told and name in fetch.DATA_SETS:
            others = [text for text in record.params or () if text.startswith("{") or _CODE.fullmatch(text)]
            changed["params"] = sorted([*others, repr(fetch.locate(name, looks))])
        found[output] = record.model_copy(update=changed).text()
    return found


def moment(top: Path) -> float:
    """A time for results in the project at ``top``, in s: after every script's, as Snakemake wants it."""
    return max([time.time(), *(file.stat().st_mtime + 2 for file in (top / "scripts").glob("*.py"))])
