"""Gradient descent of the convex engine on one resolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from braggfill.phasing import convex_losses, convex_shape
from braggfill.phasing.convex_model import Level, Parameters


@dataclass(frozen=True)
class Descent:
    """How parameters are moved: Adam with the largest second moment so far (AMSGrad)."""

    learning_rate: float
    """Of the phase, in its own unit."""
    normal_rate: float
    """Of the normals, radians about."""
    offset_rate: float
    """Of the offsets, voxels of the level's resolution."""
    betas: tuple[float, float]
    decay: float
    """Factor on both rates every ``decay_steps``."""
    decay_steps: int
    small_support: float
    """alpha, on :func:`convex_losses.small_support`."""
    least_offset: float
    """Offsets do not fall below it, voxels of the whole pattern's object: the amplitude makes up for any size of the
    support, so that a strongly strained pattern would otherwise be fitted by next to no support at all."""
    variation: float
    """beta, on :func:`convex_losses.total_variation`."""


def descend(
    level: Level,
    parameters: Parameters,
    losses: Sequence[str],
    steps: int,
    descent: Descent,
    on_step: Callable[[], bool] | None = None,
) -> np.ndarray:
    """Fit the starts, in place; each as if it were alone.

    Parameters
    ----------
    losses : of each start, a name of :data:`convex_losses.DISTANCES`.
    on_step : called after each step; True ends the descent.

    Returns
    -------
    The loss of each start before each step, (steps done, starts).
    """
    fitted = [parameters.normals, parameters.offsets, parameters.phase]
    for tensor in fitted:
        tensor.requires_grad_(True)
    rates = (descent.normal_rate, descent.offset_rate * level.voxel, descent.learning_rate)
    optimiser = torch.optim.Adam(
        [{"params": [t], "lr": rate} for t, rate in zip(fitted, rates, strict=True)],
        betas=descent.betas,
        amsgrad=True,
        foreach=False,
    )
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, descent.decay_steps, descent.decay)
    groups = {name: [i for i, own in enumerate(losses) if own == name] for name in dict.fromkeys(losses)}
    history = []
    for _ in range(steps):
        optimiser.zero_grad(set_to_none=True)
        loss = objective(level, parameters, groups, descent)
        loss.sum().backward()
        with torch.no_grad():
            if parameters.normals.grad is not None:
                parameters.normals.grad = convex_shape.tangent(parameters.normals.grad, parameters.normals)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            parameters.normals.copy_(convex_shape.retract(parameters.normals))
            parameters.offsets.clamp_(min=descent.least_offset)
        history.append(loss.detach().cpu().numpy())
        if on_step is not None and on_step():
            break
    for tensor in fitted:
        tensor.requires_grad_(False)
    return np.stack(history) if history else np.zeros((0, len(losses)), np.float32)


def objective(level: Level, parameters: Parameters, groups: dict[str, list[int]], descent: Descent) -> torch.Tensor:
    """Loss of each start, (starts,): its distance + alpha small support + beta total variation."""
    support, phasor = level.support(parameters), level.phasor(parameters.phase)
    model = level.intensity(support, phasor)
    loss = model.new_zeros(len(model))
    for name, rows in groups.items():
        loss = loss.index_add(
            0,
            torch.tensor(rows, device=model.device),
            convex_losses.DISTANCES[name](level.observed, model[rows], level.weight),
        )
    if descent.small_support:
        loss = loss + descent.small_support * convex_losses.small_support(support.flatten(1))
    if descent.variation:
        loss = loss + descent.variation * convex_losses.total_variation(phasor, support)
    return loss
