"""HDF5 files as they lie on disk: opened without locks, links followed step by step, reasons told as they are.

HDF5 itself follows links and opens the files of virtual data sets, but it does not say what it could not reach: it
gives fill values.  Here every step is taken by hand, so that each failure has its reason, and every file that was
touched is known.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

import h5py

from braggfill.errors import BraggfillError

HOPS = 32
"""Links in a row; more are a circle."""
Node: TypeAlias = h5py.Group | h5py.Dataset


class Broken(BraggfillError):
    """A link, a file or a source that leads nowhere, and why."""


class Absent(BraggfillError):
    """A group has no member of that name."""


class Place(NamedTuple):
    """An object, and how it was reached."""

    node: Node
    path: str
    """In the file that was asked for, e.g. ``/entry/data/data``."""
    homes: tuple[tuple[h5py.Group, str], ...]
    """Each group that a link on the way names as the holder of the object, with the object's name there."""


class Store:
    """HDF5 files open for reading, as long as the block lasts."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._open: dict[str, h5py.File] = {}
        self.touched: list[Path] = []
        """Every file that was opened, raw data of external storage included."""
        self.remarks: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def open(self, path: Path, told: str | None = None) -> h5py.File:
        """A file, opened once; ``told`` names it in an error."""
        key = os.path.realpath(path)
        if key not in self._open:
            self._open[key] = self._stack.enter_context(opened(path, self.remarks, told or str(path)))
            self.touched.append(Path(path))
        return self._open[key]

    def at(self, start: Node, path: str, hops: int = 0) -> Place:
        """The object that a path leads to.

        Raises
        ------
        Absent, Broken : a part of the path is not there, or a link on it leads nowhere.
        """
        node: Node = start.file["/"] if path.startswith("/") else start
        place = Place(node, node.name or "/", ())
        for part in path.split("/"):
            if part in ("", "."):
                continue
            if not isinstance(place.node, h5py.Group):
                raise Absent(f"{place.path} is a dataset itself; drop the rest")
            place = self.member(place.node, part, place.path, hops)
        return place

    def member(self, group: h5py.Group, name: str, path: str, hops: int = 0) -> Place:
        """A member of a group that was reached by ``path``, through whatever link."""
        here = f"{path.rstrip('/')}/{name}"
        if hops > HOPS:
            raise Broken(f"{here}: links lead in a circle; name the dataset itself")
        raw = os.fsencode(name)
        try:
            kind = group.id.links.get_info(raw).type
        except (KeyError, RuntimeError, ValueError) as error:
            raise Absent(f"no {here}") from error
        if kind == h5py.h5l.TYPE_SOFT:
            target = os.fsdecode(group.id.links.get_val(raw))
            try:
                found = self.at(group, target, hops + 1)
            except Absent as error:
                raise Broken(f"{here} links to {target}, which is not there; name another dataset") from error
        elif kind == h5py.h5l.TYPE_EXTERNAL:
            file, target = (os.fsdecode(part) for part in group.id.links.get_val(raw))
            found = self.elsewhere(group.file, file, target, f"{here} links to {file}", hops + 1)
        else:
            try:
                found = Place(group[name], here, ())
            except (KeyError, OSError, RuntimeError, ValueError) as error:
                raise Broken(f"{here}: cannot be opened ({reason(error)}); the file is damaged there") from error
            if found.node.name is None or isinstance(found.node, h5py.Datatype):
                raise Absent(f"no dataset {here}")
            return found._replace(homes=((group, name),))
        return found._replace(path=here, homes=((group, name), *found.homes))

    def elsewhere(self, beside: h5py.File, file: str, target: str, told: str, hops: int = 0) -> Place:
        """An object in another file that one names; ``told`` says who names it."""
        place = find(file, Path(beside.filename))
        if place is None:
            raise Broken(f"{told}, which is not there; copy that file, too")
        if not place.is_file():
            raise Broken(f"{told}, which is no file; name another dataset")
        try:
            other = self.open(place, file)
        except BraggfillError as error:
            raise Broken(f"{told}: {str(error).removeprefix(f'{file}: ')}") from error
        try:
            return self.at(other, "/" + target.lstrip("/"), hops)
        except Absent as error:
            raise Broken(f"{told}, which holds no {target}; name another dataset") from error


def find(name: str, beside: Path) -> Path | None:
    """A file that another one names: relative names beside it, beside what it is a symbolic link to, and here; absolute
    names as they are, else by their last parts in those folders, for files that were copied together."""
    path = Path(name)
    folders = [beside.absolute().parent, Path(os.path.realpath(beside)).parent, Path.cwd()]
    if path.is_absolute():
        if path.exists():
            return path
        tails = [Path(*path.parts[first:]) for first in range(1, len(path.parts))]
        folders = folders[:2]
    else:
        tails = [path]
    for tail in tails:
        for folder in folders:
            try:
                if (folder / tail).exists():
                    return folder / tail
            except (OSError, ValueError):  # a name that no file can have
                return None
    return None


def key(node: Node) -> tuple[int, int]:
    """What two names of one object have in common."""
    info = h5py.h5o.get_info(node.id)
    return (info.fileno, info.addr)


def opened(path: Path, remarks: list[str], told: str) -> h5py.File:
    """Open for reading without a lock, which would stop an acquisition that writes there; else as its writer's reader.

    Raises
    ------
    BraggfillError : with HDF5's own reason.
    """
    import hdf5plugin  # noqa: F401  (registers the filters of compressed files)

    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        if isinstance(error, PermissionError):
            raise BraggfillError(f"{told}: may not be read (permission denied); check its permissions") from error
        try:
            file = h5py.File(path, "r", locking=False, swmr=True)
        except (OSError, ValueError):
            raise BraggfillError(f"{told}: {_unreadable(error)}") from error
        remarks.append(f"{told} is marked as being written; read as far as its writer had come")
        return file
    if _locked(path):
        remarks.append(f"another program has {told} open for writing; what it has not written yet is not in it")
    return file


def _locked(path: Path) -> bool:
    """Whether somebody here holds a lock for writing; to ask for one ourselves would disturb an acquisition."""
    try:
        inode = str(Path(path).stat().st_ino)
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return False
    held = [line.split() for line in lines]
    mine = str(os.getpid())
    return any("WRITE" in line and mine not in line and line[-3].rpartition(":")[2] == inode for line in held)


def _unreadable(error: OSError) -> str:
    text = reason(error)
    lengths = re.search(r"eof = (\d+).*stored_eof = (\d+)", str(error))
    if lengths:
        return (
            f"not a readable HDF5 file: it breaks off after {lengths[1]} of {lengths[2]} bytes; copy it again, unless "
            "its writer ended before it was closed"
        )
    if "signature not found" in str(error):
        return "not a readable HDF5 file (it does not begin as one); check what it is, or copy it again"
    if "already open for write" in str(error) or "file is already open" in str(error):
        return (
            "a program has it open for writing, or ended while it had; close it there, or clear the mark in a copy "
            "with h5clear -s"
        )
    if "lock" in str(error):
        return f"HDF5 could not lock it ({text}); set HDF5_USE_FILE_LOCKING=FALSE"
    return f"not a readable HDF5 file ({text}); if it is damaged, copy it again"


def reason(error: BaseException) -> str:
    """HDF5's innermost reason, in one line."""
    text = " ".join(str(error).split()).strip("'\"")
    inner = text.partition("(")[2]
    return (inner[:-1] if inner.endswith(")") else inner) or text
