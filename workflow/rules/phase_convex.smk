# Phases by automatic differentiation with a convex support; on request, as results/<run>/phase/convex.csv.
include: "phase_convex_inputs.smk"


rule phase_convex_case:
    input:
        obj=convex_object,
    output:
        out=f"{RUN}/phase/convex/{{case}}.h5",
    log:
        f"{RUN}/logs/phase/convex-{{case}}.log",
    benchmark:
        f"{RUN}/benchmarks/phase_convex_case-{{case}}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(3000 + 6e-5 * CONVEX_VOXELS),
        runtime=minutes(1440),
    params:
        settings=block("phase", *CONVEX_SETTINGS),
        code=code("stages.phase.convex"),
        seed=SEED,
    script:
        "../../scripts/phase.py"


rule phase_convex:
    input:
        files=expand(f"{RUN}/phase/convex/{{case}}.h5", case=convex_cases()),
    output:
        out=f"{RUN}/phase/convex.csv",
        claims=f"{RUN}/phase/convex-claims.csv",
    log:
        f"{RUN}/logs/phase/convex.log",
    benchmark:
        f"{RUN}/benchmarks/phase_convex.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        settings=block("phase", "convex.cases"),
        code=code("stages.phase.convex_claims"),
        seed=SEED,
    script:
        "../../scripts/phase.py"
