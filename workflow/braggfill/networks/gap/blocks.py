"""What lies between the folded pattern and the folded prediction: U-Nets of different designs at half the resolution.

Each takes (B, 16 or 17, n0, n1, n2) and returns (B, 16, n0, n1, n2), sizes being multiples of ``2 ** (levels - 1)``.
``gated`` is the default; the others stay for comparison (docs/networks.md has their figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

DESIGNS = ("gated", "residual", "fourier", "concatenated")
SLOPE = 0.1
FOLDED = 16
"""Channels of the folded prediction, 8 of the intensity and 8 of its uncertainty; as many enter, 8 of the intensity
and 8 of the mask, or one more where there is an average, too."""


class Residual(nn.Module):
    """Two convolutions, added to what they are given: ``y = x + B(A(x))``."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=1)
        self.second = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(x + self.second(functional.leaky_relu(self.first(x), SLOPE)), SLOPE)


class Gated(nn.Module):
    r"""The same, the first convolution gated: :math:`y = x + B(A(x) \cdot 2\,\mathrm{sigmoid}(G(x)))`.

    The gate learns which voxels to listen to: measured ones, bright ones, those across the gap that carry the same
    fringe (gated convolutions: Yu et al., ICCV 2019, for images with free-form holes).
    """

    def __init__(self, channels: int, axes: int = 3):
        super().__init__()
        convolution = nn.Conv3d if axes == 3 else nn.Conv2d
        self.first = convolution(channels, 2 * channels, 3, padding=1)
        self.second = convolution(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.first(x).chunk(2, dim=1)
        value = functional.leaky_relu(value, SLOPE) * (2 * torch.sigmoid(gate))
        return functional.leaky_relu(x + self.second(value), SLOPE)


class Fourier(nn.Module):
    """The same with a third path, 1 x 1 x 1 convolutions of the Fourier transform, which sees the whole patch at
    once (fast Fourier convolutions: Chi et al., NeurIPS 2020; Suvorov et al., WACV 2022, for periodic textures)."""

    def __init__(self, channels: int):
        super().__init__()
        half = max(channels // 2, 1)
        self.first = nn.Conv3d(channels, channels, 3, padding=1)
        self.second = nn.Conv3d(channels, channels, 3, padding=1)
        self.narrow = nn.Conv3d(channels, half, 1)
        self.spectrum = nn.Conv3d(2 * half, 2 * half, 1)
        self.widen = nn.Conv3d(half, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        local = self.second(functional.leaky_relu(self.first(x), SLOPE))
        part = functional.leaky_relu(self.narrow(x), SLOPE)
        with torch.autocast(x.device.type, enabled=False):
            waves = torch.fft.rfftn(part.float(), dim=(2, 3, 4), norm="ortho")
            waves = functional.leaky_relu(self.spectrum(torch.cat([waves.real, waves.imag], dim=1)), SLOPE)
            waves = torch.complex(*waves.chunk(2, dim=1))
            far = torch.fft.irfftn(waves, s=part.shape[2:], dim=(2, 3, 4), norm="ortho")
        return functional.leaky_relu(x + local + self.widen(far.to(x.dtype)), SLOPE)


BLOCKS = {"gated": (Gated, 1), "residual": (Residual, 2), "fourier": (Fourier, 1)}
"""The block of each design, and how many of them stand at the finest level on the way up, where most of the work is."""


class Summed(nn.Module):
    """Three levels by default, one block each way (two at the coarsest of more than one design); what comes up from
    below is added to what was there, so that no convolution at the finest level is wider than it must be."""

    def __init__(self, channels: Sequence[int], design: str, folded: int = FOLDED):
        super().__init__()
        block, finest = BLOCKS[design]
        pairs = list(pairwise(channels))
        self.enter = nn.Conv3d(folded, channels[0], 3, padding=1)
        coarsest = 1 if design == "gated" else 2
        numbers = [1] * (len(channels) - 1) + [coarsest]
        self.down = nn.ModuleList(_several(block, c, n) for c, n in zip(channels, numbers, strict=True))
        self.widen = nn.ModuleList(nn.Conv3d(a, b, 1) for a, b in pairs)
        self.narrow = nn.ModuleList(nn.Conv3d(b, a, 1) for a, b in pairs)
        self.up = nn.ModuleList(_several(block, a, finest if k == 0 else 1) for k, (a, _) in enumerate(pairs))
        self.leave = nn.Conv3d(channels[0], FOLDED, 3, padding=1)
        _start(self)
        with torch.no_grad():
            for narrow in self.narrow:
                cast(nn.Conv3d, narrow).weight.mul_(0.7)
            for module in self.modules():
                if isinstance(module, Fourier):
                    module.widen.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down[0](functional.leaky_relu(self.enter(x), SLOPE))
        skips = []
        for widen, block in zip(self.widen, self.down[1:], strict=True):
            skips.append(x)
            x = block(widen(functional.max_pool3d(x, 2)))
        for narrow, block, skip in zip(reversed(self.narrow), reversed(self.up), reversed(skips), strict=True):
            x = block(skip + functional.interpolate(narrow(x), scale_factor=2))
        return self.leave(x)


class Concatenated(nn.Module):
    """The plain U-Net: what comes up is set beside what was there, and both are convolved together."""

    class Block(nn.Module):
        def __init__(self, before: int, after: int):
            super().__init__()
            self.first = nn.Conv3d(before, after, 3, padding=1)
            self.second = nn.Conv3d(after, after, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = functional.leaky_relu(self.first(x), SLOPE)
            return functional.leaky_relu(x + self.second(x), SLOPE)

    def __init__(self, channels: Sequence[int], folded: int = FOLDED):
        super().__init__()
        pairs = list(pairwise(channels))
        self.enter = self.Block(folded, channels[0])
        self.down = nn.ModuleList(self.Block(a, b) for a, b in pairs)
        self.up = nn.ModuleList(self.Block(a + b, a) for a, b in pairs)
        self.leave = nn.Conv3d(channels[0], FOLDED, 3, padding=1)
        _start(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        skips = []
        for block in self.down:
            skips.append(x)
            x = block(functional.max_pool3d(x, 2))
        for block, skip in zip(reversed(self.up), reversed(skips), strict=True):
            x = block(torch.cat([functional.interpolate(x, scale_factor=2), skip], dim=1))
        return self.leave(x)


def trunk(design: str, channels: Sequence[int], folded: int = FOLDED) -> nn.Module:
    """The trunk of that design, for ``folded`` channels.

    Raises
    ------
    ValueError : an unknown design.
    """
    if design not in DESIGNS:
        raise ValueError(f"design {design!r} is unknown; use one of {', '.join(DESIGNS)}")
    return Concatenated(channels, folded) if design == "concatenated" else Summed(channels, design, folded)


def _several(block: type[nn.Module], channels: int, number: int) -> nn.Sequential:
    return nn.Sequential(*(block(channels) for _ in range(number)))


def _start(module: nn.Module) -> None:
    """First weights that keep the variance from layer to layer, and an output near nothing."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Conv3d):
                nn.init.kaiming_normal_(part.weight, a=SLOPE)
                nn.init.zeros_(cast(torch.Tensor, part.bias))
        for part in module.modules():
            if hasattr(part, "second"):
                cast(nn.Conv3d, part.second).weight.mul_(0.5)
        cast(nn.Conv3d, module.leave).weight.mul_(0.05)
