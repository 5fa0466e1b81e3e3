"""A bundle's files, in a zip or in a folder: read, checked against their checksums, written."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from braggfill.errors import BraggfillError

CHECKSUMS = "checksums.sha256"
BLOCK = 1 << 20
PACKED = {".h5", ".safetensors", ".png", ".gz", ".zip", ".npz"}  # compressed already
CODE_IS_OLDER_S = 3600


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


class Bundle(Protocol):
    """What a zip and a folder have in common."""

    path: Path

    def has(self, name: str) -> bool: ...
    def open(self, name: str) -> IO[bytes]: ...


class _Zip:
    def __init__(self, path: Path, file: zipfile.ZipFile):
        self.path, self.file = path, file

    def has(self, name: str) -> bool:
        return name in self.file.NameToInfo

    def open(self, name: str) -> IO[bytes]:
        return self.file.open(name)


class _Folder:
    def __init__(self, path: Path):
        self.path = path

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def open(self, name: str) -> IO[bytes]:
        return open(self.path / name, "rb")


@contextmanager
def opened(path: str | Path) -> Iterator[Bundle]:
    """A bundle, zip or folder.

    Raises
    ------
    BraggfillError : there is none, or it is not one.
    """
    path = Path(path)
    if path.is_dir():
        if not (path / CHECKSUMS).is_file():
            raise BraggfillError(f"{path}: is no bundle (it has no {CHECKSUMS}); make one with 'braggfill bundle'")
        yield _Folder(path)
        return
    if not path.exists():
        raise BraggfillError(f"{path}: no such bundle; check the path")
    try:
        with zipfile.ZipFile(path) as file:
            if CHECKSUMS not in file.namelist():
                raise BraggfillError(f"{path}: is no bundle (it has no {CHECKSUMS}); make one with 'braggfill bundle'")
            yield _Zip(path, file)
    except zipfile.BadZipFile as error:
        raise BraggfillError(f"{path}: is no zip file, or damaged ({error}); get the bundle again") from error
    except OSError as error:
        raise BraggfillError(f"{path}: cannot be read ({error.strerror or error}); check it") from error


def read(bundle: Bundle, name: str) -> bytes:
    """The whole of a small file of a bundle."""
    try:
        with bundle.open(name) as file:
            return file.read()
    except (KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise BraggfillError(f"{bundle.path}: {name} is missing or damaged; get the bundle again") from error


def checksums(bundle: Bundle) -> dict[str, str]:
    """The recorded checksums by name.

    Raises
    ------
    BraggfillError : a line of the list is not `sha256  name`, or a name leads out of the bundle.
    """
    found = {}
    for line in read(bundle, CHECKSUMS).decode("utf-8", "replace").splitlines():
        digest, separator, name = line.partition("  ")
        inside = PurePosixPath(name)
        leads_out = inside.is_absolute() or ".." in inside.parts or "\\" in name
        if not separator or len(digest) != 64 or not inside.parts or leads_out:
            raise BraggfillError(f"{bundle.path}: {CHECKSUMS} is damaged ({line[:60]!r}); get the bundle again")
        found[name] = digest
    return found


def check(bundle: Bundle, into: Callable[[str], IO[bytes] | None] = lambda name: None) -> dict[str, str]:
    """Check every checksum of a bundle, and of a zip that there is nothing else; the checksums by name.

    ``into(name)`` may give an open file that the content is copied to on the way.

    Raises
    ------
    BraggfillError : a file is missing, damaged or not listed.  It names the first, and how many more there are.
    """
    listed = checksums(bundle)
    wrong = [f"{name} is missing" for name in listed if not bundle.has(name)]
    if isinstance(bundle, _Zip):
        times = Counter(bundle.file.namelist())
        wrong += [f"{name} has no checksum" for name in times if name not in listed and name != CHECKSUMS]
        wrong += [f"{name} is there twice" for name in times if times[name] > 1]
    for name, expected in listed.items():
        if bundle.has(name) and digest(bundle, name, into(name)) != expected:
            wrong.append(f"{name} is damaged (its checksum is not the recorded one)")
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise BraggfillError(f"{bundle.path}: {wrong[0]}{more}; get the bundle again")
    return listed


def digest(bundle: Bundle, name: str, copy: IO[bytes] | None = None) -> str | None:
    """The sha256 of a file of a bundle, or None where its bytes can't be read; ``copy`` gets them and is closed."""
    found = hashlib.sha256()
    try:
        with bundle.open(name) as file:
            while block := file.read(BLOCK):
                found.update(block)
                if copy is not None:
                    copy.write(block)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError):
        return None
    finally:
        if copy is not None:
            copy.close()
    return found.hexdigest()


def write_zip(path: Path, entries: Iterable[Entry], created: float) -> None:
    """Write the entries into a zip file.

    Snakemake runs a job again whose output is not newer than its script, or older than its input.  Zip keeps times to
    two seconds, and other programs less: so all results bear the time of packing and all code an hour less, and they
    stand in the order in which they were made.
    """
    with zipfile.ZipFile(path, "w", allowZip64=True) as file:
        for entry in entries:
            moment = created - (0 if of_results(entry.name) else CODE_IS_OLDER_S)
            info = zipfile.ZipInfo(entry.name, time.localtime(int(moment) & ~1)[:6])
            packed = PurePosixPath(entry.name).suffix in PACKED
            info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            info.external_attr = (stat.S_IFREG | _mode(entry)) << 16
            info.file_size = entry.size
            with file.open(info, "w", force_zip64=entry.size > 1 << 31) as target:
                _copy(entry, target)


def write_folder(path: Path, entries: Iterable[Entry], created: float) -> None:
    """Write the entries into a new folder, with times as in :func:`write_zip`."""
    for entry in entries:
        place = path / entry.name
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(place, "wb") as target:
            _copy(entry, target)
        place.chmod(_mode(entry))
        moment = created - (0 if of_results(entry.name) else CODE_IS_OLDER_S)
        os.utime(place, (moment, moment))


def of_results(name: str) -> bool:
    """Whether a file of a bundle is a result, or Snakemake's record of one; else it is code or about the bundle."""
    return name.startswith(("results/", ".snakemake/"))


def _mode(entry: Entry) -> int:
    runs = isinstance(entry.content, Path) and os.access(entry.content, os.X_OK)
    return 0o755 if runs else 0o644


def _copy(entry: Entry, target: IO[bytes]) -> None:
    if isinstance(entry.content, bytes):
        target.write(entry.content)
        return
    found = hashlib.sha256()
    with open(entry.content, "rb") as source:
        while block := source.read(BLOCK):
            found.update(block)
            target.write(block)
    if found.hexdigest() != entry.sha256:
        raise BraggfillError(f"{entry.content}: changed while it was packed; let the run end first")


def remove(folder: Path) -> None:
    """Remove a folder that this process made and did not finish."""
    shutil.rmtree(folder, ignore_errors=True)
