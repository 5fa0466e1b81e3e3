"""Error of the amplitude in the gap."""

from __future__ import annotations

import torch
from torch import Tensor

OFFSET = 0.375
"""Photons added under the square root (Anscombe): there the spread of counts does not depend on their mean."""
LOG_MAX = 40.0
WILD = 3.0
"""Natural logarithms above the truth beyond which a prediction costs no more amplitude."""


def amplitude(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    r"""Relative squared error of the amplitude,
    :math:`\sum (\hat a - a)^2 / \sum a^2` over each gap, with :math:`a = \sqrt{I + 3/8}`.

    The square root of the intensity is what phase retrieval uses; the brightest voxels rule.  A prediction more than
    e^3 times too bright counts as e^3 times: the squared logarithms lead it back, while the amplitude, exponential in
    what the network says, would let a single voxel outweigh all other patches of a batch.
    """
    guess, true = (_amplitude(y) for y in (torch.minimum(prediction, truth + WILD), truth))
    error = ((guess - true).square() * mask).flatten(1).sum(1)
    size = (true.square() * mask).flatten(1).sum(1)
    return (error / size.clamp(min=OFFSET)).sum() / (size > 0).sum().clamp(min=1)


def _amplitude(log_intensity: Tensor) -> Tensor:
    return torch.sqrt(torch.expm1(log_intensity.clamp(0.0, LOG_MAX)) + OFFSET)
