"""Reconstruct objects, with the true phase or by phase retrieval."""

from pathlib import Path

from braggfill.job import job

with job(snakemake):
    from braggfill import reconstruct
    from braggfill.settings.reconstruct import ReconstructSettings

    task = reconstruct.retrieve if snakemake.rule == "reconstruct_retrieval" else reconstruct.true_phase
    files = {name: Path(file) for name, file in snakemake.input.items()}
    out, table = Path(snakemake.output.objects), Path(snakemake.output.table)
    settings = ReconstructSettings(**snakemake.params.settings)
    task(settings, snakemake.params.seed, **files, out=out, table=table, code=snakemake.params.code)
