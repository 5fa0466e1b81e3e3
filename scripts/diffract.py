"""Patterns and phases of one chunk of objects."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.diffract import DiffractSettings
    from braggfill.stages.diffract import diffract_chunk

    params = snakemake.params
    settings = DiffractSettings.part(params.settings)
    diffract_chunk(settings, params.seed, Path(snakemake.input[0]), Path(snakemake.output[0]), code=params.code)
