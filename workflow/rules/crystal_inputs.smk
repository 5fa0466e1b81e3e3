# What the rules of crystal.smk take: choices from the settings and functions that name files.
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
