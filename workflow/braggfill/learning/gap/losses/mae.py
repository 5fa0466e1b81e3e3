"""Absolute error of the normalised log intensity in the gap."""

from __future__ import annotations

from torch import Tensor

from braggfill.learning.gap.scores import gap_mean


def mae(scaled_prediction: Tensor, scaled_truth: Tensor, mask: Tensor) -> Tensor:
    r"""Absolute error :math:`\langle |\hat y - y| \rangle_\mathrm{gap}` (paper, section 2.3), least at the median."""
    return gap_mean((scaled_prediction - scaled_truth).abs(), mask)
