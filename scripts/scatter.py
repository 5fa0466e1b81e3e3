"""Scatter one chunk of particles, at several oversamplings if asked, or check one of its peaks by other back ends."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.scatter import ScatterSettings
    from braggfill.stages import scatter

    params = snakemake.params
    settings = ScatterSettings(**params.settings)
    tasks = {"scatter_check": scatter.check_backends, "scatter_oversampling": scatter.oversampling_chunk}
    task = tasks.get(snakemake.rule, scatter.scatter_chunk)
    options = params.get("options", {})
    task(settings, params.seed, Path(snakemake.input[0]), Path(snakemake.output[0]), code=params.code, **options)
