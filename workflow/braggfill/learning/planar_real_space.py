"""Losses of a phase predicted in two dimensions that look at the object, (B, n, n) to (B,)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from braggfill.learning.phase_losses import TINY, twin_of

LEAST = 0.1
"""Of the greatest modulus: from here on a voxel belongs to the object."""


def waves(direction: Tensor, intensity: Tensor) -> Tensor:
    r"""Objects :math:`\mathcal F^{-1}[\sqrt I (c + i s)]`, complex (B, n, n); ``direction`` is (B, 2, n, n)."""
    found = intensity.clamp(min=0).sqrt() * torch.complex(direction[:, 0], direction[:, 1])
    found = torch.fft.ifft2(torch.fft.ifftshift(found, dim=(1, 2)), norm="ortho")
    return torch.fft.fftshift(found, dim=(1, 2))


def supports(truth: Tensor) -> Tensor:
    """Where the objects are, and one voxel around: boolean (B, n, n)."""
    modulus = truth.abs()
    inside = modulus > LEAST * modulus.flatten(1).amax(1).view(-1, 1, 1)
    return functional.max_pool2d(inside[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0


def outside(predicted: Tensor, truth: Tensor, twin: Tensor) -> Tensor:
    r"""Share of an object's intensity that lies outside the support of the truth, or of its twin, (B,), 0 to 1.

    .. math:: \sum_{r \notin S} |\hat o|^2 \Big/ \sum_r |\hat o|^2

    Zero for the truth times any phase factor and, with ``twin``, for the twin: it tells nothing of the phase inside,
    and much of whether the object is a mixture of both.

    Parameters
    ----------
    predicted, truth : complex objects, (B, n, n), origin ``n // 2``.  twin : boolean (B,), whose support counts.
    """
    whole = torch.where(twin.view(-1, 1, 1), twin_of(truth), truth)
    squares = predicted.real.square() + predicted.imag.square()
    return (squares * ~supports(whole)).flatten(1).sum(1) / squares.flatten(1).sum(1).clamp(min=TINY)
