"""Files of patches that several tests train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from braggfill.learning.gap.options import options
from braggfill.runs import storage
from braggfill.settings.train import TrainSettings


def fringes(number: int, seed: int, size: int = 16) -> np.ndarray:
    """Expected counts of plane fringes of random direction, phase and depth: what no interpolation can follow."""
    rng = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"))
    found = []
    for _ in range(number):
        direction = rng.normal(size=3)
        wave = direction / np.linalg.norm(direction) * 2 * np.pi / rng.uniform(6, 9)
        phase = np.tensordot(wave, place, 1) + rng.uniform(0, 2 * np.pi)
        found.append(np.exp(rng.uniform(4, 6) + rng.uniform(1, 1.5) * np.cos(phase)) - 1)
    return np.stack(found).astype(np.float32)


def write(path: Path, number: int, seed: int, *, split: int | None = None, expectation: bool = True) -> Path:
    """A file as extract writes it."""
    wanted = fringes(number, seed)
    counts = np.random.default_rng(seed).poisson(wanted).astype(np.uint32)
    with storage.create(path, source="simulated") as file:
        file["counts"] = counts
        file["expectation"] = wanted if expectation else np.full(wanted.shape, np.nan, np.float32)
        kinds = np.arange(number) % 4 == 3
        file["split"] = np.full(number, split, np.uint8) if split is not None else kinds.astype(np.uint8)
    return path


def chosen(**known):
    """The options of the default network under these settings of the train stage."""
    return options("braggfill", TrainSettings(**known).model_dump())
