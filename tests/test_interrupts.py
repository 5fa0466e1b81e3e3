"""Interrupts wait while something loads that they would break."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from braggfill.runs import interrupts


@pytest.fixture(params=["SIGINT", "SIGTERM"])
def number(request) -> int:
    """A signal that raises KeyboardInterrupt."""

    def stop(*_):
        raise KeyboardInterrupt

    number = getattr(signal, request.param)
    before = signal.signal(number, stop)
    yield number
    signal.signal(number, before)


def test_an_interrupt_comes_after_the_block(number):
    done = []

    def work():
        with interrupts.held():
            os.kill(os.getpid(), number)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done


def test_the_handlers_are_as_before(number):
    before = signal.getsignal(number)
    with interrupts.held():
        assert signal.getsignal(number) is not before
    assert signal.getsignal(number) is before


def test_an_error_of_the_block_is_not_lost():
    with pytest.raises(ImportError), interrupts.held():
        raise ImportError


def test_in_another_thread_nothing_changes(number):
    seen = []

    def work():
        with interrupts.held():
            seen.append(signal.getsignal(number))

    before = signal.getsignal(number)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
