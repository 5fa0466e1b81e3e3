"""The calm account of a run: one line a stage, everything in the log, errors in full."""

from __future__ import annotations

import io
import time

from braggfill.runs import progress

SAID = """\
Assuming unrestricted shared filesystem usage.
Job stats:
job                count
---------------  -------
all                    1
evaluate_cases         1
evaluate_skip          1
relax                  2
total                  5

Execute 2 jobs...
[Wed Nov 25 19:30:54 2026]
rule relax:
    input: a.h5
[Wed Nov 25 19:30:58 2026]
Finished jobid: 19 (Rule: relax)
1 of 5 steps (20%) done
[Wed Nov 25 19:31:00 2026]
Finished jobid: 20 (Rule: relax)
2 of 5 steps (40%) done
rule evaluate_skip:
Finished jobid: 3 (Rule: evaluate_skip)
localrule all:
Finished jobid: 4 (Rule: evaluate_cases)
Finished jobid: 0 (Rule: all)
"""


def test_one_line_a_stage_and_the_rest_in_the_log(tmp_path):
    out = io.StringIO()
    progress.follow(io.StringIO(SAID), tmp_path / "deep/run.log", out)
    lines = out.getvalue().splitlines()
    assert [line.split()[:3] for line in lines] == [["relax", "2", "jobs"], ["evaluate", "2", "jobs"]]
    assert (tmp_path / "deep/run.log").read_text() == SAID


def test_nothing_to_do_is_said(tmp_path):
    out = io.StringIO()
    said = "Nothing to be done (all requested files are present and up to date).\n"
    progress.follow(io.StringIO(said), tmp_path / "run.log", out)
    assert out.getvalue() == "nothing to do: everything is up to date\n"


def test_an_error_is_shown_in_full_with_the_place_of_the_log(tmp_path):
    out = io.StringIO()
    said = SAID.split("2 of 5")[0] + "Error in rule train:\n    message: None\n    jobid: 3\n"
    progress.follow(io.StringIO(said), tmp_path / "run.log", out)
    told = out.getvalue()
    assert "Error in rule train:\n    message: None\n    jobid: 3\n" in told
    assert told.endswith(f"all that Snakemake said: {tmp_path / 'run.log'}\n")


def test_on_a_terminal_one_line_changes(tmp_path):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    progress.follow(io.StringIO(SAID), tmp_path / "run.log", out)
    assert "1 of 4 jobs  relax 1/2, 0 s" in out.getvalue()
    assert out.getvalue().count("\n") == 2


def test_the_line_moves_while_a_job_says_nothing():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    now = [0.0]
    told = progress.Told(Terminal(), clock=lambda: now[0])
    for line in SAID.split("Finished")[0].splitlines():
        told.line(line)
    for now[0] in (7, 125):
        told.tick()
    shown = [line.strip() for line in told.out.getvalue().split("\r")]
    assert "7 s  0 of 4 jobs  relax 0/2, 7 s" in shown
    assert shown[-1] == "2 min 05 s  0 of 4 jobs  relax 0/2, 2 min 05 s"


def test_the_clock_ticks_by_itself_on_a_terminal_alone():
    for live in (True, False):
        told, ticks = progress.Told(io.StringIO()), []
        told.live, told.tick = live, lambda found=ticks: found.append(1)
        with told.ticking(0.02):
            time.sleep(0.2)
        assert bool(ticks) == live


def test_times_are_read_easily():
    assert [progress.span(s) for s in (3.2, 125, 4320)] == ["3 s", "2 min 05 s", "1 h 12 min"]
