# Sweeps to tables, a rule a table.
rule evaluate_measured:
    input:
        scan=f"{RUN}/fetch/{JUDGED_SCAN}.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        f"{RUN}/evaluate/measured.csv",
    log:
        f"{RUN}/logs/evaluate/measured.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_measured.tsv"
    conda:
        "../../envs/fill.yaml"
    threads: 2
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=block("evaluate"),
        code=code("evaluate"),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/evaluate.py"


rule evaluate_simulated:
    input:
        portions=chunks("extract"),
        model=f"{RUN}/train/model.safetensors",
    output:
        f"{RUN}/evaluate/simulated.csv",
    log:
        f"{RUN}/logs/evaluate/simulated.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_simulated.tsv"
    conda:
        "../../envs/fill.yaml"
    threads: 2
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=block("evaluate"),
        code=code("evaluate"),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/evaluate.py"


rule evaluate_calibration:
    input:
        portions=chunks("extract"),
        scan=f"{RUN}/fetch/{JUDGED_SCAN}.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        f"{RUN}/evaluate/calibration.csv",
    log:
        f"{RUN}/logs/evaluate/calibration.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_calibration.tsv"
    conda:
        "../../envs/fill.yaml"
    threads: 2
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=block("evaluate"),
        code=code("evaluate"),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/evaluate.py"


rule evaluate_cases:
    input:
        scan=f"{RUN}/fetch/{FILLED_SCAN}.h5",
        cases=f"{RUN}/inpaint/cases.h5",
    output:
        f"{RUN}/evaluate/cases.csv",
    log:
        f"{RUN}/logs/evaluate/cases.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_cases.tsv"
    conda:
        "../../envs/fill.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(30),
    params:
        settings=block("evaluate"),
        code=code("evaluate"),
        seed=SEED,
    script:
        "../../scripts/evaluate.py"


rule evaluate_realism:
    input:
        patterns=f"{RUN}/perturb/chunk-{CHUNKS[0]}.h5",
        scan=f"{RUN}/fetch/{JUDGED_SCAN}.h5",
        steps=f"{RUN}/perturb/steps.h5",
        obj=f"{RUN}/fetch/id01_s11.h5",
    output:
        f"{RUN}/evaluate/realism.csv",
    log:
        f"{RUN}/logs/evaluate/realism.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_realism.tsv"
    conda:
        "../../envs/fill.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(30),
    params:
        settings=block("evaluate"),
        code=code("evaluate"),
        seed=SEED,
    script:
        "../../scripts/evaluate.py"
