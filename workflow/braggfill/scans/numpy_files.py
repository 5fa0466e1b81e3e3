"""NumPy's own files; nothing is ever unpickled."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np

from braggfill.errors import BraggfillError


def _not_numpy(path: Path, error: Exception) -> BraggfillError:
    """What to say of any error while NumPy reads: damaged bytes lead it into errors of every kind."""
    if isinstance(error, MemoryError):
        return BraggfillError(f"{path}: claims to hold more than there is memory for; crop it, or copy it again")
    if "allow_pickle" in str(error):
        return BraggfillError(f"{path}: holds pickled objects, which are never opened; save plain numbers instead")
    return BraggfillError(f"{path}: not a readable {path.suffix} file (truncated, or another format); copy it again")


def _numpy(path: Path) -> np.ndarray | np.lib.npyio.NpzFile:
    with open(path, "rb") as file:
        begins = file.read(6)
    if not begins.startswith((b"\x93NUMPY", b"PK")):  # NumPy would take it for a pickle
        raise _not_numpy(path, ValueError("another format"))
    try:
        return np.load(path, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:
        raise _not_numpy(path, error) from error


def npy(path: Path) -> np.ndarray:
    """The array of a ``.npy`` file."""
    array = _numpy(path)
    if not isinstance(array, np.ndarray):
        array.close()
        raise BraggfillError(f"{path}: is an archive of arrays; give it the suffix .npz")
    return array


def _npz(path: Path) -> np.lib.npyio.NpzFile:
    file = _numpy(path)
    if isinstance(file, np.ndarray):
        raise BraggfillError(f"{path}: is a single array; give it the suffix .npy")
    return file


def names(path: Path) -> list[str]:
    """Names of the arrays in an archive."""
    with _npz(path) as file:
        return list(file.files)


def npz(path: Path, name: str | None, role: str) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """An array of an archive, where it lies, and what is to be said of the others.

    Raises
    ------
    BraggfillError : there is none of that name, or it cannot be read.
    """
    with _npz(path) as file:
        if not file.files:
            raise BraggfillError(f"{path}: holds no array; name another file")
        chosen = name or _usual(path, file.files, role)
        if chosen not in file.files:
            raise BraggfillError(f"{path}: holds no array {chosen!r}; it holds {', '.join(file.files)}")
        try:
            return file[chosen], f"{path}::{chosen}", _others(path, name, chosen, role)
        except OSError:
            raise
        except Exception as error:
            raise _not_numpy(path, error) from error


def _usual(path: Path, held: list[str], role: str) -> str:
    """``data`` or ``mask``, as is asked for; else the first array that can be one; else the first."""
    usual = "data" if role == "scan" else "mask"
    if usual in held:
        return usual
    if role == "mask":
        fit = [name for name, _, kind in headers(path) if kind.kind == "b"]
    else:
        fit = [name for name, shape, kind in headers(path) if _may_be_scan(name, shape, kind)]
    return fit[0] if fit else held[0]


def _may_be_scan(name: str, shape: tuple[int, ...], kind: np.dtype) -> bool:
    return len(shape) >= 3 and shape[:-3] == (1,) * (len(shape) - 3) and kind.kind in "iuf" and name != "mask"


def headers(path: Path) -> list[tuple[str, tuple[int, ...], np.dtype]]:
    """Name, shape and type of every array of an archive, by their headers alone."""
    found = []
    for name in names(path):
        try:
            with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
                first = np.lib.format.read_magic(member) == (1, 0)
                read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
                shape, _, kind = read(member)
        except (KeyError, ValueError, OSError, struct.error, zipfile.BadZipFile):
            continue
        found.append((name, shape, kind))
    return found


def _others(path: Path, name: str | None, chosen: str, role: str) -> tuple[str, ...]:
    """Other 3D arrays of numbers, where none was named and none is called ``data``."""
    if name or chosen == "data" or role == "mask":
        return ()
    several = [(other, shape) for other, shape, kind in headers(path) if _may_be_scan(other, shape, kind)]
    others = [f"{other} ({' × '.join(map(str, shape))})" for other, shape in several if other != chosen]
    if not others:
        return ()
    return (f"warning: {path.name} holds several arrays; took {chosen}, the first; others: {', '.join(others[:6])}",)
