"""U-Nets of the published kinds, in two and three dimensions, described by their layers (Masto, thesis, chapters 3, 4).

All convolutions keep the size ("same" padding); where the padding is odd, the far side has one more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.2


@dataclass(frozen=True)
class Layer:
    """A convolution: how many channels come out, and its kernel."""

    channels: int
    kernel: int = 3


@dataclass(frozen=True)
class Dilations:
    """A block that gives its input beside one convolution for each dilation, ``channels`` each."""

    channels: int
    kernel: int
    rates: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """The layers of a U-Net.

    dimensions : 2 or 3.  inputs : how many channels enter.
    down : encoder, pooled by 2 after each; its outputs before pooling are the skips 1, 2, ….
    bottom : convolution at the coarsest size.
    up : transposed convolutions of stride 2; each but the first is given the skip of its input's size beside it.
    head : convolutions at full size, the last one the output.
    first_skip : whether the head is given skip 1.
    halved : whether each skip passes a convolution to half its channels.
    activated : whether the input of a dilated block is activated, too, as it leaves it.
    """

    dimensions: int
    down: tuple[Layer | Dilations, ...]
    bottom: Layer
    up: tuple[Layer, ...]
    head: tuple[Layer, ...]
    first_skip: bool = False
    halved: bool = False
    activated: bool = False
    inputs: int = 1


def convolution(dimensions: int, before: int, layer: Layer, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size."""
    whole = dilation * (layer.kernel - 1)
    pad: Callable[..., nn.Module] = (nn.ConstantPad2d, nn.ConstantPad3d)[dimensions - 2]
    kind: Callable[..., nn.Module] = (nn.Conv2d, nn.Conv3d)[dimensions - 2]
    if whole % 2 == 0:  # by the convolution itself, without a larger copy of what it is given
        made = kind(before, layer.channels, layer.kernel, dilation=dilation, padding=whole // 2)
        return nn.Sequential(nn.Identity(), made)
    pads = (whole // 2, whole - whole // 2) * dimensions
    return nn.Sequential(pad(pads, 0.0), kind(before, layer.channels, layer.kernel, dilation=dilation))


def transposed(dimensions: int, before: int, layer: Layer) -> nn.Module:
    """A transposed convolution of stride 2 that doubles the size."""
    kind = (nn.ConvTranspose2d, nn.ConvTranspose3d)[dimensions - 2]
    pad = (layer.kernel - 1) // 2
    more = 2 + 2 * pad - layer.kernel
    return kind(before, layer.channels, layer.kernel, stride=2, padding=pad, output_padding=more)


class Dilated(nn.Module):
    """The input beside convolutions of it with different dilations, activated."""

    def __init__(self, dimensions: int, before: int, block: Dilations, activated: bool):
        super().__init__()
        self.activated = activated
        layer = Layer(block.channels, block.kernel)
        self.branches = nn.ModuleList(convolution(dimensions, before, layer, rate) for rate in block.rates)

    def forward(self, x: Tensor) -> Tensor:
        found = [functional.leaky_relu(branch(x), SLOPE) for branch in self.branches]
        return torch.cat([functional.leaky_relu(x, SLOPE) if self.activated else x, *found], dim=1)


class UNet(nn.Module):
    """A U-Net of a layout: (B, inputs, n...) to (B, last channels, n...), linear at its end.

    n is a multiple of 2 to the number of encoder blocks.
    """

    def __init__(self, layout: Layout):
        super().__init__()
        self.layout = layout
        dims, before, channels = layout.dimensions, layout.inputs, []
        self.down, self.thin = nn.ModuleList(), nn.ModuleList()
        for block in layout.down:
            if isinstance(block, Dilations):
                self.down.append(Dilated(dims, before, block, layout.activated))
                before += block.channels * len(block.rates)
            else:
                self.down.append(nn.Sequential(convolution(dims, before, block), nn.LeakyReLU(SLOPE)))
                before = block.channels
            channels.append(before // 2 if layout.halved else before)
            self.thin.append(convolution(dims, before, Layer(before // 2)) if layout.halved else nn.Identity())
        self.bottom = convolution(dims, before, layout.bottom)
        before = layout.bottom.channels
        self.up = nn.ModuleList()
        for layer, skip in zip(layout.up, [0, *channels[:0:-1]], strict=True):
            self.up.append(transposed(dims, before + skip, layer))
            before = layer.channels
        before += channels[0] if layout.first_skip else 0
        self.head = nn.ModuleList()
        for layer in layout.head:
            self.head.append(convolution(dims, before, layer))
            before = layer.channels

    def forward(self, x: Tensor) -> Tensor:
        pool = (functional.max_pool2d, functional.max_pool3d)[self.layout.dimensions - 2]
        skips = []
        for block, thin in zip(self.down, self.thin, strict=True):
            x = block(x)
            skips.append(thin(x))
            x = pool(x, 2)
        x = functional.leaky_relu(self.bottom(x), SLOPE)
        for number, layer in enumerate(self.up):
            if number:
                x = torch.cat([x, skips[-number]], dim=1)
            x = functional.leaky_relu(layer(x), SLOPE)
        if self.layout.first_skip:
            x = torch.cat([x, skips[0]], dim=1)
        for layer in self.head[:-1]:
            x = functional.leaky_relu(layer(x), SLOPE)
        return self.head[-1](x)


def widths(*channels: int, kernel: int = 3) -> tuple[Layer, ...]:
    """Layers of one kernel."""
    return tuple(Layer(c, kernel) for c in channels)


def parameters(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(p.numel() for p in network.parameters())


Block = TypeVar("Block", bound=Layer | Dilations)


def scaled(layout: Layout, factor: float) -> Layout:
    """The same layout with all channels but those of the output times a factor, at least one each."""

    def one(block: Block) -> Block:
        return replace(block, channels=max(1, round(block.channels * factor)))

    def several(blocks: Sequence[Block]) -> tuple[Block, ...]:
        return tuple(map(one, blocks))

    head = (*several(layout.head[:-1]), layout.head[-1])
    return replace(layout, down=several(layout.down), bottom=one(layout.bottom), up=several(layout.up), head=head)
