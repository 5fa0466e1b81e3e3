"""The mixed-scale dense network for gaps in two dimensions (Masto, thesis, section 3.3.2 and Table 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from braggfill.networks.unets import SLOPE, Layer, convolution

BLOCKS = 16


class MSDNet(nn.Module):
    """Two convolutions a block, with dilations 2b - 1 and 2b, each put beside what it was given; nothing is resized.

    Takes patterns normalised to 0 to 1 with zeros in the gap, (B, 1, n1, n2), and returns them whole, before the
    sigmoid.  The convolutions of block b have b filters, so that it has 322,458 parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        before = 1
        for block in range(1, BLOCKS + 1):
            for dilation in (2 * block - 1, 2 * block):
                self.layers.append(convolution(2, before, Layer(block), dilation))
                before += block
        self.last = convolution(2, before, Layer(1, 1))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([functional.leaky_relu(layer(x), SLOPE), x], dim=1)
        return self.last(x)
