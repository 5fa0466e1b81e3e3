"""What Snakemake says while it runs, told calmly: one line a stage; everything it said stays in a log file.

snakemake … 2>&1 | python -m braggfill.runs.progress LOG
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO

STATISTICS = re.compile(r"^([a-z_]+)\s+(\d+)\s*$")
FINISHED = re.compile(r"^Finished jobid: \d+ \(Rule: (\w+)\)")
STARTED = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):")
STEPS = re.compile(r"^(\d+) of (\d+) steps")
TROUBLE = re.compile(
    r"^(Error|RuleException|WorkflowError|MissingInputException|LockException|IncompleteFiles)|Exception in|Traceback"
)
NOTHING = "Nothing to be done"
WIDTH = 78


class Told:
    """Jobs by stage, and what has been said of them."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic):
        self.out, self.clock = out, clock
        self.live = out.isatty()
        self.wanted: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.began: dict[str, float] = {}
        self.start = clock()
        self.steps = ""
        self.counting = False

    def line(self, text: str) -> None:
        """One line of Snakemake."""
        text = text.rstrip("\n")
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
        elif found := STEPS.match(text):
            self.steps = f"{found[1]} of {found[2]} jobs"
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
        if self.live:
            self.out.write("\r" + " " * WIDTH + "\r")
        self.out.write(text + "\n")
        self.out.flush()

    def _show(self) -> None:
        """The line that changes, on a terminal alone."""
        if self.live:
            left = {s: (self.done.get(s, 0), n) for s, n in self.wanted.items() if s in self.began}
            busy = [f"{stage} {done}/{n}" for stage, (done, n) in left.items() if done < n]
            text = "  ".join([span(self.clock() - self.start), self.steps, ", ".join(busy)])[: WIDTH - 1]
            self.out.write("\r" + text.ljust(WIDTH - 1))
            self.out.flush()

    def end(self) -> None:
        """Clear the line that changes."""
        if self.live:
            self.out.write("\r" + " " * WIDTH + "\r")
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
    with open(log, "a", encoding="utf-8") as file:
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
