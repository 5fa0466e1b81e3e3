"""Scatter one chunk of particles, or check one of its peaks by other back ends."""

from pathlib import Path

from braggfill.job import job

with job(snakemake):
    from braggfill import scatter
    from braggfill.settings.scatter import ScatterSettings

    params = snakemake.params
    settings = ScatterSettings(**params.settings)
    task = scatter.check_backends if snakemake.rule == "scatter_check" else scatter.scatter_chunk
    task(settings, params.seed, Path(snakemake.input[0]), Path(snakemake.output[0]), code=params.code)
