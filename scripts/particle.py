"""Build one chunk of particles."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.particle import ParticleSettings
    from braggfill.stages.particle import particle_chunk

    params = snakemake.params
    settings = ParticleSettings.part(params.settings)
    particle_chunk(settings, params.seed, list(params.indices), Path(snakemake.output[0]), code=params.code)
