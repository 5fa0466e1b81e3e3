# Patterns with gap, filled and whole to real-space objects, strain and errors.
include: "reconstruct_inputs.smk"


wildcard_constraints:
    start=r"[0-9]+",
    cell=r"[0-9]+",


rule reconstruct_true_phase:
    input:
        obj=f"{RUN}/fetch/id01_s11.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        out=f"{RUN}/reconstruct/true_phase.h5",
        table=f"{RUN}/reconstruct/true_phase.csv",
    log:
        f"{RUN}/logs/reconstruct/true_phase.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_true_phase.tsv"
    conda:
        "../../envs/retrieve.yaml"
    threads: settings.reconstruct.threads
    resources:
        mem_mb=memory(6000),
        runtime=minutes(120),
    params:
        settings=block(
            "reconstruct",
            *EXACT,
            *(f"true_phase.{name}" for name in ("oversamplings", "zoom", "box_px", "gap_widths_px")),
            *GEOMETRY,
            *NETWORK,
        ),
        code=code("stages.reconstruct.true_phase", *EXACT_FILLS),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_particles:
    input:
        patterns=scattered(PARTICLES),
        model=f"{RUN}/train/model.safetensors",
    output:
        table=f"{RUN}/reconstruct/particles.csv",
        means=f"{RUN}/reconstruct/particles_mean.csv",
    log:
        f"{RUN}/logs/reconstruct/particles.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_particles.tsv"
    conda:
        "../../envs/retrieve.yaml"
    threads: settings.reconstruct.threads
    resources:
        mem_mb=memory(4000),
        runtime=minutes(180),
    params:
        settings=block("reconstruct", *EXACT, "true_phase.particle_gap_widths_px", "surface_layers", *NETWORK),
        code=code("stages.reconstruct.true_phase", *EXACT_FILLS),
        seed=SEED,
        shipped=SHIPPED,
        chosen=PARTICLES,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_prepare:
    input:
        patterns=scattered(PHASED),
        obj=f"{RUN}/fetch/id01_s11.h5",
        strained=f"{RUN}/fetch/{STRAINED}.h5",
        scan=f"{RUN}/fetch/{JUDGED_SCAN}.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        out=f"{RUN}/reconstruct/cases.h5",
    log:
        f"{RUN}/logs/reconstruct/prepare.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_prepare.tsv"
    conda:
        "../../envs/retrieve.yaml"
    threads: settings.reconstruct.threads
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=block(
            "reconstruct",
            *(f"retrieval.{name}" for name in (*CASES, "treatments", "filled_by", "engine")),
            SUPPORT,
            *GEOMETRY,
            *NETWORK,
        ),
        code=code("stages.reconstruct.phasing", *RETRIEVAL_FILLS),
        seed=SEED,
        shipped=SHIPPED,
        pynx=PYNX,
        chosen=PHASED,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_phase:
    input:
        cases=f"{RUN}/reconstruct/cases.h5",
    output:
        out=f"{RUN}/reconstruct/starts/{{start}}.h5",
    log:
        f"{RUN}/logs/reconstruct/start-{{start}}.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_phase-{{start}}.tsv"
    conda:
        "../../envs/retrieve.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        settings=block("reconstruct", *(f"retrieval.{name}" for name in RECIPE)),
        code=code("stages.reconstruct.phasing", *phased_by(settings.reconstruct.retrieval)),
        seed=SEED,
        shipped=SHIPPED,
        pynx=PYNX,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_retrieval:
    input:
        cases=f"{RUN}/reconstruct/cases.h5",
        starts=expand(f"{RUN}/reconstruct/starts/{{start}}.h5", start=STARTS),
    output:
        out=f"{RUN}/reconstruct/retrieval.h5",
        table=f"{RUN}/reconstruct/retrieval.csv",
    log:
        f"{RUN}/logs/reconstruct/retrieval.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_retrieval.tsv"
    conda:
        "../../envs/retrieve.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=block("reconstruct", "retrieval.cases", "retrieval.treatments", SUPPORT),
        code=code("stages.reconstruct.phasing"),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_map_cell:
    input:
        obj=f"{RUN}/fetch/id01_s11.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        table=f"{RUN}/reconstruct/map/{{cell}}.csv",
    log:
        f"{RUN}/logs/reconstruct/map-{{cell}}.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_map-{{cell}}.tsv"
    conda:
        "../../envs/retrieve.yaml"
    resources:
        mem_mb=memory(3000),
        runtime=minutes(60),
    params:
        settings=block("reconstruct", "map", SUPPORT, *GEOMETRY, "device"),
        code=code("stages.reconstruct.treatment_map", *MAP_FILLS, *phased_by(settings.reconstruct.map)),
        seed=SEED,
        shipped=SHIPPED,
        pynx=PYNX,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_map:
    input:
        cells=expand(f"{RUN}/reconstruct/map/{{cell}}.csv", cell=CELLS),
    output:
        table=f"{RUN}/reconstruct/map.csv",
    log:
        f"{RUN}/logs/reconstruct/map.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_map.tsv"
    localrule: True
    conda:
        "../../envs/retrieve.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=minutes(10),
    params:
        settings=dict(),
        code=code("stages.reconstruct.treatment_map"),
        seed=SEED,
    script:
        "../../scripts/reconstruct.py"


rule reconstruct_finetune:
    input:
        obj=f"{RUN}/fetch/id01_s11.h5",
        strained=f"{RUN}/fetch/{STRAINED_TUNED}.h5",
        scan=f"{RUN}/fetch/{JUDGED_SCAN}.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        out=f"{RUN}/reconstruct/finetune.h5",
        table=f"{RUN}/reconstruct/finetune.csv",
    log:
        f"{RUN}/logs/reconstruct/finetune.log",
    benchmark:
        f"{RUN}/benchmarks/reconstruct_finetune.tsv"
    conda:
        "../../envs/retrieve.yaml"
    threads: settings.reconstruct.threads
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        settings=block("reconstruct", "finetune", SUPPORT, *NETWORK),
        code=code("stages.reconstruct.finetuning", *filled_by("network", "braggfill", "linear"), *TUNED_LOSSES),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/reconstruct.py"
