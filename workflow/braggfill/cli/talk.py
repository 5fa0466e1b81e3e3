"""What the commands share: options about the scan and what is missing, and how much is said."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from braggfill.errors import BraggfillError

if TYPE_CHECKING:
    from braggfill.scans import Loaded, Missing
    from braggfill.scans.flatfield import FlatField

Say = Callable[[str], None]
NO_LOG = (".npz", ".npy", ".cxi", ".h5", ".hdf5", ".nxs", ".tif", ".tiff", ".safetensors", ".png")
"""Suffixes that a log never has: a file of such a name is a mistake."""
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
    add("--flat-field", metavar="FILE", help="divide the counts by this flat field, FILE::NAME; see below")
    add("--flat-field-factors", action="store_true", help="it holds factors: multiply the counts by it")
    much = parser.add_mutually_exclusive_group()
    much.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no remarks; errors only")
    much.add_argument("-v", "--verbose", action="store_true", help="say more")
    add("--log", metavar="FILE", help="also append every line, with the time, to FILE; details, too, whatever -q says")
    add("--debug", action="store_true", help="show the traceback of an unexpected error")
    return parser


class Log:
    """The file of ``--log``, if there is one: lines are appended as they come."""

    def __init__(self) -> None:
        self.path: Path | None = None

    def open(self, name: str | None, command: Sequence[str]) -> None:
        """Go on in the file ``name``, which gets the command line first; None for no file.

        Raises
        ------
        BraggfillError : it cannot be written.
        """
        self.path = None
        if name is None:
            return
        path = Path(name)
        if path.exists() and not path.is_file():
            raise BraggfillError(f"--log {name}: is no file; name a text file")
        if path.suffix.lower() in NO_LOG or (path.exists() and b"\0" in _begin(path)):
            raise BraggfillError(f"--log {name}: is no text file; name another one")
        self.path = path
        try:
            self._append(f"$ braggfill {shlex.join(command)}")
        except OSError as error:
            self.path = None
            raise BraggfillError(f"--log {name}: cannot be written ({error.strerror}); name another file") from error

    def line(self, line: str) -> None:
        """Append a line; a disk that is full by now stops nothing."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self._append(line)

    def _append(self, line: str) -> None:
        assert self.path is not None
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"{now} {printable(line)}\n")


def _begin(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4096)
    except OSError:
        return b""


log = Log()


def say(line: str) -> None:
    """A line on standard error, if there is one, and in the log."""
    log.line(line)
    if sys.stderr is not None:
        print(f"braggfill: {printable(line)}", file=sys.stderr, flush=True)


def printable(line: str) -> str:
    """A line with what is no printable character escaped: names from files of others may hold control sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def remarks(options: argparse.Namespace) -> tuple[Say, Say]:
    """What to say remarks with, and details: silent as the options have it."""
    if options.quiet:
        return log.line, log.line
    if getattr(options, "brief", False):  # one scan of many: its last line, and warnings
        return (lambda line: (say if line.startswith(BRIEF) else log.line)(f"{options.scan}: {line}")), log.line
    return say, (say if options.verbose else log.line)


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
        placed=options.flat_field is not None,
    )


def flat_field(options: argparse.Namespace, scan: Loaded) -> FlatField | None:
    """The flat field that is named, cut to the scan's frames."""
    from braggfill.scans import flatfield

    if options.flat_field is None:
        if options.flat_field_factors:
            raise BraggfillError("--flat-field-factors: goes with --flat-field only; add it, or leave this out")
        return None
    return flatfield.load(options.flat_field, scan.array.shape, options.roi, factors=options.flat_field_factors)


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
