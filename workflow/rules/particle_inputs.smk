# What the rules of particle.smk take: choices from the settings and functions that name files.
from braggfill.runs.splits import RESERVED as _RESERVED


def indices(wildcards):
    """The particles of a chunk of the run, or of one of those that the evaluation has for itself."""
    if wildcards.chunk.startswith("test"):
        chunk, most = settings.evaluate.particles_per_shard, settings.evaluate.particles
        first = int(wildcards.chunk.removeprefix("test")) * chunk
        return [_RESERVED + i for i in range(first, min(first + chunk, most))]
    first = int(wildcards.chunk) * settings.size.chunk
    return list(range(first, min(first + settings.size.chunk, settings.size.particles)))
