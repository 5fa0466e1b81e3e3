"""Reconstruct objects, with the true phase or by phase retrieval, or map which treatment of a gap is best where."""

from importlib import import_module
from pathlib import Path

from braggfill.runs.job import job

TASKS = {
    "reconstruct_true_phase": ("true_phase", "true_phase"),
    "reconstruct_particles": ("true_phase", "particles"),
    "reconstruct_prepare": ("phasing", "prepare"),
    "reconstruct_phase": ("phasing", "phase"),
    "reconstruct_retrieval": ("phasing", "collect"),
    "reconstruct_map_cell": ("treatment_map", "map_cell"),
    "reconstruct_map": ("treatment_map", "collect_map"),
    "reconstruct_finetune": ("finetuning", "finetuned"),
}

with job(snakemake):
    from braggfill.settings.reconstruct import ReconstructSettings

    params = snakemake.params
    module, name = TASKS[snakemake.rule]
    task = getattr(import_module(f"braggfill.stages.reconstruct.{module}"), name)
    many = ("patterns", "starts", "cells")
    given = {k: [Path(f) for f in v] if k in many else Path(v) for k, v in snakemake.input.items()}
    files = {**given, **{name: Path(file) for name, file in snakemake.output.items()}}
    numbers = {name: int(value) for name, value in snakemake.wildcards.items()}
    chosen = {"chosen": list(params.chosen)} if hasattr(params, "chosen") else {}
    settings = ReconstructSettings.part(params.settings)
    task(settings, params.seed, **files, **numbers, **chosen, code=params.code)
