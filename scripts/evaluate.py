"""Make one table of the evaluation, or one part of it, or join the parts."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.evaluate import EvaluateSettings
    from braggfill.stages import evaluate

    tasks = {
        "evaluate_measured": evaluate.gap_table,
        "evaluate_simulated": evaluate.simulated_table,
        "evaluate_oversampling": evaluate.oversampling_table,
        "evaluate_position": evaluate.position_table,
        "evaluate_skip": evaluate.skip_table,
        "evaluate_gaps": evaluate.gaps_table,
        "evaluate_calibration": evaluate.calibration_table,
        "evaluate_cases": evaluate.case_table,
        "evaluate_realism": evaluate.realism_table,
    }
    params, output = snakemake.params, snakemake.output
    settings = EvaluateSettings(**params.settings)
    named = {k: Path(v) if isinstance(v, str) else [Path(f) for f in v] for k, v in snakemake.input.items()}
    named.pop("paper", None)  # the settings tell their widths
    if snakemake.rule in ("evaluate_patches", "evaluate_whole"):
        evaluate.join_tables(settings, named, {k: Path(v) for k, v in output.items()})
    elif snakemake.rule == "evaluate_claims":
        evaluate.claims_table(named, Path(output[0]))
    else:
        named |= {k: Path(v) for k, v in output.items()} or {"out": Path(output[0])}
        if params.get("shards"):
            named["shard"] = (int(snakemake.wildcards.shard), params.shards)
        tasks[snakemake.rule](settings, params.seed, **named, code=params.code)
