"""A fingerprint changes with the code, and with nothing else."""

from __future__ import annotations

import re

import pytest
from braggfill.runs.fingerprint import ROOT, code

ALPHA = 'from braggfill.beta import scale\n\n\ndef f(x):\n    """Doc."""\n    return scale * x  # times\n'


@pytest.fixture
def package(tmp_path):
    (tmp_path / "alpha.py").write_text(ALPHA)
    (tmp_path / "beta.py").write_text("scale = 2\n")
    (tmp_path / "other.py").write_text("y = 1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("alpha.py", ALPHA.replace("# times", "# multiplied")),
        ("alpha.py", ALPHA.replace("Doc.", "Another docstring.")),
        ("alpha.py", "# A comment.\n\n" + ALPHA.replace("scale * x", "(scale *  x)")),
        ("beta.py", '"""A module docstring."""\n\nscale = 2\n'),
        ("other.py", "y = 2\n"),
    ],
)
def test_what_changes_no_number_changes_no_fingerprint(package, file, text):
    before = code("alpha", root=package)
    (package / file).write_text(text)
    assert code("alpha", root=package) == before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("alpha.py", ALPHA.replace("scale * x", "scale * x + 1")),
        ("beta.py", "scale = 3\n"),
    ],
)
def test_a_changed_line_changes_it(package, file, text):
    before = code("alpha", root=package)
    (package / file).write_text(text)
    assert code("alpha", root=package) != before


def test_a_moved_package_keeps_it(package, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("moved")
    for file in package.glob("*.py"):
        (elsewhere / file.name).write_text(file.read_text())
    assert code("alpha", root=package) == code("alpha", root=elsewhere)


def test_a_missing_stage_is_an_error(package):
    with pytest.raises(ValueError, match="nowhere"):
        code("nowhere", root=package)


DECLARED = """
from typing import Literal

Kind = Literal['a']


class Block(Base):
    number: int = 1


class Stage(Base):
    kind: Kind = 'a'
    block: Block = Block()

    def twice(self):
        return 2 * self.block.number
"""
CHECK = """    @field_validator('kind')
    def _check(cls, kind):
        return kind

    def"""


@pytest.fixture
def folders(tmp_path):
    """A package with packages: families of networks that a table names, settings, a stage of two tasks."""
    files = {
        "__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from braggfill.heavy import x\n",
        "heavy.py": "x = 1\n",
        "networks/__init__.py": 'NETWORKS = {"one": "braggfill.networks.one:One"}\n\n\ndef load():\n    return 1\n',
        "networks/one.py": "y = 1\n",
        "networks/two.py": "y = 2\n",
        "stage/__init__.py": "",
        "stage/first.py": "from braggfill import networks\nfrom braggfill.settings.stage import Stage\n",
        "stage/second.py": "from braggfill.settings.stage import Stage\n\n\ndef f():\n    return Stage()\n",
        "settings/__init__.py": "",
        "settings/stage.py": DECLARED,
        "stage/page.html": "<p>",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def after(folders, file, old, new, *modules):
    """Whether a fingerprint changes when part of a file is replaced."""
    before = code(*modules, root=folders)
    text = (folders / file).read_text()
    assert old in text
    (folders / file).write_text(text.replace(old, new))
    return code(*modules, root=folders) != before


@pytest.mark.parametrize(
    ("file", "old", "new", "modules"),
    [
        ("heavy.py", "1", "2", ["stage.first"]),  # for the type checker alone
        ("networks/two.py", "2", "3", ["stage.first", "networks.one"]),  # of a package what is imported
        ("networks/__init__.py", "{", "{'two': 'braggfill.networks.two:Two', ", ["stage.first"]),  # a table
        ("stage/second.py", "f()", "g()", ["stage.first"]),
        ("settings/stage.py", "['a']", "['a', 'b']", ["stage.second"]),  # what else is allowed
        ("settings/stage.py", "number: int = 1", "number: int = 2", ["stage.first"]),  # a parameter of its rule
        ("settings/stage.py", "class Block", "class Another(Base):\n    x: int = 1\n\n\nclass Block", ["stage.second"]),
        ("settings/stage.py", "    def", CHECK, ["stage.first"]),
    ],
)  # fmt: skip
def test_what_is_not_used_does_not_count(folders, file, old, new, modules):
    assert not after(folders, file, old, new, *modules)


@pytest.mark.parametrize(
    ("file", "old", "new", "modules"),
    [
        ("networks/one.py", "1", "2", ["stage.first", "networks.one"]),
        ("networks/one.py", "1", "2", ["stage.first", "braggfill.networks.one"]),
        ("networks/__init__.py", "return 1", "return 2", ["stage.first"]),
        ("stage/__init__.py", "", "x = 1", ["stage.first"]),  # it is executed
        ("settings/stage.py", "return 2", "return 3", ["stage.first"]),  # a method
        ("settings/stage.py", "number: int = 1", "number: int = 2", ["stage.second"]),  # the default of what it builds
        ("stage/page.html", "<p>", "<div>", ["stage.first", "stage/page.html"]),
    ],
)
def test_what_is_used_counts(folders, file, old, new, modules):
    assert after(folders, file, old, new, *modules)


def test_a_file_that_is_not_there_is_an_error(folders):
    with pytest.raises(ValueError, match=r"none\.html"):
        code("stage.first", "stage/none.html", root=folders)
    with pytest.raises(ValueError, match=r"methods\.py#none"):
        code("filling.methods", "filling/methods.py#none")


def test_what_is_found_by_name_at_run_time_is_known():
    """A new place needs what it finds in the fingerprints of the tasks (``code(…, networks.module_of(name))``)."""
    finders = re.compile(r"\b(import_module|resolve_name|__import__|run_module|exec)\(")
    found = {str(f.relative_to(ROOT)) for f in ROOT.rglob("*.py") if finders.search(f.read_text())}
    assert found == {
        "__init__.py",  # names to modules, which the fingerprint follows
        "filling/__init__.py",  # likewise
        "filling/methods.py",  # methods.module_of
        "learning/gap/losses/__init__.py",  # losses.modules
        "learning/ranks.py",  # the task, which the stage imports itself
        "networks/__init__.py",  # networks.module_of
        "networks/planar/__init__.py",  # FLAT_NETWORKS of the rules
        "phasing/single.py",  # its ENGINES, which the rules name
        "settings/train.py",  # the weights of losses that are not named: then parameters of the task
        "settings/base.py",  # the names of a registry, to check settings with
        "runs/external.py",  # other packages
        "scans/images.py",  # likewise
    }


@pytest.mark.parametrize("line", ["from braggfill import late\n\n\nx = late.f\n", "from braggfill.late import f\n"])
def test_what_a_package_loads_when_it_is_used_counts(tmp_path, line):
    (tmp_path / "late").mkdir()
    (tmp_path / "late/__init__.py").write_text('_HOMES = {"f": "braggfill.late.one"}\n\n\ndef __getattr__(name): ...\n')
    (tmp_path / "late/one.py").write_text("f = 1\n")
    (tmp_path / "user.py").write_text(line)
    before = code("user", root=tmp_path)
    (tmp_path / "late/one.py").write_text("f = 2\n")
    assert code("user", root=tmp_path) != before
