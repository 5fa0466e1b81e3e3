# Gaps and phases in two dimensions: patterns, a training a job, tables.
include: "flat_inputs.smk"


wildcard_constraints:
    cell=r"[a-z_]+-[a-z0-9_]+-[0-9._e-]+",


for study in FLAT_SETS:

    rule:
        name:
            f"flat_patterns_{study}"
        output:
            out=f"{RUN}/flat/patterns-{study}.h5",
        log:
            f"{RUN}/logs/flat/patterns-{study}.log",
        benchmark:
            f"{RUN}/benchmarks/flat_patterns_{study}.tsv"
        conda:
            "../../envs/simulate.yaml"
        resources:
            mem_mb=memory(4000),
            runtime=minutes(60),
        params:
            settings=flat_settings(study, *FLAT_SETS[study]),
            code=code("stages.flat.sets"),
            seed=SEED,
            study=study,
        script:
            "../../scripts/flat.py"


rule flat_gap_cell:
    input:
        patterns=f"{RUN}/flat/patterns-gaps.h5",
    output:
        model=f"{RUN}/flat/gap-{{cell}}.safetensors",
        out=f"{RUN}/flat/gap-{{cell}}.h5",
    log:
        f"{RUN}/logs/flat/gap-{{cell}}.log",
    benchmark:
        f"{RUN}/benchmarks/flat_gap_cell-{{cell}}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(600),
    params:
        settings=flat_settings("gaps", "side_px", "example_width_px", *FLAT_TRAINING),
        code=code("stages.flat.gap_cells", *FLAT_NETWORKS),
        seed=SEED,
    script:
        "../../scripts/flat.py"


rule flat_baseline:
    input:
        patterns=f"{RUN}/flat/patterns-gaps.h5",
    output:
        out=f"{RUN}/flat/baseline.h5",
    log:
        f"{RUN}/logs/flat/baseline.log",
    benchmark:
        f"{RUN}/benchmarks/flat_baseline.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(30),
    params:
        settings=flat_settings("gaps", "side_px", "widths_px", "example_width_px"),
        code=code("stages.flat.gap_cells"),
        seed=SEED,
    script:
        "../../scripts/flat.py"


rule flat_position:
    input:
        models=flat_compared(),
    output:
        out=f"{RUN}/flat/position.csv",
    log:
        f"{RUN}/logs/flat/position.log",
    benchmark:
        f"{RUN}/benchmarks/flat_position.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        settings=flat_settings("gaps", *FLAT_SWEEP, "position_patterns"),
        code=code("stages.flat.gap_sweeps", *FLAT_NETWORKS),
        seed=SEED,
    script:
        "../../scripts/flat.py"


rule flat_oversampling:
    input:
        models=flat_compared(),
    output:
        out=f"{RUN}/flat/oversampling.csv",
    log:
        f"{RUN}/logs/flat/oversampling.log",
    benchmark:
        f"{RUN}/benchmarks/flat_oversampling.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        settings=flat_settings("gaps", *FLAT_SWEEP, "oversampling_patterns"),
        code=code("stages.flat.gap_sweeps", *FLAT_NETWORKS),
        seed=SEED,
    script:
        "../../scripts/flat.py"


rule flat_gaps:
    input:
        cells=expand(f"{RUN}/flat/gap-{{cell}}.h5", cell=flat_gap_cells()),
        baseline=f"{RUN}/flat/baseline.h5",
    output:
        out=f"{RUN}/flat/gaps.csv",
    log:
        f"{RUN}/logs/flat/gaps.log",
    benchmark:
        f"{RUN}/benchmarks/flat_gaps.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(15),
    params:
        settings={},
        code=code("stages.flat.tables"),
        seed=SEED,
    script:
        "../../scripts/flat.py"


rule flat_full:
    output:
        out=f"{RUN}/flat/full.csv",
    log:
        f"{RUN}/logs/flat/full.log",
    benchmark:
        f"{RUN}/benchmarks/flat_full.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(6000),
        runtime=minutes(60),
    params:
        settings=block("flat", "full"),
        code=code("stages.flat.full", "networks.planar.msd"),
        seed=SEED,
    script:
        "../../scripts/flat.py"


for study in ("low", "high"):

    rule:
        name:
            f"flat_phase_{study}"
        input:
            patterns=f"{RUN}/flat/patterns-{study}.h5",
        output:
            model=f"{RUN}/flat/phase-{study}-{{cell}}.safetensors",
            out=f"{RUN}/flat/phase-{study}-{{cell}}.h5",
        log:
            f"{RUN}/logs/flat/phase-{study}-{{cell}}.log",
        benchmark:
            f"{RUN}/benchmarks/flat_phase_{study}-{{cell}}.tsv"
        conda:
            "../../envs/train.yaml"
        resources:
            mem_mb=memory(4000),
            runtime=minutes(1200),
        params:
            settings=flat_settings(study, "steps", "batch", "rate", "decay"),
            code=code("stages.flat.phase_cells"),
            seed=SEED,
            study=study,
        script:
            "../../scripts/flat.py"


rule flat_phases:
    input:
        cells=flat_phase_files(),
    output:
        out=f"{RUN}/flat/phases.csv",
        parts=f"{RUN}/flat/parts.csv",
    log:
        f"{RUN}/logs/flat/phases.log",
    benchmark:
        f"{RUN}/benchmarks/flat_phases.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(15),
    params:
        settings={},
        code=code("stages.flat.tables"),
        seed=SEED,
    script:
        "../../scripts/flat.py"


rule flat_fit:
    input:
        patterns=f"{RUN}/flat/patterns-low.h5",
    output:
        out=f"{RUN}/flat/fit.h5",
    log:
        f"{RUN}/logs/flat/fit.log",
    benchmark:
        f"{RUN}/benchmarks/flat_fit.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(15),
    params:
        settings={},
        code=code("stages.flat.fit"),
        seed=SEED,
    script:
        "../../scripts/flat.py"


rule flat_starts:
    input:
        patterns=f"{RUN}/flat/patterns-high.h5",
        models=[
            f"{RUN}/flat/phase-high-{loss}-{FLAT.high.patterns[0]}-{FLAT.high.widths[0]:g}.safetensors"
            for loss in FLAT.starts.losses
        ],
    output:
        out=f"{RUN}/flat/starts.csv",
    log:
        f"{RUN}/logs/flat/starts.log",
    benchmark:
        f"{RUN}/benchmarks/flat_starts.tsv"
    conda:
        "../../envs/retrieve.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(60),
    params:
        settings=flat_settings("starts", "patterns", "starts", "long_cycles", "short_cycles"),
        code=code("stages.flat.starts"),
        seed=SEED,
    script:
        "../../scripts/flat.py"


rule flat_claims:
    input:
        gaps=f"{RUN}/flat/gaps.csv",
        position=f"{RUN}/flat/position.csv",
        oversampling=f"{RUN}/flat/oversampling.csv",
        full=f"{RUN}/flat/full.csv",
        phases=f"{RUN}/flat/phases.csv",
        fitted=f"{RUN}/flat/fit.h5",
        starts=f"{RUN}/flat/starts.csv",
        histories=flat_phase_files(),
    output:
        out=f"{RUN}/flat/claims.csv",
    log:
        f"{RUN}/logs/flat/claims.log",
    benchmark:
        f"{RUN}/benchmarks/flat_claims.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=minutes(15),
    params:
        settings={},
        code=code("stages.flat.claims"),
        seed=SEED,
    script:
        "../../scripts/flat.py"
