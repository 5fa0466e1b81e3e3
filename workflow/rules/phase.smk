# Phases by networks: training, patches, refinement, assessment; measured scans, phased.
include: "phase_inputs.smk"


wildcard_constraints:
    network=r"[a-z]+",
    kind=r"[a-z]+",
    strain=r"low|high",
    case=r"[a-z0-9_]+",
    scan=r"[a-z0-9_]+",


rule phase_learn:
    output:
        model=f"{RUN}/phase/learn/{{network}}.safetensors",
        history=f"{RUN}/phase/learn/{{network}}.csv",
    log:
        f"{RUN}/logs/phase/learn-{{network}}.log",
    benchmark:
        f"{RUN}/benchmarks/phase_learn-{{network}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: settings.phase.learn.threads
    resources:
        mem_mb=memory(6000),
        runtime=minutes(1440),
    params:
        settings=block("phase", *PHASE_LEARNING),
        code=code("stages.phase.learn", "networks.phase.braggphase", "networks.phase.whole"),
        seed=SEED,
    script:
        "../../scripts/phase.py"


rule phase_compared:
    input:
        models=expand(f"{RUN}/phase/learn/{{network}}.safetensors", network=PHASE_NETWORKS),
    output:
        out=f"{RUN}/phase/compared.csv",
        objects=f"{RUN}/phase/compared.h5",
    log:
        f"{RUN}/logs/phase/compared.log",
    benchmark:
        f"{RUN}/benchmarks/phase_compared.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(6000),
        runtime=minutes(240),
    params:
        settings=block(
            "phase",
            "learn.networks",
            "learn.tested",
            "learn.phase_range_radians",
            *(f"assess.{name}" for name in PHASE_PATTERNS),
        ),
        code=code("stages.phase.compared", *(networks.module_of(name) for name in PHASE_NETWORKS)),
        seed=SEED,
    script:
        "../../scripts/phase.py"


rule phase_assess_kind:
    input:
        model=phase_model,
    output:
        out=f"{RUN}/phase/assess/{{kind}}.csv",
    log:
        f"{RUN}/logs/phase/assess-{{kind}}.log",
    benchmark:
        f"{RUN}/benchmarks/phase_assess_kind-{{kind}}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(720),
    params:
        settings=block("phase", "assess"),
        code=code("stages.phase.assess", "networks.phase.braggphase"),
        seed=SEED,
        shipped=SHIPPED_PHASE,
    script:
        "../../scripts/phase.py"


rule phase_assess:
    input:
        tables=expand(f"{RUN}/phase/assess/{{kind}}.csv", kind=PHASE_KINDS),
    output:
        out=f"{RUN}/phase/assess.csv",
    log:
        f"{RUN}/logs/phase/assess.log",
    benchmark:
        f"{RUN}/benchmarks/phase_assess.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        settings=block("phase", "assess.kinds"),
        code=code("stages.phase.assess"),
        seed=SEED,
    script:
        "../../scripts/phase.py"


rule phase_patches_learn:
    output:
        model=f"{RUN}/phase/patches/{{strain}}.safetensors",
        history=f"{RUN}/phase/patches/{{strain}}-history.csv",
    log:
        f"{RUN}/logs/phase/patches-learn-{{strain}}.log",
    benchmark:
        f"{RUN}/benchmarks/phase_patches_learn-{{strain}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: settings.phase.learn.threads
    resources:
        mem_mb=memory(6000),
        runtime=minutes(1440),
    params:
        settings=block("phase", "patches", "learn.threads"),
        code=code("stages.phase.patches"),
        seed=SEED,
        shipped=SHIPPED_PHASE,
    script:
        "../../scripts/phase.py"


rule phase_patches:
    input:
        model=f"{RUN}/phase/patches/{{strain}}.safetensors",
    output:
        out=f"{RUN}/phase/patches/{{strain}}.csv",
        shells=f"{RUN}/phase/patches/{{strain}}-shells.csv",
        slices=f"{RUN}/phase/patches/{{strain}}-slices.h5",
    log:
        f"{RUN}/logs/phase/patches-{{strain}}.log",
    benchmark:
        f"{RUN}/benchmarks/phase_patches-{{strain}}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: settings.phase.learn.threads
    resources:
        mem_mb=memory(6000),
        runtime=minutes(240),
    params:
        settings=block("phase", "patches", "learn.threads"),
        code=code("stages.phase.patches"),
        seed=SEED,
        shipped=SHIPPED_PHASE,
    script:
        "../../scripts/phase.py"


rule phase_refine_case:
    input:
        model=phase_model,
        obj=phase_object,
    output:
        out=f"{RUN}/phase/refine/{{case}}.h5",
    log:
        f"{RUN}/logs/phase/refine-{{case}}.log",
    benchmark:
        f"{RUN}/benchmarks/phase_refine_case-{{case}}.tsv"
    conda:
        "../../envs/retrieve.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(1440),
    params:
        settings=block("phase", "refine", "assess.network"),
        code=code("stages.phase.refine", "networks.phase.braggphase"),
        seed=SEED,
        shipped=SHIPPED_PHASE,
        pynx=PYNX,
    script:
        "../../scripts/phase.py"


rule phase_refine:
    input:
        files=expand(f"{RUN}/phase/refine/{{case}}.h5", case=PHASE_CASES),
    output:
        out=f"{RUN}/phase/refine.csv",
    log:
        f"{RUN}/logs/phase/refine.log",
    benchmark:
        f"{RUN}/benchmarks/phase_refine.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        settings=block("phase", "refine.cases"),
        code=code("stages.phase.refine"),
        seed=SEED,
    script:
        "../../scripts/phase.py"


rule phase_measured_scan:
    input:
        data=phase_scan,
    output:
        out=f"{RUN}/phase/measured-{{scan}}.h5",
    log:
        f"{RUN}/logs/phase/measured-{{scan}}.log",
    benchmark:
        f"{RUN}/benchmarks/phase_measured_scan-{{scan}}.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=minutes(240),
    params:
        settings=block("phase", *PHASE_MEASURING),
        code=code("stages.phase.measured", "phasing.convex", "phasing.pynx", "networks.phase.braggphase", *PHASE_FILLS),
        seed=SEED,
        shipped=[SHIPPED, SHIPPED_PHASE],
    script:
        "../../scripts/phase.py"


rule phase_measured:
    input:
        files=expand(f"{RUN}/phase/measured-{{scan}}.h5", scan=PHASE_SCANS),
    output:
        out=f"{RUN}/phase/measured.csv",
    log:
        f"{RUN}/logs/phase/measured.log",
    benchmark:
        f"{RUN}/benchmarks/phase_measured.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        settings=block("phase", "measured.scans"),
        code=code("stages.phase.measured"),
        seed=SEED,
    script:
        "../../scripts/phase.py"


rule phase:
    input:
        models=PHASE_CURVES,
        compared=phase_part("learn", f"{RUN}/phase/compared.csv"),
        assess=phase_part("assess", f"{RUN}/phase/assess.csv"),
        patches=PHASE_STITCHED,
        refine=phase_part("refine", f"{RUN}/phase/refine.csv"),
    output:
        out=f"{RUN}/phase/summary.csv",
    log:
        f"{RUN}/logs/phase/phase.log",
    benchmark:
        f"{RUN}/benchmarks/phase.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        settings=block("phase", "parts", "learn.networks"),
        code=code("stages.phase.claims"),
        seed=SEED,
    script:
        "../../scripts/phase.py"


include: "phase_convex.smk"
