r"""The terms of the loss, each a number for a batch.

Shapes are (B, n0, n1, n2); ``mask`` is boolean, True in the gap.  ``prediction`` and ``truth`` are
:math:`y = \log(1 + I)` for the terms of the default network, and the patch normalised to 0 to 1 for the paper's.
Every mean over the gap is taken patch by patch first, so that narrow gaps count as much as wide ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from braggfill.patterns.normalise import fit_log

if TYPE_CHECKING:
    from braggfill.learning.gap.options import Weights

OFFSET = 0.375
"""Photons added under the square root (Anscombe): there the spread of counts does not depend on their mean."""
LOG_MAX = 40.0
WILD = 3.0
"""Natural logarithms above the truth beyond which a prediction costs no more amplitude."""


def total(
    weights: Weights,
    prediction: Tensor,
    log_variance: Tensor | None,
    truth: Tensor,
    counted: Tensor,
    seen: Tensor,
    mask: Tensor,
) -> Tensor:
    """The weighed sum of the terms.

    Parameters
    ----------
    prediction, log_variance : what a network says, log(1 + photons) and the logarithm of its variance, if it has one.
    truth : what is to be predicted; ``counted``: what the detector counted; ``seen``: what the network was shown.
        The paper's terms see prediction and truth normalised to 0 to 1 by the measured voxels of ``seen``.
    """
    found = prediction.new_zeros(())
    for term in (mse, amplitude):
        if weight := getattr(weights, term.__name__):
            found = found + weight * term(prediction, truth, mask)
    if weights.nll and log_variance is not None:
        found = found + weights.nll * nll(prediction, log_variance, counted, mask)
    published = [term for term in (mae, ssim, gradient) if getattr(weights, term.__name__)]
    if published:
        scale = fit_log(seen, mask)
        guess, true = scale.apply_log(prediction), scale.apply_log(truth)
        for term in published:
            found = found + getattr(weights, term.__name__) * term(guess, true, mask)
    return found


def gap_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over each patch's gap, then over the patches that have one; 0 where none has."""
    number = mask.flatten(1).sum(1)
    means = (values * mask).flatten(1).sum(1) / number.clamp(min=1)
    return means.sum() / (number > 0).sum().clamp(min=1)


def mse(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    r"""Squared error :math:`\langle (\hat y - y)^2 \rangle_\mathrm{gap}`, least at the conditional mean."""
    return gap_mean((prediction - truth).square(), mask)


def mae(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    r"""Absolute error :math:`\langle |\hat y - y| \rangle_\mathrm{gap}` (paper, section 2.3), least at the median."""
    return gap_mean((prediction - truth).abs(), mask)


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


def nll(prediction: Tensor, log_variance: Tensor, counted: Tensor, mask: Tensor) -> Tensor:
    r"""Gaussian likelihood of what was counted,
    :math:`\tfrac12 \langle (c - \hat y)^2 e^{-v} + v \rangle_\mathrm{gap}`.

    It trains the variance :math:`e^v` only: the prediction is held fixed in it, because weighing its errors by
    :math:`e^{-v}` would let the network neglect whatever is hard.  Least where :math:`e^v = \langle (c - \hat y)^2
    \rangle`.
    """
    error = (counted - prediction.detach()).square()
    return gap_mean(0.5 * (error * torch.exp(-log_variance) + log_variance), mask)


def ssim(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """1 - SSIM of the filled patch, summed over its slices along axis 0 (paper, section 2.3).

    A Gaussian window of 11 with sigma 1.5, K1 = 0.01, K2 = 0.03, range 1, on patches normalised to 0 to 1 and of at
    least 11 voxels; the mean of a slice is over the voxels whose window lies wholly inside it.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    filled = torch.where(mask, prediction, truth)
    guess, true = (x.reshape(-1, 1, *x.shape[2:]) for x in (filled, truth))
    _, image = structural_similarity_index_measure(
        guess, true, sigma=1.5, kernel_size=11, data_range=1.0, k1=0.01, k2=0.03, return_full_image=True
    )
    rim = 11 // 2
    return (1.0 - image[..., rim:-rim, rim:-rim].mean()) * truth.shape[1]


def gradient(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Absolute error of the finite differences of the filled patch, mean over the three axes (paper, section 2.3)."""
    error = torch.where(mask, prediction - truth, 0.0)
    return torch.stack([error.diff(dim=axis).abs().mean() for axis in (1, 2, 3)]).mean()


def pcc(prediction: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Pearson correlation over the gap of each patch, (B,), NaN where either side does not vary (paper, Eq. 1)."""
    number = mask.flatten(1).sum(1).clamp(min=1)

    def centred(x: Tensor) -> Tensor:
        x = (x.double() * mask).flatten(1)
        return (x - x.sum(1, keepdim=True) / number[:, None]) * mask.flatten(1)

    a, b = centred(prediction), centred(truth)
    norm = a.square().sum(1).sqrt() * b.square().sum(1).sqrt()
    return torch.where(norm > 1e-9, (a * b).sum(1) / norm.clamp(min=1e-9), torch.nan)
