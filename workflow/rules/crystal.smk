# Settings to complex objects, a chunk a job.
CRYSTAL = [  # what an object is made by; how many there are changes none
    *("dimensions", "extent_voxels", "bodies", "phases", "phase_range_radians", "phase_correlation"),
    *("smoothing_sigma_voxels", "modulus_noise", "modulus_correlation_voxels"),
]


def crystal_indices(wildcards):
    """The objects of a chunk."""
    first = int(wildcards.chunk) * settings.crystal.chunk
    return list(range(first, min(first + settings.crystal.chunk, settings.crystal.number)))


def crystal_chunks(stage):
    """Every chunk of a stage that works on these objects."""
    number = -(-settings.crystal.number // settings.crystal.chunk)
    return [f"{RUN}/{stage}/chunk-{i:04d}.h5" for i in range(number)]


rule crystal:
    output:
        f"{RUN}/crystal/chunk-{{chunk}}.h5",
    log:
        f"{RUN}/logs/crystal/{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/crystal-{{chunk}}.tsv"
    conda:
        "../../envs/simulate.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=lambda wildcards, attempt: attempt * (10 + settings.crystal.chunk // 60),
    params:
        settings=block("crystal", *CRYSTAL),
        code=code("stages.crystal"),
        seed=SEED,
        indices=crystal_indices,
    script:
        "../../scripts/crystal.py"
