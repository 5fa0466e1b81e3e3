"""Relax one chunk of particles."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.relax import RelaxSettings
    from braggfill.stages.relax import relax_chunk

    params = snakemake.params
    settings = RelaxSettings.part(params.settings)
    relax_chunk(settings, params.seed, Path(snakemake.input[0]), Path(snakemake.output[0]), code=params.code)
