# Sweeps to tables, a rule a table.
rule evaluate_measured:
    input:
        scan=f"{RUN}/fetch/{SCAN}.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        f"{RUN}/evaluate/measured.csv",
    params:
        settings=block("evaluate"),
        code=code("evaluate"),
        seed=SEED,
    log:
        f"{RUN}/logs/evaluate/measured.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_measured.tsv"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    conda:
        "../../envs/fill.yaml"
    script:
        "../../scripts/evaluate.py"


rule evaluate_simulated:
    input:
        portions=chunks("extract"),
        model=f"{RUN}/train/model.safetensors",
    output:
        f"{RUN}/evaluate/simulated.csv",
    params:
        settings=block("evaluate"),
        code=code("evaluate"),
        seed=SEED,
    log:
        f"{RUN}/logs/evaluate/simulated.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_simulated.tsv"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    conda:
        "../../envs/fill.yaml"
    script:
        "../../scripts/evaluate.py"


rule evaluate_cases:
    input:
        scan=f"{RUN}/fetch/{SCAN}.h5",
        cases=f"{RUN}/inpaint/cases.h5",
    output:
        f"{RUN}/evaluate/cases.csv",
    params:
        settings=block("evaluate"),
        code=code("evaluate"),
        seed=SEED,
    log:
        f"{RUN}/logs/evaluate/cases.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_cases.tsv"
    resources:
        mem_mb=4000,
        runtime=30,
    conda:
        "../../envs/fill.yaml"
    script:
        "../../scripts/evaluate.py"


rule evaluate_realism:
    input:
        patterns=f"{RUN}/perturb/chunk-{CHUNKS[0]}.h5",
        scan=f"{RUN}/fetch/{SCAN}.h5",
    output:
        f"{RUN}/evaluate/realism.csv",
    params:
        settings=block("evaluate"),
        code=code("evaluate"),
        seed=SEED,
    log:
        f"{RUN}/logs/evaluate/realism.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_realism.tsv"
    resources:
        mem_mb=4000,
        runtime=30,
    conda:
        "../../envs/fill.yaml"
    script:
        "../../scripts/evaluate.py"
