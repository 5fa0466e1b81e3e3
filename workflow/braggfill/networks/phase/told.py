"""The layout of braggphase for patches away from the centre: told what is expected of the phase farther inside."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from braggfill.networks.phase.braggphase import LEVEL, SHIFT, SIDE, Braggphase


class Told(Braggphase):
    r"""Directions and concentrations of a patch, from its log intensity and the expected phasors of known voxels.

    A voxel is seen as log intensity, 0, real and imaginary part of :math:`\langle e^{i\varphi} \rangle`, and 1 where
    that is known.  The phasor's length, 0 to 1, says how sure it is; no angle of it is cut at :math:`\pm\pi`.
    """

    name = "told"
    inputs = 5

    @classmethod
    def of(cls, network: Braggphase) -> Told:
        """A network that begins as one for the middle of a pattern and does not hear what it is told yet."""
        made = cls(**network.options)
        weights = dict(network.state_dict())
        first = made.enter.weight.detach().clone().zero_()
        first[:, : network.enter.in_channels] = weights["enter.weight"]
        made.load_state_dict({**weights, "enter.weight": first})
        return made

    def forward(self, log_intensity: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """Directions (B, 2, 32, 32, 32) and the logarithm of the concentration (B, 32, 32, 32).

        Parameters
        ----------
        log_intensity : log(1 + photons), (B, 32, 32, 32).
        told : expected phasors, complex, same shape, 0 where nothing is known.
        """
        x = LEVEL * log_intensity - SHIFT
        known = (told != 0).to(x.dtype)
        return self.of_channels(torch.stack([x, torch.zeros_like(x), told.real, told.imag, known], dim=1))


@torch.no_grad()
def expected(network: nn.Module, *seen: Tensor) -> Tensor:
    r"""Expected phasors :math:`\hat d\, I_1(\kappa) / I_0(\kappa)` of a network of this layout, complex (B, n...).

    Source: the mean of the von Mises distribution.
    """
    direction, concentration = cast("tuple[Tensor, Tensor]", network(*seen))
    kappa = concentration.exp()
    return torch.complex(direction[:, 0], direction[:, 1]) * (torch.special.i1e(kappa) / torch.special.i0e(kappa))


def of_middle(central: Braggphase, photons: np.ndarray) -> np.ndarray:
    """What the network for the middle expects of a pattern's, complex64 (32, 32, 32); its peak at ``n // 2``."""
    part = photons[tuple(slice(n // 2 - SIDE // 2, n // 2 + SIDE // 2) for n in photons.shape)]
    seen = torch.log1p(torch.from_numpy(part))[None]
    return expected(central, seen, torch.zeros_like(seen, dtype=torch.bool))[0].numpy()
