r"""Where patches are cut, and the file that they go to.

The place of a patch is drawn with the probability

.. math:: P(c) = (1 - s) \frac{|c - p|^k}{\sum |c - p|^k} + s \frac{[|c - p| \le R]}{\sum [|c - p| \le R]}

over all places wholly inside the pattern that hold no masked voxel, with c the centre of the patch, p the Bragg peak,
k ``periphery`` (the paper prefers the outer regions, section 2.1; thesis 3.4.1), and s and R ``near_peak_share`` and
``near_peak_radius_voxels``.  Places with fewer than ``min_photons`` photons are drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.patterns.patching import window
from braggfill.runs import packing
from braggfill.settings.extract import ExtractSettings

ATTEMPTS = 200
"""Places tried for each patch that is wanted, before a pattern gives fewer."""


@lru_cache(maxsize=2)
def distances(shape: tuple[int, ...], size: tuple[int, ...], peak: tuple[int, ...]) -> np.ndarray:
    """Distance from the peak to the centre of the patch at each origin, voxels, float32 of ``shape - size + 1``."""
    lines = [np.arange(n - s + 1) + (s - 1) / 2 - p for n, s, p in zip(shape, size, peak, strict=True)]
    return np.sqrt(sum(line**2 for line in np.ix_(*lines))).astype(np.float32)


def probabilities(
    settings: ExtractSettings, shape: Sequence[int], peak: Sequence[int], free: np.ndarray | None = None
) -> np.ndarray:
    """Probability of each origin, float64 of ``shape - settings.shape + 1``, adding up to 1.

    Parameters
    ----------
    free : boolean of the same shape, False where a patch may not lie; none by default.

    Raises
    ------
    BraggfillError : a patch does not fit the array, or there is no place left.
    """
    if any(n < s for n, s in zip(shape, settings.shape, strict=True)):
        raise BraggfillError(
            f"extract.shape: patches of {settings.shape} do not fit a pattern of {tuple(shape)}; choose smaller ones"
        )
    distance = distances(tuple(shape), settings.shape, tuple(int(p) for p in peak))
    allowed = np.ones(distance.shape, bool) if free is None else free
    if not allowed.any():
        raise BraggfillError("every place for a patch overlaps masked voxels; use another scan or smaller patches")
    preferred = np.where(allowed, np.maximum(distance, 0.5).astype(np.float64) ** settings.periphery, 0.0)
    preferred /= preferred.sum()
    near = allowed & (distance <= settings.near_peak_radius_voxels)
    if settings.near_peak_share == 0 or not near.any():
        return preferred
    return (1 - settings.near_peak_share) * preferred + settings.near_peak_share * near / near.sum()


def draw_origins(
    rng: np.random.Generator, cumulative: np.ndarray, counts: np.ndarray, settings: ExtractSettings, number: int
) -> np.ndarray:
    """Origins of up to ``number`` different patches with enough photons, (n, 3) int32.

    ``cumulative`` is the running sum of :func:`probabilities`; fewer origins come back where 200 attempts for each did
    not find enough of them.
    """
    places = tuple(n - s + 1 for n, s in zip(counts.shape, settings.shape, strict=True))
    chosen: dict[int, None] = {}
    poor: set[int] = set()
    for _ in range(ATTEMPTS * number):
        if len(chosen) == number:
            break
        index = min(int(np.searchsorted(cumulative, rng.random() * cumulative[-1], "right")), cumulative.size - 1)
        if index in chosen or index in poor:
            continue
        origin = [int(i) for i in np.unravel_index(index, places)]
        if counts[window(origin, settings.shape)].sum(dtype=np.float64) >= settings.min_photons:
            chosen[index] = None
        else:
            poor.add(index)
    return np.stack(np.unravel_index(np.fromiter(chosen, np.int64, len(chosen)), places), -1).astype(np.int32)


class Patches:
    """Datasets that patches are appended to, one compressed piece a patch."""

    def __init__(self, file: h5py.File, capacity: int, size: Sequence[int], counted: type | np.dtype):
        kinds = {
            "counts": (tuple(size), counted),
            "expectation": (tuple(size), np.float32),
            "origin": ((3,), np.int32),
            "particle": ((), np.int32),
            "view": ((), np.int16),
            "split": ((), np.uint8),
            "oversampling": ((3,), np.float32),
        }
        self.number = 0
        self.sets = {}
        for name, (shape, kind) in kinds.items():
            large = len(shape) == 3
            chunks = (1, *shape) if large else (1024, *shape)
            filters = packing.FILTERS if large else {}
            self.sets[name] = file.create_dataset(
                name, (capacity, *shape), kind, maxshape=(None, *shape), chunks=chunks, **filters
            )

    def add(self, **values: np.ndarray | float) -> None:
        """Append patches; a single value holds for all of them."""
        after = self.number + np.shape(values["origin"])[0]
        for name, value in values.items():
            data = self.sets[name]
            data[self.number : after] = np.broadcast_to(
                np.asarray(value, data.dtype), (after - self.number, *data.shape[1:])
            )
        self.number = after

    def close(self) -> None:
        """Cut the datasets to what was added."""
        for data in self.sets.values():
            data.resize(self.number, axis=0)
