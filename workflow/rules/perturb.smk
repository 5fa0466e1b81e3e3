# Amplitude to what a detector would have counted.
rule perturb:
    input:
        f"{RUN}/scatter/chunk-{{chunk}}.h5",
    output:
        kept(f"{RUN}/perturb/chunk-{{chunk}}.h5"),
    log:
        f"{RUN}/logs/perturb/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/perturb-{{chunk}}.tsv"
    group:
        "simulate"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        settings=block("perturb"),
        code=code("perturb"),
        seed=SEED,
    script:
        "../../scripts/perturb.py"
