# Measured data: found on this machine or at their public source, checked by sha256.
rule fetch:
    output:
        f"{RUN}/fetch/{{name}}.h5",
    log:
        f"{RUN}/logs/fetch/{{name}}.log",
    benchmark:
        f"{RUN}/benchmarks/fetch-{{name}}.tsv"
    retries: 0
    conda:
        "../../envs/fill.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        settings=block("fetch"),
        code=code("fetch"),
        found=lambda wildcards: _fetch.locate(wildcards.name, settings.fetch),
    script:
        "../../scripts/fetch.py"
