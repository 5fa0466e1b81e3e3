"""A bundle's files, in a zip or in a folder: read, checked against their checksums, written.

A bundle may come from anybody.  Every name in it is one of the run's or of the code, sizes are known and bounded before
anything is read, and a file is bytes: nothing here imports, runs or follows what a bundle holds.  What is damaged, or
is no part of a run, or cannot be read, is a ``BraggfillError`` that names the file.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from braggfill.bundle.records import output_of
from braggfill.errors import BraggfillError

CHECKSUMS = "checksums.sha256"
CODE = ("Snakefile", "workflow", "scripts", "config", "envs", "profiles", "slurm", "Makefile", "pyproject.toml")
TEXTS = ("README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md")
ABOUT = ("bundle.json", "BUNDLE.md", "ro-crate-metadata.json", "ro-crate-preview.html")
BLOCK = 1 << 20
PACKED = {".h5", ".safetensors", ".png", ".gz", ".zip", ".npz"}  # compressed already
CODE_IS_OLDER_S = 3600
LARGEST_TEXT = 64 << 20  # of the list, of bundle.json and of a record, bytes
LARGEST_RECORDS = 512 << 20  # of all records
EXPANDS = 100  # times; text shrinks to a tenth, deflated zeros to a thousandth
HARMLESS = 256 << 20  # a bundle that expands to no more may be as empty as it likes
DAMAGE = (EOFError, LookupError, RuntimeError, ValueError, OverflowError, struct.error, zipfile.BadZipFile, zlib.error)
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


@dataclass(frozen=True)
class Entry:
    """A file to be written into a bundle: from a place on this machine, or from bytes."""

    name: str
    content: Path | bytes
    sha256: str
    size: int

    @classmethod
    def of(cls, name: str, content: Path | bytes) -> Entry:
        if isinstance(content, bytes):
            return cls(name, content, hashlib.sha256(content).hexdigest(), len(content))
        try:
            with open(content, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                return cls(name, content, digest, file.tell())
        except OSError as error:
            raise BraggfillError(f"{content}: cannot be read ({error.strerror}); check its permissions") from error


@dataclass(frozen=True)
class Bundle:
    """A bundle that is open, a zip or (without ``file``) a folder."""

    path: Path
    file: zipfile.ZipFile | None = None

    def size(self, name: str) -> int | None:
        """Bytes of a file of it, none more of which are ever read; None if it is no file, or a link."""
        if self.file is not None:
            info = self.file.NameToInfo.get(name)
            return None if info is None else info.file_size
        place = self.path.resolve() / name
        with suppress(OSError):
            return place.stat().st_size if place.resolve() == place and place.is_file() else None
        return None


@contextmanager
def opened(path: str | Path) -> Iterator[Bundle]:
    """A bundle, zip or folder."""
    path = Path(path)
    if not path.exists():
        raise BraggfillError(f"{path}: no such bundle; check the path")
    try:
        opening = nullcontext() if path.is_dir() else zipfile.ZipFile(path)
    except OSError as error:
        raise BraggfillError(f"{path}: cannot be read ({error.strerror or error}); check it") from error
    except DAMAGE as error:
        raise BraggfillError(f"{path}: is no zip file, or damaged ({error}); get the bundle again") from error
    with opening as file:
        bundle = Bundle(path, file)
        if bundle.size(CHECKSUMS) is None:
            raise BraggfillError(f"{path}: is no bundle (it has no {CHECKSUMS}); make one with 'braggfill bundle'")
        yield bundle


def blocks(bundle: Bundle, name: str) -> Iterator[bytes]:
    """The content of a file of a bundle, a block at a time."""
    try:
        with open(bundle.path / name, "rb") if bundle.file is None else bundle.file.open(name) as file:
            while block := file.read(BLOCK):
                yield block
    except OSError as error:
        raise BraggfillError(f"{bundle.path}: {name} cannot be read ({error.strerror or error}); check it") from error
    except DAMAGE as error:
        raise BraggfillError(f"{bundle.path}: {name} is damaged ({error}); get the bundle again") from error


def read(bundle: Bundle, name: str) -> bytes:
    """The whole of a small file of a bundle."""
    size = bundle.size(name)
    if size is None:
        raise BraggfillError(f"{bundle.path}: {name} is missing; get the bundle again")
    if size > LARGEST_TEXT:
        raise BraggfillError(f"{bundle.path}: {name} is too large to be what it is called; do not use the bundle")
    return b"".join(blocks(bundle, name))


def listing(bundle: Bundle, run: str) -> dict[str, str]:
    """The recorded checksums by name; that nothing is missing, odd, or no part of the run, or more than it seems."""
    found: dict[str, str] = {}
    for line in read(bundle, CHECKSUMS).decode("utf-8", "replace").split("\n")[:-1]:
        matched = _LINE.fullmatch(line)
        if matched is None or matched[2] in found:
            raise BraggfillError(f"{bundle.path}: {CHECKSUMS} is damaged ({line[:60]!r}); get the bundle again")
        found[matched[2]] = matched[1]
    folders = {str(parent) for name in found for parent in PurePosixPath(name).parents}
    foreign = [name for name in found if not belongs(name, run) or name in folders]
    _refuse(bundle, foreign, f": no part of run {run}; do not use the bundle")
    sizes = {name: bundle.size(name) for name in (*found, "Snakefile", "bundle.json", f"results/{run}/settings.yaml")}
    wrong = [f"{name} is missing" for name, size in sizes.items() if size is None]
    if bundle.file is not None:
        times = Counter(bundle.file.namelist())
        wrong += [f"{name} has no checksum" for name in times if name not in found and name != CHECKSUMS]
        wrong += [f"{name} is there twice" for name in times if times[name] > 1]
        odd = {i.filename for i in bundle.file.infolist() if i.compress_type not in PLAIN}
        wrong += [f"{name} is packed in another way" for name in sorted(odd)]
    _refuse(bundle, wrong, "; get the bundle again")
    whole, packed = sum(size or 0 for size in sizes.values()), bundle.path.stat().st_size
    if bundle.file is not None and whole > max(HARMLESS, EXPANDS * packed):
        told = f"its {packed / 1e6:.1f} MB would expand to {whole / 1e6:.1f} MB, as no run's do; leave it"
        raise BraggfillError(f"{bundle.path}: {told}")
    if sum(size or 0 for name, size in sizes.items() if name.startswith(".snakemake/")) > LARGEST_RECORDS:
        raise BraggfillError(f"{bundle.path}: Snakemake's records are too large to be a run's; do not use the bundle")
    return found


def _refuse(bundle: Bundle, told: list[str], advice: str) -> None:
    if told:
        more = f", and {len(told) - 1} more" if len(told) > 1 else ""
        raise BraggfillError(f"{bundle.path}: {told[0]}{more}{advice}")


def belongs(name: str, run: str) -> bool:
    """Whether a bundle of a run may hold it: a result, Snakemake's record of one, code, what tells about the bundle."""
    output = output_of(name)
    if output is not None:
        return of_run(output, run)
    return of_run(name, run) or (_plain(name) and (name in ABOUT or name.split("/")[0] in (*CODE, *TEXTS)))


def of_run(name: str, run: str) -> bool:
    """Whether a name is that of a result of a run, but for what passes: hidden files, the checkpoints of a training."""
    parts = name.split("/")
    return _plain(name) and parts[:2] == ["results", run] and len(parts) > 2 and parts[2:4] != ["train", "work"]


def _plain(name: str) -> bool:
    """Whether a name is a relative path that leads nowhere else, hides nothing and can be printed."""
    parts = name.split("/")
    return name.isprintable() and "\\" not in name and all(part and not part.startswith(".") for part in parts)


def check(bundle: Bundle, listed: Mapping[str, str], into: Callable[[str], IO[bytes] | None] = lambda _: None) -> None:
    """Check every checksum; ``into(name)`` may give an open file to copy to, whose ``OSError`` is passed on."""
    for name, expected in listed.items():
        with into(name) or nullcontext() as copy:
            found = _copied(blocks(bundle, name), copy)
        if found != expected:
            told = f"{name} is damaged (its checksum is not the recorded one)"
            raise BraggfillError(f"{bundle.path}: {told}; get the bundle again")


def write(path: Path, entries: Iterable[Entry], created: float, *, zipped: bool) -> None:
    """Write the entries into a zip file, or a new folder.

    Snakemake runs a job again whose output is not newer than its script and input, and zip keeps times to two seconds:
    all results bear the time of packing, all code an hour less, in the order in which they were made.
    """
    with zipfile.ZipFile(path, "w", allowZip64=True) if zipped else nullcontext() as file:
        for entry in entries:
            moment = created - (0 if of_results(entry.name) else CODE_IS_OLDER_S)
            mode = 0o755 if isinstance(entry.content, Path) and os.access(entry.content, os.X_OK) else 0o644
            if file is None:
                place = path / entry.name
                place.parent.mkdir(parents=True, exist_ok=True)
                with open(place, "wb") as target:
                    _copy(entry, target)
                place.chmod(mode)
                settle(place, moment)
                continue
            info = zipfile.ZipInfo(entry.name, time.localtime(int(moment) & ~1)[:6])
            packed = PurePosixPath(entry.name).suffix in PACKED
            info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            info.external_attr = (stat.S_IFREG | mode) << 16
            info.file_size = entry.size
            with file.open(info, "w", force_zip64=entry.size > 1 << 31) as target:
                _copy(entry, target)


def settle(place: Path, moment: float) -> None:
    """The time of a file, in s; and that it is on the disk."""
    os.utime(place, (moment, moment))
    with open(place, "rb") as file:
        os.fsync(file.fileno())


def of_results(name: str) -> bool:
    """Whether a file of a bundle is a result, or Snakemake's record of one; else it is code or about the bundle."""
    return name.startswith(("results/", ".snakemake/"))


def _copy(entry: Entry, target: IO[bytes]) -> None:
    with io.BytesIO(entry.content) if isinstance(entry.content, bytes) else open(entry.content, "rb") as source:
        if _copied(iter(lambda: source.read(BLOCK), b""), target) != entry.sha256:
            raise BraggfillError(f"{entry.name}: changed while it was packed; let the run end first")


def _copied(content: Iterable[bytes], target: IO[bytes] | None) -> str:
    """The checksum of what is written."""
    found = hashlib.sha256()
    for block in content:
        found.update(block)
        if target is not None:
            target.write(block)
    return found.hexdigest()
