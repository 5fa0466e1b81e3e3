"""The import law: rooms import shared parts, never each other; they meet only in the rules and in cli.py."""

from __future__ import annotations

import subprocess
import sys

import pytest
from braggfill import fingerprint
from braggfill.fingerprint import PACKAGE, ROOT, imports, module_files

STAGES = (
    "particle",
    "relax",
    "scatter",
    "perturb",
    "extract",
    "train",
    "inpaint",
    "evaluate",
    "reconstruct",
    "figures",
)
ROOMS = (*STAGES, "fetch")
MEETING_PLACES = {"cli.py", "__main__.py", "__init__.py"}


def room_of(name: str) -> str | None:
    """The room that a dotted module name belongs to, if any."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_exists(room):
    assert module_files(f"{PACKAGE}.{room}"), f"there is no room {room}"


def test_rooms_never_import_each_other():
    offences = []
    for file in ROOT.rglob("*.py"):
        relative = file.relative_to(ROOT)
        if str(relative) in MEETING_PLACES:
            continue
        home = relative.parts[0].removesuffix(".py")
        for name in imports(file):
            if room_of(name) not in (None, home):
                offences.append(f"{relative} imports {name}")
    assert not offences, "; ".join(offences)


def test_the_walk_sees_imports_inside_functions_and_relative_ones(tmp_path):
    (tmp_path / "alpha.py").write_text("def f():\n    from braggfill import beta\n")
    (tmp_path / "beta.py").write_text("from .gamma import x\nimport os\n")
    (tmp_path / "gamma.py").write_text("x = 1\n")
    (tmp_path / "delta.py").write_text("y = 1\n")
    names = [file.name for file in fingerprint.reach("braggfill.alpha", tmp_path)]
    assert names == ["alpha.py", "beta.py", "gamma.py"]


def test_the_package_alone_imports_nothing_heavy():
    heavy = ["torch", "lightning", "matplotlib", "pandas", "skimage", "scipy", "lammps", "finufft", "snakemake"]
    script = f"import braggfill, braggfill.cli, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("stage", STAGES)
def test_one_word_a_stage(stage):
    """The same word names module, settings, rule file, script and test."""
    top = ROOT.parents[1]
    assert module_files(f"{PACKAGE}.settings.{stage}")
    for place in (f"workflow/rules/{stage}.smk", f"scripts/{stage}.py", f"tests/test_{stage}.py"):
        assert (top / place).is_file(), f"{place} is missing"


def test_the_snakefile_is_a_table_of_contents():
    assert len((ROOT.parents[1] / "Snakefile").read_text().splitlines()) < 40
