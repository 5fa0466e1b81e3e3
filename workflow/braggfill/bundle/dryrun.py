"""What Snakemake would run in the current folder, and why: started as a program, in a process of its own.

Run as ``python -I dryrun.py SNAKEFILE ANSWER`` with the folder of the results as the current one; it imports Snakemake
and nothing of braggfill, and takes no profile, environment or search path from where it runs.  ``ANSWER`` gets a JSON
list of the jobs that a dry run plans, in their order: rule, output, and Snakemake's reasons.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(snakefile: str, answer: str) -> None:
    """Plan, and write what is planned to ``answer``."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import OutputSettings, ResourceSettings

    with SnakemakeApi(OutputSettings(dryrun=True)) as api:
        workflow = api.workflow(ResourceSettings(cores=1), snakefile=Path(snakefile))
        workflow.dag().execute_workflow(executor="dryrun")
        dag = workflow._workflow.dag
        needed = set(dag.needrun_jobs(exclude_finished=False))
        jobs = [job for level in dag.toposorted() for job in level if job in needed and job.output]
        Path(answer).write_text(json.dumps([_told(job, dag, jobs) for job in jobs]), encoding="utf-8")


def _told(job: Any, dag: Any, jobs: list[Any]) -> dict[str, Any]:
    reason = dag.reason(job)
    return {
        "rule": job.rule.name,
        "output": [str(file) for file in job.output],
        "missing": sorted(map(str, reason.missing_output)),
        "needing": sorted({needs.output[0] for needs in dag.depending[job] if needs in jobs}),
        "before": sorted(reason.params_changed.only_old),
        "now": sorted(reason.params_changed.only_new),
        "code": bool(reason.code_changed),
        "input": bool(reason.input_changed),
        "newer": bool(reason.software_stack_changed or reason.updated_input),
        "follows": sorted(map(str, reason.updated_input_run)),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
