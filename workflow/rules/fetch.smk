# Measured data: found on this machine or at their public source, checked by sha256. On a cluster it is fetched where
# Snakemake runs, because compute nodes often have no network.
from braggfill.stages import fetch as _fetch


rule fetch:
    output:
        f"{RUN}/fetch/{{name}}.h5",
    log:
        f"{RUN}/logs/fetch/{{name}}.log",
    benchmark:
        f"{RUN}/benchmarks/fetch-{{name}}.tsv"
    retries: 0
    localrule: True
    conda:
        "../../envs/fill.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=minutes(20),
    params:
        settings=block("fetch"),
        code=code("stages.fetch"),
        found=lambda wildcards: _fetch.locate(wildcards.name, settings.fetch, Path(f"{RUN}/fetch/{wildcards.name}.h5")),
    script:
        "../../scripts/fetch.py"
