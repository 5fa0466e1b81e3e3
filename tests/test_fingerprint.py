"""A fingerprint changes with the code, and with nothing else."""

from __future__ import annotations

import pytest
from braggfill.runs.fingerprint import code

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
