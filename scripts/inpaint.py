"""Fill a measured scan with artificial gaps and with a real detector's mask."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.inpaint import InpaintSettings
    from braggfill.stages.inpaint import fill_cases

    files = {name: Path(file) for name, file in snakemake.input.items()}
    settings = InpaintSettings.part(snakemake.params.settings)
    fill_cases(settings, snakemake.params.seed, **files, out=Path(snakemake.output[0]), code=snakemake.params.code)
