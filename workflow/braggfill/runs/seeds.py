"""Random numbers that depend on what is drawn, never on when or where.

Every generator is keyed by (run seed, stage, index of the particle or view), so that chunk size, number of jobs,
order and executor change nothing in the arrays.
"""

from __future__ import annotations

import zlib

import numpy as np


def sequence(seed: int, stage: str, *index: int) -> np.random.SeedSequence:
    """The seed sequence of one item of one stage.

    Parameters
    ----------
    seed : the run's seed, a non-negative integer.
    stage : the stage's word (``"particle"``), or ``"stage/purpose"`` for a second stream of the same item.
    index : non-negative integers that name the item, e.g. ``(particle, view)``.
    """
    if seed < 0 or any(i < 0 for i in index):
        raise ValueError(f"seed and index must not be negative, got {seed} and {index}")
    return np.random.SeedSequence(entropy=int(seed), spawn_key=(zlib.crc32(stage.encode()), *map(int, index)))


def generator(seed: int, stage: str, *index: int) -> np.random.Generator:
    """A PCG64 generator for one item of one stage; see :func:`sequence`."""
    return np.random.Generator(np.random.PCG64(sequence(seed, stage, *index)))


def integer(seed: int, stage: str, *index: int) -> int:
    """A 31-bit integer for libraries that take a seed and not a generator (torch, LAMMPS, PyNX)."""
    return int(sequence(seed, stage, *index).generate_state(1, np.uint32)[0] & 0x7FFFFFFF)
