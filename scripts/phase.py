"""Train networks that predict phases, judge what they give, phase measured scans, or put the results together."""

from importlib import import_module
from pathlib import Path

from braggfill.runs.job import job

TASKS = {
    "phase_learn": ("learn", "learn"),
    "phase_compared": ("compared", "compare"),
    "phase_assess_kind": ("assess", "assess"),
    "phase_assess": ("assess", "join"),
    "phase_patches_learn": ("patches", "learn"),
    "phase_patches": ("patches", "stitch"),
    "phase_refine_case": ("refine", "refine"),
    "phase_refine": ("refine", "table"),
    "phase_measured_scan": ("measured", "measure"),
    "phase_measured": ("measured", "table"),
    "phase_convex_case": ("convex", "phase_case"),
    "phase_convex": ("convex_claims", "table"),
    "phase": ("claims", "claims_table"),
}
MAY_BE_MISSING = ("model", "obj", "compared", "assess", "refine")


def named(files):
    """Paths by name; a name of several files a list of them, and a name of none None."""
    found = {}
    for name, value in files.items():
        several = not isinstance(value, str)
        paths = [Path(file) for file in value] if several else Path(value)
        found[name] = (paths[0] if paths else None) if several and name in MAY_BE_MISSING else paths
    return found


with job(snakemake):
    from braggfill.settings.phase import PhaseSettings

    params, wildcards = snakemake.params, dict(snakemake.wildcards.items())
    module, name = TASKS[snakemake.rule]
    task = getattr(import_module(f"braggfill.stages.phase.{module}"), name)
    given, made = named(snakemake.input), named(snakemake.output)
    if name in ("join", "table", "claims_table"):
        task(*given.values(), *made.values())
    else:
        if name == "learn" and module == "learn":
            made["work"] = made["model"].parent / "work"
        wildcards = {"name" if key == "network" else key: value for key, value in wildcards.items()}
        task(PhaseSettings.part(params.settings), params.seed, **wildcards, **given, **made, code=params.code)
