"""Error of the finite differences of the filled patch."""

from __future__ import annotations

import torch
from torch import Tensor


def gradient(scaled_prediction: Tensor, scaled_truth: Tensor, mask: Tensor) -> Tensor:
    """Absolute error of the finite differences of the filled patch, mean over the three axes (paper, section 2.3)."""
    error = torch.where(mask, scaled_prediction - scaled_truth, 0.0)
    return torch.stack([error.diff(dim=axis).abs().mean() for axis in (1, 2, 3)]).mean()
