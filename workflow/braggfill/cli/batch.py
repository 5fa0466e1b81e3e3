"""Many scans in one command: a line each, one failure does not stop the rest."""

from __future__ import annotations

import argparse
import copy
import glob
import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path

from braggfill.cli import talk
from braggfill.errors import BraggfillError

Run = Callable[[argparse.Namespace], int]
SUFFIX = ".cxi"
"""Of the files in a folder; ``-o 'folder/*.npz'`` says otherwise."""


def run(options: argparse.Namespace, one: Run) -> int:
    """Do ``one`` for each scan that is named; a single scan with a file for OUT as ever.

    Returns
    -------
    0; else 1 if a scan failed by a fault of braggfill, 2 if by something that can be put right, else what ``one`` gave.

    Raises
    ------
    BraggfillError : OUT is no folder, or two scans would be written to one file.
    """
    given = options.scan
    if len(given) == 1 and not _many(options.out) and not _is_pattern(given[0]):
        options.scan = given[0]
        return one(options)
    for name in ("preview", "report", "save_network"):
        value = getattr(options, name, None)
        if value:
            option = name.replace("_", "-")
            raise BraggfillError(f"--{option} {value}: names one file, and there are several scans; leave it out")
    places = outputs([scan for each in given for scan in _expanded(each)], options.out)
    status = 0
    failed = 0
    for scan, out in places.items():
        own = copy.copy(options)
        own.scan, own.out, own.brief = scan, str(out), not options.verbose
        try:
            ended = one(own)
            status, failed = status or ended, failed + bool(ended)
            options.written = True
        except BraggfillError as error:
            talk.say(f"{scan}: error: {' '.join(str(error).split())}")
            status, failed = status if status == 1 else 2, failed + 1
        except MemoryError:
            talk.say(f"{scan}: error: not enough memory; crop the scan, or use a machine with more")
            status, failed = status if status == 1 else 2, failed + 1
        except Exception as error:
            if options.debug:
                traceback.print_exc()
            told = " ".join(str(error).split()) or "no message"
            talk.say(f"{scan}: error: unexpected {type(error).__name__} ({told})")
            status, failed = 1, failed + 1
    if failed:
        talk.say(f"{failed} of {len(places)} scans failed")
    return status


def outputs(scans: list[str], out: str) -> dict[str, Path]:
    """A file for each scan: named after it, and after the array in it where several scans lie in one file.

    Raises
    ------
    BraggfillError : ``out`` is no folder, or two scans would be written to one file.
    """
    if not _many(out) and Path(out).suffix:
        raise BraggfillError(f"{out}: is one file for {len(scans)} scans; name a folder, e.g. -o filled/")
    pattern = Path(out) if "*" in Path(out).name else Path(out) / f"*{SUFFIX}"
    taken: dict[Path, str] = {}
    from braggfill.scans import reading

    specs = [reading.split(scan) for scan in scans]
    files = [spec.path for spec in specs]
    stems = [file.stem if file.suffix else file.name for file in files]
    for number, (scan, stem) in enumerate(zip(scans, stems, strict=True)):
        if stems.count(stem) > 1:
            cut = specs[number].frames
            some = "" if cut == slice(None) else f"{cut.start or 0}-{'' if cut.stop is None else cut.stop}"
            inside = "_".join(filter(None, [specs[number].name, some]))
            several = len({str(file) for file, other in zip(files, stems, strict=True) if other == stem}) > 1
            own = "_".join(filter(None, [files[number].parent.name if several else "", inside]))
            stem = f"{stem}_{re.sub(r'[^A-Za-z0-9.-]+', '_', own).strip('_')}"
        place = pattern.with_name(pattern.name.replace("*", stem))
        if place in taken:
            raise BraggfillError(f"{place}: both {taken[place]} and {scan} would be written to it; fill them apart")
        taken[place] = scan
    return {scan: place for place, scan in taken.items()}


def _many(out: str) -> bool:
    return out.endswith(os.sep) or "*" in Path(out).name


def _is_pattern(scan: str) -> bool:
    """Whether a name is a pattern of files that are scans of their own; of TIFF frames it is one scan."""
    plain = glob.has_magic(scan) and not Path(scan).exists() and "::" not in scan and "[" not in scan
    plain = plain and not scan.startswith(("silx:", "fabio:"))
    return plain and not scan.lower().endswith((".tif", ".tiff", ".edf", ".cbf", ".gz"))


def _expanded(scan: str) -> list[str]:
    """Files of a pattern that the shell left as it is."""
    if not _is_pattern(scan):
        return [scan]
    found = sorted(glob.glob(scan))  # noqa: PTH207 (absolute patterns, too)
    if not found:
        raise BraggfillError(f"{scan}: no such file; check the pattern")
    return found
