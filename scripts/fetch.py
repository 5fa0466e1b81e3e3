"""Fetch one data set: found here, or at its public source."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.fetch import FetchSettings
    from braggfill.stages import fetch

    settings, params = FetchSettings.part(snakemake.params.settings), snakemake.params
    fetch.fetch(settings, snakemake.wildcards.name, Path(snakemake.output[0]), code=params.code, told=params.found)
