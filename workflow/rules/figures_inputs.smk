# What the rules of figures.smk take: choices from the settings and functions that name files.
SWEPT = ["measured", "simulated", "intensity", "oversampling", "position", "skip", "gaps", "claims"]
TABLES = expand(f"{RUN}/evaluate/{{table}}.csv", table=[*SWEPT, "calibration", "cases", "realism"])


def swept_images():
    """What the sweeps that run leave for figures beside their tables."""
    sweeps = settings.evaluate.sweeps
    skip = [f"{RUN}/evaluate/skip.h5"] if "skip" in sweeps else []
    return skip + expand(f"{RUN}/evaluate/oversampling-{{chunk}}.h5", chunk=OWN if "oversampling" in sweeps else [])
