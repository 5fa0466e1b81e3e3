"""Draw every figure of a run, or write its report."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.figures import FiguresSettings

    params, output = snakemake.params, snakemake.output
    settings = FiguresSettings.part(params.settings)
    if snakemake.rule == "figures":
        from braggfill.stages.figures import catalogue

        folder = Path(output[0]).parents[1]
        catalogue.draw(settings, params.seed, params.run, folder, Path(output[0]), code=params.code)
    else:
        from braggfill.runs import storage
        from braggfill.stages.figures import page
        from braggfill.stages.figures.summary import summary

        folder = Path(output.report).parent
        page.report(settings, params.run, folder, Path(output.report), params.rules)
        storage.write_text(Path(output.summary), summary(folder) + "\n")
