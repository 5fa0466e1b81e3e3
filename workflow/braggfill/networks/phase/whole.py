"""The published networks behind one face: log intensity and mask in, phase out, whatever they predict themselves.

=============== ===== ============================================================
``rsp``         64³   the phase, unbounded (thesis, section 4.8)
``central``     32³   the same with the layout of the patches (section 4.6)
``complex``     32³   the object, by complex convolutions (section 4.11, after Yu et al.)
``autophasenn`` 32³   the object, modulus and phase by a decoder each (Yao et al.)
=============== ===== ============================================================
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from braggfill.networks.phase import published
from braggfill.networks.unets import UNet, scaled

SIDES = {"rsp": 64, "central": 32, "complex": 32, "autophasenn": 32}
CERTAIN = 1e3
"""Concentration of networks that state none."""


class Whole(nn.Module):
    """A published network: :meth:`forward` returns what it predicts itself, :meth:`predict` phases."""

    def __init__(self, name: str, width: float = 1.0, side: int | None = None):
        """``width``: factor on the channels of ``rsp`` and ``central``, 1 as published; ``side``: voxels a side."""
        super().__init__()
        if width != 1 and name not in ("rsp", "central"):
            raise ValueError(f"width: {name} has the published one alone")
        self.name, self.width, self.size = name, float(width), int(side or SIDES[name])
        layout = published.RSP if name == "rsp" else published.patch(1)
        self.inner = UNet(scaled(layout, width)) if width != 1 else published.build(name)

    @property
    def options(self) -> dict:
        """What :func:`braggfill.networks.build` needs to make the same network again."""
        return {"width": self.width, "side": self.size}

    @property
    def gives_objects(self) -> bool:
        return self.name in ("complex", "autophasenn")

    def forward(self, log_intensity: Tensor, mask: Tensor) -> Tensor:
        """Phases (B, n, n, n) in radians, or complex objects, origin ``n // 2``.

        Parameters
        ----------
        log_intensity : log(1 + photons), (B, n, n, n).  mask : boolean, True where missing, which counts as zero.
        """
        x = log_intensity.masked_fill(mask, 0.0)
        if self.gives_objects:
            x = torch.expm1(x).clamp(min=0).sqrt()
        x = x / x.flatten(1).amax(1).clamp(min=1e-12).view(-1, 1, 1, 1)
        found = self.inner(x[:, None])
        return found if self.gives_objects else found[:, 0]

    @torch.no_grad()
    def predict(self, log_intensity: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Phase in radians, zero at the centre, and concentration, both (B, n, n, n)."""
        found = self(log_intensity, mask)
        if self.gives_objects:
            axes = (1, 2, 3)
            found = torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(found, dim=axes), dim=axes), dim=axes)
            found = torch.angle(found)
        middle = self.size // 2
        found = found - found[:, middle, middle, middle].view(-1, 1, 1, 1)
        return torch.atan2(torch.sin(found), torch.cos(found)), torch.full_like(found, CERTAIN)


def rsp(width: float = 1.0, side: int = 64) -> Whole:
    """143,759,937 parameters at ``width`` 1."""
    return Whole("rsp", width, side)


def central(width: float = 1.0, side: int = 32) -> Whole:
    """About 3.5 million parameters at ``width`` 1."""
    return Whole("central", width, side)


def complex_unet(width: float = 1.0, side: int = 32) -> Whole:
    """About 36 million parameters."""
    return Whole("complex", width, side)


def autophasenn(width: float = 1.0, side: int = 32) -> Whole:
    """6,975,362 parameters."""
    return Whole("autophasenn", width, side)
