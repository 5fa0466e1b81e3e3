# What the rules of figures.smk take: choices from the settings and functions that name files.
SWEPT = ["measured", "simulated", "intensity", "oversampling", "position", "skip", "gaps", "claims"]
TABLES = expand(f"{RUN}/evaluate/{{table}}.csv", table=[*SWEPT, "calibration", "cases", "realism"])


def swept_images():
    """What the sweeps that run leave for figures beside their tables."""
    sweeps = settings.evaluate.sweeps
    skip = [f"{RUN}/evaluate/skip.h5"] if "skip" in sweeps else []
    return skip + expand(f"{RUN}/evaluate/oversampling-{{chunk}}.h5", chunk=OWN if "oversampling" in sweeps else [])


def gap_files():
    """What the figures on gaps in three dimensions are drawn from; nothing if the report has no such chapter."""
    if "gaps" not in settings.figures.chapters:
        return []
    singles = [
        *("perturb/steps.h5", f"fetch/{FILLED_SCAN}.h5", f"fetch/{JUDGED_SCAN}.h5", "train/model.safetensors"),
        *("train/history.csv", "inpaint/cases.h5", "reconstruct/true_phase.h5", "reconstruct/particles.csv"),
        *("reconstruct/retrieval.h5", "reconstruct/map.csv", "reconstruct/finetune.h5"),
    ]
    return chunks("relax") + chunks("extract") + [f"{RUN}/{name}" for name in singles] + swept_images() + TABLES


def gap_tables():
    """The tables on gaps in three dimensions that the report shows; none if it has no such chapter."""
    if "gaps" not in settings.figures.chapters:
        return []
    names = ["true_phase", "particles_mean", "retrieval", "map", "finetune"]
    return [f"{RUN}/scatter/check.csv", *(f"{RUN}/reconstruct/{name}.csv" for name in names)] + TABLES
