"""Likelihood of the counts in the gap, which trains the uncertainty."""

from __future__ import annotations

import torch
from torch import Tensor

from braggfill.learning.gap.scores import gap_mean


def nll(prediction: Tensor, log_variance: Tensor, counted: Tensor, mask: Tensor) -> Tensor:
    r"""Gaussian likelihood of what was counted,
    :math:`\tfrac12 \langle (c - \hat y)^2 e^{-v} + v \rangle_\mathrm{gap}`.

    It trains the variance :math:`e^v` only: the prediction is held fixed in it, because weighing its errors by
    :math:`e^{-v}` would let the network neglect whatever is hard.  Least where :math:`e^v = \langle (c - \hat y)^2
    \rangle`.
    """
    error = (counted - prediction.detach()).square()
    return gap_mean(0.5 * (error * torch.exp(-log_variance) + log_variance), mask)
