"""The published network (paper, section 2.3 and Fig. 2): one gap width, 32 x 32 x 32 voxels, 2,771,309 parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from braggfill.networks.gap.orient import oriented
from braggfill.networks.network import Network
from braggfill.patterns.normalise import fit_log

SLOPE = 0.2


def _convolution(before: int, after: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size; where the zero padding is odd, the far side has one more."""
    whole = dilation * (kernel - 1)
    pad = (whole // 2, whole - whole // 2) * 3
    return nn.Sequential(nn.ConstantPad3d(pad, 0.0), nn.Conv3d(before, after, kernel, dilation=dilation))


class Dilated(nn.Module):
    """The input beside four convolutions of it with different dilations; then pooling and activation."""

    def __init__(self, before: int, filters: int, kernel: int, dilations: tuple[int, ...]):
        super().__init__()
        self.branches = nn.ModuleList(_convolution(before, filters, kernel, d) for d in dilations)
        self.channels = before + filters * len(dilations)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, *(branch(x) for branch in self.branches)], dim=1)
        return functional.leaky_relu(functional.max_pool3d(x, 2), SLOPE)


class Paper(Network):
    """Takes the patch normalised to 0 to 1 with zeros in the gap, (B, 1, 32, 32, 32); returns it whole, 0 to 1."""

    name = "paper"
    scale = "patch"
    uncertain = False
    size = 32

    def __init__(self) -> None:
        super().__init__()
        first = Dilated(1, 8, 3, (4, 3, 2, 1))
        second = Dilated(first.channels, 16, 2, (3, 2, 2, 1))
        self.dilated = nn.ModuleList([first, second])
        self.down = nn.ModuleList([_convolution(second.channels, 128, 2), _convolution(128, 256, 2)])
        self.bottom = _convolution(256, 478, 2)
        skips = (128, second.channels, first.channels)
        widths = (478, 222, 96, 32)
        self.up = nn.ModuleList(_convolution(widths[i] + skip, widths[i + 1], 2) for i, skip in enumerate(skips))
        self.head = nn.ModuleList([_convolution(32, 24, 4), _convolution(24, 12, 3), _convolution(12, 6, 2)])
        self.last = nn.Conv3d(6, 1, 1)

    @property
    def options(self) -> dict:
        """What :func:`braggfill.networks.build` needs to make the same network again."""
        return {}

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.dilated:
            x = block(x)
            skips.append(x)
        for convolution in self.down:
            x = functional.leaky_relu(functional.max_pool3d(convolution(x), 2), SLOPE)
            skips.append(x)
        x = self._rise(self.bottom, x)
        for convolution, skip in zip(self.up, skips[-2::-1], strict=True):
            x = self._rise(convolution, torch.cat([x, skip], dim=1))
        for convolution in self.head:
            x = functional.leaky_relu(convolution(x), SLOPE)
        return torch.sigmoid(1.5 * self.last(x))

    @staticmethod
    def _rise(convolution: nn.Module, x: Tensor) -> Tensor:
        return functional.leaky_relu(functional.interpolate(convolution(x), scale_factor=2), SLOPE)

    def predict(self, log_intensity: Tensor, mask: Tensor) -> tuple[Tensor, None]:
        """Expected log(1 + photons), (B, 32, 32, 32), from the measured voxels alone; it has no uncertainty.

        Each patch is normalised by its own measured voxels, and turned so that its gap is across the last axis.
        """
        return oriented(self._predict, log_intensity, mask)[0], None

    def _predict(self, log_intensity: Tensor, mask: Tensor) -> tuple[Tensor]:
        scale = fit_log(log_intensity, mask)
        x = scale.apply_log(log_intensity).masked_fill(mask, 0.0)
        return (scale.invert_log(self(x[:, None])[:, 0].float()),)
