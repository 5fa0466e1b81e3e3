"""Train a network on the patches."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.train import TrainSettings
    from braggfill.stages.train import train

    params, output = snakemake.params, snakemake.output
    train(
        TrainSettings.part(params.settings),
        params.seed,
        [Path(file) for file in snakemake.input],
        model=Path(output.model),
        history=Path(output.history),
        work=Path(output.model).parent / "work",
        code=params.code,
    )
