# A measured scan with artificial gaps and with a real detector's mask, filled by every method.
include: "inpaint_inputs.smk"


rule inpaint:
    input:
        scan=f"{RUN}/fetch/{FILLED_SCAN}.h5",
        masks=f"{RUN}/fetch/detector_masks.h5",
        model=f"{RUN}/train/model.safetensors",
    output:
        f"{RUN}/inpaint/cases.h5",
    log:
        f"{RUN}/logs/inpaint.log",
    benchmark:
        f"{RUN}/benchmarks/inpaint.tsv"
    conda:
        "../../envs/fill.yaml"
    threads: settings.inpaint.threads
    resources:
        mem_mb=memory(6000),
        runtime=minutes(60),
    params:
        settings=block("inpaint"),
        code=code("stages.inpaint", *filled_by(*settings.inpaint.methods)),
        seed=SEED,
        shipped=SHIPPED,
    script:
        "../../scripts/inpaint.py"
