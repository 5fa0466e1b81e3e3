# Settings to complex objects, a chunk a job.
include: "crystal_inputs.smk"


rule crystal:
    output:
        f"{RUN}/crystal/chunk-{{chunk}}.h5",
    log:
        f"{RUN}/logs/crystal/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/crystal-{{chunk}}.tsv"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=lambda wildcards, attempt: attempt * (10 + settings.crystal.chunk // 60),
    params:
        settings=block("crystal", *CRYSTAL),
        code=code("stages.crystal"),
        seed=SEED,
        indices=crystal_indices,
    script:
        "../../scripts/crystal.py"
