"""Stage ``fetch``: the measured data, found on this machine or at their public source, always the very same arrays.

A data set is known by the sha256 of its arrays (names, types, shapes, bytes), not of a file, so that a local ``.npz``
and the public source are held to the same content.  Nothing else of the project knows where data come from.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.runs import storage
from braggfill.settings.fetch import FetchSettings
from braggfill.stages.fetch.catalogue import DATA_SETS, DataSet, canonical, digest
from braggfill.stages.fetch.download import Arrays, NotToBeHad

__all__ = ["DATA_SETS", "digest", "fetch", "locate"]

VARIABLE = "BRAGGFILL_DATA"
PROJECT = Path(__file__).resolve().parents[4]


def fetch(settings: FetchSettings, name: str, out: Path, code: str = "", told: str = "") -> None:
    """Write a measured data set to ``out`` (HDF5), or a file that says in one line why it was left out.

    It is looked for in the folder that the environment variable ``BRAGGFILL_DATA`` names, in ``settings.folders``, in
    ``settings.download_folder``, and at its public source; what comes from there is kept in ``download_folder``.  A
    file whose content is not the published one is passed over with a warning.  ``told`` is what :func:`locate` said
    when the job was planned; it is kept beside the data.

    ====================  ==========================================================================================
    name                  data sets
    ====================  ==========================================================================================
    aps_staff20_s0054     ``data`` int32 (201, 256, 256), counts of a rocking curve measured at APS 34-ID-C
    id01_s11              ``obj`` complex64 (86, 118, 122), Pt particle reconstructed from a measurement at ESRF ID01
    id01_s978             ``obj`` complex64 (26, 47, 59) and ``support`` bool, strongly strained, ESRF ID01
    detector_masks        ``maxipix``, ``merlin``, ``pilatus_1w1a``, ``pilatus_id05``: bool, one frame, True = missing
    ====================  ==========================================================================================

    Raises
    ------
    BraggfillError : there is no data set of that name, or ``out`` cannot be written.
    """
    entry = _entry(name)
    try:
        arrays, found = _find(settings, name, entry)
    except NotToBeHad as reason:
        remedy = f"put {entry.file} into data/ or go online, delete {out.name} and run again"
        line = f"{name} could not be had: {reason}; {remedy}"
        print(f"braggfill: left out: {line}", file=sys.stderr)
        with storage.create(out, code=code, left_out=line, name=name, source=entry.source):
            return
    with storage.create(
        out,
        code=code,
        name=name,
        source=entry.source,
        license=entry.license,
        sha256=entry.sha256,
        found=found,
        told=told,
    ) as file:
        for key, array in arrays.items():
            file.create_dataset(key, data=array, chunks=True, compression="gzip", compression_opts=1, shuffle=True)


def locate(name: str, settings: FetchSettings | None = None, out: Path | None = None) -> str:
    """Where a data set would come from: name and size of its local file, or ``"public source"``.

    Cheap (no hashing, no network), the same for the same file in another folder, and unchanged by a download.  If
    ``out`` holds the data already, it is what the job that wrote it was told, wherever a file lies by now: content is
    held to its sha256, so there is nothing to be gained.  Meant as a rule's parameter, so that data put into a folder
    later are taken where they were left out, and nothing else runs again.
    """
    entry = _entry(name)
    told = _told(out) if out is not None else None
    if told is not None:
        return told
    for folder in _folders(settings or FetchSettings()):
        path = folder / entry.file
        if path.is_file():
            return f"{entry.file}, {path.stat().st_size} bytes"
    return "public source"


def _told(out: Path) -> str | None:
    """What the job that wrote a data set was told of its place, or None if ``out`` does not hold it."""
    try:
        with storage.read(out) as file:
            return None if "left_out" in file.attrs else file.attrs.get("told")
    except BraggfillError:
        return None


def _entry(name: str) -> DataSet:
    if name not in DATA_SETS:
        raise BraggfillError(f"{name}: no such data set; there are {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


def _resolve(folder: str) -> Iterator[Path]:
    """A folder relative to the current one, and to the project's root where that is another."""
    for top in dict.fromkeys([Path.cwd(), PROJECT]):
        yield top / Path(folder).expanduser()


def _folders(settings: FetchSettings) -> list[Path]:
    named = os.environ.get(VARIABLE)
    places = [Path(named).expanduser()] if named else []
    return list(dict.fromkeys([*places, *(path for folder in settings.folders for path in _resolve(folder))]))


def _find(settings: FetchSettings, name: str, entry: DataSet) -> tuple[Arrays, str]:
    """The arrays and where they were found, or why not."""
    named = os.environ.get(VARIABLE)
    if named and not Path(named).expanduser().is_dir():
        _warn(f"{VARIABLE}={named}: no such folder; looking elsewhere")
    for path in (place / entry.file for place in [*_folders(settings), *_resolve(settings.download_folder)]):
        if not path.is_file():
            continue
        try:
            return canonical(entry, _load(path)), entry.file
        except NotToBeHad as reason:
            _warn(f"{path}: {reason}; trying the next source")
    looked = ", ".join([*([f"${VARIABLE}"] if named else []), *settings.folders])
    if not settings.download:
        raise NotToBeHad(f"not in {looked}, and fetch.download is off")
    try:
        print(f"braggfill: downloading {name} ({entry.source})", file=sys.stderr)
        arrays = canonical(entry, entry.download(settings))
    except NotToBeHad as reason:
        raise NotToBeHad(f"not in {looked}, and from its public source: {reason}") from None
    _keep(next(_resolve(settings.download_folder)) / entry.file, entry, arrays)
    return arrays, "public source"


def _warn(line: str) -> None:
    print(f"braggfill: warning: {line}", file=sys.stderr)


def _load(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except Exception as error:  # damaged bytes lead the reader into errors of every kind
        raise NotToBeHad(f"cannot be read, truncated or another format ({error})") from None


def _keep(path: Path, entry: DataSet, arrays: Arrays) -> None:
    """Keep a download, so that it is made once; where that is impossible, say so and go on."""
    try:
        with storage.replacing(path) as temporary:
            kept: dict[str, Any] = {theirs: arrays[name] for name, (theirs, _) in entry.arrays.items()}
            np.savez_compressed(temporary, **kept)
    except (BraggfillError, OSError) as error:
        _warn(f"the download could not be kept: {error}")
