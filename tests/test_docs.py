"""What README and docs say: numbers are those of the shipped card, commands are ones that exist, pictures are there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from braggfill.cli import _parser

TOP = Path(__file__).resolve().parents[1]
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").glob("*.md"))]
SHIPPED = {"axis 1": "APS 34-ID-C scan, gap across axis 1", "axis 2": "APS 34-ID-C scan, gap across axis 2",
           "expectation": "simulated test particles, against expectation, patches of ≥ 1 "}  # fmt: skip


@cache
def card() -> dict[str, dict[int, tuple[str, str, str]]]:
    """Part → width → PCC of the network, of linear interpolation, and the ceiling, as the card writes them."""
    text = (TOP / "workflow/braggfill/weights/braggfill.md").read_text(encoding="utf-8")
    parts = dict(re.findall(r"### (.+)\n((?:.|\n)*?)(?=\n### |\Z)", text))
    found = {}
    for key, start in SHIPPED.items():
        table = next(body for title, body in parts.items() if title.startswith(start))
        rows = re.findall(r"\| (\d+) px \| ([\d.]+) \[.*?\] \| ([\d.]+) \| ([\d.]+) \|", table)
        found[key] = {int(width): (ours, linear, ceiling) for width, ours, linear, ceiling in rows}
    return found


def test_the_readme_quotes_the_card():
    text = (TOP / "README.md").read_text(encoding="utf-8")
    quoted = re.findall(r"(\d+) px gap of the measured scan, PCC ([\d.]+) \(linear ([\d.]+), ceiling ([\d.]+)\)", text)
    assert quoted
    for width, *numbers in quoted:
        assert tuple(numbers) == card()["axis 1"][int(width)]


def test_the_table_of_accuracy_quotes_the_card():
    text = (TOP / "docs/evaluation.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (\d+) px \| (.+?) \| (.+?) \| (.+?) \|$", text, re.M)
    assert [int(width) for width, *_ in lines] == [3, 6, 9, 12]
    for width, *cells in lines:
        for key, cell in zip(("expectation", "axis 1", "axis 2"), cells, strict=True):
            linear, _, ours, *ceiling = re.findall(r"\d\.\d+", cell)
            wanted = card()[key][int(width)]
            assert (ours, linear) == wanted[:2], (width, key)
            assert not ceiling or ceiling == [wanted[2]], (width, key)


def blocks() -> list[tuple[str, str]]:
    """(page, line) of every shell line that calls braggfill or make, continued lines joined."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
            found += [(page.name, line.strip()) for line in block.replace("\\\n", " ").splitlines()]
    return [(page, line) for page, line in found if re.match(r"(\.venv/bin/)?braggfill |make ", line)]


def test_every_command_of_the_docs_is_one_that_the_program_takes(capsys):
    commands = [(page, line) for page, line in blocks() if "braggfill " in line.split("#")[0] and line[:4] != "make"]
    assert len(commands) > 15
    wrong = []
    for page, line in commands:
        words = shlex.split(re.split(r"[|>]|&&", line)[0], comments=True)
        try:
            _parser().parse_args(words[1:])
        except SystemExit as ended:
            if ended.code:
                wrong.append(f"{page}: {line}: {capsys.readouterr().err.splitlines()[-1]}")
    assert not wrong, "\n".join(wrong)


def test_every_make_target_of_the_docs_is_there():
    targets = set(re.findall(r"(?m)^([a-z-]+):", (TOP / "Makefile").read_text()))
    named = {line.split()[1] for _, line in blocks() if line.startswith("make ")}
    for page in PAGES:
        named |= set(re.findall(r"`make ([a-z-]+)`", page.read_text(encoding="utf-8")))
    assert named
    assert named <= targets


def test_every_picture_is_there():
    for page in PAGES:
        for name in re.findall(r"!\[.*?\]\((.+?)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / name).is_file(), f"{page.name}: {name}"


@pytest.mark.long
def test_the_commands_of_the_readme_that_are_cheap(tmp_path):
    """The first block that fills a scan, pasted as it stands but for where the programs lie and the retrieval."""
    text = (TOP / "README.md").read_text(encoding="utf-8")
    block = next(b for b in re.findall(r"```sh\n(.*?)```", text, re.S) if "example_scan.py" in b)
    lines = [line for line in block.splitlines() if "braggfill phase" not in line and "activate" not in line]
    script = f"PATH={Path(sys.executable).parent}:$PATH\n" + "\n".join(lines).replace("docs/", f"{TOP}/docs/")
    done = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"scan.npz", "mask.npy", "filled.cxi", "filled.html"} <= {path.name for path in tmp_path.iterdir()}
