"""Reconstruct objects, with the true phase or by phase retrieval, or chart which treatment of a gap is best where."""

from pathlib import Path

from braggfill.runs.job import job

with job(snakemake):
    from braggfill.settings.reconstruct import ReconstructSettings
    from braggfill.stages import reconstruct

    tasks = {
        "reconstruct_true_phase": reconstruct.true_phase,
        "reconstruct_particles": reconstruct.particles,
        "reconstruct_prepare": reconstruct.prepare,
        "reconstruct_phase": reconstruct.phase,
        "reconstruct_retrieval": reconstruct.gather,
        "reconstruct_map_cell": reconstruct.chart_cell,
        "reconstruct_map": reconstruct.chart,
        "reconstruct_finetune": reconstruct.finetuned,
    }
    params = snakemake.params
    many = ("patterns", "starts", "cells")
    given = {k: [Path(f) for f in v] if k in many else Path(v) for k, v in snakemake.input.items()}
    files = {**given, **{name: Path(file) for name, file in snakemake.output.items()}}
    numbers = {name: int(value) for name, value in snakemake.wildcards.items()}
    chosen = {"chosen": list(params.chosen)} if hasattr(params, "chosen") else {}
    settings = ReconstructSettings(**params.settings)
    tasks[snakemake.rule](settings, params.seed, **files, **numbers, **chosen, code=params.code)
