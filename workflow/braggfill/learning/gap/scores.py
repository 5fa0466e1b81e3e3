"""Numbers over the gap: the mean over patches, Pearson's correlation.  Shapes are (B, n0, n1, n2); ``mask`` is True in
the gap."""

from __future__ import annotations

import torch
from torch import Tensor


def gap_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over each patch's gap, then over the patches that have one; 0 where none has."""
    number = mask.flatten(1).sum(1)
    means = (values * mask).flatten(1).sum(1) / number.clamp(min=1)
    return means.sum() / (number > 0).sum().clamp(min=1)


def pcc(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Pearson correlation over the gap of each patch, (B,), NaN where either side does not vary (paper, Eq. 1)."""
    number = mask.flatten(1).sum(1).clamp(min=1)

    def centred(x: Tensor) -> Tensor:
        x = (x.double() * mask).flatten(1)
        return (x - x.sum(1, keepdim=True) / number[:, None]) * mask.flatten(1)

    a, b = centred(prediction), centred(truth)
    norm = a.square().sum(1).sqrt() * b.square().sum(1).sqrt()
    return torch.where(norm > 1e-9, (a * b).sum(1) / norm.clamp(min=1e-9), torch.nan)
