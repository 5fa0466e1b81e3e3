"""Build one chunk of particles."""

from pathlib import Path

from braggfill.job import job

with job(snakemake):
    from braggfill.particle import particle_chunk
    from braggfill.settings.particle import ParticleSettings

    params = snakemake.params
    settings = ParticleSettings(**params.settings)
    particle_chunk(settings, params.seed, list(params.indices), Path(snakemake.output[0]), code=params.code)
