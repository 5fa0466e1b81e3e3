"""Perturb one chunk of patterns."""

from pathlib import Path

from braggfill.job import job

with job(snakemake):
    from braggfill.perturb import perturb_chunk
    from braggfill.settings.perturb import PerturbSettings

    params = snakemake.params
    settings = PerturbSettings(**params.settings)
    perturb_chunk(settings, params.seed, Path(snakemake.input[0]), Path(snakemake.output[0]), code=params.code)
