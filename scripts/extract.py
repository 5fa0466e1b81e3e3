"""Cut the patches of one chunk of simulated patterns, or of one measured scan."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.extract import ExtractSettings

    params = snakemake.params
    settings = ExtractSettings.part(params.settings)
    source, out = Path(snakemake.input[0]), Path(snakemake.output[0])
    if snakemake.rule == "extract_scan":
        from braggfill.stages.extract.scan import extract_scan

        name, patches = snakemake.wildcards.name, params.patches
        extract_scan(settings, params.seed, source, name, out, code=params.code, patches=patches)
    else:
        from braggfill.stages.extract.chunk import extract_chunk

        extract_chunk(settings, params.seed, source, out, code=params.code)
