"""The default network's ideas in two dimensions, small: an interpolation that is corrected, gates, an uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from braggfill.networks.gap.blocks import SLOPE, Gated
from braggfill.networks.gap.bridge import averaged, bridge
from braggfill.networks.gap.unet import CONTRAST, DEVIATION, LEVEL, STEP, joined


class Network(nn.Module):
    """Expected log(1 + photons) and its uncertainty from the pattern, the mask and what is measured around the gap.

    As :class:`braggfill.networks.gap.unet.Braggfill`, with axes (vertical, horizontal): every 2 x 2 voxels become
    channels, of the interpolation their mean and three differences, of the mean around their mean.
    """

    haar: Tensor

    def __init__(self, channels: Sequence[int] = (32, 64, 96)):
        super().__init__()
        self.channels = tuple(int(c) for c in channels)
        pairs = list(pairwise(self.channels))
        self.enter = nn.Conv2d(9, self.channels[0], 3, padding=1)
        self.down = nn.ModuleList(Gated(c, 2) for c in self.channels)
        self.widen = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairs)
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        self.up = nn.ModuleList(Gated(a, 2) for a, _ in pairs)
        self.leave = nn.Conv2d(self.channels[0], 8, 3, padding=1)
        pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / 2
        scales = torch.tensor([LEVEL] + [CONTRAST] * 3)
        self.register_buffer("haar", scales[:, None] * torch.kron(pair, pair), persistent=False)
        with torch.no_grad():
            self.leave.weight.mul_(0.05)

    def forward(self, bridged: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Interpolated log(1 + photons) and mask, (B, n1, n2), sizes multiples of 2 to the number of levels, to its
        expectation and the logarithm of its variance."""
        around = averaged(bridged[:, None], mask[:, None])[:, 0]
        base = joined(bridged, around, mask)
        fold = functional.pixel_unshuffle(torch.stack([bridged, mask.to(bridged.dtype), around], dim=1), 2)
        waves = torch.einsum("kc,bcij->bkij", self.haar, fold[:, :4])
        mean = LEVEL * fold[:, 8:].mean(dim=1, keepdim=True)
        x = torch.cat([waves, fold[:, 4:8], mean], dim=1)
        x = self.down[0](functional.leaky_relu(self.enter(x), SLOPE))
        skips = []
        for widen, block in zip(self.widen, self.down[1:], strict=True):
            skips.append(x)
            x = block(widen(functional.max_pool2d(x, 2)))
        for narrow, block, skip in zip(reversed(self.narrow), reversed(self.up), reversed(skips), strict=True):
            x = block(skip + functional.interpolate(narrow(x), scale_factor=2))
        x = functional.pixel_shuffle(self.leave(x), 2)
        low, high = (2 * torch.log(torch.tensor(d)).item() for d in DEVIATION)
        return base + STEP * x[:, 0], x[:, 1].clamp(low, high)

    def predict(self, log_intensity: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Expected log(1 + photons) and the logarithm of its variance, (B, n1, n2), from measured voxels alone."""
        return self(bridge(log_intensity[:, None], mask[:, None])[:, 0], mask)
