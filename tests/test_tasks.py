"""What the parameters of a rule hold: the code and the settings that its task uses, and nothing that it doesn't."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from braggfill.runs.fingerprint import code
from workflow_helpers import IGNORED

FILLING = {
    *("inpaint", "evaluate_measured", "evaluate_simulated", "evaluate_oversampling", "evaluate_position"),
    *("evaluate_skip", "evaluate_gaps", "reconstruct_true_phase", "reconstruct_particles", "reconstruct_prepare"),
    *("reconstruct_map_cell", "reconstruct_finetune", "figures"),
}
"""The tasks of the tiny run that fill with a network."""
JOINING = {"evaluate_patches", "evaluate_whole"}
"""Those that know the columns of what others fill."""
PHASING = {"reconstruct_prepare", "reconstruct_phase", "reconstruct_retrieval"}
MAPPING = {"reconstruct_map_cell", "reconstruct_map"}

BLOCK = '''

class OtherSettings(StageSettings):
    """Another block."""

    number: int = Field(default=1, ge=0)
    """How many."""

    @model_validator(mode="after")
    def _checked(self) -> OtherSettings:
        if self.number > 3:
            raise ValueError("number: too many")
        return self

'''


def copied(top: Path, folder: Path) -> Path:
    shutil.copytree(top, folder, ignore=IGNORED)
    shutil.copy(Path(__file__).with_name("tasks.smk"), folder)
    return folder


def told(project: Path) -> dict[str, dict]:
    """Rule → ``modules`` of its code and its ``settings``, of the tiny run."""
    command = [sys.executable, "-m", "snakemake", "-s", "tasks.smk", "--configfile", "config/test.yaml", "--list-rules"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    found = re.search(r"^TASKS (.*)$", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return json.loads(found[1])


@pytest.fixture(scope="module")
def project(top, tmp_path_factory) -> Path:
    return copied(top, tmp_path_factory.mktemp("tasks") / "project")


@pytest.fixture(scope="module")
def tasks(project) -> dict[str, dict]:
    return told(project)


@pytest.fixture
def package(top, tmp_path) -> Path:
    """A copy of the package's code to change."""
    place = tmp_path / "braggfill"
    shutil.copytree(top / "workflow/braggfill", place, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    return place


def digests(tasks: dict[str, dict], package: Path) -> dict[str, str]:
    return {rule: code(*each["modules"], root=package) for rule, each in tasks.items()}


def changed(tasks: dict[str, dict], package: Path, file: str, add: str = "\n_changed = True\n") -> set[str]:
    """The tasks whose code is another after lines were added to a file."""
    before = digests(tasks, package)
    path = package / file
    path.write_text(path.read_text() + add if path.exists() else add)
    return {rule for rule, digest in digests(tasks, package).items() if digest != before[rule]}


def replace(package: Path, file: str, old: str, new: str) -> None:
    text = (package / file).read_text()
    assert old in text
    (package / file).write_text(text.replace(old, new, 1))


def test_comments_and_docstrings_rerun_nothing(tasks, package):
    before = digests(tasks, package)
    for file in package.rglob("*.py"):
        file.write_text(f'"""Another docstring."""\n# A comment.\n{file.read_text()}\n"""More of that."""\n')
    assert digests(tasks, package) == before


@pytest.mark.parametrize("folder", ["networks", "networks/gap", "learning", "phasing", "filling", "patterns", "stages"])
def test_a_new_file_reruns_nothing(tasks, package, folder):
    """A family of networks, a loss, an engine, a method."""
    assert changed(tasks, package, f"{folder}/another.py", "from braggfill import filling\n\n\nx = 1\n") == set()


def test_a_new_network_reruns_nothing(tasks, package):
    before = digests(tasks, package)
    (package / "networks/gap/another.py").write_text("class Another:\n    name = 'another'\n")
    replace(
        package, "networks/__init__.py", "NETWORKS = {", 'NETWORKS = {"another": "braggfill.networks.gap.another:A",'
    )
    replace(package, "settings/train.py", 'Literal["braggfill", "paper"]', 'Literal["braggfill", "paper", "another"]')
    assert digests(tasks, package) == before


@pytest.mark.parametrize("stage", ["evaluate", "reconstruct", "scatter", "extract"])
def test_a_new_block_of_settings_reruns_nothing_but_the_report(tasks, project, package, stage, tmp_path):
    before = digests(tasks, package)
    name = f"class {stage.capitalize()}Settings"
    replace(package, f"settings/{stage}.py", name, f"{BLOCK}\n{name}")
    replace(
        package,
        f"settings/{stage}.py",
        "Field, StageSettings\n",
        "Field, StageSettings\nfrom pydantic import model_validator\n",
    )
    text = (package / f"settings/{stage}.py").read_text()
    first = text.index('"""\n\n    ', text.index(name)) + 3
    (package / f"settings/{stage}.py").write_text(
        f"{text[:first]}\n\n    other: OtherSettings = OtherSettings(){text[first:]}"
    )
    assert digests(tasks, package) == before
    place = project / f"workflow/braggfill/settings/{stage}.py"
    old = place.read_text()
    try:
        shutil.copy(package / f"settings/{stage}.py", place)
        done = subprocess.run(
            [sys.executable, "-c", f"from braggfill.settings.root import Settings; print(Settings().{stage}.other.number)"],
            env={"PYTHONPATH": str(project / "workflow")}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout == "1\n", "the block is not there: " + done.stderr
        assert {rule: each["settings"] for rule, each in told(project).items()} == {
            rule: each["settings"] for rule, each in tasks.items()
        }
    finally:
        place.write_text(old)


@pytest.mark.parametrize(
    ("file", "rules"),
    [
        ("networks/gap/unet.py", FILLING | {"train", "evaluate_calibration"}),
        ("networks/gap/paper.py", set()),  # no task of the tiny run builds one
        ("filling/finetune.py", {"reconstruct_finetune"}),
        ("filling/finite.py", FILLING | JOINING),
        ("filling/wide.py", FILLING | JOINING),
        ("phasing/pynx.py", PHASING | MAPPING),
        ("patterns/calibration.py", FILLING | JOINING | PHASING | MAPPING | {"evaluate_calibration"}),
        ("scans/reading.py", {"extract_scan"}),
        ("physics/elements.py", {"particle", "relax"}),
        ("stages/scatter/check.py", {"scatter_check"}),
        ("stages/scatter/sampling.py", {"scatter_oversampling"}),
        ("stages/scatter/views.py", {"scatter", "scatter_check", "scatter_oversampling"}),
        ("stages/perturb.py", {"perturb", "perturb_steps", "perturb_oversampling"}),
        ("stages/extract/chunk.py", {"extract"}),
        ("stages/extract/places.py", {"extract", "extract_scan"}),
        ("stages/evaluate/claims.py", {"evaluate_claims"}),
        ("stages/evaluate/realism.py", {"evaluate_realism"}),
        ("stages/evaluate/cases.py", {"evaluate_cases"}),
        ("stages/evaluate/whole.py", {"evaluate_oversampling", "evaluate_position", *JOINING}),
        ("stages/reconstruct/exact.py", {"reconstruct_true_phase", "reconstruct_particles"}),
        ("stages/reconstruct/mapping.py", MAPPING),
        ("stages/reconstruct/tuning.py", {"reconstruct_finetune"}),
        ("stages/figures/page.py", {"report"}),
        ("stages/figures/page.html", {"report"}),
        ("stages/figures/sweeps.py", {"figures"}),
    ],
)
def test_a_changed_line_reruns_what_uses_it(tasks, package, file, rules):
    assert changed(tasks, package, file) == rules


def test_a_changed_line_in_a_tasks_own_modules_reruns_it(tasks, package):
    for module in {module for each in tasks.values() for module in each["modules"]}:
        names = module.removeprefix("braggfill.").split(".")
        place = "/".join(names)
        file = (
            module if "/" in module else f"{place}.py" if (package / f"{place}.py").exists() else f"{place}/__init__.py"
        )
        expected = {rule for rule, each in tasks.items() if module in each["modules"]}
        assert changed(tasks, package, file, "\n_more = 1\n") >= expected, module


def test_every_task_depends_on_what_writes_its_files(tasks, package):
    assert changed(tasks, package, "runs/storage.py") == tasks.keys()


@pytest.mark.parametrize(
    ("setting", "rules"),
    [
        ("evaluate.measured", {"evaluate_measured"}),
        ("evaluate.patches.bins", {"evaluate_measured", "evaluate_simulated"}),
        ("evaluate.skip", {"evaluate_skip"}),
        ("evaluate.whole.step_px", {"evaluate_oversampling", "evaluate_position"}),
        ("evaluate.calibration", {"evaluate_calibration"}),
        ("evaluate.crop_px", {"evaluate_measured", "evaluate_gaps", "evaluate_calibration", "evaluate_realism"}),
        ("evaluate.shards", set()),
        ("reconstruct.map", {"reconstruct_map_cell"}),
        ("reconstruct.finetune", {"reconstruct_finetune"}),
        ("reconstruct.retrieval.hio_cycles", {"reconstruct_phase"}),
        ("reconstruct.retrieval.starts", set()),  # how many jobs there are
        ("reconstruct.retrieval.far", {"reconstruct_prepare"}),
        ("reconstruct.threads", {"reconstruct_true_phase", "reconstruct_particles", "reconstruct_prepare", "reconstruct_finetune"}),
        ("scatter.check_side", {"scatter_check"}),
        ("scatter.views", {"scatter"}),
        ("extract.scans", {"extract_scan"}),
    ],
)  # fmt: skip
def test_a_setting_is_a_parameter_of_the_tasks_that_look_at_it(tasks, setting, rules):
    stage, *names = setting.split(".")

    def has(rule: str, settings: dict | list) -> bool:
        found = settings[0] if isinstance(settings, list) else settings
        for name in names:
            if rule.split("_")[0] != stage or name not in found:
                return False
            found = found[name]
        return True

    assert {rule for rule, each in tasks.items() if has(rule, each["settings"])} == rules
