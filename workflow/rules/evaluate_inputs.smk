# What the rules of evaluate.smk take: choices from the settings and functions that name files.
OWN = [f"test{i:04d}" for i in range(-(-settings.evaluate.particles // settings.evaluate.particles_per_shard))]
PUBLISHED_KIND = list(settings.evaluate.paper_networks.values())  # trained networks of the published kind
JUDGED_SCAN = settings.evaluate.scan  # the one that patches are judged on
PATCH_FILLS = filled_by(*settings.evaluate.methods)
WHOLE_FILLS = filled_by(*settings.evaluate.whole.methods)
FILLS = ("paper_networks", "ceiling_draws", "batch_patches")  # what every sweep looks at


def own(stage, sweep):
    """The chunks of the evaluation's own test particles, for a sweep that runs."""
    return expand(f"{RUN}/{stage}/chunk-{{chunk}}.h5", chunk=OWN if sweep in settings.evaluate.sweeps else [])


def parts(sweep, table=None):
    """The parts of a sweep's table, those of its shards or chunks; none of a sweep that does not run."""
    own_chunks = OWN if sweep in ("oversampling", "position") else range(settings.evaluate.shards)
    pieces = [""] if sweep in ("skip", "gaps") else [f"-{piece}" for piece in own_chunks]
    runs = sweep in settings.evaluate.sweeps
    return [f"{RUN}/evaluate/parts/{table or sweep}{piece}.csv" for piece in pieces] if runs else []
