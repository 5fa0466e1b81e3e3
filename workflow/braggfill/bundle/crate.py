"""The description of a bundle as a Workflow Run RO-Crate, profile Provenance Run Crate 0.5.

The workflow is the Snakefile; its tools are the scripts of the rules.  Every job that Snakemake recorded is a
CreateAction (script, input, output, times, memory) and a ControlAction of the step that it belongs to.

Sources: RO-Crate 1.1, https://w3id.org/ro/crate/1.1; the profiles, https://w3id.org/ro/wfrun/provenance/0.5 and those
that it extends.
"""

from __future__ import annotations

import csv
import io
import json
import mimetypes
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from rocrate.model import ContextEntity, Entity, Preview
from rocrate.rocrate import ROCrate

from braggfill.bundle.about import About
from braggfill.bundle.files import ABOUT, Entry
from braggfill.bundle.records import Job

BUNDLE, README, METADATA, PREVIEW = ABOUT
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
WORKFLOW_PROFILE = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
TERMS = {name: f"https://w3id.org/ro/terms/workflow-run#{name}" for name in ("sha256", "resourceUsage")}
FORMATS = {".h5": "application/x-hdf5", ".safetensors": "application/octet-stream", ".yaml": "application/yaml"}
USAGE = {  # columns of Snakemake's benchmark files
    "s": {"name": "wall time", "unitCode": "https://qudt.org/vocab/unit/SEC"},
    "max_rss": {"name": "largest resident memory", "unitCode": "https://qudt.org/vocab/unit/MebiBYTE"},
}
ENGINE = "https://snakemake.github.io"
BENCHMARKS = "https://snakemake.readthedocs.io/en/stable/snakefiles/rules.html#benchmark-rules"
SLOT_PROFILE = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
SLOT = {"name": "settings", "description": "Every setting of a run", "additionalType": "File", "valueRequired": False}
PASSED = "A file that was there only while the run was at work, or lies outside of it."
LEFT = "An array; it is not included in this crate."


def describe(
    jobs: list[Job], entries: list[Entry], left: list[Entry], about: About, author: str | None, license: str
) -> dict[str, str]:
    """The texts that describe a bundle, by file name: crate metadata, their preview, ``bundle.json``, ``BUNDLE.md``."""
    texts = {BUNDLE: about.model_dump_json(indent=1) + "\n", README: _readme(about)}
    run, packages = about.run, about.environment["packages"]
    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms.update(TERMS)
    crate.name = f"braggfill, run {run}"
    crate.description = (
        "A run of braggfill, which fills the gaps that detectors leave in 3D Bragg coherent diffraction patterns: "
        f"settings, code, tables, figures, network and report. Begin with results/{run}/report.html or {README}."
    )
    crate.datePublished = _time(about.created)
    root, works = crate.root_dataset, {url: (name, url.rsplit("/", 1)[1]) for url, name in PROFILES.items()}
    root["conformsTo"] = [_add(crate, u, "CreativeWork", name=name, version=v) for u, (name, v) in works.items()]
    url = license if "://" in license else f"https://spdx.org/licenses/{license}"
    root["license"] = _add(crate, url, "CreativeWork", name=license, identifier=url)
    if author is not None:
        root["author"] = _add(crate, "#author", "Person", name=author)
    files: dict[str, Entity] = {}
    tools = {job.script for job in jobs}
    version = (about.git.get("revision") if about.git else None) or packages.get("braggfill", "unknown")
    for entry in [*(Entry.of(name, text.encode()) for name, text in texts.items()), *entries]:
        told = _file(entry)
        if entry.name == "Snakefile":
            told |= {"name": "braggfill", "version": version, "conformsTo": {"@id": WORKFLOW_PROFILE}}
            told["@type"] = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
            engine = {"lang": "snakemake", "lang_version": packages.get("snakemake")}
            files[entry.name] = crate.add_workflow(dest_path=entry.name, main=True, properties=told, **engine)
        elif not entry.name.startswith(".snakemake/"):
            told |= {"@type": ["File", "SoftwareSourceCode"], "version": version} if entry.name in tools else {}
            files[entry.name] = crate.add_file(dest_path=entry.name, properties=told)
    for name in {README, "README.md"} & files.keys():
        files[name]["about"] = root
    record = {"name": "Snakemake's records", "description": "With what code, settings and input each file was made."}
    crate.add_dataset(dest_path=".snakemake/metadata/", properties=record)
    for entry in left:
        files[entry.name] = _add(crate, f"#{quote(entry.name)}", "CreativeWork", **_file(entry), description=LEFT)
    jobs = [job for job in jobs if job.script in files]
    for name in sorted({name for job in jobs for name in (*job.input, *job.outputs)} - files.keys()):
        files[name] = _add(crate, f"#{quote(name)}", "CreativeWork", name=name, description=PASSED)
    benchmarks = {e.name: e for e in entries if e.name.startswith(f"results/{run}/benchmarks/")}
    root["mentions"] = _actions(crate, jobs, files, about, [_usage(job, run, benchmarks) for job in jobs])
    texts[PREVIEW] = Preview(crate).generate_html()
    texts[METADATA] = json.dumps(crate.metadata.generate(), indent=1, ensure_ascii=False) + "\n"
    return texts


def _actions(
    crate: ROCrate, jobs: Sequence[Job], files: dict[str, Entity], about: About, usages: list[dict[str, str]]
) -> list[Entity]:
    """The run as a whole and every job; the steps that they belong to, and that Snakemake did them, are told too."""

    def action(anchor: str, read: Iterable[str], made: Iterable[str], start: float, end: float, **more: Any) -> Entity:
        told: dict[str, Any] = {"object": [files[name] for name in read], "result": [files[name] for name in made]}
        told |= {"startTime": _time(start), "endTime": _time(end), "agent": crate.root_dataset.get("author")}
        return _add(crate, anchor, "CreateAction", **told, **more)

    workflow, run, settings = crate.mainEntity, about.run, f"results/{about.run}/settings.yaml"
    told = {**SLOT, "conformsTo": {"@id": SLOT_PROFILE}, "workExample": files[settings]}
    slot = _add(crate, "#settings", "FormalParameter", **told)
    files[settings]["exampleOfWork"] = workflow["input"] = slot
    workflow["hasPart"] = [files[name] for name in sorted({job.script or "" for job in jobs})]
    results = {output for job in jobs for output in job.outputs} - {name for job in jobs for name in job.input}
    moments = [moment for job in jobs for moment in (job.starttime, job.endtime)] or [about.created]
    command = f"snakemake --configfile {' '.join(about.configfiles)}"
    whole = {"name": f"Run {run}", "description": command, "instrument": workflow}
    actions = [action("#run", [settings], sorted(results), min(moments), max(moments), **whole)]
    steps, controls = dict[str, Entity](), list[Entity]()
    for number, job in enumerate(jobs):
        tool = files[job.script or ""]
        if job.rule not in steps:
            step = {"name": job.rule, "position": str(len(steps) + 1), "workExample": tool}
            steps[job.rule] = _add(crate, f"#step-{job.rule}", "HowToStep", **step)
            workflow.append_to("step", steps[job.rule])
        used = {key: {"propertyID": f"{BENCHMARKS}:{key}", "value": value} for key, value in usages[number].items()}
        usage = [_add(crate, f"#{key}-{number}", "PropertyValue", **USAGE[key], **told) for key, told in used.items()]
        names = ", ".join(PurePosixPath(output).name for output in job.outputs)
        line = f"Snakemake's job of rule {job.rule}, code {job.fingerprint}"
        more = {"name": f"{job.rule}: {names}", "description": line, "instrument": tool, "resourceUsage": usage}
        actions.append(action(f"#job-{number}", job.input, job.outputs, job.starttime, job.endtime, **more))
        control = {"name": f"job {number} of Snakemake", "instrument": steps[job.rule], "object": actions[-1]}
        controls.append(_add(crate, f"#control-{number}", "ControlAction", **control))
    engine = {"name": "Snakemake", "version": about.environment["packages"].get("snakemake"), "url": ENGINE}
    engine = _add(crate, ENGINE, "SoftwareApplication", **engine)
    told = {"name": "Snakemake at work", "instrument": engine, "object": controls, "result": actions[0]}
    _add(crate, "#orchestration", "OrganizeAction", **told)
    return actions


def _add(crate: ROCrate, anchor: str, kind: str, /, **told: Any) -> Entity:
    """A new entity with what is told of it: nothing that is empty, and one value as one, not as a list of one."""
    told = {key: value for key, value in told.items() if value not in (None, [])}
    told = {key: value[0] if isinstance(value, list) and len(value) == 1 else value for key, value in told.items()}
    return crate.add(ContextEntity(crate, anchor, {**told, "@type": kind}))


def _usage(job: Job, run: str, benchmarks: dict[str, Entry]) -> dict[str, str]:
    """Seconds and memory of a job, from the benchmark file of Snakemake's that bears its name."""
    item = PurePosixPath(job.outputs[0]).stem
    names = (job.rule, f"{job.rule}-{item}", f"{job.rule}-{item.partition('-')[2]}")
    places = (benchmarks.get(f"results/{run}/benchmarks/{name}.tsv") for name in names)
    content = next((place.content for place in places if place is not None), b"")
    text = (content.read_bytes() if isinstance(content, Path) else content).decode(errors="replace")
    row = next(csv.DictReader(io.StringIO(text), delimiter="\t"), {})
    return {key: row[key] for key in USAGE if row.get(key) not in (None, "", "-", "NA")}


def _file(entry: Entry) -> dict[str, Any]:
    suffix = PurePosixPath(entry.name).suffix
    kind = FORMATS.get(suffix) or mimetypes.guess_type(entry.name)[0] or "text/plain"
    return {"name": entry.name, "contentSize": str(entry.size), "sha256": entry.sha256, "encodingFormat": kind}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _readme(about: About) -> str:
    run, apart = about.run, f"{len(about.not_included)} arrays are not included, only their checksums (`{BUNDLE}`)"
    return f"""\
# braggfill, run {run}

Packed {_time(about.created)[:10]}; {about.made}; {apart if about.not_included else "the arrays are included"}.

- The report: open `results/{run}/report.html`. Tables, figures and the network lie beside it.
- Every setting of the run: `results/{run}/settings.yaml`. Versions, code fingerprints and remarks: `{BUNDLE}`.
- Is it whole? `sha256sum -c checksums.sha256`, or `braggfill verify`, which also says what would run again, and why.
- To go on with it: `braggfill unpack BUNDLE FOLDER`, then in that folder
  `make setup && .venv/bin/snakemake --cores 2 --configfile results/{run}/settings.yaml`.
"""
