# Settings to atom positions, a chunk of particles a job.
rule particle:
    output:
        f"{RUN}/particle/chunk-{{chunk}}.h5",
    params:
        settings=block("particle"),
        code=code("particle"),
        seed=SEED,
        indices=indices,
    log:
        f"{RUN}/logs/particle/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/particle-{{chunk}}.tsv"
    resources:
        mem_mb=2000,
        runtime=30,
    group:
        "simulate"
    conda:
        "../../envs/simulate.yaml"
    script:
        "../../scripts/particle.py"
