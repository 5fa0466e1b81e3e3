# Measured data: found on this machine or at their public source, checked by sha256.
rule fetch:
    output:
        f"{RUN}/fetch/{{name}}.h5",
    params:
        settings=block("fetch"),
        code=code("fetch"),
        found=lambda wildcards: _fetch.locate(wildcards.name, settings.fetch),
    log:
        f"{RUN}/logs/fetch/{{name}}.log",
    benchmark:
        f"{RUN}/benchmarks/fetch-{{name}}.tsv"
    resources:
        mem_mb=1000,
        runtime=20,
    retries: 0
    conda:
        "../../envs/fill.yaml"
    script:
        "../../scripts/fetch.py"
