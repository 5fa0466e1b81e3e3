"""The mixed-scale dense network for gaps in two dimensions (Masto, thesis, section 3.3.2 and Table 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from braggfill.networks.unets import SLOPE

BLOCKS = 16


class Network(nn.Module):
    """Two convolutions a block, with dilations 2b - 1 and 2b, each put beside what it was given; nothing is resized.

    Takes patterns normalised to 0 to 1 with zeros in the gap, (B, 1, n1, n2), and returns them whole, before the
    sigmoid.  The convolutions of block b have b filters, times ``width`` and at least one, so that it has 322,458
    parameters for a width of 1.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        before = 1
        for block in range(1, BLOCKS + 1):
            filters = max(1, round(width * block))
            for dilation in (2 * block - 1, 2 * block):
                self.layers.append(nn.Conv2d(before, filters, 3, dilation=dilation, padding=dilation))
                before += filters
        self.last = nn.Conv2d(before, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        few = _few if x.device.type == "cpu" else _as_is
        for layer in self.layers:
            x = torch.cat([functional.leaky_relu(few(layer, x), SLOPE), x], dim=1)
        return self.last(x)


def _as_is(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x)


def _few(layer: nn.Module, x: Tensor) -> Tensor:
    """A dilated convolution to few channels, several times faster on a processor: one matrix product for the nine
    weights of every channel, whose results are added up where they belong."""
    assert isinstance(layer, nn.Conv2d)
    assert not isinstance(layer.padding, str)
    weights = layer.weight.flip(2, 3).permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    parts = weights @ x.flatten(2)
    found = functional.fold(parts, x.shape[2:], 3, dilation=layer.dilation, padding=layer.padding)
    return found if layer.bias is None else found + layer.bias.view(1, -1, 1, 1)
