"""Losses of gaps filled in two dimensions, each a number for a batch (Masto, thesis, section 3.3.2).

Shapes are (B, n1, n2); patterns are in log(1 + I) normalised to 0 to 1; ``mask`` is boolean, True in the gap.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from braggfill.learning.gap.losses.mae import mae
from braggfill.learning.gap.losses.mse import mse
from braggfill.learning.gap.scores import gap_mean

__all__ = ["LOSSES", "gradients", "mae", "mse", "mse_ssim", "mse_ssim_gradients", "ssim"]

RIM = 5
"""Voxels at the border whose window of SSIM does not lie wholly inside."""


def ssim(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """1 - SSIM of the filled pattern: Gaussian window of 11 with sigma 1.5, K1 = 0.01, K2 = 0.03, range 1; mean over
    the voxels whose window lies wholly inside the pattern, which has at least 11 voxels a side."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    filled = torch.where(mask, prediction, truth)
    options: dict[str, Any] = {"sigma": 1.5, "kernel_size": 11, "data_range": 1.0, "k1": 0.01, "k2": 0.03}
    pair = filled[:, None], truth[:, None]
    _, image = structural_similarity_index_measure(*pair, **options, return_full_image=True)
    return 1 - image[..., RIM:-RIM, RIM:-RIM].mean()


def gradients(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    r"""Mean squared error of the finite differences that touch the gap, mean over both axes.

    .. math:: \tfrac12 \sum_a \langle (\partial_a \hat y - \partial_a y)^2 \rangle, \qquad \hat y = y
              \text{ outside the gap}
    """
    error = torch.where(mask, prediction - truth, torch.zeros_like(truth))
    found = [gap_mean(error.diff(dim=a).square(), _touching(mask, a)) for a in (1, 2)]
    return torch.stack(found).mean()


def mse_ssim(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Sum of :func:`mse` and :func:`ssim`."""
    return mse(prediction, truth, mask) + ssim(prediction, truth, mask)


def mse_ssim_gradients(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Sum of :func:`mse`, :func:`ssim` and :func:`gradients`: the published final loss."""
    return mse_ssim(prediction, truth, mask) + gradients(prediction, truth, mask)


LOSSES = {"mse": mse, "mae": mae, "ssim": ssim, "mse_ssim": mse_ssim, "mse_ssim_gradients": mse_ssim_gradients}
"""The losses that were compared, by name."""


def _touching(mask: Tensor, axis: int) -> Tensor:
    """Differences along an axis of which at least one end lies in the gap."""
    n = mask.shape[axis]
    return mask.narrow(axis, 0, n - 1) | mask.narrow(axis, 1, n - 1)
