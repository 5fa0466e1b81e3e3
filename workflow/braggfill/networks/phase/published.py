"""Published networks for phases in three dimensions, by name (Masto, thesis, sections 4.6 to 4.8 and 4.11).

``rsp`` is the network for whole patterns of 64 voxels a side, ``central`` and ``outer`` those for patches of 32; they
return the phase in radians, unbounded.  ``complex`` and ``autophasenn`` return objects.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from braggfill.errors import BraggfillError
from braggfill.networks.phase.complex import ComplexUNet
from braggfill.networks.unets import Dilations, Layer, Layout, UNet, scaled, widths

RSP = Layout(
    dimensions=3,
    down=(Dilations(8, 5, (8, 5, 3, 1)), Dilations(16, 5, (6, 4, 2, 1)), Layer(128, 4), *widths(256, 512, 1024)),
    bottom=Layer(2048, 2),
    up=(*widths(1024, 512, 256), Layer(128, 4), Layer(64, 5), Layer(32, 5)),
    head=widths(16, 1, kernel=5),
    first_skip=True,
    halved=True,
    activated=True,
)
"""143,759,937 parameters; takes log(1 + I) scaled to 0 to 1, (B, 1, 64, 64, 64)."""

PATCH = (10, 20, 40, 80, 152)


def patch(inputs: int) -> Layout:
    """Five blocks from 32 voxels a side to a vector of 512, and back: 3.5 million parameters, as published; the widths
    are not."""
    return Layout(3, widths(*PATCH), Layer(512, 1), widths(*PATCH[::-1]), widths(1), first_skip=True, inputs=inputs)


class Outer(nn.Module):
    """The network for patches away from the centre: it is told the phase where an inner patch overlaps."""

    def __init__(self, width: float = 1.0) -> None:
        """``width``: factor on the channels, 1 for the published number of parameters."""
        super().__init__()
        self.unet = UNet(scaled(patch(3), width))

    def forward(self, intensity: Tensor, phase: Tensor, known: Tensor) -> Tensor:
        """The phase, (B, n...): what is known stays as it is.

        Parameters
        ----------
        intensity : (B, n...), logarithm scaled to 0 to 1.  phase : (B, n...), radians, looked at where ``known``.
        known : boolean, (B, n...).
        """
        given = torch.where(known, phase, torch.zeros_like(phase))
        found = self.unet(torch.stack([intensity, given, known.to(intensity.dtype)], dim=1))[:, 0]
        return torch.where(known, phase, found)


class AutoPhaseNN(nn.Module):
    """The layout of AutoPhaseNN (Yao et al., npj Comput. Mater. 8, 124, 2022): 6,975,362 parameters.

    An encoder of 32, 64, 128, 256 channels and a decoder each for modulus and phase of an object of half the pattern's
    width; takes amplitudes (B, 1, 64, 64, 64), returns complex objects (B, 64, 64, 64), zero outside the middle.
    """

    threshold = 0.1

    def __init__(self) -> None:
        super().__init__()
        # Two convolutions a size, but one at the full size: the reading that gives the published number.
        self.encoder = nn.Sequential(
            *_normalised(1, 32), nn.MaxPool3d(2), *self._down(32, 64), *self._down(64, 128), *self._down(128, 256)
        )
        self.modulus, self.phase = self._decoder(), self._decoder()

    @staticmethod
    def _down(before: int, after: int) -> list[nn.Module]:
        return [*_normalised(before, after), *_normalised(after, after), nn.MaxPool3d(2)]

    @staticmethod
    def _decoder() -> nn.Sequential:
        layers: list[nn.Module] = []
        for before, after in ((256, 128), (128, 64), (64, 32)):
            layers += [*_normalised(before, after), *_normalised(after, after)]
            layers.append(nn.Upsample(scale_factor=2, mode="trilinear", align_corners=True))
        return nn.Sequential(*layers, nn.Conv3d(32, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        pad = (x.shape[-1] // 4,) * 6
        coded = self.encoder(x)
        modulus = torch.sigmoid(self.modulus(coded))[:, 0]
        modulus = torch.where(modulus < self.threshold, torch.zeros_like(modulus), modulus)
        phase = math.pi * torch.tanh(self.phase(coded))[:, 0]
        return torch.polar(functional.pad(modulus, pad), functional.pad(phase, pad))


def _normalised(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv3d(before, after, 3, padding=1), nn.LeakyReLU(0.01), nn.BatchNorm3d(after)]


NAMES = ("rsp", "central", "outer", "complex", "autophasenn")


def build(name: str) -> nn.Module:
    """A new network with random weights.

    Raises
    ------
    BraggfillError : an unknown name.
    """
    makers: dict[str, Callable[[], nn.Module]] = {
        "rsp": lambda: UNet(RSP),
        "central": lambda: UNet(patch(1)),
        "outer": Outer,
        "complex": ComplexUNet,
        "autophasenn": AutoPhaseNN,
    }
    if name not in makers:
        raise BraggfillError(f"network: {name!r} is unknown; use one of {', '.join(NAMES)}")
    return makers[name]()
