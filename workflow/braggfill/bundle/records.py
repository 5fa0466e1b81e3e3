"""Snakemake's records of a run, read: which job made which file, with what code, settings and input.

Snakemake keeps one JSON file an output in ``.snakemake/metadata``, named by the base64 of the output's path, relative
to the folder that it ran in: so they can move with the results.
"""

from __future__ import annotations

import ast
import base64
import json
import re
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from braggfill.errors import BraggfillError
from braggfill.settings.fetch import FetchSettings
from braggfill.settings.root import explain, merge
from braggfill.stages import ORDER

FOLDER = ".snakemake/metadata"
_LONGEST = 254  # Snakemake cuts longer names into folders that begin with @.
_CODE = re.compile(r"'([0-9a-f]{16})'")
_LONGEST_PARAMETER = 200_000  # characters; those of the paper's run have a few thousand

Moment = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]


class Record(BaseModel):
    """Snakemake's record of an output, as it writes them; what it does not know is dropped."""

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


class Job(Record):
    """One job that was run: the latest record of its outputs."""

    outputs: list[str]
    input: list[str] = []
    params: list[str] = []  # `repr` of each, without names
    starttime: Moment = 0.0
    endtime: Moment = 0.0

    @property
    def stage(self) -> str:
        """The stage that it is a task of."""
        return stage_of(self.outputs[0])

    @property
    def fingerprint(self) -> str | None:
        """The code fingerprint that it ran with."""
        return next((found[1] for found in map(_CODE.fullmatch, self.params) if found), None)

    def settings(self, known: Collection[str] = ()) -> dict[str, Any]:
        """What it ran with of its stage's settings: of its mappings the one with most of the ``known`` names."""
        blocks = [block for block in self._mappings if "run" not in block]
        return max(blocks, key=lambda block: (len(block.keys() & set(known)), len(block)), default={})

    @property
    def whole(self) -> dict[str, Any] | None:
        """The settings of the whole run, if it looks at them: the mapping that names the run."""
        return next((block for block in self._mappings if "run" in block), None)

    @property
    def _mappings(self) -> list[dict[str, Any]]:
        return [value for value in map(literal, self.params) if isinstance(value, dict)]


def file_of(output: str) -> str:
    """The file of an output's record, relative to the folder of the run."""
    name = base64.urlsafe_b64encode(output.encode()).decode()
    parts = [name[i : i + _LONGEST] for i in range(0, len(name), _LONGEST)]
    return "/".join([FOLDER, *(f"@{part}" for part in parts[:-1]), parts[-1]])


def output_of(file: str) -> str | None:
    """The output whose record a file is, or None if it is no record."""
    name = "".join(part.removeprefix("@") for part in file.removeprefix(f"{FOLDER}/").split("/"))
    try:
        output = base64.b64decode(name.encode(), b"-_", validate=True).decode()
    except ValueError:
        return None
    return output if output and file_of(output) == file else None


def read(top: Path, run: str) -> dict[str, Record]:
    """The records of a run's outputs that Snakemake keeps below ``top``, by output."""
    mine = {o: file for o, file in _files(top / FOLDER).items() if o.startswith(f"results/{run}/")}
    return {output: parse(file.read_bytes(), output) for output, file in mine.items()}


def incomplete(top: Path) -> set[str]:
    """The outputs that Snakemake holds for half-made: their job was at work when it was last seen."""
    return set(_files(top / ".snakemake" / "incomplete"))


def _files(folder: Path) -> dict[str, Path]:
    """The files that Snakemake keeps in a folder, by the output that each is about."""
    places = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    found = {output_of(f"{FOLDER}/{name}"): file for name, file in places.items()}
    return {output: file for output, file in found.items() if output is not None}


def parse(content: bytes, output: str) -> Record:
    """A record from its bytes."""
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        told = f"{output}: Snakemake's record of it is damaged ({explain(error, Record)})"
        raise BraggfillError(f"{told}; delete the file and run again") from None


def jobs(records: Mapping[str, Record]) -> list[Job]:
    """The jobs behind the records, in the order in which they were started."""
    together: dict[tuple, list[str]] = {}
    for output, record in records.items():
        together.setdefault((record.rule, tuple(record.log or ()) or output), []).append(output)
    found = []
    for outputs in together.values():
        latest = max((records[output] for output in outputs), key=lambda record: record.endtime or 0)
        found.append(Job(outputs=sorted(outputs), **latest.model_dump(exclude_none=True)))
    return sorted(found, key=lambda job: (job.starttime, job.outputs))


def stage_of(output: str) -> str:
    """The stage that makes an output: its folder below the run's; the report and what lies beside it are figures."""
    parts = PurePosixPath(output).parts
    return parts[2] if len(parts) > 3 and parts[2] in ORDER else "figures"


def settings_that_ran(jobs: Sequence[Job], otherwise: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the jobs ran with, the last job's where they differ; ``otherwise`` where none looked at one.

    Each job tells those of its stage's that its task looks at.  What the rule of the stage's name tells counts before
    what its other rules do: they may change some for a purpose.
    """
    last = max((job for job in jobs if job.whole), key=lambda job: job.endtime, default=None)
    found = dict(otherwise if last is None else last.whole or {})
    own = {job.stage: job.settings(otherwise.get(job.stage, ())) for job in jobs if job.rule == job.stage}
    since = (job for job in jobs if last is None or job.endtime >= last.endtime)
    for job in sorted(since, key=lambda job: job.endtime):
        block = job.settings(otherwise.get(job.stage, ()))
        if job.rule != job.stage:
            block = {name: value for name, value in block.items() if name not in own.get(job.stage, ())}
        found[job.stage] = merge(found.get(job.stage, {}), block)
    return found


def differences(there: Any, here: Any, name: str = "") -> list[str]:
    """What differs between two blocks of settings, one phrase a setting."""
    if not (isinstance(there, dict) and isinstance(here, dict)):
        return [] if repr(there) == repr(here) else [f"{name} {_short(there)} there, {_short(here)} here"]
    found = []
    for key in dict.fromkeys([*there, *here]):
        full = f"{name}.{key}" if name else str(key)
        if key in there and key in here:
            found += differences(there[key], here[key], full)
        else:
            found.append(f"{full} {'is no setting here' if key in there else 'was no setting there'}")
    return found


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

    looks = FetchSettings()
    with suppress(ValidationError):
        looks = FetchSettings.model_validate(settings.get("fetch", {}))
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
