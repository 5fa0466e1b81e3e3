# Tables and arrays to figures, and figures to the report.
include: "figures_inputs.smk"


rule figures:
    input:
        sum(DRAWN.values(), []),
    output:
        f"{RUN}/figures/figures.json",
    log:
        f"{RUN}/logs/figures.log",
    benchmark:
        f"{RUN}/benchmarks/figures.tsv"
    group:
        "figures"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(30),
    params:
        settings=block("figures", *LOOKS),
        run=settings.only("seed", "inpaint.scan", "evaluate.scan", "reconstruct.retrieval.cases", *PHASE_LOOKS),
        code=code("stages.figures.catalogue", *filled_by("network")),
        seed=SEED,
    script:
        "../../scripts/figures.py"


rule report:
    input:
        f"{RUN}/figures/figures.json",
        sum(TOLD.values(), []),
    output:
        report=f"{RUN}/report.html",
        summary=f"{RUN}/summary.txt",
    log:
        f"{RUN}/logs/report.log",
    benchmark:
        f"{RUN}/benchmarks/report.tsv"
    group:
        "figures"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(15),
    params:
        settings=block("figures", "title", "chapters"),
        run=settings.model_dump(mode="json"),
        code=code("stages.figures.page", "stages.figures.summary", *PAGE),
        seed=SEED,
    script:
        "../../scripts/figures.py"
