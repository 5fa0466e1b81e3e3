"""Interrupts that wait while an extension module loads."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WAITING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the block ends, then handle them as before.

    An exception that a signal's handler raises while C++ calls Python, as PyTorch does when it is imported, ends the
    process at once, and nothing is cleaned up.  Outside the main thread, which alone handles signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, Any]] = []
    before = {number: signal.signal(number, lambda *arrived: came.append(arrived)) for number in WAITING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    for code, frame in came[:1]:
        number = signal.Signals(code)
        handler = before[number]
        if callable(handler):
            handler(number, frame)
        elif handler is not signal.SIG_IGN:
            signal.raise_signal(number)
