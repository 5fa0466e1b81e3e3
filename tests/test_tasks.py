"""What the parameters of a rule hold: the code and the settings that its task uses, and nothing that it doesn't."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
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
JOINING = {"evaluate_patches", "evaluate_whole", "reconstruct_phase", "reconstruct_retrieval", "reconstruct_map"}
"""Those that go on with what was filled, in the same module or with its columns: they follow anyway."""
PHASING = {"reconstruct_prepare", "reconstruct_phase", "reconstruct_retrieval"}
REFINING = {"phase_refine", "phase_refine_case"}
ASSESSING = {"phase_assess", "phase_assess_kind", "phase_compared"}
MEASURING = {"phase_measured", "phase_measured_scan"}
"""Measured scans, which are filled where they have gaps."""
CONVEX = {"phase_convex", "phase_convex_case"}
FLAT_LOSSES = {"flat_gap_cell", "flat_full", "flat_baseline", "flat_position", "flat_oversampling"}
"""The studies in two dimensions compare all losses."""
MAPPING = {"reconstruct_map_cell", "reconstruct_map"}

FLAT_FILLING = {"flat_gap_cell", "flat_position", "flat_oversampling"}
"""Those that fill in two dimensions."""

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


class Package:
    """A copy of the package's code to change, and which tasks' code that changes."""

    def __init__(self, place: Path, tasks: dict[str, dict]):
        self.place, self.tasks, self.old = place, tasks, {}
        self.before = self.digests()

    def digests(self) -> dict[str, str]:
        known = {
            each: code(*each, root=self.place) for each in {tuple(each["modules"]) for each in self.tasks.values()}
        }
        return {rule: known[tuple(each["modules"])] for rule, each in self.tasks.items()}

    def read(self, file: str) -> str:
        path = self.place / file
        return path.read_text() if path.exists() else ""

    def write(self, file: str, text: str) -> None:
        self.old.setdefault(file, self.read(file))
        (self.place / file).write_text(text)

    def replace(self, file: str, old: str, new: str) -> None:
        assert old in self.read(file)
        self.write(file, self.read(file).replace(old, new, 1))

    def changed(self) -> set[str]:
        return {rule for rule, digest in self.digests().items() if digest != self.before[rule]}

    def undo(self) -> None:
        for file, text in self.old.items():
            if text:
                (self.place / file).write_text(text)
            else:
                (self.place / file).unlink()
        self.old.clear()


@pytest.fixture(scope="module")
def copy_of_package(top, tasks, tmp_path_factory) -> Package:
    place = tmp_path_factory.mktemp("package") / "braggfill"
    shutil.copytree(top / "workflow/braggfill", place, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    (place / "weights").mkdir()
    return Package(place, tasks)


@pytest.fixture
def package(copy_of_package) -> Iterator[Package]:
    yield copy_of_package
    copy_of_package.undo()


def test_comments_and_docstrings_rerun_nothing(package):
    for path in package.place.rglob("*.py"):
        file = str(path.relative_to(package.place))
        text = package.read(file) or "# Nothing here.\n"
        package.write(file, f'"""Another docstring."""\n# A comment.\n{text}\n"""More of that."""\n')
    assert package.changed() == set()


@pytest.mark.parametrize("folder", ["networks", "networks/gap", "learning", "phasing", "filling", "patterns", "stages"])
def test_a_new_file_reruns_nothing(package, folder):
    """A family of networks, a loss, an engine, a method."""
    package.write(f"{folder}/another.py", "from braggfill import filling\n\n\nx = 1\n")
    assert package.changed() == set()


def test_a_new_network_reruns_nothing(package):
    package.write("networks/gap/another.py", "class Another:\n    name = 'another'\n")
    package.replace(
        "networks/__init__.py", "REGISTRY = {", 'REGISTRY = {"another": "braggfill.networks.gap.another:A",'
    )
    assert package.changed() == set()


def test_a_new_filling_method_reruns_nothing(package):
    package.write("filling/another.py", "def another(seen, mask, network, options):\n    return seen[mask], None\n")
    line = '"another": Method("braggfill.filling.another:another"),'
    package.replace("filling/methods.py", "Method] = {", f"Method] = {{{line}")
    assert package.changed() == set()


def test_what_the_registry_says_of_a_filling_method_reruns_those_that_fill_by_it(tasks, package):
    using = {rule for rule, each in tasks.items() if "filling/methods.py#biharmonic" in each["modules"]}
    package.replace("filling/methods.py", "interpolated:biharmonic", "interpolated:cubic")
    assert package.changed() == using != set()


LOSSES = "learning/gap/losses"


def test_a_new_loss_reruns_nothing(project, tasks, package):
    registry = package.read(f"{LOSSES}/__init__.py")
    package.write(f"{LOSSES}/another.py", "def another(prediction, truth, mask):\n    return 0\n")
    package.replace(
        f"{LOSSES}/__init__.py",
        "REGISTRY = {",
        f'REGISTRY = {{"another": "braggfill.{LOSSES.replace("/", ".")}.another:another",',
    )
    assert package.changed() == set()
    place = project / "workflow/braggfill" / LOSSES / "__init__.py"
    try:
        place.write_text(package.read(f"{LOSSES}/__init__.py"))
        found = told(project)
    finally:
        place.write_text(registry)
    assert found == tasks


def test_a_loss_of_weight_zero_reruns_nothing_and_a_used_one_its_training(package):
    for name in ("mae", "ssim", "gradient"):
        package.write(f"{LOSSES}/{name}.py", package.read(f"{LOSSES}/{name}.py") + "\n_changed = True\n")
    assert package.changed() == FLAT_LOSSES
    package.undo()
    for name in ("mse", "amplitude", "nll"):
        package.write(f"{LOSSES}/{name}.py", package.read(f"{LOSSES}/{name}.py") + "\n_changed = True\n")
        assert package.changed() - FLAT_LOSSES == {"train", "reconstruct_finetune"}
        package.undo()


def test_a_network_that_takes_the_place_of_another_has_another_fingerprint(package):
    """What a task looks up is named by the rule, from the same table."""
    package.write("networks/gap/another.py", "class Another:\n    name = 'another'\n")
    one, two = (code("stages.train", f"networks.gap.{name}", root=package.place) for name in ("unet", "another"))
    assert one != two


@pytest.mark.long
@pytest.mark.parametrize("stage", ["evaluate", "reconstruct", "scatter", "extract"])
def test_a_new_block_of_settings_reruns_nothing_but_the_report(project, tasks, package, stage):
    """The report shows all settings."""
    file, name = f"settings/{stage}.py", f"class {stage.capitalize()}Settings"
    package.replace(file, name, f"{BLOCK}\n{name}")
    package.replace(file, " StageSettings\n", " StageSettings\nfrom pydantic import model_validator\n")
    text = package.read(file)
    first = text.index('"""\n', text.index(name)) + 4
    package.write(file, f"{text[:first]}\n    other: OtherSettings = OtherSettings()\n{text[first:]}")
    assert package.changed() == set()
    place = project / "workflow/braggfill" / file
    old = place.read_text()
    try:
        place.write_text(package.read(file))
        ask = f"from braggfill.settings.root import Settings; print(Settings().{stage}.other.number)"
        where = {"PYTHONPATH": str(project / "workflow")}
        done = subprocess.run([sys.executable, "-c", ask], env=where, capture_output=True, text=True, check=False)
        assert done.stdout == "1\n", f"the block is not there: {done.stderr}"
        found = told(project)
    finally:
        place.write_text(old)
    assert {rule for rule, each in found.items() if each["settings"] != tasks[rule]["settings"]} == set()


@pytest.mark.parametrize(
    ("file", "rules"),
    [
        ("networks/gap/unet.py", FILLING | FLAT_FILLING | {"train", "evaluate_calibration", "phase_measured_scan"}),
        ("networks/gap/paper.py", set()),  # no task of the tiny run builds one
        ("filling/finetune.py", {"reconstruct_finetune"}),
        ("filling/finite.py", FILLING | JOINING | MEASURING | {"report"}),
        ("filling/wide.py", FILLING | {"phase_measured_scan"}),
        ("patterns/coverage.py", {"evaluate_calibration"}),
        (
            "patterns/distribution.py",
            FILLING | JOINING | PHASING | MAPPING | MEASURING | {"evaluate_calibration", "evaluate_cases", "report"},
        ),
        ("phasing/pynx.py", {"reconstruct_phase"} | REFINING | MEASURING),
        ("phasing/fixed.py", {"reconstruct_map_cell"}),
        ("phasing/convex_losses.py", CONVEX | MEASURING | ASSESSING | REFINING),
        ("phasing/voxels.py", CONVEX),
        ("stages/phase/convex_claims.py", {"phase_convex"}),
        (
            "phasing/projections.py",
            {"reconstruct_map_cell", "reconstruct_phase", "flat_starts"} | ASSESSING | REFINING | MEASURING | CONVEX,
        ),
        ("phasing/single.py", PHASING | MAPPING | REFINING | MEASURING),
        ("scans/reading.py", {"extract_scan"} | MEASURING),
        ("networks/planar/gated.py", FLAT_FILLING),
        ("learning/planar_phase.py", {"flat_phase_low", "flat_phase_high", "flat_fit", "flat_full", "flat_starts"}),
        ("stages/flat/claims.py", {"flat_claims"}),
        ("physics/elements.py", {"particle", "relax"}),
        ("stages/scatter/check.py", {"scatter_check"}),
        ("stages/scatter/sampling.py", {"scatter_oversampling"}),
        ("stages/scatter/views.py", {"scatter", "scatter_check", "scatter_oversampling"}),
        ("physics/views.py", {"scatter", "scatter_check", "scatter_oversampling"}),
        ("stages/perturb.py", {"perturb", "perturb_steps", "perturb_oversampling"}),
        ("stages/extract/chunk.py", {"extract"}),
        ("stages/extract/places.py", {"extract", "extract_scan"}),
        ("stages/evaluate/claims.py", {"evaluate_claims"}),
        ("stages/evaluate/realism.py", {"evaluate_realism"}),
        ("stages/evaluate/cases.py", {"evaluate_cases"}),
        ("stages/evaluate/whole.py", {f"evaluate_{name}" for name in ("oversampling", "position", "patches", "whole")}),
        ("stages/reconstruct/true_phase.py", {"reconstruct_true_phase", "reconstruct_particles"}),
        ("stages/reconstruct/treatment_map.py", MAPPING),
        ("stages/reconstruct/finetuning.py", {"reconstruct_finetune"}),
        ("stages/phase/measured.py", MEASURING),
        ("stages/phase/compared.py", {"phase_compared"}),
        ("stages/figures/page.py", {"report"}),
        ("stages/figures/page.html", {"report"}),
        ("stages/figures/sweeps.py", {"figures", "report"}),
        ("stages/figures/chapters/gaps.py", {"figures", "report"}),
    ],
)
def test_a_changed_line_reruns_what_uses_it(package, file, rules):
    package.write(file, package.read(file) + "\n_changed = True\n")
    assert package.changed() == rules


@pytest.mark.long
def test_a_changed_line_in_a_tasks_own_modules_reruns_it(tasks, package):
    for module in sorted({module for each in tasks.values() for module in each["modules"]}):
        place = module.removeprefix("braggfill.").replace(".", "/") if "/" not in module else module
        files = (module.partition("#")[0], f"{place}.py", f"{place}/__init__.py")
        file = next(file for file in files if package.read(file))
        package.write(file, package.read(file) + "\n_changed = True\n")
        assert package.changed() >= {rule for rule, each in tasks.items() if module in each["modules"]}, module
        package.undo()


def test_every_task_depends_on_what_writes_its_files(tasks, package):
    package.write("runs/storage.py", package.read("runs/storage.py") + "\n_changed = True\n")
    assert package.changed() == tasks.keys()


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
        (
            "reconstruct.threads",
            {f"reconstruct_{name}" for name in ("true_phase", "particles", "prepare", "finetune")},
        ),
        ("phase.measured.crop_px", {"phase_measured_scan"}),
        ("phase.learn.tested", {"phase_compared"}),
        ("scatter.check_side", {"scatter_check"}),
        ("scatter.views", {"scatter"}),
        ("extract.scans", {"extract_scan"}),
    ],
)
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
