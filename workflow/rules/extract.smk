# Patterns, simulated and measured, to 32³ portions.
rule extract:
    input:
        f"{RUN}/perturb/chunk-{{chunk}}.h5",
    output:
        f"{RUN}/extract/chunk-{{chunk}}.h5",
    params:
        settings=block("extract"),
        code=code("extract"),
        seed=SEED,
    log:
        f"{RUN}/logs/extract/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/extract-{{chunk}}.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    group:
        "simulate"
    conda:
        "../../envs/simulate.yaml"
    script:
        "../../scripts/extract.py"


rule extract_scan:
    input:
        scan_file,
    output:
        f"{RUN}/extract/scan-{{name}}.h5",
    params:
        settings=block("extract"),
        code=code("extract"),
        seed=SEED,
        portions=PORTIONS_PER_SCAN,
    log:
        f"{RUN}/logs/extract/scan-{{name}}.log",
    benchmark:
        f"{RUN}/benchmarks/extract_scan-{{name}}.tsv"
    resources:
        mem_mb=3000,
        runtime=30,
    conda:
        "../../envs/simulate.yaml"
    script:
        "../../scripts/extract.py"
