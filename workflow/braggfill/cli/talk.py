"""What the commands share: options about the scan and what is missing, and how much is said."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from braggfill.scans import Loaded, Missing

Say = Callable[[str], None]
BRIEF = ("filled", "warning", "converged", "uncertain", "failed")
"""How lines begin that are said of each of many scans."""


def scan_options(*, several: bool = False) -> argparse.ArgumentParser:
    """The options of every command that reads a scan, or ``several``."""
    parser = argparse.ArgumentParser(add_help=False)
    add = parser.add_argument
    if several:
        add("scan", metavar="SCAN", nargs="+", help="the scan, see below; several go into a folder")
    else:
        add("scan", metavar="SCAN", help="the scan, see below")
    add("--mask", metavar="MASK", help="what is missing, see below")
    add("--join", action="store_true", help="join MASK with what is known without it")
    add("--invert-mask", action="store_true", help="the mask file is zero where a voxel is missing")
    add("--detector", metavar="NAME", help="take the gaps of this detector, see below")
    add("--roi", metavar="ROW,COL", help="where on the detector the scan lies, see below")
    add(
        "--photons-per-unit",
        type=float,
        metavar="X",
        help="photons in a unit of the scan's values, where these are no photons (scaled by a monitor, ADU …)",
    )
    much = parser.add_mutually_exclusive_group()
    much.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no remarks; errors only")
    much.add_argument("-v", "--verbose", action="store_true", help="say more")
    add("--debug", action="store_true", help="show the traceback of an unexpected error")
    return parser


def say(line: str) -> None:
    """A line on standard error, if there is one."""
    if sys.stderr is not None:
        print(f"braggfill: {printable(line)}", file=sys.stderr, flush=True)


def printable(line: str) -> str:
    """A line with what is no printable character escaped: names from files of others may hold control sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def remarks(options: argparse.Namespace) -> tuple[Say, Say]:
    """What to say remarks with, and details: silent as the options have it."""
    if options.quiet:
        return _nothing, _nothing
    if getattr(options, "brief", False):  # one scan of many: its last line, and warnings
        return (lambda line: say(f"{options.scan}: {line}") if line.startswith(BRIEF) else None), _nothing
    return say, (say if options.verbose else _nothing)


def shows_progress(options: argparse.Namespace) -> bool:
    """Whether progress bars are shown: on a terminal, and not into a file."""
    quiet = options.quiet or getattr(options, "brief", False)
    return not quiet and sys.stderr is not None and sys.stderr.isatty()


def missing(options: argparse.Namespace, scan: Loaded) -> Missing | None:
    """What is missing in the scan, by all the options that tell."""
    from braggfill import scans

    return scans.missing(
        options.scan,
        scan.array,
        mask=options.mask,
        detector=options.detector,
        roi=options.roi,
        invert=options.invert_mask,
        join=options.join,
    )


def agreed(question: str) -> bool:
    """Whether the user says yes; nobody does where nobody is asked (no terminal)."""
    if sys.stdin is None or sys.stderr is None or not sys.stdin.isatty():
        return False
    print(f"braggfill: {question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def name(where: str) -> str:
    """Where an array came from, without the folder: results are shared, and folders are nobody's business."""
    path, separator, inside = where.partition("::")
    return printable(f"{Path(path).name}{separator}{inside}")


def size(scan: Loaded) -> str:
    """Shape and type of a scan."""
    return f"{' × '.join(map(str, scan.array.shape))} {scan.array.dtype}"


def _nothing(line: str) -> None:
    pass
