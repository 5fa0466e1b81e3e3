"""What is looked at: a cube around a scan's peak, the test patches of the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braggfill.runs import seeds, storage

PATCH_PX = 32
"""Edge of a patch."""


def crop_around_peak(counts: np.ndarray, edge: int) -> np.ndarray:
    """The cube of ``edge`` voxels around the brightest one, moved inside the array, smaller where the array is."""
    peak = np.unravel_index(np.argmax(counts), counts.shape)
    first = [min(max(p - edge // 2, 0), max(n - edge, 0)) for p, n in zip(peak, counts.shape, strict=True)]
    return counts[tuple(slice(f, f + edge) for f in first)]


def set_apart(files: list[Path], most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts and expectation of the test patches, in the order of the particles, at most ``most`` of them."""
    places: list[tuple[Path, int]] = []
    for path in files:
        if storage.left_out(path) is not None:
            continue
        with storage.read(path) as file:
            places += [(path, int(i)) for i in np.flatnonzero(storage.array(file, "split") == 2)]
    if len(places) > most:
        rng = seeds.generator(seed, "evaluate/simulated")
        places = [places[i] for i in np.sort(rng.choice(len(places), most, replace=False))]
    counts, expectation = [], []
    for path in dict.fromkeys(path for path, _ in places):
        wanted = [i for other, i in places if other == path]
        with storage.read(path) as file:
            counts.append(storage.array(file, "counts")[wanted])
            expectation.append(storage.array(file, "expectation")[wanted])
    if not places:
        return np.zeros((0, *[PATCH_PX] * 3)), np.zeros((0, *[PATCH_PX] * 3))
    return np.concatenate(counts), np.concatenate(expectation)
