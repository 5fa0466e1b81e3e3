# What the rules of extract.smk take: choices from the settings and functions that name files.
PATCHES = settings.size.particles * settings.scatter.views * settings.extract.patches
PATCHES_PER_SCAN = settings.extract.patches_per_scan(PATCHES)
SCANS = list(settings.extract.scans) if PATCHES_PER_SCAN else []
PLACES = ("shape", "periphery", "near_peak_share", "near_peak_radius_voxels", "min_photons")  # where patches are cut


def scan_file(wildcards):
    """A measured scan by its name in the settings: a file, or `fetch:NAME` for one that the run fetches."""
    path = settings.extract.scans[wildcards.name].path
    return f"{RUN}/fetch/{path.removeprefix('fetch:')}.h5" if path.startswith("fetch:") else path


def scan_settings(wildcards):
    """The settings with this scan alone: another one that is added or changed reruns nothing here."""
    scan = settings.extract.scans[wildcards.name].model_dump(mode="json")
    return {**block("extract", *PLACES), "scans": {wildcards.name: scan}}
