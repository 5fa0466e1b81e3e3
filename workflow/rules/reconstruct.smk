# Patterns with gap, filled and whole to real-space objects, strain and errors.
rule reconstruct_true_phase:
    input:
        obj=f"{RUN}/fetch/id01_s11.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        objects=f"{RUN}/reconstruct/true_phase.h5",
        table=f"{RUN}/reconstruct/true_phase.csv",
    log:
        f"{RUN}/logs/reconstruct/true_phase.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_true_phase.tsv"
    conda:
        "../../envs/retrieve.yaml"
    threads: settings.reconstruct.threads
    resources:
        mem_mb=memory(6000),
        runtime=minutes(60),
    params:
        settings=block("reconstruct"),
        code=code("reconstruct"),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_retrieval:
    input:
        patterns=f"{RUN}/scatter/chunk-{CHUNKS[0]}.h5",
        obj=f"{RUN}/fetch/id01_s11.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        objects=f"{RUN}/reconstruct/retrieval.h5",
        table=f"{RUN}/reconstruct/retrieval.csv",
    log:
        f"{RUN}/logs/reconstruct/retrieval.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_retrieval.tsv"
    conda:
        "../../envs/retrieve.yaml"
    threads: settings.reconstruct.threads
    resources:
        mem_mb=memory(6000),
        runtime=minutes(120),
    params:
        settings=block("reconstruct"),
        code=code("reconstruct"),
        seed=SEED,
        shipped=SHIPPED,
        pynx=PYNX,
    script:
        "../../scripts/reconstruct.py"
