"""The tiny DAG, run for real: it ends, it reruns only what changed, it survives a kill, it is reproducible."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from braggfill.runs.fingerprint import module_files, reach
from braggfill.stages import ORDER, fetch
from test_tasks import told
from workflow_helpers import Project, arrays, descendants, same

pytestmark = pytest.mark.dag
LONG = pytest.mark.long
FEW = 2
"""So many of each kind of plan are not left to test-all: a plan takes ten seconds."""

# Settings that a user might change, to values that differ from config/test.yaml, and the tasks that look at them; the
# report shows all settings.  One or two of each kind of stage.
CHANGES: dict[str, set[str]] = {
    "scatter: {tolerance: 2.0e-6}": {"scatter", "scatter_check", "scatter_oversampling"},
    "phase: {measured: {starts: 3}}": {"phase_measured_scan"},
    "fetch: {timeout_s: 6.0}": {"fetch"},
    "scatter: {check_side: 9}": {"scatter_check"},
    "extract: {min_photons: 11}": {"extract", "extract_scan"},
    "flat: {low: {steps: 3}}": {"flat_phase_low"},
    "evaluate: {skip: {steps_px: [9, 30]}}": {"evaluate_skip"},
    "reconstruct: {map: {hio_cycles: 41}}": {"reconstruct_map_cell"},
    "phase: {convex: {starts: 3}}": {"phase_convex_case"},
    "figures: {title: Another}": set(),
}
# Files of code, and the tasks that use them; test_tasks.py has many more, without Snakemake's plan of what follows.
CODE = {
    "stages/particle/lattice.py": {"particle"},
    "stages/extract/scan.py": {"extract_scan"},
    "stages/flat/claims.py": {"flat_claims"},
    "stages/reconstruct/treatment_map.py": {"reconstruct_map_cell", "reconstruct_map"},
    "stages/figures/page.html": {"report"},
}


@pytest.fixture(scope="module")
def project(top, tmp_path_factory) -> Project:
    """The project, its tiny DAG run from particles to report; every job told which modules it had loaded."""
    project = Project.copy(top, tmp_path_factory.mktemp("dag") / "project")
    (project.folder / "loaded").mkdir()
    trace = {"BRAGGFILL_TRACE": str(project.folder / "loaded"), "PYTHONPATH": str(project.folder / "tests/trace")}
    traced = Project(project.folder, project.environment | trace)
    traced.snakemake()
    traced.snakemake("results/test/diffract/chunk-0000.h5")  # the branch of the phase, which is run on request
    return project


@pytest.fixture(scope="module")
def graph(project) -> str:
    return project.snakemake("--rulegraph", "--forceall")


def rules_of(project: Project, stage: str) -> set[str]:
    text = (project.folder / f"workflow/rules/{stage}.smk").read_text()
    return set(re.findall(r"^rule (\w+):", text, flags=re.MULTILINE))


def test_it_runs_from_particles_to_report(project):
    results = project.folder / "results/test"
    assert (results / "report.html").stat().st_size > 50_000
    assert (results / "summary.txt").read_text().strip()
    for stage in ORDER:
        assert any((results / stage).iterdir()), f"{stage} left nothing"


def test_a_second_run_has_nothing_to_do(project):
    assert "Nothing to be done" in project.snakemake("-n")


def test_every_module_that_a_job_loaded_is_in_its_fingerprint(project):
    """But for what every script does around its call, where it also asks for settings that no one looks at, and what
    settings are checked with, the names of the registries: a task's settings are parameters of its own."""
    ask = "import sys, braggfill.settings.root; print(*(m for m in sys.modules if m.startswith('braggfill')))"
    where = {**os.environ, "PYTHONPATH": str(project.folder / "workflow")}
    done = subprocess.run([sys.executable, "-c", ask], env=where, capture_output=True, text=True, check=True)
    checking = set(done.stdout.split())
    shutil.copy(project.folder / "tests/tasks.smk", project.folder)
    tasks, root = told(project.folder), project.folder / "workflow/braggfill"
    jobs = {file: file.stem.rpartition("-")[0] for file in (project.folder / "loaded").iterdir()}
    assert set(jobs.values()) == tasks.keys()
    for file, rule in jobs.items():
        modules = [f"braggfill.{name.removeprefix('braggfill.')}" for name in tasks[rule]["modules"] if "/" not in name]
        around = ("braggfill.runs.job", *(["braggfill.settings"] if not tasks[rule]["settings"] else []))
        loaded = {name for name in json.loads(file.read_text()) if not name.startswith(around)}
        files = {path for name in loaded for path in module_files(name, root)}
        assert len(files) == len(loaded)
        checked = {path for name in checking for path in module_files(name, root)}
        missed = files - set(reach(*modules, root=root)) - checked
        assert not missed, f"{rule} does not know that it depends on {sorted(missed)}"


@pytest.mark.parametrize("file", [*list(CODE)[:FEW], *(pytest.param(f, marks=LONG) for f in list(CODE)[FEW:])])
def test_a_changed_line_reruns_the_task_and_what_follows(project, graph, file):
    module = project.folder / "workflow/braggfill" / file
    text = module.read_text()
    try:
        module.write_text(text + "\n_changed = True\n")
        assert set(project.planned()) == descendants(graph, CODE[file])
    finally:
        module.write_text(text)


def test_what_computes_nothing_reruns_nothing(project):
    """Comments everywhere, and a network, a loss, an engine that no setting asks for."""
    package = project.folder / "workflow/braggfill"
    old = {file: file.read_text() for file in package.rglob("*.py")}
    new = [package / folder / "another.py" for folder in ("networks/gap", "learning", "phasing")]
    try:
        for file, text in old.items():
            file.write_text(text + "\n# A comment reruns nothing.\n")
        for file in new:
            file.write_text("x = 1\n")
        assert "Nothing to be done" in project.snakemake("-n")
    finally:
        for file, text in old.items():
            file.write_text(text)
        for file in new:
            file.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        ("scatter", "scatter: {tolerance: 2.0e-6}"),
        pytest.param("train", "train: {epochs: 2}", marks=LONG),
        pytest.param("evaluate", "evaluate: {measured: {patches: 41}}", marks=LONG),
    ],
)
def test_a_change_that_failed_is_not_forgotten(project, graph, stage, change):
    """Snakemake removes the output of a changed job before it runs; what follows must not pass for up to date then."""
    change = project.write("change.yaml", change)
    results = project.folder / "results/test"
    (results / stage).rename(results / "away")
    try:
        assert set(project.planned(configs=(change,))) == descendants(graph, rules_of(project, stage))
    finally:
        (results / "away").rename(results / stage)


@pytest.mark.parametrize("change", [*list(CHANGES)[:FEW], *(pytest.param(c, marks=LONG) for c in list(CHANGES)[FEW:])])
def test_a_changed_setting_reruns_the_task_and_what_follows(project, graph, change):
    written = project.write("change.yaml", change)
    assert set(project.planned(configs=(written,))) == descendants(graph, CHANGES[change] | {"report"})


@pytest.mark.long
def test_touched_files_and_a_moved_folder_rerun_nothing(project, tmp_path):
    for file in [*(project.folder / "workflow").rglob("*.py"), *(project.folder / "config").glob("*.yaml")]:
        file.touch()
    assert "Nothing to be done" in project.snakemake("-n")
    moved = tmp_path / "moved"
    shutil.copytree(project.folder, moved, symlinks=True)
    assert "Nothing to be done" in Project(moved, project.environment).snakemake("-n")


@pytest.mark.long
def test_measured_data_that_lie_elsewhere_rerun_nothing(project, tmp_path):
    """Not another copy of the same content, of another size even; nor none at all: what was fetched is there."""
    fetched = sorted((project.folder / "results/test/fetch").glob("*.h5"))
    assert fetched
    for place in (tmp_path / "nothing", tmp_path / "others"):
        place.mkdir()
        if place.name == "others":
            for path in fetched:
                (place / fetch.DATA_SETS[path.stem].file).write_bytes(b"another file")
        moved = Project(project.folder, {**project.environment, "BRAGGFILL_DATA": str(place)})
        change = project.write("nowhere.yaml", "fetch: {folders: [nowhere]}\n")
        assert not set(moved.planned()), place.name
        # Other settings of fetch do rerun it: the check can fail.
        assert "fetch" in moved.planned(configs=(change,))


def test_the_workflow_is_lint_free(project):
    assert "in a good condition" in project.snakemake("--lint")


def test_an_unknown_setting_is_one_clear_line(project):
    wrong = project.write("wrong.yaml", "particle:\n  shaeps: [wulff]\n")
    output = project.snakemake("-n", configs=(wrong,), check=False)
    assert "particle.shaeps" in output
    assert "shapes" in output, "the nearest right name is offered"
    assert "Traceback" not in output


@pytest.mark.long
def test_chunk_size_and_jobs_change_no_bit(project, top, tmp_path):
    other = Project.copy(top, tmp_path / "other")
    change = other.write("change.yaml", "size:\n  particles_per_chunk: 1\n")
    other.snakemake("--until", "extract", configs=(change,), jobs=1)
    assert patches(project) == patches(other)


def patches(project: Project) -> list[tuple]:
    """Every simulated patch of a run in the order of particle, view and place, with its bytes."""
    import h5py

    found = []
    for path in (project.folder / "results/test/extract").glob("chunk-[0-9]*.h5"):
        with h5py.File(path) as file:
            columns = [file[name][()] for name in ("particle", "view", "origin", "split", "counts", "expectation")]
            for particle, view, origin, split, counts, expectation in zip(*columns, strict=True):
                key = (int(particle), int(view), *map(int, origin), int(split))
                found.append((*key, counts.tobytes(), expectation.tobytes()))
    assert found, "no patches"
    return sorted(found)


@pytest.mark.long
def test_killed_in_every_stage_it_ends_with_the_same_arrays(project, top, tmp_path):
    """kill -9 once in each stage; the run that goes on ends with the arrays of the one that was left alone."""
    killed = Project.copy(top, tmp_path / "killed")
    settings = "figures: {chapters: [gaps]}\nreconstruct: {finetune: {cases: []}}\n"  # what takes longest left out
    only = (killed.write("only.yaml", settings),)
    logs = {
        "particle": "particle/0000.log",
        "relax": "relax/0000.log",
        "scatter": "scatter/0000.log",
        "perturb": "perturb/0000.log",
        "extract": "extract/0000.log",
        "train": "train.log",
        "inpaint": "inpaint.log",
        "reconstruct": "reconstruct/true_phase.log",
    }
    hit = [stage for stage, log in logs.items() if kill_and_unlock(killed, f"results/test/logs/{log}", only)]
    assert set(hit) >= {"scatter", "perturb", "train", "inpaint"}, f"killed only in {hit}"
    killed.snakemake(configs=only)
    assert (killed.folder / "results/test/report.html").is_file()
    for files in ("particle/*", "relax/*", "scatter/*", "perturb/*", "extract/*", "inpaint/*", "reconstruct/[!f]*"):
        one, two = (arrays(p.folder / "results/test", f"{files}.h5") for p in (project, killed))
        assert one
        assert not same(one, two), f"{files}: {same(one, two)[:3]}"
    one, two = ((p.folder / "results/test/train/model.safetensors").read_bytes() for p in (project, killed))
    assert one == two, "the network that was trained after the kill differs"


def kill_and_unlock(project: Project, log: str, configs: tuple[str, ...]) -> bool:
    hit = project.kill_during(log, configs)
    project.snakemake("--unlock")
    return hit
