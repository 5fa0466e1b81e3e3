# Settings to atom positions, a chunk of particles a job.
from braggfill.runs.splits import RESERVED as _RESERVED


def indices(wildcards):
    """The particles of a chunk of the run, or of one of those that the evaluation has for itself."""
    if wildcards.chunk.startswith("test"):
        chunk, most = settings.evaluate.particles_per_shard, settings.evaluate.particles
        first = int(wildcards.chunk.removeprefix("test")) * chunk
        return [_RESERVED + i for i in range(first, min(first + chunk, most))]
    first = int(wildcards.chunk) * settings.size.chunk
    return list(range(first, min(first + settings.size.chunk, settings.size.particles)))


rule particle:
    output:
        f"{RUN}/particle/chunk-{{chunk}}.h5",
    log:
        f"{RUN}/logs/particle/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/particle-{{chunk}}.tsv"
    group:
        "simulate"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10, particle=0.5),
    params:
        settings=block("particle"),
        code=code("stages.particle"),
        seed=SEED,
        indices=indices,
    script:
        "../../scripts/particle.py"
