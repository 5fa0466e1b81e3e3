# Patterns, simulated and measured, to 32³ patches.
include: "extract_inputs.smk"


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
