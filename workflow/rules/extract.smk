# Patterns, simulated and measured, to 32³ patches.
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


rule extract:
    input:
        f"{RUN}/perturb/chunk-{{chunk}}.h5",
    output:
        f"{RUN}/extract/chunk-{{chunk}}.h5",
    log:
        f"{RUN}/logs/extract/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/extract-{{chunk}}.tsv"
    group:
        "simulate"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10, pattern=0.05),
    params:
        settings=block("extract", *PLACES, "patches", "split_train", "split_validation"),
        code=code("stages.extract.chunk"),
        seed=SEED,
    script:
        "../../scripts/extract.py"


rule extract_scan:
    input:
        scan_file,
    output:
        f"{RUN}/extract/scan-{{name}}.h5",
    log:
        f"{RUN}/logs/extract/scan-{{name}}.log",
    benchmark:
        f"{RUN}/benchmarks/extract_scan-{{name}}.tsv"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=memory(3000),
        runtime=minutes(30),
    params:
        settings=scan_settings,
        code=code("stages.extract.scan"),
        seed=SEED,
        patches=PATCHES_PER_SCAN,
    script:
        "../../scripts/extract.py"
