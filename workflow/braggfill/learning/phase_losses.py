r"""Losses of a predicted reciprocal-space phase (RSP), and the accuracy of the object that it gives.

Shapes are (B, n...), two or three axes.  A phase and its negative (the twin, :math:`O^*(-r)`), and a phase with any
constant added, belong to the same intensity; a phase is only known modulo :math:`2\pi`.  (Masto, thesis, sections 4.4.3
to 4.4.5.)
"""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-12


def phasor(phase: Tensor) -> Tensor:
    """(B, n...) angles to (B, 2, n...) cosines and sines."""
    return torch.stack([torch.cos(phase), torch.sin(phase)], dim=1)


def amplitude_weights(intensity: Tensor) -> Tensor:
    r"""Weights :math:`\sqrt I / \sum \sqrt I` of each pattern, (B, n...) (thesis, Eq. 4.3)."""
    return _shares(intensity.clamp(min=0).sqrt())


def log_weights(intensity: Tensor) -> Tensor:
    r"""Weights :math:`\log(1 + I) / \sum \log(1 + I)` of each pattern, (B, n...): the input of the published network,
    scaled to 0 to 1, as the weights of its public training script."""
    return _shares(torch.log1p(intensity.clamp(min=0)))


def _shares(values: Tensor) -> Tensor:
    return values / values.flatten(1).sum(1).clamp(min=TINY).view(-1, *[1] * (values.ndim - 1))


def coherence(prediction: Tensor, phase: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    r"""How well phases agree up to a constant, for the truth and for its twin: two of (B,), 0 to 1.

    .. math:: C_\pm = \left| \sum_k w_k (c_k + i s_k) e^{\mp i \varphi_k} \right|

    Parameters
    ----------
    prediction : (B, 2, n...) cosines c and sines s; shorter than 1 where the network is not sure.
    phase : (B, n...) the truth, radians.  weights : (B, n...), adding up to 1 for each pattern.
    """
    (c, s), (x, y) = prediction.unbind(1), (torch.cos(phase), torch.sin(phase))
    cx, sy, sx, cy = ((weights * a * b).flatten(1).sum(1) for a, b in ((c, x), (s, y), (s, x), (c, y)))
    same, twin = ((cx + sy) ** 2 + (sx - cy) ** 2, (cx - sy) ** 2 + (sx + cy) ** 2)
    return (same + TINY).sqrt(), (twin + TINY).sqrt()


def wca(prediction: Tensor, phase: Tensor, weights: Tensor, *, twin: bool = True) -> Tensor:
    r"""Weighted coherent average loss of each pattern, :math:`1 - \max(C_+, C_-)`, (B,) (thesis, Eqs. 4.3 and 4.4).

    Zero for the truth plus any constant, for its twin, and whatever multiples of :math:`2\pi` are added.

    Parameters
    ----------
    prediction, phase, weights : as in :func:`coherence`.
    twin : False takes the sign of the truth alone (the published network for outer patches).
    """
    same, other = coherence(prediction, phase, weights)
    return 1 - (torch.maximum(same, other) if twin else same)


def objects(intensity: Tensor, phase: Tensor) -> Tensor:
    r"""Objects :math:`\mathcal F^{-1}[\sqrt I e^{i \varphi}]`, complex (B, n...) (thesis, Eq. 4.1)."""
    axes = tuple(range(1, intensity.ndim))
    found = torch.polar(intensity.clamp(min=0).sqrt(), phase)
    found = torch.fft.ifftn(torch.fft.ifftshift(found, dim=axes), dim=axes, norm="ortho")
    return torch.fft.fftshift(found, dim=axes)


def real_space(predicted: Tensor, truth: Tensor) -> Tensor:
    r"""Mean squared errors of modulus and of phase of each object, added, (B,) (thesis, Eq. 4.2).

    .. math:: \frac1N \sum_r (|\hat o| - |o|)^2 + \frac1N \sum_r (\arg \hat o - \arg o)^2

    As published: the phases count everywhere, wraps included, and nothing is invariant.

    Parameters
    ----------
    predicted, truth : complex objects, (B, n...).
    """
    modulus = (_modulus(predicted) - _modulus(truth)).square()
    phases = (_angle(predicted) - _angle(truth)).square()
    return (modulus + phases).flatten(1).mean(1)


def symmetry_broken(phase: Tensor, at: tuple[int, ...]) -> Tensor:
    """One of the phases that belong to the same intensity, always the same one, (B, n...) in (-pi, pi].

    The phase is zero at the centre ``n // 2`` and not negative at the voxel ``at`` (Zhang et al., arXiv 2403.15448);
    the third symmetry, the object's place, is broken by centred objects.
    """
    centre: tuple[slice | int, ...] = (slice(None), *(n // 2 for n in phase.shape[1:]))
    chosen: tuple[slice | int, ...] = (slice(None), *at)
    shifted = phase - phase[centre].view(-1, *[1] * (phase.ndim - 1))
    wrapped = torch.atan2(torch.sin(shifted), torch.cos(shifted))
    sign = torch.where(wrapped[chosen] < 0, -1.0, 1.0).to(phase.dtype)
    return wrapped * sign.view(-1, *[1] * (phase.ndim - 1))


def accuracy(predicted: Tensor, truth: Tensor) -> Tensor:
    r"""Accuracy of each object, (B,), 1 for the truth and for its twin (thesis, Eq. 4.5, as a fraction).

    .. math:: \tfrac12 \left( \mathrm{PCC}(|\hat o|, |o|)
              + \left| \sum_r \frac{|\hat o|}{\sum |\hat o|} e^{i (\arg \hat o - \arg o)} \right| \right),

    the greater of the values for the truth :math:`o(r)` and its twin :math:`o^*(-r)`.

    Parameters
    ----------
    predicted, truth : complex objects, (B, n...), origin ``n // 2``, aligned.
    """
    return torch.maximum(agreement(predicted, truth), agreement(predicted, twin_of(truth)))


def twin_of(made: Tensor) -> Tensor:
    """The objects' twins :math:`o^*(-r)`, origin ``n // 2``."""
    axes = tuple(range(1, made.ndim))
    turned = torch.flip(made, axes).conj()
    return torch.roll(turned, [1 - n % 2 for n in made.shape[1:]], axes)


def agreement(predicted: Tensor, truth: Tensor) -> Tensor:
    """Accuracy against the truth alone, see :func:`accuracy`; (B,)."""
    a, b = (abs(x).flatten(1) for x in (predicted, truth))
    x, y = (v - v.mean(1, keepdim=True) for v in (a, b))
    pcc = (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1)).clamp(min=TINY)
    turns = torch.exp(1j * (torch.angle(predicted) - torch.angle(truth))).flatten(1)
    agreed = (a / a.sum(1, keepdim=True).clamp(min=TINY) * turns).sum(1).abs()
    return (pcc + agreed) / 2


def _modulus(made: Tensor) -> Tensor:
    return (made.real.square() + made.imag.square() + TINY).sqrt()


def _angle(made: Tensor) -> Tensor:
    """The phase, with a gradient that stays finite where there is no object."""
    inside = made.real.square() + made.imag.square() > TINY
    real = torch.where(inside, made.real, torch.ones_like(made.real))
    return torch.atan2(torch.where(inside, made.imag, torch.zeros_like(made.imag)), real)
