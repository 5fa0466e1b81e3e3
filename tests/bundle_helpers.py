"""A small run of the real workflow to be packed, and what the tests of bundles ask of it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import requests
from braggfill import bundle
from braggfill.bundle import records
from braggfill.bundle.about import code_of
from braggfill.settings import root as settings_root
from workflow_helpers import Project, planned_jobs

# The first stages of the real workflow, and something that stands for what follows.
SNAKEFILE = """
configfile: "config/default.yaml"
include: "workflow/rules/common.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/particle.smk"
include: "workflow/rules/relax.smk"
rule all:
    default_target: True
    input: f"{RUN}/report.html"
    localrule: True
rule perturb:
    output: f"{RUN}/perturb/plain.csv"
    params: settings=block("perturb"), code=code("stages.perturb"), seed=SEED
    script: "scripts/told.py"
rule perturb_steady:
    input: f"{RUN}/perturb/plain.csv"
    output: f"{RUN}/perturb/steady.csv"
    params: settings={**block("perturb"), "modulus_noise": [0.0, 0.0]}, code=code("stages.perturb"), seed=SEED
    script: "scripts/told.py"
rule figures:
    input: masks=f"{RUN}/fetch/detector_masks.h5", chunks=chunks("relax"), steady=f"{RUN}/perturb/steady.csv"
    output: report=f"{RUN}/report.html", table=f"{RUN}/figures/sizes.csv"
    log: f"{RUN}/logs/figures.log"
    benchmark: f"{RUN}/benchmarks/figures.tsv"
    params: settings=block("figures"), run=settings.model_dump(mode="json"), code=code("stages.figures"), seed=SEED
    script: "scripts/figures.py"
include: "workflow/rules/upstream.smk"
"""
SCRIPT = """
from pathlib import Path
sizes = [Path(file).stat().st_size for file in snakemake.input]
Path(snakemake.output.table).write_text("bytes\\n" + "\\n".join(map(str, sizes)))
Path(snakemake.output.report).write_text("<!doctype html><title>sizes</title>" + str(sizes))
"""
TOLD = """
from pathlib import Path
Path(snakemake.output[0]).write_text(str(snakemake.params.settings))
"""
SMALL = "size: {particles: 2, particles_per_chunk: 1}\nparticle: {shapes: [cube], max_atoms: 500}\n"
DATA = ["fetch/detector_masks.h5", *(f"{stage}/chunk-000{i}.h5" for stage in ("particle", "relax") for i in (0, 1))]
CONTEXT = "https://w3id.org/ro/crate/1.1/context"


def small_run(top: Path, measured: Path, folder: Path) -> Project:
    """A copy of the project in ``folder`` with a small run in it, ``results/test``."""
    project = Project.copy(top, folder)
    project.environment["BRAGGFILL_DATA"] = str(measured)
    project.write("Snakefile", SNAKEFILE)
    project.write("scripts/figures.py", SCRIPT)
    project.write("scripts/told.py", TOLD)
    project.write("small.yaml", SMALL)
    braggfill(project, "-m", "braggfill.settings.document", "config")
    project.snakemake(configs=("small.yaml",))
    return project


def pack(project: Project, name: str, **options) -> Path:
    configuration = [Path("config/test.yaml"), Path("small.yaml")]
    return bundle.pack(project.folder, "test", project.folder / name, configfiles=configuration, **options)


def braggfill(project: Project, *command: str) -> subprocess.CompletedProcess:
    environment = {**project.environment, "PYTHONPATH": str(project.folder / "workflow")}
    return subprocess.run(
        [sys.executable, *command], cwd=project.folder, env=environment, capture_output=True, text=True, check=False
    )


def planned(project: Project) -> set[str]:
    """The rules that Snakemake would run on the bundle's own settings."""
    options = ["--cores", "1", "-n", "--configfile", "results/test/settings.yaml"]
    done = braggfill(project, "-m", "snakemake", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(planned_jobs(done.stdout))


def planned_stages(name: str, project: Project) -> set[str]:
    """The stages that Snakemake would run on the unpacked run's own settings."""
    options = ["--cores", "1", "-n", "--quiet", "host", "--configfile", f"results/{name}/settings.yaml"]
    done = braggfill(project, "-m", "snakemake", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = [line.split(": ", 1)[1] for line in (done.stdout + done.stderr).splitlines() if " output: " in line]
    return {records.stage_of(output.split(", ")[0]) for output in outputs}


def change_code(project: Project, stage: str, line: str) -> None:
    module = project.folder / "workflow" / "braggfill" / "stages" / stage
    module = module.with_suffix(".py") if module.with_suffix(".py").exists() else module / "__init__.py"
    module.write_text(module.read_text() + line)


def rewritten(path: Path, out: Path, change) -> Path:
    """A zip with some contents changed: ``change(name, bytes)`` gives new bytes, or None to leave the file out."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            content = change(info.filename, old.read(info))
            if content is not None:
                new.writestr(info.filename, content)
    return out


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def crate_issues(folder: Path, monkeypatch) -> list[str]:
    """What the validator of the RO-Crate community finds amiss of what Provenance Run Crate requires."""
    import rocrate
    from rocrate_validator import models, services
    from rocrate_validator.utils.http import HttpRequester

    # The context is on the web; the one that comes with rocrate serves in its place, with the IRIs that 1.1 had.
    terms = json.loads((Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text())["@context"]
    terms |= {name: f"https://bioschemas.org/{name}" for name in ("ComputationalWorkflow", "FormalParameter")}
    terms |= {name: f"https://bioschemas.org/ComputationalWorkflow#{name}" for name in ("input", "output")}

    class Web:
        def get(self, url, **_):
            answer = requests.Response()
            answer.url, answer.status_code = url, 200 if url == CONTEXT else 404
            answer.headers["Content-Type"] = "application/ld+json"
            answer._content = json.dumps({"@context": terms}).encode() if url == CONTEXT else b""
            return answer

        head = get

    monkeypatch.setattr(HttpRequester, "_instance", None)
    monkeypatch.setattr(HttpRequester, "__initialize_session__", lambda self, *_, **__: setattr(self, "session", Web()))
    required = models.Severity.REQUIRED
    settings = {"profile_identifier": "provenance-run-crate", "requirement_severity": required}
    found = services.validate(models.ValidationSettings(rocrate_uri=str(folder), **settings))
    assert found.passed() == (not found.get_issues(required))
    return [issue.message for issue in found.get_issues(required)]


def touched_run(top: Path, measured: Path, folder: Path, configuration: str) -> Project:
    """A project in which a whole run seems to have been made: Snakemake's own records of it, and empty files."""
    project = Project.copy(top, folder)
    project.environment["BRAGGFILL_DATA"] = str(measured)
    options = ["-m", "snakemake", "--cores", "1", "--configfile", configuration]
    plan = braggfill(project, *options, "-n", "--quiet", "host")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    for line in re.findall(r"^ +(?:output|benchmark|log): (.*)$", plan.stdout + plan.stderr, re.MULTILINE):
        for name in line.removesuffix(" (send to storage)").split(", "):
            place = project.folder / name.partition(" (")[0]
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.suffix == ".h5":
                h5py.File(place, "w").close()
            else:
                place.write_text("s\tmax_rss\n1\t1\n")
    done = braggfill(project, *options, "--touch", "--forceall")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def sealed(path: Path, contents: dict[str, bytes]) -> Path:
    """A zip with these files and with checksums that are right, as whoever sends one can write them."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("checksums.sha256", "".join(lines))
        for name, content in contents.items():
            file.writestr(name, content)
    return path


def record(output: str, **fields) -> dict[str, bytes]:
    """A record of Snakemake's, by its name in a bundle."""
    told = {"rule": "figures", "params": ["7"], "input": [], "log": [], "code": '"../../scripts/figures.py"\n'}
    told |= {"record_format_version": 6, "starttime": 1e9, "endtime": 1e9 + 1} | fields
    return {str(records.file_of(output)): json.dumps(told).encode()}


def contents_of_a_run(top: Path) -> dict[str, bytes]:
    """What a bundle of the run ``x`` holds, with records but without having been run."""
    settings = settings_root.parse({"run": "x", "seed": 3}).model_dump(mode="json")
    told = {
        "format": 1, "run": "x", "created": 1e9, "seed": 3, "settings": settings, "configfiles": ["config/x.yaml"],
        "code": {}, "git": {"revision": "a" * 40, "modified": []}, "arrays_made_with": {},
        "environment": {"python": "3.11.7", "platform": "linux", "pynx": "none", "packages": {"numpy": "2.4.6"}},
        "left_out": {}, "not_included": {}, "remarks": [],
    }  # fmt: skip
    contents = {entry.name: entry.content.read_bytes() for entry in code_of(top) if entry.size < 500_000}
    contents |= {"bundle.json": json.dumps(told).encode(), "results/x/report.html": b"<!doctype html>"}
    contents["results/x/settings.yaml"] = json.dumps(settings).encode()
    found = ["'public source'", repr(settings["fetch"]), "'0123456789abcdef'"]
    script = '"../../scripts/fetch.py"\n'
    contents |= record("results/x/fetch/detector_masks.h5", rule="fetch", params=found, code=script)
    return contents | record("results/x/report.html")


def bare_clone(top: Path, folder: Path) -> Path:
    """As much of a copy of the project as makes one, with a run of its own."""
    for name in ("workflow", "scripts", "config"):
        shutil.copytree(
            top / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors", "*.egg-info")
        )
    shutil.copy(top / "Snakefile", folder)
    for name, content in {"results/demo/report.html": b"mine", **record("results/demo/report.html")}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def about(contents: dict[str, bytes], **fields) -> dict[str, bytes]:
    """The contents of a bundle that says other things of itself."""
    return {**contents, "bundle.json": json.dumps(json.loads(contents["bundle.json"]) | fields).encode()}


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every folder and file with its content."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}
