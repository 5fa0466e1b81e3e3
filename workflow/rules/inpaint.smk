# A measured scan with artificial gaps and with a real detector's mask, filled by every method.
rule inpaint:
    input:
        scan=f"{RUN}/fetch/{SCAN}.h5",
        masks=f"{RUN}/fetch/detector_masks.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        f"{RUN}/inpaint/cases.h5",
    params:
        settings=block("inpaint"),
        code=code("inpaint"),
        seed=SEED,
    log:
        f"{RUN}/logs/inpaint.log",
    benchmark:
        f"{RUN}/benchmarks/inpaint.tsv"
    threads: 2
    resources:
        mem_mb=6000,
        runtime=60,
    conda:
        "../../envs/fill.yaml"
    script:
        "../../scripts/inpaint.py"
