"""A peak of counts and a small network that several tests fill with."""

from __future__ import annotations

import numpy as np
from braggfill import networks

SMALL = {"channels": [4, 8]}


def peaked(shape=(40, 36, 48), seed=0, peak=1e4):
    """Counts of a peak in the middle, drawn with noise."""
    rng = np.random.default_rng(seed)
    grids = np.ix_(*(np.arange(n) - n // 2 for n in shape))
    return rng.poisson(peak / (1 + 0.05 * sum(g**2 for g in grids)) ** 1.5).astype(np.int32)


def untrained():
    """A small network that was never trained, but is far from predicting the interpolation alone."""
    import torch

    torch.manual_seed(1)
    built = networks.build("braggfill", **SMALL)
    with torch.no_grad():
        built.trunk.leave.weight.mul_(4)
    built.card = {"uncertainty": True}
    return built.eval()
