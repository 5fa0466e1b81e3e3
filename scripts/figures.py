"""Draw every figure of a run, or write its report."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.figures import FiguresSettings
    from braggfill.stages import figures

    params, output = snakemake.params, snakemake.output
    settings = FiguresSettings(**params.settings)
    if snakemake.rule == "figures":
        folder = Path(output[0]).parents[1]
        figures.draw(settings, params.seed, params.run, folder, Path(output[0]), code=params.code)
    else:
        folder = Path(output.report).parent
        figures.report(settings, params.run, folder, Path(output.report), params.rules)
        figures.storage.write_text(Path(output.summary), figures.summary(folder) + "\n")
