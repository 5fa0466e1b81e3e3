"""Settings: one source, one clear line for every mistake, and nothing that has drifted from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from braggfill.errors import BraggfillError
from braggfill.settings import document
from braggfill.settings.evaluate import EvaluateSettings
from braggfill.settings.reconstruct import ReconstructSettings
from braggfill.settings.root import Settings, load, merge, model_of, parse
from pydantic import BaseModel, ValidationError


def blocks(model=Settings, prefix=""):
    """Every settings model with its full name."""
    yield prefix.rstrip("."), model
    for name, field in model.model_fields.items():
        inner = model_of(field.annotation)
        if inner is not None:
            yield from blocks(inner, f"{prefix}{name}.")


def told(given, where="here.yaml"):
    with pytest.raises(BraggfillError) as caught:
        parse(given, where)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{where}: ")
    return line.removeprefix(f"{where}: ")


# One source ---------------------------------------------------------------------------------------------------------


def test_the_written_files_have_not_drifted(top):
    """`make schema` writes what is in config/."""
    assert document.main([str(top / "config"), "--check"]) == 0


def test_check_finds_drift_and_writes_nothing(top, tmp_path, capsys):
    (tmp_path / "README.md").write_text(f"mine\n{document.BEGIN}\nold\n{document.END}\nmine, too\n")
    (tmp_path / "default.yaml").write_text("seed: 3\n")
    assert document.main([str(tmp_path), "--check"]) == 1
    assert "default.yaml, schema.json, README.md differ" in capsys.readouterr().err
    assert (tmp_path / "default.yaml").read_text() == "seed: 3\n"
    assert document.main([str(tmp_path)]) == 0
    assert document.main([str(tmp_path), "--check"]) == 0
    page = (tmp_path / "README.md").read_text()
    assert page.startswith("mine\n")
    assert page.endswith("mine, too\n")
    assert (tmp_path / "default.yaml").read_text() == (top / "config" / "default.yaml").read_text()


def test_a_page_without_its_markers_is_told(tmp_path, capsys):
    (tmp_path / "README.md").write_text("mine\n")
    assert document.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("braggfill: error: README.md")
    assert [file.name for file in tmp_path.iterdir()] == ["README.md"]


def test_the_default_file_is_the_defaults(top):
    assert load(top / "config" / "default.yaml") == Settings() == load()


@pytest.mark.parametrize("name", ["demo", "paper", "flat", "flat-paper", "test"])
def test_every_configuration_is_sound_and_named_after_its_run(top, name):
    settings = load(top / "config" / "default.yaml", top / "config" / f"{name}.yaml")
    assert settings.run == name
    assert load(top / "config" / f"{name}.yaml") == settings
    schema = json.loads((top / "config" / "schema.json").read_text())
    jsonschema.validate(yaml.safe_load((top / "config" / f"{name}.yaml").read_text()), schema)


def test_the_schema_knows_every_setting_and_nothing_else(top):
    schema = json.loads((top / "config" / "schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    objects = [node for node in _nodes(schema) if "properties" in node]
    assert len(objects) == len({model for _, model in blocks()})
    for node in objects:
        assert node["additionalProperties"] is False, node.get("title")
    default = yaml.safe_load((top / "config" / "default.yaml").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    for stage, value in default.items():
        if isinstance(value, dict):
            assert validator.is_valid({stage: value})
            assert not validator.is_valid({stage: value | {"no_such_setting": 1}})


def _nodes(node):
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _nodes(value)


@pytest.mark.parametrize(("name", "model"), [pytest.param(n, m, id=n or "root") for n, m in blocks()])
def test_every_setting_says_what_it_does_and_is_in_the_page(top, name, model):
    assert model.__doc__
    page = (top / "config" / "README.md").read_text()
    for setting, field in model.model_fields.items():
        if model_of(field.annotation) is not None and isinstance(field.default, BaseModel):
            continue
        assert field.description, f"{name}.{setting} has no docstring"
        assert len(field.description) > 10, f"{name}.{setting} says too little"
        assert f"| `{setting}` |" in page


@pytest.mark.parametrize(("name", "model"), [pytest.param(n, m, id=n or "root") for n, m in blocks()])
def test_settings_are_frozen_and_closed(name, model):
    assert model.model_config["extra"] == "forbid"
    assert model.model_config["frozen"] is True


def test_settings_survive_the_way_through_a_file(tmp_path):
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(Settings().model_dump(mode="json")))
    assert load(tmp_path / "all.yaml") == Settings()


# Mistakes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"sede": 1}, "sede: unknown setting; did you mean seed?"),
        ({"tarin": {"epochs": 1}}, "tarin: unknown setting; did you mean train?"),
        ({"train": {"epoch": 1}}, "train.epoch: unknown setting; did you mean train.epochs?"),
        ({"size": {"particle": 1}}, "size.particle: unknown setting; did you mean size.particles?"),
        ({"particles": 30}, "particles: unknown setting; did you mean particle?"),
        ({"views": 30}, "views: unknown setting; did you mean scatter.views?"),
        ({"train": {"views": 3}}, "train.views: unknown setting; did you mean scatter.views?"),
        ({"size": {"xyzzy": 1}}, "size.xyzzy: unknown setting; size has particles, particles_per_chunk"),
    ],
)
def test_an_unknown_setting_is_told_with_the_nearest_right_one(given, line):
    assert told(given).startswith(line)


def test_an_unknown_setting_deep_inside_is_told():
    scans = {"mine": {"path": "a.h5", "splitt": "test"}}
    assert told({"extract": {"scans": scans}}) == (
        "extract.scans.mine.splitt: unknown setting; did you mean extract.scans.mine.split?"
    )


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"seed": "seven"}, ["seed: ", "integer", "got 'seven'"]),
        ({"seed": 1.5}, ["seed: ", "got 1.5"]),
        ({"seed": -1}, ["seed: ", "greater than or equal to 0", "got -1"]),
        ({"run": "My Run"}, ["run: ", "got 'My Run'"]),
        ({"run": "../elsewhere"}, ["run: ", "pattern"]),
        ({"run": ""}, ["run: "]),
        ({"size": {"particles": 0}}, ["size.particles: ", "got 0"]),
        ({"size": 5}, ["size: ", "got 5"]),
        ({"size": [1, 2]}, ["size: "]),
        ({"fetch": {"timeout_s": 0}}, ["fetch.timeout_s: ", "greater than 0", "got 0"]),
        ({"fetch": {"github_raw_url": "ftp://x"}}, ["fetch.github_raw_url: ", "ftp://x"]),
        (
            {"evaluate": {"patches": {"gap_widths_px": []}}},
            ["evaluate.patches.gap_widths_px: ", "at least 1 item", "got []"],
        ),
        ({"evaluate": {"patches": {"gap_widths_px": [3, 99]}}}, ["evaluate.patches.gap_widths_px.1: ", "got 99"]),
        ({"particle": {"min_atoms": 10, "max_atoms": 5}}, ["particle: ", "min_atoms", "max_atoms"]),
        ({"scatter": {"backend": "fast"}}, ["scatter.backend: ", "'nufft'", "got 'fast'"]),
        ({"train": {"epochs": None}}, ["train.epochs: ", "got None"]),
    ],
)
def test_a_wrong_value_is_told_with_its_setting_and_what_would_be_right(given, parts):
    line = told(given)
    for part in parts:
        assert part in line, line


def test_every_mistake_is_told_at_once():
    line = told({"sede": 1, "size": {"particles": 0}})
    assert "did you mean seed?" in line
    assert "size.particles" in line


def test_bounds_hold_for_the_defaults_and_nothing_can_be_changed_later():
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.seed = 2
    with pytest.raises(ValidationError):
        settings.size.particles = 2


# Files --------------------------------------------------------------------------------------------------------------


def test_later_files_win_setting_by_setting(tmp_path):
    (tmp_path / "a.yaml").write_text("seed: 3\nsize: {particles: 7, particles_per_chunk: 2}\n")
    (tmp_path / "b.yaml").write_text("size:\n  particles: 9\ntrain:\n")
    settings = load(tmp_path / "a.yaml", tmp_path / "b.yaml")
    assert (settings.seed, settings.size.particles, settings.size.particles_per_chunk) == (3, 9, 2)
    assert settings.train == Settings().train


def test_merging_leaves_what_it_was_given_alone():
    first, second = {"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}, "d": 4}
    assert merge(first, second) == {"a": {"b": 1, "c": [3]}, "d": 4}
    assert (first, second) == ({"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}, "d": 4})


def test_a_mistake_is_told_with_its_own_file(tmp_path):
    (tmp_path / "a.yaml").write_text("sede: 3\n")
    (tmp_path / "b.yaml").write_text("seed: 3\n")
    with pytest.raises(BraggfillError, match=r"a\.yaml: sede"):
        load(tmp_path / "a.yaml", tmp_path / "b.yaml")


def test_two_files_may_be_wrong_only_together(tmp_path):
    (tmp_path / "a.yaml").write_text("particle: {min_atoms: 100, max_atoms: 200}\n")
    (tmp_path / "b.yaml").write_text("particle: {min_atoms: 1000}\n")
    with pytest.raises(BraggfillError, match=r"a\.yaml \+ .*b\.yaml: particle: .*min_atoms"):
        load(tmp_path / "a.yaml", tmp_path / "b.yaml")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "cannot be read"),
        (b"seed: [1", "not valid YAML in line"),
        (b"a: b: c", "not valid YAML in line 1"),
        (b"- seed", "not a list"),
        (b"seed", "not a str"),
        (b"\xff\xfe\x00", "not"),
        (b"seed: 1\nsize: {chunks: 1}\nseed: 2\n", "'seed' in line 3 stands in line 1 already"),
        (b"size:\n  chunks: 1\n  chunks: 1\n", "'chunks' in line 3 stands in line 2 already"),
        (b"seed: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_what_is_no_configuration_is_told(tmp_path, content, part):
    path = tmp_path / "run.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BraggfillError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert part in str(caught.value)


def test_snakemake_and_the_program_that_checks_refuse_a_setting_that_stands_there_twice(tmp_path, top):
    file = tmp_path / "twice.yaml"
    file.write_text("size:\n  chunks: 1\nsize:\n  particles: 3\n")
    checked = subprocess.run([sys.executable, "-m", "braggfill.settings", file], capture_output=True, text=True)
    told = f"{file}: 'size' in line 3 stands in line 1 already; keep one of them"
    assert (checked.returncode, checked.stdout, checked.stderr) == (2, "", f"error: {told}\n")
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-n",
        "--configfile",
        file,
        "--directory",
        tmp_path,
        "-s",
        Path(top) / "Snakefile",
    ]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 1
    assert told in ran.stdout + ran.stderr


def test_the_program_that_writes_the_files_runs(top):
    command = [sys.executable, "-m", "braggfill.settings.document", str(Path(top) / "config"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_part_of_the_settings_holds_what_was_named_and_nothing_else():
    whole = ReconstructSettings(device="cpu", map={"starts": 4})
    plain = whole.only("true_phase.zoom", "map", "device", "true_phase.box_px")
    assert plain["true_phase"] == {"zoom": 0.4, "box_px": 192}
    assert plain["map"] == whole.map.model_dump(mode="json")
    part = ReconstructSettings.part(plain)
    assert (part.map.starts, part.device, part.true_phase.zoom) == (4, "cpu", 0.4)
    assert part.model_dump(mode="json") == plain
    for look in (lambda: part.threads, lambda: part.retrieval, lambda: part.true_phase.offset_px):
        with pytest.raises(AttributeError):
            look()


@pytest.mark.parametrize("name", ["nothing", "map.nothing"])
def test_a_part_of_unknown_settings_is_an_error(name):
    with pytest.raises(ValueError, match="nothing"):
        ReconstructSettings().only(name)


def test_every_former_name_is_told_where_it_is_now():
    """In one line, with the file's own value or another, and what it names is a setting."""
    for old, new in EvaluateSettings.moved.items():
        with pytest.raises(BraggfillError) as error:
            parse({"evaluate": {old: [3]}}, "my.yaml")
        assert str(error.value) == f"my.yaml: evaluate.{old}: this setting is evaluate.{new} now"
        assert EvaluateSettings().only(new)
