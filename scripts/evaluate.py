"""Make one table of the evaluation."""

from pathlib import Path

from braggfill.job import job

with job(snakemake):
    from braggfill import evaluate
    from braggfill.settings.evaluate import EvaluateSettings

    tables = {
        "evaluate_measured": evaluate.gap_table,
        "evaluate_simulated": evaluate.simulated_table,
        "evaluate_calibration": evaluate.calibration_table,
        "evaluate_cases": evaluate.case_table,
        "evaluate_realism": evaluate.realism_table,
    }
    files = {k: Path(v) if isinstance(v, str) else [Path(f) for f in v] for k, v in snakemake.input.items()}
    settings = EvaluateSettings(**snakemake.params.settings)
    out, code = Path(snakemake.output[0]), snakemake.params.code
    tables[snakemake.rule](settings, snakemake.params.seed, **files, out=out, code=code)
