"""One line of progress that is drawn over itself, and Ctrl-C that ends phase retrieval with the best so far."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from braggfill.phasing.context import Progress

EVERY = 0.5
"""Seconds between two drawings."""


class Live:
    """Progress on a terminal.  It draws when it is asked whether to stop, so it costs next to nothing."""

    def __init__(self, shown: bool, budget_s: float | None = None) -> None:
        self.shown = shown and sys.stderr is not None
        self.budget_s = budget_s
        self.stop = threading.Event()
        self._began = self._drawn = time.monotonic()
        self._last: Progress | None = None
        self._asked = 0

    def told(self, progress: Progress) -> None:
        """Between rounds."""
        self._last, self._asked = progress, 0
        self._draw()

    def should_stop(self) -> bool:
        """In every cycle."""
        self._asked += 1
        if self.shown and time.monotonic() - self._drawn > EVERY:
            self._draw()
        return self.stop.is_set()

    def _draw(self) -> None:
        if not self.shown:
            return
        self._drawn = time.monotonic()
        width = shutil.get_terminal_size().columns - 1
        told = line(self._last, self._drawn - self._began, self.budget_s, self._asked)
        print(f"\r{told[:width]:<{width}}", end="", file=sys.stderr)
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self.shown:
            print(f"\r{' ' * (shutil.get_terminal_size().columns - 1)}\r", end="", file=sys.stderr, flush=True)


def line(progress: Progress | None, seconds: float, budget_s: float | None, more: int = 0) -> str:
    """What is drawn: round, best free figure, cycles (``more`` of them since the round began), time left."""
    parts = ["phase retrieval"]
    left = None if budget_s is None else max(budget_s - seconds, 0.0)
    if progress is not None:
        parts.append(f"round {min(progress.done + 1, progress.total)} of at most {progress.total}")
        if progress.llk_free == progress.llk_free:
            parts.append(f"best free log-likelihood {progress.llk_free:.3g}")
        parts.append(f"{progress.cycles + more} cycles")
        if progress.done:
            most = progress.seconds / progress.done * progress.total - seconds
            left = max(most, 0.0) if left is None else min(left, max(most, 0.0))
    parts.append(clock(seconds))
    if left is not None:
        parts.append(f"at most {clock(left)} left")
    return ", ".join(parts)


def clock(seconds: float) -> str:
    """12 s, 3:05 min."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{int(seconds // 60)}:{int(seconds % 60):02d} min"


@contextmanager
def interruptible(live: Live, keep: bool) -> Iterator[None]:
    """Let SIGINT and SIGTERM end running starts at once; with ``keep`` the first one lets the best so far be handed
    back, else, and the second time, KeyboardInterrupt is raised.  Handlers are those from before afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def came(*_: Any) -> None:
        again = live.stop.is_set()
        live.stop.set()
        if again or not keep:
            raise KeyboardInterrupt
        live.clear()
        print("braggfill: ending with the best so far; Ctrl-C again to give up", file=sys.stderr, flush=True)

    before = {number: signal.signal(number, came) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        live.clear()
        for number, handler in before.items():
            signal.signal(number, handler)
