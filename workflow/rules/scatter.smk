# Atoms to the complex amplitude around a Bragg peak; test particles at several oversamplings; a check by other means.
include: "scatter_inputs.smk"


rule scatter:
    input:
        f"{RUN}/relax/chunk-{{chunk}}.h5",
    output:
        kept(f"{RUN}/scatter/chunk-{{chunk}}.h5"),
    log:
        f"{RUN}/logs/scatter/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/scatter-{{chunk}}.tsv"
    group:
        "simulate"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=memory(1500 + 1500 * PATTERN),
        runtime=minutes(15, pattern=0.2 * PATTERN),
        gpu=int(settings.scatter.device == "gpu"),
    params:
        settings=block("scatter", *SUM, *VIEWS, "views"),
        code=code("stages.scatter.chunk"),
        seed=SEED,
    script:
        "../../scripts/scatter.py"


rule scatter_check:
    input:
        f"{RUN}/relax/chunk-{CHUNKS[0]}.h5",
    output:
        f"{RUN}/scatter/check.csv",
    log:
        f"{RUN}/logs/scatter/check.log",
    benchmark:
        f"{RUN}/benchmarks/scatter_check.tsv"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=memory(1500 + 1500 * PATTERN),
        runtime=minutes(60),
        gpu=int(settings.scatter.device == "gpu"),
    params:
        settings=block("scatter", "hkl", "tolerance", "device", *VIEWS, "check_voxels", "check_side"),
        code=code("stages.scatter.check"),
        seed=SEED,
        pynx=PYNX,
    script:
        "../../scripts/scatter.py"


rule scatter_oversampling:
    input:
        f"{RUN}/relax/chunk-{{chunk}}.h5",
    output:
        kept(f"{RUN}/scatter/oversampling-{{chunk}}.h5"),
    log:
        f"{RUN}/logs/scatter/oversampling-{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/scatter_oversampling-{{chunk}}.tsv"
    group:
        "simulate"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=memory(3000),
        runtime=minutes(30),
        gpu=int(settings.scatter.device == "gpu"),
    params:
        settings=block("scatter", *SUM, "reach"),
        options=dict(
            oversampling=list(settings.evaluate.oversampling.oversamplings),
            fringes=settings.evaluate.oversampling.fringes,
        ),
        code=code("stages.scatter.sampling"),
        seed=SEED,
    script:
        "../../scripts/scatter.py"
