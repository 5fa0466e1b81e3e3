"""Structural similarity of the filled patch."""

from __future__ import annotations

import torch
from torch import Tensor


def ssim(scaled_prediction: Tensor, scaled_truth: Tensor, mask: Tensor) -> Tensor:
    """1 - SSIM of the filled patch, summed over its slices along axis 0 (paper, section 2.3).

    A Gaussian window of 11 with sigma 1.5, K1 = 0.01, K2 = 0.03, range 1, on patches normalised to 0 to 1 and of at
    least 11 voxels; the mean of a slice is over the voxels whose window lies wholly inside it.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    filled = torch.where(mask, scaled_prediction, scaled_truth)
    guess, true = (x.reshape(-1, 1, *x.shape[2:]) for x in (filled, scaled_truth))
    _, image = structural_similarity_index_measure(
        guess, true, sigma=1.5, kernel_size=11, data_range=1.0, k1=0.01, k2=0.03, return_full_image=True
    )
    rim = 11 // 2
    return (1.0 - image[..., rim:-rim, rim:-rim].mean()) * scaled_truth.shape[1]
