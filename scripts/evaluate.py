"""Make one table of the evaluation, or one part of it, or join the parts."""

from importlib import import_module
from pathlib import Path

from braggfill.runs.job import job

TASKS = {
    "evaluate_measured": ("patches", "gap_table"),
    "evaluate_simulated": ("patches", "simulated_table"),
    "evaluate_oversampling": ("whole", "oversampling_table"),
    "evaluate_position": ("whole", "position_table"),
    "evaluate_skip": ("scan", "skip_table"),
    "evaluate_gaps": ("scan", "gaps_table"),
    "evaluate_patches": ("join", "join_tables"),
    "evaluate_whole": ("join", "join_tables"),
    "evaluate_claims": ("claims", "claims_table"),
    "evaluate_calibration": ("calibration", "calibration_table"),
    "evaluate_cases": ("cases", "case_table"),
    "evaluate_realism": ("realism", "realism_table"),
}

with job(snakemake):
    from braggfill.settings.evaluate import EvaluateSettings

    params, output = snakemake.params, snakemake.output
    module, name = TASKS[snakemake.rule]
    task = getattr(import_module(f"braggfill.stages.evaluate.{module}"), name)
    settings = EvaluateSettings.part(params.settings)
    named = {k: Path(v) if isinstance(v, str) else [Path(f) for f in v] for k, v in snakemake.input.items()}
    named.pop("paper", None)  # the settings tell their widths
    if module == "join":
        task(settings, named, {k: Path(v) for k, v in output.items()})
    elif module == "claims":
        task(named, Path(output[0]))
    else:
        named |= {k: Path(v) for k, v in output.items()} or {"out": Path(output[0])}
        if params.get("shards"):
            named["shard"] = (int(snakemake.wildcards.shard), params.shards)
        task(settings, params.seed, **named, code=params.code)
