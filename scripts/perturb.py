"""Perturb one chunk of patterns, or keep the steps of a few."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.perturb import PerturbSettings
    from braggfill.stages import perturb

    params = snakemake.params
    settings = PerturbSettings.part(params.settings)
    task = perturb.perturb_steps if snakemake.rule == "perturb_steps" else perturb.perturb_chunk
    task(settings, params.seed, Path(snakemake.input[0]), Path(snakemake.output[0]), code=params.code)
