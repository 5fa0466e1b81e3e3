"""The command line, ``braggfill``.

Exit status: 0 done; 1 a fault of braggfill itself; 2 something that the user can put right, told in one line;
3 (``verify``) a bundle is whole, but stages would run again here, (``phase``) phase retrieval failed; 130 interrupted.
Whatever happens, the output is whole or absent.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from braggfill.cli import completion, encoding, filling, judging, phasing, sharing, talk
from braggfill.cli.texts import TOP
from braggfill.errors import BraggfillError

INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        talk.say(f"error: {message}; see '{self.prog} --help'")
        raise SystemExit(2)


class _Version(argparse.Action):
    def __init__(self, **arguments: Any):
        super().__init__(nargs=0, default=argparse.SUPPRESS, **arguments)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import importlib.metadata

        print(f"braggfill {importlib.metadata.version('braggfill')}")
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _end_on_terminate()
        talk.log.open(getattr(options, "log", None), sys.argv[1:] if arguments is None else arguments)
        return options.run(options)
    except BraggfillError as error:
        talk.say(f"error: {' '.join(str(error).split())}")
        return 2
    except KeyboardInterrupt:
        talk.say("interrupted" if getattr(options, "written", False) else "interrupted; nothing was written")
        return INTERRUPTED
    except BrokenPipeError:  # e.g. `braggfill info … | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        if options.debug:
            raise
        talk.say("error: not enough memory; crop the scan, or use a machine with more")
        return 2
    except Exception as error:
        if options.debug:
            raise
        told = " ".join(str(error).split()) or "no message"
        talk.say(f"error: unexpected {type(error).__name__} ({told}); rerun with --debug for a traceback")
        return 1


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog="braggfill", description=TOP, formatter_class=plain, usage="braggfill COMMAND …")
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, prog="braggfill", help=argparse.SUPPRESS
    )
    parser.add_argument(
        "--print-completion", action=completion.Print, help="print a script that completes for the shell"
    )
    filling.add(commands, [talk.scan_options(several=True)], plain)
    phasing.add(commands, [talk.scan_options(several=True)], plain)
    judging.add(commands, [talk.scan_options()], plain)
    sharing.add(commands, plain, say=talk.say)
    return parser


def _use_every_processor() -> None:
    """Let PyTorch have every processor that this process may run on, unless the environment says otherwise.

    Left alone it takes as many threads as there are physical cores.  To be called before it is imported.
    """
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(free))


def _end_on_terminate() -> None:
    """Let SIGTERM, which a batch system sends, and SIGHUP, of a closed terminal, clean up as Ctrl-C does."""

    def stop(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    try:
        signal.signal(signal.SIGTERM, stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
            signal.signal(signal.SIGHUP, stop)
    except ValueError:  # not in the main thread
        return


def program() -> NoReturn:
    """Run the command line and end the process with its exit status."""
    _use_every_processor()
    encoding.any_locale()
    status = main()
    if status == INTERRUPTED:
        # An interrupt that came while an extension module was loading makes Python end by the signal, although it
        # was caught and everything is cleaned up: leave by the status.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    program()
