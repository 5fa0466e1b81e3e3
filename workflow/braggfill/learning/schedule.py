"""Learning rates, from the number of the step and the past validation losses alone."""

from __future__ import annotations

import math

import torch

FACTOR, PATIENCE, FLOOR = 0.15, 4, 1e-6
"""ReduceLROnPlateau of Masto et al. (2024): after 4 epochs with no better validation loss the rate is multiplied by
0.15."""


def cosine_rate(highest: float, step: int, steps: int, warm_up: float = 0.03) -> float:
    """Up in a straight line over the first 3 % of the steps, then down along half a cosine to nothing."""
    warm = max(1, round(warm_up * steps))
    if step < warm:
        return highest * (step + 1) / warm
    return highest * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def plateau_rate(highest: float, past: list[float]) -> float:
    """The rate after these validation losses, by torch's ReduceLROnPlateau with the published numbers.

    The published training used Keras, which reduces in the epoch in which its patience is reached; torch only after
    it, hence one less here.
    """
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=highest)
    scheduler = ReduceLROnPlateau(
        optimizer, factor=FACTOR, patience=PATIENCE - 1, threshold=1e-4, threshold_mode="abs", min_lr=FLOOR
    )
    for loss in past:
        scheduler.step(loss)
    return optimizer.param_groups[0]["lr"]
