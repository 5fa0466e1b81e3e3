"""What a bundle says of itself in ``bundle.json``, every field checked, and the same of this machine."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator
from typing_extensions import TypedDict

import braggfill
from braggfill.bundle.files import CODE, TEXTS, Entry, of_run
from braggfill.errors import BraggfillError
from braggfill.runs.external import pynx_version
from braggfill.settings.root import explain

PACKAGE = Path(braggfill.__file__).parent
RUN = r"^[a-z0-9][a-z0-9_-]{0,63}$"

Text = Annotated[str, Field(max_length=10_000)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")]
# No `__use_yte__`, with which Snakemake would evaluate what stands in a configuration.
Block = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class Git(TypedDict):
    revision: Digest
    modified: list[Text]


class Environment(TypedDict):
    python: Text
    platform: Text
    pynx: Text
    packages: dict[Text, Text]


class Array(TypedDict):
    sha256: Digest
    bytes: Annotated[int, Field(ge=0, lt=1 << 63)]


class About(BaseModel, extra="forbid", allow_inf_nan=False):
    """The content of ``bundle.json``."""

    format: Literal[1]
    run: Annotated[str, Field(pattern=RUN)]
    created: Annotated[float, Field(ge=0, le=1e11)]
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    settings: dict[Block, Any]
    configfiles: list[Text]
    code: dict[Text, Text]
    git: Git | None
    environment: Environment
    arrays_made_with: dict[Text, list[str]]
    left_out: dict[str, Text]
    not_included: dict[str, Array]
    remarks: list[Text]

    @model_validator(mode="after")
    def _of_one_run(self) -> About:
        if self.settings.get("run") != self.run or self.settings.get("seed") != self.seed:
            raise ValueError("run and seed are not those of the settings")
        made = (name for names in self.arrays_made_with.values() for name in names)
        if not all(of_run(name, self.run) for name in (*self.left_out, *self.not_included, *made)):
            raise ValueError("it names what is no result of the run")
        return self

    @property
    def made(self) -> str:
        """Revision and versions that it was made with, in a few words."""
        revision = "no git revision" if self.git is None else f"git {self.git['revision'][:12]}"
        changed = f" with {len(self.git['modified'])} changed files" if self.git and self.git["modified"] else ""
        return f"{revision}{changed}, Python {self.environment['python']}, seed {self.seed}"


def checked(content: bytes | dict[str, Any], where: str) -> About:
    """What a bundle says of itself."""
    try:
        return About.model_validate_json(content) if isinstance(content, bytes) else About.model_validate(content)
    except ValidationError as error:
        if any(mistake["loc"] == ("format",) for mistake in error.errors()):
            raise BraggfillError(f"{where}: was packed by a newer braggfill; update this one to read it") from None
        raise BraggfillError(f"{where}: bundle.json is damaged ({explain(error, About)}); get it again") from None


def environment() -> dict[str, Any]:
    """Python, the platform and the version of every package that is installed here."""
    packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
    return {
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()} {' '.join(platform.libc_ver())}".strip(),
        "pynx": pynx_version() or "none",
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def installed() -> Path | None:
    """The project that the running package lies in; None where it was installed without one."""
    top = PACKAGE.parents[1]
    return top if top / "workflow" / "braggfill" == PACKAGE and (top / "Snakefile").is_file() else None


def code_of(top: Path | None) -> Iterator[Entry]:
    """The files of the code of the project at ``top``; those of the running package where there is none."""
    inside, prefix, names = (PACKAGE, "workflow/braggfill/", ("",)) if top is None else (top, "", (*CODE, *TEXTS))
    for place in (inside / name for name in names):
        for file in [place] if place.is_file() else sorted(place.rglob("*")):
            name = file.relative_to(inside)
            hidden = any(part.startswith(".") or part.endswith((".egg-info", "__pycache__")) for part in name.parts)
            if not hidden and file.suffix != ".pyc" and (file.is_symlink() or file.is_file()):
                yield Entry.of(prefix + name.as_posix(), regular(file, inside))


def regular(file: Path, top: Path) -> Path:
    """The file itself, of one that is, or links to, a regular file below ``top``."""
    place = file.resolve()
    if file.is_symlink() and not (place.is_file() and place.is_relative_to(top.resolve())):
        raise BraggfillError(f"{file}: is a link to {place}, outside of what is packed; put the file itself there")
    return place


def revision(top: Path) -> dict[str, Any] | None:
    """The git revision of the code and the files of it that differ from that revision; None outside git."""

    def git(*arguments: str) -> str:
        command = ["git", "-c", "core.fsmonitor=false", "-C", str(top), *arguments]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout.rstrip("\n")

    there = [name for name in (*CODE, *TEXTS) if (top / name).exists()]
    try:
        if git("rev-parse", "--show-prefix"):
            return None
        changed = git("status", "--porcelain", "--untracked-files=all", "--", *there).splitlines()
        return {"revision": git("rev-parse", "HEAD"), "modified": sorted(line[3:] for line in changed)}
    except (OSError, subprocess.CalledProcessError):
        return None
