# Energy minimisation of the atoms by LAMMPS.
rule relax:
    input:
        f"{RUN}/particle/chunk-{{chunk}}.h5",
    output:
        f"{RUN}/relax/chunk-{{chunk}}.h5",
    log:
        f"{RUN}/logs/relax/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/relax-{{chunk}}.tsv"
    group:
        "simulate"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(15, particle=3),
    params:
        settings=block("relax"),
        code=code("stages.relax"),
        seed=SEED,
    script:
        "../../scripts/relax.py"
