"""Gaps filled in two dimensions: masks, a training with one loss, scores (Masto, thesis, section 3.3).

Arrays are (n, side, side): ``log_intensity`` is log(1 + photons), ``mask`` boolean, True in the gap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from braggfill.learning.gap import scores
from braggfill.learning.gap.losses.mse import mse
from braggfill.learning.gap.losses.nll import nll
from braggfill.learning.planar_losses import LOSSES
from braggfill.learning.schedule import cosine_rate
from braggfill.patterns import gaps
from braggfill.patterns.normalise import Scale, fit_log
from braggfill.runs import seeds

OWN = "likelihood"
"""The default network's own loss, :func:`own`."""
CERTAINTY = 0.1
"""Weight of the likelihood in it."""


@dataclass(frozen=True)
class GapOptions:
    """Gaps: one of ``widths``, voxels; ``cross_fraction`` of them are crosses, the others vertical."""

    widths: tuple[int, ...]
    cross_fraction: float = 0.5


def mask(rng: np.random.Generator, side: int, width: int, crossed: bool) -> np.ndarray:
    """A vertical gap, or a cross of one width, anywhere: boolean (side, side)."""
    first, second = (int(n) for n in rng.integers(0, side - width + 1, 2))
    if crossed:
        return gaps.cross((side, side), width, (second, first), axes=(0, 1))
    return gaps.plane((side, side), width, axis=1, start=first)


def masks(options: GapOptions, side: int, indices: Sequence[int], seed: int, epoch: int) -> Tensor:
    """The gaps of some patterns, other ones in every epoch, (n, side, side)."""
    found = []
    for index in indices:
        rng = seeds.generator(seed, "planar/gap", epoch, int(index))
        width, crossed = int(rng.choice(options.widths)), bool(rng.random() < options.cross_fraction)
        found.append(mask(rng, side, width, crossed))
    return torch.from_numpy(np.stack(found))


def predict(network: nn.Module, log_intensity: Tensor, mask: Tensor) -> Tensor:
    """What a network puts into the gaps, log(1 + photons); voxels outside the gap are its guesses, too.

    The published networks see the pattern normalised to 0 to 1 by what is measured of it, zero in the gap.
    """
    own = getattr(network, "predict", None)
    if own is not None:
        return own(log_intensity, mask)[0]
    scale = _scale(log_intensity, mask)
    return scale.invert_log(_published(network, scale, log_intensity, mask))


def _published(network: nn.Module, scale: Scale, log_intensity: Tensor, mask: Tensor) -> Tensor:
    given = scale.apply_log(log_intensity).masked_fill(mask, 0.0)
    return torch.sigmoid(network(given[:, None])[:, 0])


def _scale(log_intensity: Tensor, mask: Tensor) -> Scale:
    found = fit_log(log_intensity[:, None], mask[:, None])
    return Scale(found.low[:, 0], found.span[:, 0])


def value(network: nn.Module, loss: str, log_intensity: Tensor, mask: Tensor) -> Tensor:
    """A loss of a batch, a number: one of :data:`braggfill.learning.planar_losses.LOSSES`, on the pattern normalised to
    0 to 1, or :func:`own`."""
    if loss == OWN:
        expected, log_variance = network.predict(log_intensity, mask)  # type: ignore[operator]
        return own(expected, log_variance, log_intensity, mask)
    scale = _scale(log_intensity, mask)
    truth = scale.apply_log(log_intensity)
    if hasattr(network, "predict"):
        guess = scale.apply_log(network.predict(log_intensity, mask)[0])  # type: ignore[operator]
    else:
        guess = _published(network, scale, log_intensity, mask)
    return LOSSES[loss](guess, truth, mask)


def own(expected: Tensor, log_variance: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    r"""Squared error of :math:`\log(1 + I)` over the gap, and the likelihood that trains its uncertainty:

    .. math:: \langle (\hat y - y)^2 \rangle_\mathrm{gap} + \lambda \tfrac12 \langle (\hat y - y)^2 e^{-v} + v
              \rangle_\mathrm{gap}
    """
    return mse(expected, truth, mask) + CERTAINTY * nll(expected, log_variance, truth, mask)


def train(
    network: nn.Module,
    loss: str,
    log_intensity: Tensor,
    options: GapOptions,
    epochs: int,
    *,
    batch: int = 32,
    rate: float = 1e-4,
    decay: bool = False,
    seed: int = 1,
    told: Callable[[int, float], None] | None = None,
    steps: int | None = None,
) -> list[float]:
    """Train with Adam; the mean loss of each epoch.  Every epoch has an order and gaps of its own.

    Parameters
    ----------
    told : called after each epoch with its number, from 1 on, and its loss.  steps : end after so many.
    """
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    number, side = len(log_intensity), log_intensity.shape[-1]
    batch = min(batch, number)
    each, done, curve = number // batch, 0, []
    for epoch in range(epochs):
        network.train()
        order = seeds.generator(seed, "planar/gap-order", epoch).permutation(number)
        total = []
        for step in range(each):
            some = order[step * batch : (step + 1) * batch]
            optimiser.param_groups[0]["lr"] = cosine_rate(rate, done, each * epochs) if decay else rate
            optimiser.zero_grad(set_to_none=True)
            found = value(network, loss, log_intensity[some], masks(options, side, some.tolist(), seed, epoch))
            found.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            total.append(float(found.detach()))
            done += 1
            if done == steps:
                return total
        curve.append(float(np.mean(total)))
        if told is not None:
            told(epoch + 1, curve[-1])
    return curve


@torch.no_grad()
def fill(network: nn.Module, log_intensity: Tensor, mask: Tensor, batch: int = 32) -> Tensor:
    """Patterns with their gaps filled, log(1 + photons)."""
    network.eval()
    found = []
    for first in range(0, len(log_intensity), batch):
        some = slice(first, first + batch)
        found.append(torch.where(mask[some], predict(network, log_intensity[some], mask[some]), log_intensity[some]))
    return torch.cat(found)


def pcc(filled: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Pearson correlation over each gap, (n,), of log(1 + photons) (Eq. 3.1)."""
    return scores.pcc(filled, truth, mask)
