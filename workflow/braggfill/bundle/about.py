"""What a bundle says of itself in ``bundle.json``, every field checked, and the same of this machine."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

import braggfill
from braggfill.bundle.files import CODE, TEXTS, Bundle, Entry, of_run, read
from braggfill.bundle.records import STAGES
from braggfill.errors import BraggfillError
from braggfill.external import pynx_version
from braggfill.fingerprint import code, module_files
from braggfill.settings.root import explain

FILE = "bundle.json"
PACKAGE = Path(braggfill.__file__).parent
RUN = r"^[a-z0-9][a-z0-9_-]{0,63}$"

Text = Annotated[str, Field(max_length=10_000)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+!~ -]{1,200}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# `__use_yte__` in a configuration would make Snakemake evaluate what stands in it.
Block = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


def _result(name: str) -> str:
    parts = name.split("/", 2)
    if len(parts) < 3 or not of_run(name, parts[1]):
        raise ValueError("is no name of a result")
    return name


Result = Annotated[str, AfterValidator(_result)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Git(_Model):
    """Revision of the code, and the files that were changed since."""

    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")]
    modified: list[Text]


class Environment(_Model):
    """Python, the platform and the version of every package."""

    python: Word
    platform: Text
    pynx: Word
    packages: dict[Text, Text]


class Array(_Model):
    """An array that is told by its checksum."""

    sha256: Digest
    bytes: Annotated[int, Field(ge=0, lt=1 << 63)]


class MadeWith(_Model):
    """Versions that are told in arrays, and in which."""

    versions: dict[Text, Text]
    files: list[Result]


class About(_Model):
    """The content of ``bundle.json``."""

    format: Literal[1]
    run: Annotated[str, Field(pattern=RUN)]
    created: Annotated[float, Field(ge=0, le=1e11)]
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    settings: dict[Block, Any]
    configfiles: list[Text]
    code: dict[Word, Word]
    code_included: dict[Word, Word]
    git: Git | None
    environment: Environment
    arrays_made_with: list[MadeWith]
    left_out: dict[Result, Text]
    not_included: dict[Result, Array]
    remarks: list[Text]

    @model_validator(mode="after")
    def _of_one_run(self) -> About:
        if self.settings.get("run") != self.run or self.settings.get("seed") != self.seed:
            raise ValueError("run and seed are not those of the settings")
        if not all(of_run(name, self.run) for name in (*self.left_out, *self.not_included)):
            raise ValueError("it names results of another run")
        return self

    @property
    def made(self) -> str:
        """Revision and versions that it was made with, in a few words."""
        git = self.git
        revision = "no git revision" if git is None else f"git {git.revision[:12]}"
        changed = f" with {len(git.modified)} changed files" if git and git.modified else ""
        return f"{revision}{changed}, Python {self.environment.python}, seed {self.seed}"


class _Format(BaseModel):
    format: int


def read_about(bundle: Bundle) -> About:
    """What a bundle says of itself.

    Raises
    ------
    BraggfillError : it is not what a bundle says, or that of a newer braggfill.
    """
    content = read(bundle, FILE)
    try:
        if _Format.model_validate_json(content).format > 1:
            raise BraggfillError(f"{bundle.path}: was packed by a newer braggfill; update this one to read it")
        return About.model_validate_json(content)
    except ValidationError as error:
        told = f"{bundle.path}: {FILE} is damaged ({explain(error, About)})"
        raise BraggfillError(f"{told}; get the bundle again") from None


def environment() -> dict[str, Any]:
    """Python, the platform and the version of every package that is installed here."""
    packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
    return {
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()} {' '.join(platform.libc_ver())}".strip(),
        "pynx": pynx_version() or "none",
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def fingerprints(top: Path) -> dict[str, str]:
    """The code fingerprint of every stage, of the project at ``top``."""
    package = top / "workflow" / "braggfill"
    return {stage: code(stage, package) for stage in STAGES if module_files(f"braggfill.{stage}", package)}


def installed() -> Path | None:
    """The project that the running package lies in; None where it was installed without one."""
    top = PACKAGE.parents[1]
    return top if top / "workflow" / "braggfill" == PACKAGE and (top / "Snakefile").is_file() else None


def code_of(top: Path | None) -> Iterator[Entry]:
    """The files of the code of the project at ``top``; those of the running package where there is none.

    Raises
    ------
    BraggfillError : one is a link that leads out of the project.
    """
    if top is None:
        found = ((f"workflow/braggfill/{file.relative_to(PACKAGE).as_posix()}", file) for file in _files(PACKAGE))
    else:
        places = [top / name for name in (*CODE, *TEXTS)]
        files = [file for place in places for file in ([place] if place.is_file() else _files(place))]
        found = ((file.relative_to(top).as_posix(), regular(file, top)) for file in files)
    yield from (Entry.of(name, file) for name, file in found)


def _files(folder: Path) -> list[Path]:
    def plain(file: Path) -> bool:
        parts = file.relative_to(folder).parts
        hidden = any(part.startswith(".") or part.endswith((".egg-info", "__pycache__")) for part in parts)
        return not hidden and file.suffix != ".pyc" and (file.is_symlink() or file.is_file())

    return [file for file in sorted(folder.rglob("*")) if plain(file)]


def regular(file: Path, top: Path) -> Path:
    """The file itself, of one that is, or links to, a regular file below ``top``.

    Raises
    ------
    BraggfillError : it is a link that leads elsewhere.
    """
    place = file.resolve()
    if file.is_symlink() and not (place.is_file() and place.is_relative_to(top.resolve())):
        raise BraggfillError(f"{file}: is a link to {place}, outside of what is packed; put the file itself there")
    return place


def revision(top: Path) -> dict[str, Any] | None:
    """The git revision of the code and the files of it that differ from that revision; None outside git."""

    def git(*arguments: str) -> str | None:
        command = ["git", "-c", "core.fsmonitor=false", "-C", str(top), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        except OSError:
            return None
        return done.stdout.rstrip("\n") if done.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    if head is None or git("rev-parse", "--show-prefix") != "":
        return None
    there = [name for name in (*CODE, *TEXTS) if (top / name).exists()]
    changed = git("status", "--porcelain", "--untracked-files=all", "--", *there) or ""
    return {"revision": head, "modified": sorted(line[3:] for line in changed.splitlines())}
