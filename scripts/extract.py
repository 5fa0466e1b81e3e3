"""Cut the patches of one chunk of simulated patterns, or of one measured scan."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.extract import ExtractSettings
    from braggfill.stages import extract

    params = snakemake.params
    settings = ExtractSettings(**params.settings)
    source, out = Path(snakemake.input[0]), Path(snakemake.output[0])
    if snakemake.rule == "extract_scan":
        name, patches = snakemake.wildcards.name, params.patches
        extract.extract_scan(settings, params.seed, source, name, out, code=params.code, patches=patches)
    else:
        extract.extract_chunk(settings, params.seed, source, out, code=params.code)
