# What the rules of figures.smk take: choices from the settings and functions that name files.
SWEPT = ["measured", "simulated", "intensity", "oversampling", "position", "skip", "gaps", "claims"]
TABLES = expand(f"{RUN}/evaluate/{{table}}.csv", table=[*SWEPT, "calibration", "cases", "realism"])


PAGE = [f"stages/figures/page.{kind}" for kind in ("html", "css", "js")]


def swept_images():
    """What the sweeps that run leave for figures beside their tables."""
    sweeps = settings.evaluate.sweeps
    skip = [f"{RUN}/evaluate/skip.h5"] if "skip" in sweeps else []
    return skip + expand(f"{RUN}/evaluate/oversampling-{{chunk}}.h5", chunk=OWN if "oversampling" in sweeps else [])


# What the chapters of the report are made of, one entry a chapter: its figures' inputs and its tables.
DRAWN = {
    "simulation": [*chunks("relax"), f"{RUN}/perturb/steps.h5"],
    "gaps": [
        *chunks("extract"),
        f"{RUN}/fetch/{FILLED_SCAN}.h5",
        f"{RUN}/fetch/{JUDGED_SCAN}.h5",
        f"{RUN}/train/model.safetensors",
        f"{RUN}/train/history.csv",
        f"{RUN}/inpaint/cases.h5",
        *swept_images(),
        *TABLES,
    ],
    "realspace": [
        f"{RUN}/reconstruct/true_phase.h5",
        f"{RUN}/reconstruct/particles.csv",
        f"{RUN}/reconstruct/retrieval.h5",
        f"{RUN}/reconstruct/map.csv",
        f"{RUN}/reconstruct/finetune.h5",
    ],
}
TOLD = {
    "simulation": [f"{RUN}/scatter/check.csv"],
    "gaps": TABLES,
    "realspace": expand(
        f"{RUN}/reconstruct/{{table}}.csv", table=["true_phase", "particles_mean", "retrieval", "map", "finetune"]
    ),
}
if "gaps" not in settings.figures.chapters:
    DRAWN, TOLD = {}, {}
if "flat" in settings.figures.chapters:
    DRAWN["flat"] = TOLD["flat"] = flat_files()
if "phase" in settings.figures.chapters:
    DRAWN["phase"], TOLD["phase"] = phase_files(), PHASE_TABLES
PHASE_LOOKS = [
    f"phase.{name}" for name in ("parts", "learn.networks", "refine.cases", "patches.strains", "measured.scans")
]
if "convex" in settings.figures.chapters:
    DRAWN["automatic"] = TOLD["automatic"] = convex_files()
LOOKS = [name for name in type(settings.figures).model_fields if name != "title"]  # what a figure looks at
