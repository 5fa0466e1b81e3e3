r"""Phase retrieval by gradient descent on the voxels of the object: a modulus and a phase each, nothing else assumed.

.. math:: O(x) = a\, |m(x)|\, e^{i \varphi(x)}

on a grid of half the pattern's size, all values random at first.  This is the basic form that objects of half-spaces
(:mod:`.convex`) are compared with; it is no engine.

Source: Masto, thesis, section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from braggfill.phasing import convex_losses, pattern
from braggfill.phasing.convex_model import Level
from braggfill.runs import seeds


@dataclass(frozen=True)
class VoxelRun:
    """What one start ended with."""

    obj: np.ndarray = field(repr=False)
    """complex64, the pattern's shape, origin at ``n // 2``; its squared moduli add up to about the photons."""
    history: np.ndarray = field(repr=False)
    """Loss before each step."""
    start: int


def run(
    photons: np.ndarray, weight: np.ndarray, *, seed: int, starts: int, steps: int, rate: float, loss: str = "absolute"
) -> list[VoxelRun]:
    """Fit the voxels of several starts side by side with AMSGrad.

    Parameters
    ----------
    photons, weight : the pattern, its peak at ``n // 2``, and 0 to 1 as in :mod:`.convex`; photons are 0 where the
        weight is.
    seed, starts : start i depends on the seed and i alone.
    steps, rate : of the descent; the rate is multiplied by 0.9 every 500 steps.
    loss : of :data:`braggfill.phasing.convex_losses.DISTANCES`.

    Returns
    -------
    The starts, in their order.
    """
    level = Level(photons, weight, float("inf"), 0.5, "values", 1.0)
    first = np.stack(
        [seeds.generator(seed, "phase/voxels", start).random((2, *level.half), np.float32) for start in range(starts)]
    )
    modulus = torch.as_tensor(first[:, 0]).requires_grad_(True)
    phase = torch.as_tensor((2 * first[:, 1] - 1) * np.float32(np.pi)).requires_grad_(True)
    optimiser = torch.optim.Adam([modulus, phase], lr=rate, betas=(0.9, 0.98), amsgrad=True, foreach=False)
    decay = torch.optim.lr_scheduler.StepLR(optimiser, 500, 0.9)
    history = []
    for _ in range(steps):
        optimiser.zero_grad(set_to_none=True)
        model = level.intensity(modulus.abs(), torch.complex(phase.cos(), phase.sin()))
        each = convex_losses.DISTANCES[loss](level.observed, model, level.weight)
        each.sum().backward()
        optimiser.step()
        decay.step()
        history.append(each.detach().numpy())
    with torch.no_grad():
        phasor, bare = torch.complex(phase.cos(), phase.sin()), modulus.abs()
        made = level.amplitude(bare, phasor)[:, None, None, None] * bare * phasor
    lines = np.stack(history)
    return [
        VoxelRun(pattern.pad(one.astype(np.complex64), photons.shape), lines[:, number], number)
        for number, one in enumerate(made.numpy())
    ]
