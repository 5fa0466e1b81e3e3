"""Relax one chunk of particles."""

from pathlib import Path

from braggfill.job import job

with job(snakemake):
    from braggfill.relax import relax_chunk
    from braggfill.settings.relax import RelaxSettings

    params = snakemake.params
    settings = RelaxSettings(**params.settings)
    relax_chunk(settings, params.seed, Path(snakemake.input[0]), Path(snakemake.output[0]), code=params.code)
