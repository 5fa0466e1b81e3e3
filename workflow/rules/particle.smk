# Settings to atom positions, a chunk of particles a job.
include: "particle_inputs.smk"


rule particle:
    output:
        f"{RUN}/particle/chunk-{{chunk}}.h5",
    log:
        f"{RUN}/logs/particle/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/particle-{{chunk}}.tsv"
    group:
        "simulate"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10, particle=0.5),
    params:
        settings=block("particle"),
        code=code("stages.particle"),
        seed=SEED,
        indices=indices,
    script:
        "../../scripts/particle.py"
