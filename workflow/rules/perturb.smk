# Amplitude to what a detector would have counted.
include: "perturb_inputs.smk"


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
        mem_mb=memory(1500 + 1500 * PATTERN),
        runtime=minutes(15, pattern=0.25 * PATTERN),
    params:
        settings=block("perturb"),
        code=code("stages.perturb"),
        seed=SEED,
    script:
        "../../scripts/perturb.py"


rule perturb_steps:
    input:
        f"{RUN}/scatter/chunk-{CHUNKS[0]}.h5",
    output:
        f"{RUN}/perturb/steps.h5",
    log:
        f"{RUN}/logs/perturb/steps.log",
    benchmark:
        f"{RUN}/benchmarks/perturb_steps.tsv"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=memory(3000),
        runtime=minutes(30),
    params:
        settings=block("perturb"),
        code=code("stages.perturb"),
        seed=SEED,
    script:
        "../../scripts/perturb.py"


rule perturb_oversampling:
    input:
        f"{RUN}/scatter/oversampling-{{chunk}}.h5",
    output:
        kept(f"{RUN}/perturb/oversampling-{{chunk}}.h5"),
    log:
        f"{RUN}/logs/perturb/oversampling-{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/perturb_oversampling-{{chunk}}.tsv"
    group:
        "simulate"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=memory(3000),
        runtime=minutes(30),
    params:
        settings=unchanging(),
        code=code("stages.perturb"),
        seed=SEED,
    script:
        "../../scripts/perturb.py"
