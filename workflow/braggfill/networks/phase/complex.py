"""A complex-valued U-Net that returns the object, after Yu et al. (npj Comput. Mater. 10, 24, 2024).

Neither the published code nor a table of its layers is public, and it was two-dimensional; the widths here are chosen
for about 36 million parameters, as in the comparison of Masto's thesis, section 4.11.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class ComplexConv(nn.Module):
    r"""A complex convolution on real and imaginary channels, (B, 2C, n...), C real ones first:
    :math:`(A + iB)(x + iy) = (Ax - By) + i(Bx + Ay)`, with a complex bias."""

    def __init__(self, before: int, after: int, kernel: int = 3):
        super().__init__()
        scale = (2 * before * kernel**3) ** -0.5
        self.weight = nn.Parameter(scale * torch.randn(2, after, before, kernel, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(2 * after))
        self.pad = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.weight
        weight = torch.cat([torch.cat([a, -b], dim=1), torch.cat([b, a], dim=1)])
        return functional.conv3d(x, weight, self.bias, padding=self.pad)


class Double(nn.Sequential):
    """Two complex convolutions, each followed by a ReLU on both parts."""

    def __init__(self, before: int, after: int):
        super().__init__(ComplexConv(before, after), nn.ReLU(), ComplexConv(after, after), nn.ReLU())


class ComplexUNet(nn.Module):
    """Amplitudes (B, 1, n...) to complex objects (B, n...), n a multiple of 16."""

    def __init__(self, channels: Sequence[int] = (28, 56, 112, 224, 448)):
        super().__init__()
        self.down = nn.ModuleList(Double(a, b) for a, b in zip((1, *channels), channels, strict=False))
        finer = list(channels[:-1])[::-1]
        self.up = nn.ModuleList(Double(a + b, b) for a, b in zip(channels[:0:-1], finer, strict=True))
        self.last = ComplexConv(channels[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, torch.zeros_like(x)], dim=1)
        skips = []
        for number, block in enumerate(self.down):
            x = block(functional.avg_pool3d(x, 2) if number else x)
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = block(_beside(x, skip))
        real, imaginary = self.last(x).unbind(1)
        return torch.complex(real, imaginary)


def _beside(first: Tensor, second: Tensor) -> Tensor:
    """Complex channels of both, real parts first."""
    (a, b), (c, d) = first.chunk(2, dim=1), second.chunk(2, dim=1)
    return torch.cat([a, c, b, d], dim=1)
