"""What ``verify`` says of a bundle is what Snakemake says of it, unpacked: over whole runs by their configurations."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from braggfill import bundle
from braggfill.bundle import records
from bundle_helpers import change_code, planned_stages, touched_run
from workflow_helpers import Project

pytestmark = pytest.mark.dag


@pytest.fixture(scope="module", params=[pytest.param("demo", marks=pytest.mark.long), "test"])
def run(request, top, measured, tmp_path_factory) -> tuple[str, Project, Path]:
    """A run's name, a project with it, and a bundle without arrays."""
    name = request.param
    project = touched_run(top, measured, tmp_path_factory.mktemp(name) / "project", f"config/{name}.yaml")
    return name, project, bundle.pack(project.folder, name)


@pytest.fixture(autouse=True)
def _the_same_data(measured, monkeypatch):
    """This process looks for measured data where the project's own do."""
    monkeypatch.setenv("BRAGGFILL_DATA", str(measured))


def elsewhere(project: Project, folder: Path) -> Project:
    """The project's code in another folder."""
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns("results", ".snakemake"))
    return Project(folder, project.environment)


def test_fresh_nothing_would_run(run, tmp_path):
    name, project, packed = run
    verdict = bundle.verify(packed, project.folder)
    assert (verdict.reruns, verdict.unknown, verdict.code) == ({}, None, [])
    there = elsewhere(project, tmp_path / "there")
    bundle.unpack(packed, there.folder)
    assert planned_stages(name, there) == set()
    bundle.unpack(packed, tmp_path / "new")
    assert planned_stages(name, Project(tmp_path / "new", project.environment)) == set()


@pytest.mark.long
@pytest.mark.parametrize("stage", ["relax", "evaluate"])
def test_changed_code(run, tmp_path, stage):
    name, project, packed = run
    there = elsewhere(project, tmp_path / "there")
    change_code(there, stage, "\n_changed = True\n")
    verdict = bundle.verify(packed, there.folder)
    module = f"workflow/braggfill/stages/{stage}"
    assert [line for line in verdict.code if line.startswith(module) and "differs" in line]
    bundle.unpack(packed, there.folder)
    assert set(verdict.reruns) == planned_stages(name, there) >= {stage, "figures"}
    assert "its code differs here" in verdict.reruns[stage]


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new", "stage"),
    [("seed: ", "seed: 1", "particle"), ("  bootstrap_draws: ", "  bootstrap_draws: 1", "evaluate")],
)
def test_changed_settings(run, tmp_path, old, new, stage):
    name, project, packed = run
    there = elsewhere(project, tmp_path / "there")
    bundle.unpack(packed, there.folder)
    settings = there.folder / f"results/{name}/settings.yaml"
    assert f"\n{old}" in settings.read_text()
    settings.write_text(settings.read_text().replace(f"\n{old}", f"\n{new}", 1))
    verdict = bundle.verify(packed, there.folder, configfiles=[settings])
    assert set(verdict.reruns) == planned_stages(name, there) >= {stage, "figures"}
    assert any("differ" in told for told in verdict.reruns[stage])


@pytest.mark.long
def test_missing_files_and_an_unfinished_run(run, tmp_path):
    name, project, _ = run
    there = Project(tmp_path / "there", project.environment)
    shutil.copytree(project.folder, there.folder, symlinks=True)
    for place in ("report.html", "evaluate/claims.csv"):
        (there.folder / f"results/{name}" / place).unlink()
    unfinished = bundle.pack(there.folder, name, tmp_path / "unfinished.zip")
    verdict = bundle.verify(unfinished, project.folder)
    assert any("unfinished" in told for told in verdict.reruns["figures"])
    bundle.unpack(unfinished, tmp_path / "new")
    assert set(verdict.reruns) == planned_stages(name, Project(tmp_path / "new", project.environment))


def test_the_settings_of_a_run_are_not_those_that_a_rule_changes(run, tmp_path):
    """The oversampling sweep perturbs in its own way; also where it ran last, that is not how the run perturbs."""
    name, project, _ = run
    kept = records.read(project.folder, name)
    jobs = records.jobs({output: record for output, record in kept.items() if record.rule.startswith("perturb")})
    assert {job.rule for job in jobs} >= {"perturb", "perturb_oversampling"}
    found = records.settings_that_ran(jobs, {"perturb": {}})["perturb"]
    assert found == next(job.settings() for job in jobs if job.rule == "perturb")
    assert found != next(job.settings() for job in jobs if job.rule == "perturb_oversampling")
