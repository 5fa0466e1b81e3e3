"""The default network of phase retrieval: the phase of a pattern's middle, and how sure it is, voxel by voxel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from braggfill.networks.folding import fold, unfold

SIDE = 32
"""Voxels a side of what it sees: the middle of a pattern."""
LEVEL, SHIFT = 0.3, 1.0
"""log(1 + photons) enters the network as LEVEL * log(1 + photons) - SHIFT."""
FOLD = 8
CONCENTRATION = (1e-2, 1e3)
"""Least and greatest concentration that it can state; it nears them smoothly, so that it learns on from there."""
SHORT = 0.1
"""Outputs that are shorter are not stretched to a direction of length 1: their gradient would have no bound."""


class Gated(nn.Module):
    r"""Two convolutions, the first one gated, added to what they are given:
    :math:`y = x + B(\mathrm{SiLU}(A(x)) \cdot 2\,\mathrm{sigmoid}(G(x)))`, G of kernel 1.  It begins as the identity.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.value = nn.Conv3d(channels, channels, 3, padding=1)
        self.gate = nn.Conv3d(channels, channels, 1)
        self.out = nn.Conv3d(channels, channels, 3, padding=1)
        for weights in self.out.parameters():
            nn.init.zeros_(weights)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(functional.silu(self.value(x)) * (2 * torch.sigmoid(self.gate(x))))


class Global(nn.Module):
    """A transformer block over all voxels of the coarsest level: every one sees every other one.

    The phases of distant fringes hang together by the object's shape and by one common sign.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.ask = nn.Linear(channels, 3 * channels)
        self.answer = nn.Linear(channels, channels)
        self.wide, self.narrow = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        for last in (self.answer, self.narrow):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.ask(self.norms[0](x)).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.answer(seen.transpose(1, 2).reshape(b, n, c))
        return x + self.narrow(functional.gelu(self.wide(self.norms[1](x))))


class Braggphase(nn.Module):
    r"""Cosine and sine of the phase and its concentration from log intensity and mask.

    Every 2 x 2 x 2 voxels become 8 channels, so that nothing runs at full size; a U-Net of gated blocks at 16, 8 and 4
    voxels a side, transformer blocks at the coarsest.  For each voxel it gives a direction (c, s) of length 1 and a
    concentration :math:`\kappa` of the von Mises distribution
    :math:`p(\varphi) = e^{\kappa \cos(\varphi - \hat\varphi)} / 2\pi I_0(\kappa)`, with
    :math:`\hat\varphi = \mathrm{atan2}(s, c)`.

    The pattern is centred on its centre of mass, to a voxel; the oversampling along the body's longest axis is 2 to 4.
    The phase is that of a centred object; its constant and its sign (the twin) mean nothing.
    """

    name = "braggphase"
    size = SIDE
    inputs = 2
    """Numbers that a voxel is seen as: log intensity, mask."""

    def __init__(self, channels: Sequence[int] = (32, 80, 224), blocks: int = 8, heads: int = 7):
        """``channels`` at 16, 8 and 4 voxels a side; ``blocks`` and ``heads`` of the transformer."""
        super().__init__()
        self.channels = tuple(int(c) for c in channels)
        if len(self.channels) != 3 or self.channels[-1] % heads:
            raise ValueError(f"three channels, the last one a multiple of {heads}")
        self.blocks, self.heads = blocks, heads
        pairs, coarse = list(pairwise(self.channels)), self.channels[-1]
        self.enter = nn.Conv3d(self.inputs * FOLD, self.channels[0], 3, padding=1)
        self.down = nn.ModuleList(Gated(c) for c in self.channels)
        self.coarser = nn.ModuleList(nn.Conv3d(a, b, 2, stride=2) for a, b in pairs)
        self.place = nn.Parameter(0.02 * torch.randn((SIDE // 8) ** 3, coarse))
        self.globals = nn.ModuleList(Global(coarse, heads) for _ in range(blocks))
        self.finer = nn.ModuleList(nn.ConvTranspose3d(b, a, 2, stride=2) for a, b in pairs)
        self.up = nn.ModuleList(Gated(a) for a, _ in pairs)
        self.leave = nn.Conv3d(self.channels[0], 3 * FOLD, 3, padding=1)

    @property
    def options(self) -> dict:
        """What :func:`braggfill.networks.build` needs to make the same network again."""
        return {"channels": list(self.channels), "blocks": self.blocks, "heads": self.heads}

    def forward(self, log_intensity: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Directions (B, 2, 32, 32, 32) of length 1 or less and the logarithm of the concentration (B, 32, 32, 32).

        Parameters
        ----------
        log_intensity : log(1 + photons), (B, 32, 32, 32).
        mask : boolean, same shape, True where missing; the intensity there is not looked at.
        """
        x = (LEVEL * log_intensity - SHIFT).masked_fill(mask, 0.0)
        return self.of_channels(torch.stack([x, mask.to(x.dtype)], dim=1))

    def of_channels(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """The same from what a voxel is seen as, (B, :attr:`inputs`, 32, 32, 32)."""
        x = self.enter(fold(seen))
        skips = []
        for block, coarser in zip(self.down[:-1], self.coarser, strict=True):
            x = block(x)
            skips.append(x)
            x = functional.silu(coarser(x))
        x = self.down[-1](x)
        tokens = x.flatten(2).transpose(1, 2) + self.place
        for block in self.globals:
            tokens = block(tokens)
        x = tokens.transpose(1, 2).reshape(x.shape)
        for block, finer, skip in zip(self.up[::-1], self.finer[::-1], skips[::-1], strict=True):
            x = block(skip + finer(x))
        x = unfold(self.leave(x)).float()
        low, high = map(math.log, CONCENTRATION)
        bounded = high - functional.softplus(high - low - functional.softplus(x[:, 2] - low))
        return functional.normalize(x[:, :2], dim=1, eps=SHORT), bounded

    @torch.no_grad()
    def predict(self, log_intensity: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Phase in radians, zero at the centre, and concentration, both (B, 32, 32, 32)."""
        direction, concentration = self(log_intensity, mask)
        phase = torch.atan2(direction[:, 1], direction[:, 0])
        middle = SIDE // 2
        phase = phase - phase[:, middle, middle, middle].view(-1, 1, 1, 1)
        return torch.atan2(torch.sin(phase), torch.cos(phase)), concentration.exp()
