"""What every script of the workflow does around its one call: threads, log, errors.

A script imports its room inside ``with job(snakemake):``, because the number of threads has to be set before the
numerical libraries are loaded.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class _Tee:
    """Standard error that also goes to the job's log; a progress bar's redrawn lines stay out of the log."""

    def __init__(self, terminal: TextIO, log: TextIO):
        self.terminal, self.log = terminal, log

    def write(self, text: str) -> int:
        self.terminal.write(text)
        if "\r" not in text:
            self.log.write(text)
            self.log.flush()
        return len(text)

    def flush(self) -> None:
        self.terminal.flush()

    def isatty(self) -> bool:
        return self.terminal.isatty()

    def fileno(self) -> int:
        return self.terminal.fileno()

    @property
    def encoding(self) -> str:
        return self.terminal.encoding or "utf-8"


def _end_on_terminate() -> None:
    """End by an exception on SIGTERM, which a batch system sends, so that no temporary file is left behind."""

    def stop(*_: Any) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Run a stage with the rule's threads and log; a user's error becomes one line and exit code 2."""
    for name in THREADS:
        os.environ[name] = str(snakemake.threads)
    os.environ.setdefault("MPLBACKEND", "Agg")
    from braggfill.errors import BraggfillError

    _end_on_terminate()
    log_path = Path(str(snakemake.log[0])) if snakemake.log else Path(os.devnull)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr
    with open(log_path, "w", encoding="utf-8") as log:
        sys.stderr = _Tee(terminal, log)
        try:
            yield
        except BraggfillError as error:
            print(f"braggfill: error: {error}", file=sys.stderr)
            sys.stderr = terminal
            raise SystemExit(2) from None
        except BaseException:
            log.write(traceback.format_exc())
            raise
        finally:
            sys.stderr = terminal
