"""Bundles from strangers: nothing of theirs runs, and nothing that they say upsets."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from braggfill import bundle
from braggfill.bundle import files, records
from braggfill.cli import main
from braggfill.errors import BraggfillError
from bundle_helpers import about, bare_clone, contents_of_a_run, record, sealed, tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# The modules: the package gives the functions of these names.
unpack = importlib.import_module("braggfill.bundle.unpack")
verify = importlib.import_module("braggfill.bundle.verify")
pytestmark = pytest.mark.long  # faults and attacks that are rare
COMMAND = [sys.executable, "-I", "-m", "braggfill"]


@pytest.fixture(scope="module")
def contents(top) -> dict[str, bytes]:
    """What a sound bundle holds."""
    return contents_of_a_run(top)


@pytest.fixture
def owned(tmp_path) -> Path:
    """A file that code of a stranger makes, if it runs."""
    return tmp_path / "owned"


@pytest.fixture
def clone(top, tmp_path) -> Path:
    """As much of a copy of the project as makes one, with a run of its own."""
    return bare_clone(top, tmp_path / "clone")


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


# Nothing of theirs runs ---------------------------------------------------------------------------------------------


CHECKPOINT = str(Path("results/x/train") / "work" / "a.ckpt")


def planted(owned: Path) -> dict[str, bytes]:
    """Code at every place where Python, Snakemake, pip, make or git would find it by itself."""
    python = f"open({str(owned)!r}, 'a').close()\n".encode()
    yte = f"__use_yte__: true\nrun: x\n?open({str(owned)!r}, 'a') and 'a': 1\n".encode()
    plugin = ".snakemake/pip-deployments/snakemake_executor_plugin_theirs/__init__.py"
    return {
        **dict.fromkeys(["json.py", "sitecustomize.py", "usercustomize.py", "conftest.py", "setup.py", plugin], python),
        **dict.fromkeys(["workflow/json.py", "workflow/sitecustomize.py", "workflow/braggfill/__init__.py"], python),
        **dict.fromkeys(["Snakefile", "workflow/Snakefile", "workflow/rules/common.smk", "scripts/fetch.py"], python),
        **dict.fromkeys(["profiles/default/config.yaml", "config/default.yaml", "results/x/settings.yaml"], yte),
        **dict.fromkeys([".snakemake/iocache/latest.pkl", CHECKPOINT], b"cposix\nsystem\n(S'x'\ntR."),
        "workflow/braggfill/stages/fetch/__init__.py": python,
        ".git/config": b"[core]\nfsmonitor = touch owned\n",
        "results/x/json.py": python,
    }


NOWHERE = [
    "json.py", "sitecustomize.py", "usercustomize.py", "conftest.py", "setup.py", ".git/config",
    ".snakemake/iocache/latest.pkl",
    ".snakemake/pip-deployments/snakemake_executor_plugin_theirs/__init__.py", CHECKPOINT,
]  # fmt: skip


@pytest.mark.parametrize("name", NOWHERE)
def test_what_is_no_part_of_a_run_is_refused(contents, owned, clone, tmp_path, capsys, name):
    path = sealed(tmp_path / "theirs.zip", {**contents, name: planted(owned)[name]})
    before = tree(tmp_path)
    for command in (["verify", path], ["unpack", path, tmp_path / "new"], ["unpack", path, clone]):
        assert main(list(map(str, command))) == 2
        told = capsys.readouterr().err
        assert f"{name}: no part of run x" in told
        assert len(told.splitlines()) == 1
    assert tree(tmp_path) == before


def test_no_code_of_a_bundle_runs(contents, owned, clone, tmp_path):
    """Planted wherever it may lie, seen from the folder that holds it."""
    code = {name: content for name, content in planted(owned).items() if name not in NOWHERE}
    path = sealed(tmp_path / "theirs.zip", {**contents, **code})
    new = tmp_path / "new"
    done = run("unpack", path, new, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Its code runs from here on" in done.stderr
    assert not owned.exists()
    # Whoever unzips it by another program has all of it.
    for name, content in planted(owned).items():
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_bytes(content)
    environment = os.environ | {
        "PYTHONPATH": f"{new}:{new}/workflow",
        "SNAKEMAKE_PROFILE": str(new / "profiles/default"),
    }
    verdict = subprocess.run([*COMMAND, "verify", path], cwd=new, env=environment, capture_output=True, text=True)
    assert verdict.returncode == 3, verdict.stderr
    assert "would run again here: figures:" in verdict.stdout
    for name in code:
        if name.startswith(("workflow/", "Snakefile", "scripts/")):
            assert f"code other than installed: {name} (" in verdict.stdout
    for command in (["unpack", path, clone], ["unpack", path, new / "inside"], ["verify", path]):
        assert run(*command, cwd=new).returncode in (0, 3)
    assert not owned.exists()
    subprocess.run([sys.executable, "-c", "import json"], cwd=new, check=False)
    assert owned.exists(), "the check can fail"


def test_settings_of_a_bundle_are_no_program(contents, clone, tmp_path, owned):
    """Snakemake evaluates expressions in YAML that asks for it: what is laid is written anew from checked settings."""
    theirs = f"__use_yte__: true\n?open({str(owned)!r}, 'a') and 'run': x\n".encode()
    path = sealed(tmp_path / "theirs.zip", {**contents, "results/x/settings.yaml": theirs})
    bundle.unpack(path, clone)
    laid = (clone / "results/x/settings.yaml").read_text()
    assert "yte" not in laid
    assert "\nrun: x\n" in laid
    from snakemake.common.configfile import load_configfile

    assert load_configfile(clone / "results/x/settings.yaml")["seed"] == 3
    assert not owned.exists()
    load_configfile(str(_written(tmp_path / "theirs.yaml", theirs)))
    assert owned.exists(), "the check can fail"
    inside = json.loads(contents["bundle.json"])["settings"] | {"__use_yte__": True}
    with pytest.raises(BraggfillError, match=r"bundle\.json is damaged"):
        bundle.unpack(sealed(path, about(contents, settings=inside)), tmp_path / "new")


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# What is said -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a folder", "it's; touch b", "$(touch b)", "-rf", "ü`x`"])
def test_what_is_to_be_pasted_is_quoted(contents, tmp_path, monkeypatch, name):
    path, said = sealed(tmp_path / f"{name}.zip", contents), []
    monkeypatch.chdir(tmp_path)
    bundle.unpack(path, Path(name), say=said.append)
    line = next(line.removeprefix("to go on: ") for line in said if line.startswith("to go on"))
    words = shlex.split(line)
    assert words[:3] == ["cd", str(tmp_path / name), "&&"]
    assert words[-1] == "results/x/settings.yaml"
    assert any(shlex.quote(str(path)) in line for line in said)


@pytest.mark.parametrize("run", ["x; touch b #", "../demo", "X", "", "a" * 65, "x\n", "\x1b[31m"])
def test_the_name_of_a_run_is_held_to_its_pattern(contents, tmp_path, capsys, run):
    told = json.loads(contents["bundle.json"])["settings"] | {"run": run}
    path = sealed(tmp_path / "b.zip", about(contents, run=run, settings=told))
    assert main(["unpack", str(path), str(tmp_path / "new")]) == 2
    assert main(["verify", str(path)]) == 2
    assert all(line.isprintable() for line in capsys.readouterr().err.splitlines())
    assert not (tmp_path / "new").exists()


def test_control_sequences_do_not_reach_the_terminal(contents, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bundle, "installed", lambda: None)
    evil = "\x1b]0;title\x07 \x1b[2J\r\u202e"
    changed = about(contents, remarks=[evil], left_out={"results/x/a.h5": evil})
    assert main(["verify", str(sealed(tmp_path / "b.zip", changed))]) == 3
    told = capsys.readouterr().out
    assert "\\x1b[2J" in told
    assert all(line.isprintable() for line in told.splitlines())


def test_without_the_workflow_it_says_what_it_cannot_tell(contents, tmp_path, capsys, monkeypatch):
    """Installed by pip alone: whole, which files of the package differ, and no more."""
    monkeypatch.setattr(bundle, "installed", lambda: None)
    path = sealed(tmp_path / "b.zip", {**contents, "workflow/braggfill/stages/relax.py": b"pass", "Snakefile": b"pass"})
    assert main(["verify", str(path)]) == 3
    told = capsys.readouterr().out
    assert "what would run again here is not known: braggfill is installed without its workflow" in told
    assert "code other than installed: workflow/braggfill/stages/relax.py (differs)" in told
    assert "Snakefile" not in told


# What is packed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["results/demo/secret.txt", "results/demo/away", "config/mine.yaml"])
def test_links_that_leave_are_not_followed(clone, tmp_path, capsys, monkeypatch, link):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.txt").write_text("secret")
    (clone / "config/demo.yaml").write_text("run: demo\n")
    (clone / "results/demo/again.html").symlink_to("report.html")
    monkeypatch.chdir(clone)
    assert main(["bundle", "demo"]) == 0
    with zipfile.ZipFile("results/demo.crate.zip") as file:
        assert file.read("results/demo/again.html") == b"mine", "a link within the run is a file of it"
    target = tmp_path / "outside" if link.endswith("away") else tmp_path / "outside/secret.txt"
    Path(link).symlink_to(target)
    capsys.readouterr()
    assert main(["bundle", "demo", "--force", "-o", "b.zip"]) == 2
    assert f"{link}: is a link to {target}" in capsys.readouterr().err
    assert not Path("b.zip").exists()


def test_outside_a_project_nothing_is_packed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bundle", "demo"]) == 2
    assert "no Snakefile here" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# Whatever it says of itself -----------------------------------------------------------------------------------------

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["format", "run", "created", "seed", "settings", "configfiles", "code", "git", "environment", "left_out",
          "arrays_made_with", "not_included", "remarks", "more"]  # fmt: skip
FACTS = ["rule", "params", "input", "log", "code", "record_format_version", "starttime", "endtime", "input_checksums"]


@pytest.fixture(scope="module")
def small(contents) -> dict[str, bytes]:
    """A bundle of few files."""
    return {name: content for name, content in contents.items() if not name.startswith("workflow/braggfill/")}


def _codes(path: Path) -> list[int]:
    """Exit status of verify and unpack; the plan itself is Snakemake's, which is asked below."""
    shutil.rmtree(path.parent / "new", ignore_errors=True)
    return [main(["verify", str(path)]), main(["unpack", str(path), str(path.parent / "new")])]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_metadata_end_with_a_clear_status(small, tmp_path, monkeypatch, data):
    job = {"rule": "figures", "output": ["results/x/report.html"], "missing": [], "needing": [], "code": False,
           "input": False, "newer": False, "follows": []}  # fmt: skip
    texts = data.draw(
        st.lists(st.text(max_size=30) | st.sampled_from(["{", "{'run': 1}", "{1: 2}", "7", "'a'"]), max_size=4)
    )
    monkeypatch.setattr(verify, "_plan", lambda *_: [job | {"before": texts[:2], "now": texts[2:]}])
    changed = dict(small)
    kind = data.draw(st.sampled_from(["field", "inner", "raw", "record", "raw record", "list"]))
    told = json.loads(small["bundle.json"])
    name = next(iter(record("results/x/report.html")))
    if kind == "field":
        changed = about(small, **{data.draw(st.sampled_from(FIELDS)): data.draw(ANYTHING)})
    elif kind == "inner":
        block = data.draw(st.sampled_from(["settings", "environment", "git", "left_out", "not_included"]))
        key = data.draw(st.sampled_from([*told[block], "results/x/a.h5"]) | st.text(max_size=20))
        changed = about(small, **{block: told[block] | {key: data.draw(ANYTHING)}})
    elif kind == "record":
        changed |= record("results/x/report.html", **{data.draw(st.sampled_from(FACTS)): data.draw(ANYTHING)})
    elif kind == "list":
        changed[data.draw(st.text(min_size=1, max_size=20))] = b"?"
    else:
        raw = data.draw(
            st.binary(max_size=50) | st.sampled_from([b"[" * 100_000, b"{}", b"null", b"1e999", b'{"a":' * 9999])
        )
        changed["bundle.json" if kind == "raw" else name] = raw
    try:
        path = sealed(tmp_path / "b.zip", changed)
    except (UnicodeError, ValueError):
        return  # a name that no zip can hold
    assert set(_codes(path)) <= {0, 2, 3}


@pytest.mark.parametrize(
    "fields",
    [
        {"params": ["("] * 3 + ["[" * 5000, "-" * 100_000, "9" * 10_000, "{'a': " * 300]},
        {"input": ["\x1b[2J", "/dev/zero", "results/x/report.html"], "log": ["../../etc"]},
        {"record_format_version": 1000, "incomplete": True, "external_jobid": "; touch b"},
        {"code": "$(touch b)", "conda_env": "!!python/object", "input_checksums": {"a": "sha256:b"}},
        {"starttime": 1e11, "endtime": 0.0, "job_hash": 10**30},
    ],
)
def test_odd_records_do_not_upset_snakemake(contents, tmp_path, capsys, fields):
    path = sealed(tmp_path / "b.zip", {**contents, **record("results/x/report.html", **fields)})
    assert main(["verify", str(path)]) == 3
    told = capsys.readouterr().out
    assert "would run again here: figures:" in told
    assert all(line.isprintable() for line in told.splitlines())


def test_every_name_that_is_packed_may_be_unpacked(contents):
    assert all(files.belongs(name, "x") for name in contents)
    assert records.output_of(records.file_of("results/x/report.html")) == "results/x/report.html"
