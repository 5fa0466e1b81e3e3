# Complex objects to counts and reciprocal-space phases.
rule diffract:
    input:
        f"{RUN}/crystal/chunk-{{chunk}}.h5",
    output:
        f"{RUN}/diffract/chunk-{{chunk}}.h5",
    log:
        f"{RUN}/logs/diffract/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/diffract-{{chunk}}.tsv"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=lambda wildcards, attempt: attempt * (10 + settings.crystal.chunk * settings.diffract.patterns // 60),
    params:
        settings=block("diffract"),
        code=code("stages.diffract"),
        seed=SEED,
    script:
        "../../scripts/diffract.py"
