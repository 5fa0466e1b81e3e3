"""Scatter one chunk of particles, at several oversamplings if asked, or check one of its peaks by other back ends."""

from importlib import import_module
from pathlib import Path

from braggfill.runs.job import job

TASKS = {
    "scatter": ("chunk", "scatter_chunk"),
    "scatter_check": ("check", "check_backends"),
    "scatter_oversampling": ("sampling", "oversampling_chunk"),
}

with job(snakemake):
    from braggfill.settings.scatter import ScatterSettings

    params = snakemake.params
    module, name = TASKS[snakemake.rule]
    task = getattr(import_module(f"braggfill.stages.scatter.{module}"), name)
    settings = ScatterSettings.part(params.settings)
    options = params.get("options", {})
    task(settings, params.seed, Path(snakemake.input[0]), Path(snakemake.output[0]), code=params.code, **options)
