# Sweeps to tables. A sweep that takes long is dealt out to shards, or to the chunks of the test particles that the
# evaluation has for itself (particle.smk); `evaluate_patches` and `evaluate_whole` join what they leave in `evaluate/parts`.
include: "evaluate_inputs.smk"


rule evaluate_measured:
    input:
        scan=f"{RUN}/fetch/{JUDGED_SCAN}.h5",
        model=f"{RUN}/train/model.safetensors",
        paper=PUBLISHED_KIND,
    output:
        out=f"{RUN}/evaluate/parts/measured-{{shard}}.csv",
        intensity=f"{RUN}/evaluate/parts/intensity-measured-{{shard}}.csv",
    log:
        f"{RUN}/logs/evaluate/measured-{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_measured-{{shard}}.tsv"
    conda:
        "../../envs/fill.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        settings=block("evaluate", "measured", "patches", "crop_px", "methods", "bootstrap_draws", *FILLS),
        code=code("stages.evaluate.patches", *PATCH_FILLS),
        seed=SEED,
        shipped=SHIPPED,
        shards=settings.evaluate.shards,
    script:
        "../../scripts/evaluate.py"


rule evaluate_simulated:
    input:
        patches=chunks("extract") + own("extract", "simulated"),
        model=f"{RUN}/train/model.safetensors",
        paper=PUBLISHED_KIND,
    output:
        out=f"{RUN}/evaluate/parts/simulated-{{shard}}.csv",
        intensity=f"{RUN}/evaluate/parts/intensity-simulated-{{shard}}.csv",
    log:
        f"{RUN}/logs/evaluate/simulated-{{shard}}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_simulated-{{shard}}.tsv"
    conda:
        "../../envs/fill.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        settings=block("evaluate", "simulated", "patches", "methods", "bootstrap_draws", *FILLS),
        code=code("stages.evaluate.patches", *PATCH_FILLS),
        seed=SEED,
        shipped=SHIPPED,
        shards=settings.evaluate.shards,
    script:
        "../../scripts/evaluate.py"


rule evaluate_oversampling:
    input:
        patterns=f"{RUN}/perturb/oversampling-{{chunk}}.h5",
        model=f"{RUN}/train/model.safetensors",
        paper=PUBLISHED_KIND,
    output:
        out=f"{RUN}/evaluate/parts/oversampling-{{chunk}}.csv",
        images=f"{RUN}/evaluate/oversampling-{{chunk}}.h5",
    log:
        f"{RUN}/logs/evaluate/oversampling-{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_oversampling-{{chunk}}.tsv"
    conda:
        "../../envs/fill.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        settings=block("evaluate", "oversampling.gap_widths_px", "whole", *FILLS),
        code=code("stages.evaluate.whole", *WHOLE_FILLS),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/evaluate.py"


rule evaluate_position:
    input:
        patterns=f"{RUN}/perturb/chunk-{{chunk}}.h5",
        model=f"{RUN}/train/model.safetensors",
        paper=PUBLISHED_KIND,
    output:
        out=f"{RUN}/evaluate/parts/position-{{chunk}}.csv",
    log:
        f"{RUN}/logs/evaluate/position-{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_position-{{chunk}}.tsv"
    conda:
        "../../envs/fill.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        settings=block("evaluate", "position", "whole", *FILLS),
        code=code("stages.evaluate.whole", *WHOLE_FILLS),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/evaluate.py"


rule evaluate_skip:
    input:
        scan=f"{RUN}/fetch/{JUDGED_SCAN}.h5",
        model=f"{RUN}/train/model.safetensors",
        paper=PUBLISHED_KIND,
    output:
        out=f"{RUN}/evaluate/parts/skip.csv",
        images=f"{RUN}/evaluate/skip.h5",
    log:
        f"{RUN}/logs/evaluate/skip.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_skip.tsv"
    conda:
        "../../envs/fill.yaml"
    threads: 2
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        settings=block("evaluate", "skip", "whole.methods", "gaps.offset_px", *FILLS),
        code=code("stages.evaluate.scan", *WHOLE_FILLS),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/evaluate.py"


rule evaluate_gaps:
    input:
        scan=f"{RUN}/fetch/{JUDGED_SCAN}.h5",
        model=f"{RUN}/train/model.safetensors",
        paper=PUBLISHED_KIND,
    output:
        out=f"{RUN}/evaluate/parts/gaps.csv",
    log:
        f"{RUN}/logs/evaluate/gaps.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_gaps.tsv"
    conda:
        "../../envs/fill.yaml"
    threads: 2
    resources:
        mem_mb=memory(4000),
        runtime=minutes(120),
    params:
        settings=block("evaluate", "gaps", "crop_px", "methods", *FILLS),
        code=code("stages.evaluate.scan", *PATCH_FILLS),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/evaluate.py"


rule evaluate_patches:
    input:
        measured=parts("measured"),
        simulated=parts("simulated"),
        intensity=parts("measured", "intensity-measured") + parts("simulated", "intensity-simulated"),
    output:
        measured=f"{RUN}/evaluate/measured.csv",
        simulated=f"{RUN}/evaluate/simulated.csv",
        intensity=f"{RUN}/evaluate/intensity.csv",
    log:
        f"{RUN}/logs/evaluate/patches.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_patches.tsv"
    conda:
        "../../envs/fill.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=minutes(15),
    params:
        settings=block("evaluate", "patches.gap_axes"),
        code=code("stages.evaluate.join"),
        seed=SEED,
    script:
        "../../scripts/evaluate.py"


rule evaluate_whole:
    input:
        oversampling=parts("oversampling"),
        position=parts("position"),
        skip=parts("skip"),
        gaps=parts("gaps"),
    output:
        oversampling=f"{RUN}/evaluate/oversampling.csv",
        position=f"{RUN}/evaluate/position.csv",
        skip=f"{RUN}/evaluate/skip.csv",
        gaps=f"{RUN}/evaluate/gaps.csv",
    log:
        f"{RUN}/logs/evaluate/whole.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_whole.tsv"
    conda:
        "../../envs/fill.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=minutes(15),
    params:
        settings=dict(),
        code=code("stages.evaluate.join"),
        seed=SEED,
    script:
        "../../scripts/evaluate.py"


rule evaluate_claims:
    input:
        measured=f"{RUN}/evaluate/measured.csv",
        simulated=f"{RUN}/evaluate/simulated.csv",
        intensity=f"{RUN}/evaluate/intensity.csv",
        oversampling=f"{RUN}/evaluate/oversampling.csv",
        position=f"{RUN}/evaluate/position.csv",
        skip=f"{RUN}/evaluate/skip.csv",
        gaps=f"{RUN}/evaluate/gaps.csv",
    output:
        claims=f"{RUN}/evaluate/claims.csv",
    log:
        f"{RUN}/logs/evaluate/claims.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_claims.tsv"
    conda:
        "../../envs/fill.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=minutes(15),
    params:
        settings=dict(),
        code=code("stages.evaluate.claims"),
        seed=SEED,
    script:
        "../../scripts/evaluate.py"


rule evaluate_calibration:
    input:
        patches=chunks("extract"),
        scan=f"{RUN}/fetch/{JUDGED_SCAN}.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        f"{RUN}/evaluate/calibration.csv",
    log:
        f"{RUN}/logs/evaluate/calibration.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_calibration.tsv"
    conda:
        "../../envs/fill.yaml"
    threads: 2
    resources:
        mem_mb=memory(4000),
        runtime=minutes(60),
    params:
        settings=block(
            "evaluate",
            "calibration",
            "patches.gap_widths_px",
            "patches.gap_axes",
            "crop_px",
            "methods",
            "bootstrap_draws",
            "batch_patches",
        ),
        code=code("stages.evaluate.calibration", *networks_of(*settings.evaluate.methods)),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/evaluate.py"


rule evaluate_cases:
    input:
        scan=f"{RUN}/fetch/{FILLED_SCAN}.h5",
        cases=f"{RUN}/inpaint/cases.h5",
    output:
        f"{RUN}/evaluate/cases.csv",
    log:
        f"{RUN}/logs/evaluate/cases.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_cases.tsv"
    conda:
        "../../envs/fill.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(30),
    params:
        settings=block("evaluate", "ceiling_draws"),
        code=code("stages.evaluate.cases"),
        seed=SEED,
    script:
        "../../scripts/evaluate.py"


rule evaluate_realism:
    input:
        patterns=f"{RUN}/perturb/chunk-{CHUNKS[0]}.h5",
        scan=f"{RUN}/fetch/{JUDGED_SCAN}.h5",
        steps=f"{RUN}/perturb/steps.h5",
        obj=f"{RUN}/fetch/id01_s11.h5",
    output:
        f"{RUN}/evaluate/realism.csv",
    log:
        f"{RUN}/logs/evaluate/realism.log",
    benchmark:
        f"{RUN}/benchmarks/evaluate_realism.tsv"
    conda:
        "../../envs/fill.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(30),
    params:
        settings=block("evaluate", "crop_px"),
        code=code("stages.evaluate.realism"),
        seed=SEED,
    script:
        "../../scripts/evaluate.py"
