"""What Snakemake says while it runs, told calmly: one line a stage; everything it said stays in a log file.

On a terminal a last line moves every second: the time so far, how many jobs are done of how many, and which stages are
at work, each with its jobs and its time, so that two minutes of training are seen to be work.

snakemake … 2>&1 | python -m braggfill.runs.progress LOG
"""

from __future__ import annotations

import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

STATISTICS = re.compile(r"^([a-z_]+)\s+(\d+)\s*$")
FINISHED = re.compile(r"^Finished jobid: \d+ \(Rule: (\w+)\)")
STARTED = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):")
TROUBLE = re.compile(
    r"^(Error|RuleException|WorkflowError|MissingInputException|LockException|IncompleteFiles)|Exception in|Traceback"
)
NOTHING = "Nothing to be done"
TICK_S = 1.0
"""Between two looks at the clock, on a terminal."""


class Told:
    """Jobs by stage, and what has been said of them; what it is told and the ticks of the clock take turns."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic):
        self.out, self.clock = out, clock
        self.live = out.isatty()
        self.wanted: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.began: dict[str, float] = {}
        self.start = clock()
        self.counting = False
        self.turn = threading.Lock()

    def line(self, text: str) -> None:
        """One line of Snakemake."""
        with self.turn:
            self._line(text.rstrip("\n"))

    def tick(self) -> None:
        """The clock moved on."""
        with self.turn:
            self._show()

    @contextmanager
    def ticking(self, every: float = TICK_S) -> Iterator[None]:
        """Ticks from time to time, on a terminal."""
        over = threading.Event()

        def tick() -> None:
            while not over.wait(every):
                self.tick()

        clock = threading.Thread(target=tick, daemon=True)
        if self.live:
            clock.start()
        try:
            yield
        finally:
            over.set()
            if self.live:
                clock.join()

    def _line(self, text: str) -> None:
        if text.startswith("Job stats:"):
            self.counting, self.wanted = True, {}
        elif self.counting and not text.strip():
            self.counting = not self.wanted
        elif self.counting and (found := STATISTICS.match(text)) and found[1] not in ("total", "all"):
            stage = found[1].split("_")[0]
            self.wanted[stage] = self.wanted.get(stage, 0) + int(found[2])
        elif found := STARTED.match(text):
            self.began.setdefault(found[1].split("_")[0], self.clock())
        elif (found := FINISHED.match(text)) and found[1] != "all":
            self._finished(found[1].split("_")[0])
        elif NOTHING in text:
            self._say("nothing to do: everything is up to date")
        self._show()

    def _finished(self, stage: str) -> None:
        self.done[stage] = self.done.get(stage, 0) + 1
        total = self.wanted.get(stage, 0)
        if self.done[stage] == total:
            took = self.clock() - self.began.get(stage, self.start)
            self._say(f"{stage:<12} {total:>4} job{'s' if total != 1 else ' '} {span(took):>12}")

    def _say(self, text: str) -> None:
        self._clear()
        self.out.write(text + "\n")
        self.out.flush()

    def _show(self) -> None:
        """The line that changes, on a terminal alone."""
        if not self.live:
            return
        now, total = self.clock(), sum(self.wanted.values())
        text = [
            span(now - self.start),
            f"{sum(self.done.values())} of {total} jobs" if total else "looking at what to do",
        ]
        for stage, wanted in self.wanted.items():
            done = self.done.get(stage, 0)
            if stage in self.began and done < wanted:
                text.append(f"{stage} {done}/{wanted}, {span(now - self.began[stage])}")
        width = shutil.get_terminal_size().columns - 1
        self.out.write("\r" + "  ".join(text)[:width].ljust(width))
        self.out.flush()

    def _clear(self) -> None:
        if self.live:
            self.out.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")

    def end(self) -> None:
        """Clear the line that changes."""
        self._clear()
        self.out.flush()


def span(seconds: float) -> str:
    """Seconds as they are read: 8 s, 2 min 05 s, 1 h 12 min."""
    whole = round(seconds)
    if whole < 3600:
        return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def follow(lines: Iterable[str], log: Path, out: TextIO) -> None:
    """Tell what comes, and keep all of it in ``log``; what is an error is shown in full at the end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    told = Told(out)
    trouble: list[str] = []
    with open(log, "a", encoding="utf-8") as file, told.ticking():
        for line in lines:
            file.write(line)
            file.flush()
            if trouble or TROUBLE.search(line):
                trouble.append(line)
            told.line(line)
    told.end()
    if trouble:
        out.writelines(trouble[:80])
        out.write(f"all that Snakemake said: {log}\n")
        out.flush()


if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Snakemake is interrupted too, and tells what it does
    follow(sys.stdin, Path(sys.argv[1]), sys.stdout)
