"""One task of the studies in two dimensions: patterns, a network, a sweep, a table."""

from importlib import import_module
from pathlib import Path

from braggfill.runs.job import job

TASKS = {
    "flat_patterns": ("sets", "patterns"),
    "flat_gap_cell": ("gap_cells", "gap_cell"),
    "flat_baseline": ("gap_cells", "baseline"),
    "flat_position": ("gap_sweeps", "position"),
    "flat_oversampling": ("gap_sweeps", "oversampling"),
    "flat_gaps": ("tables", "gap_table"),
    "flat_full": ("full", "full"),
    "flat_phase": ("phase_cells", "phase_cell"),
    "flat_phases": ("tables", "phase_table"),
    "flat_fit": ("fit", "fit"),
    "flat_starts": ("starts", "starts"),
    "flat_claims": ("claims", "claims"),
}

with job(snakemake):
    from braggfill.settings.flat import FlatSettings

    params = snakemake.params
    study = getattr(params, "study", "")
    module, name = TASKS[snakemake.rule.removesuffix(f"_{study}") if study else snakemake.rule]
    task = getattr(import_module(f"braggfill.stages.flat.{module}"), name)
    files = {k: Path(v) if isinstance(v, str) else [Path(f) for f in v] for k, v in snakemake.input.items()}
    files |= {k: Path(v) for k, v in snakemake.output.items()}
    given = (
        {} if module in ("tables", "claims") else {"settings": FlatSettings.part(params.settings), "code": params.code}
    )
    more = {k: v for k, v in params.items() if k not in ("settings", "code", "seed", "upstream")}
    seed = {} if module == "claims" else {"seed": params.seed}
    task(**given, **seed, **files, **dict(snakemake.wildcards.items()), **more)
