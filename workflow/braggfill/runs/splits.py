"""Which particles are trained on, which decide when to stop, and which are kept for the test.

The split is by particle and never by patch, so that nothing of a test particle was ever trained on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from braggfill.runs import seeds

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
RESERVED = 1_000_000
"""Index of the first particle that the evaluation has for itself: no run has as many, and it is never trained on."""


def split_of(fractions: Sequence[float], seed: int, particle: int) -> int:
    """0 (train), 1 (validation) or 2 (test), from the run's seed and the particle's index alone.

    Particles are dealt out in rounds of 1 / (smallest share) consecutive indices, in a random order within each round.
    Every round holds at least one particle of each split, and after any number of whole rounds the shares are exact to
    one particle.  It depends on neither the number of particles nor the way they are divided among jobs.  Particles
    from :data:`RESERVED` on are for the test.

    Parameters
    ----------
    fractions : shares of training (at least half), validation and test; they add up to 1, and a share may be 0.
    """
    if particle >= RESERVED:
        return TEST
    used = [share for share in fractions if share > 1e-9]
    length = math.ceil(1 / min(used) - 1e-6)
    dealt = particle // length
    place = int(seeds.generator(seed, "extract/split", dealt).permutation(length)[particle % length])
    end = 0
    for split in (VALIDATION, TEST):
        share = fractions[split] if fractions[split] > 1e-9 else 0.0
        end += math.floor(share * length * (dealt + 1) + 0.5) - math.floor(share * length * dealt + 0.5)
        if place < end:
            return split
    return TRAIN
