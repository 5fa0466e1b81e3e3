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
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from braggfill.bundle.files import ABOUT, Entry
from braggfill.bundle.records import Job
from braggfill.errors import BraggfillError

if TYPE_CHECKING:
    from rocrate.model import ContextEntity, Entity
    from rocrate.rocrate import ROCrate

BUNDLE, README, METADATA, PREVIEW = ABOUT
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
WORKFLOW_PROFILE = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
TERMS = {
    "sha256": "https://w3id.org/ro/terms/workflow-run#sha256",
    "resourceUsage": "https://w3id.org/ro/terms/workflow-run#resourceUsage",
}
FORMATS = {".h5": "application/x-hdf5", ".safetensors": "application/octet-stream", ".yaml": "application/yaml"}
USAGE = {  # columns of Snakemake's benchmark files
    "s": ("wall time", "https://qudt.org/vocab/unit/SEC"),
    "max_rss": ("largest resident memory", "https://qudt.org/vocab/unit/MebiBYTE"),
}
BENCHMARKS = "https://snakemake.readthedocs.io/en/stable/snakefiles/rules.html#benchmark-rules"


def describe(
    jobs: Sequence[Job],
    entries: Sequence[Entry],
    left: Sequence[Entry],
    about: dict[str, Any],
    *,
    author: str | None,
    license: str,
) -> dict[str, str]:
    """The texts that describe a bundle, by file name: crate metadata, their preview, ``bundle.json``, ``BUNDLE.md``.

    Raises
    ------
    BraggfillError : the package ``rocrate`` is not installed.
    """
    try:
        from rocrate.model import ContextEntity, Preview
        from rocrate.rocrate import ROCrate
    except ImportError as error:
        raise BraggfillError("bundle: the package rocrate is not installed; install braggfill[pipeline]") from error
    texts = {BUNDLE: json.dumps(about, indent=1, ensure_ascii=False) + "\n", README: _readme(about)}
    run = about["run"]
    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms.update(TERMS)
    crate.name = f"braggfill, run {run}"
    crate.description = (
        "A run of braggfill, which fills the gaps that detectors leave in 3D Bragg coherent diffraction patterns: "
        f"settings, code, tables, figures, network and report. Begin with results/{run}/report.html or {README}."
    )
    crate.datePublished = _time(about["created"])
    crate.root_dataset["license"] = _license(crate, license)
    crate.root_dataset["conformsTo"] = [
        crate.add(ContextEntity(crate, url, {"@type": "CreativeWork", "name": name, "version": url.rsplit("/", 1)[1]}))
        for url, name in PROFILES.items()
    ]
    agent = None
    if author is not None:
        agent = crate.add(ContextEntity(crate, "#author", {"@type": "Person", "name": author}))
        crate.root_dataset["author"] = agent

    files: dict[str, Entity] = {}
    tools = {job.script for job in jobs}
    version = (about["git"] or {}).get("revision") or about["environment"]["packages"].get("braggfill", "unknown")
    for entry in [*(Entry.of(name, text.encode()) for name, text in texts.items()), *entries]:
        if entry.name == "Snakefile":
            told = {**_file(entry), "name": "braggfill", "version": version, "conformsTo": {"@id": WORKFLOW_PROFILE}}
            told["@type"] = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
            engine = {"lang": "snakemake", "lang_version": about["environment"]["packages"].get("snakemake")}
            files[entry.name] = crate.add_workflow(dest_path="Snakefile", main=True, properties=told, **engine)
        elif not entry.name.startswith(".snakemake/"):
            told = {"@type": ["File", "SoftwareSourceCode"], "version": version} if entry.name in tools else {}
            files[entry.name] = crate.add_file(dest_path=entry.name, properties=_file(entry) | told)
    for name in {README, "README.md"} & files.keys():
        files[name]["about"] = crate.root_dataset
    record = {"name": "Snakemake's records", "description": "With what code, settings and input each file was made."}
    crate.add_dataset(dest_path=".snakemake/metadata/", properties=record)
    for entry in left:
        told = {**_file(entry), "@type": "CreativeWork", "description": "An array; it is not included in this crate."}
        files[entry.name] = crate.add(ContextEntity(crate, _anchor(entry.name), told))
    _actions(crate, jobs, files, about, agent, _usage(jobs, entries, run))
    texts[PREVIEW] = Preview(crate).generate_html()
    texts[METADATA] = json.dumps(crate.metadata.generate(), indent=1, ensure_ascii=False) + "\n"
    return texts


def _actions(
    crate: ROCrate,
    jobs: Sequence[Job],
    files: dict[str, Entity],
    about: dict[str, Any],
    agent: ContextEntity | None,
    usage: dict[str, dict[str, str]],
) -> None:
    """The run as a whole, its steps, and every job."""
    from rocrate.model import ContextEntity

    def add(anchor: str, kind: str, /, **properties: Any) -> ContextEntity:
        told = {key: value for key, value in properties.items() if value not in (None, [])}
        # One value is written as one, not as a list of one.
        told = {key: value[0] if isinstance(value, list) and len(value) == 1 else value for key, value in told.items()}
        told["@type"] = kind
        return crate.add(ContextEntity(crate, anchor, told))

    workflow, run = crate.mainEntity, about["run"]
    settings = files[f"results/{run}/settings.yaml"]
    slot = add(
        "#settings",
        "FormalParameter",
        name="settings",
        additionalType="File",
        description="Every setting of a run",
        valueRequired=False,
        conformsTo={"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"},
        workExample=settings,
    )
    settings["exampleOfWork"] = slot
    workflow["input"] = slot
    workflow["hasPart"] = [files[name] for name in sorted({job.script or "" for job in jobs}) if name in files]
    made = {output for job in jobs for output in job.outputs}
    consumed = {name for job in jobs for name in job.inputs}
    whole = add(
        "#run",
        "CreateAction",
        name=f"Run {run}",
        description=f"snakemake --configfile {' '.join(about['configfiles'])}",
        instrument=workflow,
        object=[settings],
        result=[files[name] for name in sorted(made - consumed) if name in files],
        startTime=_time(min((job.start for job in jobs), default=about["created"])),
        endTime=_time(max((job.end for job in jobs), default=about["created"])),
        agent=agent,
    )
    steps, controls, actions = {}, [], [whole]
    for number, job in enumerate(jobs):
        tool = files.get(job.script or "")
        if tool is None:
            continue
        if job.rule not in steps:
            position = str(len(steps) + 1)
            steps[job.rule] = add(f"#step-{job.rule}", "HowToStep", name=job.rule, position=position, workExample=tool)
            workflow.append_to("step", steps[job.rule])
        used = [
            add(f"#{key}-{number}", "PropertyValue", name=USAGE[key][0], value=value, unitCode=USAGE[key][1])
            for key, value in usage.get(job.outputs[0], {}).items()
        ]
        for key, value in zip(usage.get(job.outputs[0], {}), used, strict=True):
            value["propertyID"] = f"{BENCHMARKS}:{key}"
        action = add(
            f"#job-{number}",
            "CreateAction",
            name=f"{job.rule}: {', '.join(PurePosixPath(output).name for output in job.outputs)}",
            description=f"Snakemake's job of rule {job.rule}, code {job.code}",
            instrument=tool,
            object=[files.get(name) or _absent(add, files, name) for name in job.inputs],
            result=[files.get(name) or _absent(add, files, name) for name in job.outputs],
            startTime=_time(job.start),
            endTime=_time(job.end),
            resourceUsage=used,
            agent=agent,
        )
        actions.append(action)
        control = {"instrument": steps[job.rule], "object": action}
        controls.append(add(f"#control-{number}", "ControlAction", name=f"job {number} of Snakemake", **control))
    if controls:
        version = about["environment"]["packages"].get("snakemake")
        engine = {"name": "Snakemake", "url": "https://snakemake.github.io", "version": version}
        add(
            "#orchestration",
            "OrganizeAction",
            name="Snakemake at work",
            instrument=add("https://snakemake.github.io", "SoftwareApplication", **engine),
            object=controls,
            result=whole,
        )
    crate.root_dataset["mentions"] = actions


def _absent(add: Any, files: dict[str, Entity], name: str) -> Entity:
    """A file that a job read or wrote and that is neither here nor in the bundle, e.g. a temporary one."""
    description = "A file that was there only while the run was at work, or lies outside of it."
    files[name] = add(_anchor(name), "CreativeWork", name=name, description=description)
    return files[name]


def _usage(jobs: Iterable[Job], entries: Iterable[Entry], run: str) -> dict[str, dict[str, str]]:
    """Seconds and memory by a job's first output, from Snakemake's benchmark files."""
    folder = f"results/{run}/benchmarks/"
    places = {entry.name.removeprefix(folder): entry.content for entry in entries if entry.name.startswith(folder)}
    found = {}
    for job in jobs:
        item = PurePosixPath(job.outputs[0]).stem
        names = (f"{job.rule}.tsv", f"{job.rule}-{item}.tsv", f"{job.rule}-{item.partition('-')[2]}.tsv")
        content = next((places[name] for name in names if name in places), None)
        if content is None:
            continue
        text = content.read_text() if isinstance(content, Path) else content.decode()
        row = next(csv.DictReader(io.StringIO(text), delimiter="\t"), {})
        found[job.outputs[0]] = {key: row[key] for key in USAGE if row.get(key) not in (None, "", "-", "NA")}
    return found


def _file(entry: Entry) -> dict[str, Any]:
    suffix = PurePosixPath(entry.name).suffix
    kind = FORMATS.get(suffix) or mimetypes.guess_type(entry.name)[0] or "text/plain"
    return {"name": entry.name, "contentSize": str(entry.size), "sha256": entry.sha256, "encodingFormat": kind}


def _license(crate: ROCrate, license: str) -> Entity:
    from rocrate.model import ContextEntity

    url = license if "://" in license else f"https://spdx.org/licenses/{license}"
    return crate.add(ContextEntity(crate, url, {"@type": "CreativeWork", "name": license, "identifier": url}))


def _anchor(name: str) -> str:
    return f"#{quote(name)}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _readme(about: dict[str, Any]) -> str:
    run, git = about["run"], about["git"]
    code = "no git revision" if git is None else f"git {git['revision'][:12]}"
    code += " with changes, which are included" if git and git["modified"] else ""
    apart = f"{len(about['not_included'])} arrays are not included, only their checksums (`{BUNDLE}`)"
    arrays = apart if about["not_included"] else "the arrays are included"
    return f"""\
# braggfill, run {run}

Packed {_time(about["created"])[:10]}; {code}; seed {about["seed"]}; {arrays}.

- The report: open `results/{run}/report.html`. Tables, figures and the network lie beside it.
- Every setting of the run: `results/{run}/settings.yaml`. Versions, code fingerprints and remarks: `{BUNDLE}`.
- Is it whole? `sha256sum -c checksums.sha256`, or `braggfill verify`, which also says what would run again, and why.
- To go on with it: `braggfill unpack BUNDLE FOLDER`, then in that folder
  `make setup && .venv/bin/snakemake --cores 2 --configfile results/{run}/settings.yaml`.
"""
