"""Draw one chunk of objects."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.crystal import CrystalSettings
    from braggfill.stages.crystal import crystal_chunk

    params = snakemake.params
    settings = CrystalSettings.part(params.settings)
    crystal_chunk(settings, params.seed, list(params.indices), Path(snakemake.output[0]), code=params.code)
