"""Squared error of the log intensity in the gap."""

from __future__ import annotations

from torch import Tensor

from braggfill.learning.gap.scores import gap_mean


def mse(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    r"""Squared error :math:`\langle (\hat y - y)^2 \rangle_\mathrm{gap}`, least at the conditional mean."""
    return gap_mean((prediction - truth).square(), mask)
