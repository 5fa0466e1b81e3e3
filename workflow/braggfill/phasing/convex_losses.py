r"""What the convex engine minimises: a distance of intensities, and terms for a small support and a smooth phase.

With counts :math:`I`, modelled intensities :math:`I'` and a weight :math:`w` a voxel (1 measured, 0 missing, between
them filled and more or less sure), each distance is divided by :math:`\sum w I`, so that none depends on the exposure
time but by its noise:

.. math::
    L_\mathrm{absolute} = \frac{\sum w\, |I - I'|}{\sum w I}, \qquad
    L_\mathrm{amplitude} = \frac{\sum w\, (\sqrt{I'} - \sqrt{I})^2}{\sum w I}, \qquad
    L_\mathrm{poisson} = \frac{\sum w\, (I' - I + I \ln (I / I'))}{\sum w I}

Source: Masto, thesis, section 5.2.3, and the authors' public code; the weight is new.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

FLOOR = 0.01
"""Photons that are expected at the least where the logarithm of an expectation is taken, or its root's slope."""

Distance = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def absolute(observed: torch.Tensor, model: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Sum of absolute differences over the photons; 0 for equal intensities.

    Parameters
    ----------
    observed, weight : photons and 0 to 1, (voxels…).
    model : photons, (starts, voxels…).

    Returns
    -------
    One value a start, as in :func:`amplitude` and :func:`poisson`.
    """
    return _over_photons(weight * (observed - model).abs(), observed, weight)


def amplitude(observed: torch.Tensor, model: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Sum of squared differences of the square roots over the photons; see :func:`absolute`."""
    return _over_photons(weight * ((model + FLOOR**2).sqrt() - observed.sqrt()) ** 2, observed, weight)


def poisson(observed: torch.Tensor, model: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of Poisson's distribution over the photons, 0.01 photons added to both intensities;
    see :func:`absolute`."""
    model, seen = model + FLOOR, observed + FLOOR
    return _over_photons(weight * (model - seen + seen * (seen / model).log()), observed, weight)


DISTANCES: dict[str, Distance] = {"absolute": absolute, "amplitude": amplitude, "poisson": poisson}


def small_support(shape: torch.Tensor) -> torch.Tensor:
    """Mean of S over the object's grid, one value a start; (starts, voxels)."""
    return shape.mean(1)


def total_variation(phasor: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    r"""Total variation of :math:`u = e^{i\varphi}` inside the support, a voxel:
    :math:`\sum S\, |\nabla u| / \sum S` with forward differences; 0 for a constant phase, blind to jumps of 2 pi.

    Parameters
    ----------
    phasor : complex, (starts, n0, n1, n2).
    shape : S, real, same shape; it only weighs and has no gradient here.
    """
    weight = shape.detach()[:, :-1, :-1, :-1]
    corner = phasor[:, :-1, :-1, :-1]
    one, two, three = (
        (step.real**2 + step.imag**2)
        for step in (
            phasor[:, 1:, :-1, :-1] - corner,
            phasor[:, :-1, 1:, :-1] - corner,
            phasor[:, :-1, :-1, 1:] - corner,
        )
    )
    smooth = 1e-4  # makes the root differentiable at zero, and is taken off again
    variation = (one + two + three + smooth**2).sqrt() - smooth
    return (weight * variation).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1e-12)


def _over_photons(distance: torch.Tensor, observed: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return distance.flatten(1).sum(1) / (weight * observed).sum()
