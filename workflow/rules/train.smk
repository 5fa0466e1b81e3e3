# Patches to a network. The checkpoints in train/work outlive a killed job: it goes on from the last one.
from braggfill import networks
from braggfill.learning.gap import losses, options

TRAINED_WITH = options.options(settings.train.network, settings.train.model_dump())
LOSSES = losses.modules(TRAINED_WITH.loss)  # those that are looked up by name


rule train:
    input:
        simulated=chunks("extract"),
        measured=expand(f"{RUN}/extract/scan-{{name}}.h5", name=SCANS),
    output:
        model=f"{RUN}/train/model.safetensors",
        history=f"{RUN}/train/history.csv",
    log:
        f"{RUN}/logs/train.log",
    benchmark:
        f"{RUN}/benchmarks/train.tsv"
    conda:
        "../../envs/train.yaml"
    threads: settings.train.threads
    resources:
        # The patches, 16 bits per voxel, twice; while they are read, all of them twice over.
        mem_mb=memory(4000 + PATCHES * 32**3 * 8 / 1e6),
        runtime=minutes(720),
        gpu=int(settings.train.device == "gpu") * (settings.train.devices or 1),
    params:
        settings=block("train"),
        code=code("stages.train", networks.module_of(settings.train.network), *LOSSES),
        seed=SEED,
    script:
        "../../scripts/train.py"
