"""Starts of the convex engine (:mod:`.convex`) as fixed recipes have them (:mod:`.single`); its schedule is its own."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from braggfill.phasing import convex, single
from braggfill.phasing.single import Recipe, Retrieved, Start

FAMILY = 8
"""So many random starts of the engine make one: all but the best are dropped as the resolution grows."""
UNABLE = "the convex engine knows no bounds and frees no voxel late"


def retrieve(starts: Iterable[Start], recipe: Recipe, *, threads: int = 1, title: str | None = None) -> list[Retrieved]:
    """Phase retrieval from each start, in their order; see :func:`braggfill.phasing.single.retrieve`.

    A start with bounds or late voxels has not converged, and says that this engine knows none.
    """
    return single.one_by_one(_retrieve, starts, threads, title)


def _retrieve(start: Start) -> Retrieved:
    began = time.perf_counter()
    if start.low is not None or start.late is not None:
        return single.diverged(start, UNABLE, began)
    pull = start.pull()
    if start.free is not None:
        pull = np.where(start.free, 0, pull)
    seed = int(start.rng.integers(2**31))
    found = convex.run(start.intensity, pull < 1, weights=pull, seed=seed, starts=FAMILY)[0]
    if found.problem:
        return single.diverged(start, found.problem, began)
    return single.judged(np.where(found.support, found.obj, 0).astype(np.complex64), found.support, start, began)
