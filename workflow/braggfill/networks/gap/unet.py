"""The default network: a U-Net that corrects the mean of what is measured around, for gaps of any width and place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from braggfill.networks.folding import fold, unfold
from braggfill.networks.gap.blocks import trunk
from braggfill.networks.gap.bridge import averaged, bridge
from braggfill.networks.gap.orient import oriented
from braggfill.networks.network import Network

STARTS = ("averaged", "interpolation", "nothing")
LEVEL, CONTRAST = 0.25, 2.5
"""Factors on the mean of log(1 + photons) over 2 x 2 x 2 voxels and on the differences within them, as they enter the
network: fringes are small beside the level that they ride on, and are learnt much sooner when they are not."""
BRIGHT = 20.0
"""Photons a voxel at which the mean of what is measured around and the interpolation count alike."""
STEP = 2.0
"""Natural logarithms that a unit of the network's output corrects the interpolation by."""
DEVIATION = (1e-3, 20.0)
"""Smallest and greatest standard deviation of log(1 + photons) that it can state."""


class Braggfill(Network):
    r"""Expected log intensity and its uncertainty from the pattern, the mask and an interpolation.

    With :math:`y = \log(1 + I)`, :math:`\tilde y` its linear interpolation across the gap and :math:`\bar y` the
    logarithm of the mean of the photons measured around (:func:`braggfill.networks.gap.bridge.averaged`), the network
    sees both and the mask, folded into channels (every 2 x 2 x 2 voxels become 8 channels, so that nothing runs at full
    size; of :math:`\tilde y` their mean and seven differences, the Haar transform, of :math:`\bar y` their mean), and
    returns

    .. math:: \mu = \frac{n_0 \bar y + \bar n \tilde y}{n_0 + \bar n} + f(\tilde y, \bar y, m), \qquad
              \sigma^2 = e^{g(\tilde y, \bar y, m)}, \qquad \bar n = e^{\bar y} - 1, \quad n_0 = 20

    for every voxel: where there is light two ends of a line follow the pattern better than a mean of many voxels, where
    there is little they are too noisy.  Intensity enters on one fixed scale, so that nothing depends on where a patch
    was cut, and the network can tell how much of what it sees is noise.
    """

    name = "braggfill"
    scale = "fixed"
    uncertain = True
    size = 32
    haar: Tensor

    def __init__(self, channels: Sequence[int] = (32, 64, 192), design: str = "gated", start: str = "averaged"):
        """``channels`` of each level, ``design`` of :data:`braggfill.networks.gap.blocks.DESIGNS`; what it corrects,
        ``start``: what is measured around, ``"averaged"``, in bright places joined by the linear interpolation; the
        linear ``"interpolation"`` alone; or ``"nothing"``: zeros in the gap, and nothing to add to."""
        super().__init__()
        self.channels = tuple(int(c) for c in channels)
        if start not in STARTS:
            raise ValueError(f"start {start!r} is unknown; use one of {', '.join(STARTS)}")
        self.design, self.start = design, start
        self.trunk = trunk(design, self.channels, 17 if start == "averaged" else 16)
        scales = torch.tensor([LEVEL] + [CONTRAST] * 7)
        self.register_buffer("haar", scales[:, None] * _haar(), persistent=False)

    @property
    def options(self) -> dict:
        """What :func:`braggfill.networks.build` needs to make the same network again."""
        return {"channels": list(self.channels), "design": self.design, "start": self.start}

    @property
    def multiple(self) -> int:
        """Sizes are padded to a multiple of this."""
        return 2 ** len(self.channels)

    def forward(self, bridged: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Interpolated log(1 + photons) and mask, both (B, n0, n1, n2), to its expectation and the logarithm of its
        variance, same shape.  The convolutions see the widest gap across the last axis, wherever it is."""
        expected, log_variance = oriented(self._forward, bridged, mask)
        return expected, log_variance

    def _forward(self, bridged: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        shape = bridged.shape[1:]
        base, channels = bridged, [bridged, mask.to(bridged.dtype)]
        if self.start == "nothing":
            base = channels[0] = bridged.masked_fill(mask, 0.0)
        elif self.start == "averaged":
            around = averaged(bridged, mask)
            base = joined(bridged, around, mask)
            channels.append(around)
        x = torch.stack(channels, dim=1)
        pads = [(-n) % self.multiple for n in shape]
        x = functional.pad(x, (0, pads[2], 0, pads[1], 0, pads[0]), mode="replicate") if any(pads) else x
        x = fold(x)
        with torch.autocast(x.device.type, enabled=False):  # half precision would lose the differences
            parts = [torch.einsum("kc,bcijl->bkijl", self.haar, x[:, :8]), x[:, 8:16]]
            parts += [LEVEL * x[:, 16:].mean(dim=1, keepdim=True)] if self.start == "averaged" else []
            x = torch.cat(parts, dim=1)
        x = unfold(self.trunk(x))[:, :, : shape[0], : shape[1], : shape[2]].to(bridged.dtype)
        low, high = (2 * torch.log(torch.tensor(d)).item() for d in DEVIATION)
        return base + x[:, 0] * STEP, x[:, 1].clamp(low, high)

    def predict(self, log_intensity: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Expected log(1 + photons) and the logarithm of its variance, (B, n0, n1, n2), from measured voxels alone."""
        return self(bridge(log_intensity, mask), mask)


def joined(bridged: Tensor, around: Tensor, mask: Tensor) -> Tensor:
    """What is measured around, and the more of the interpolation the brighter it is; measured voxels stay."""
    photons = torch.expm1(around.float())
    sharp = (photons / (photons + BRIGHT)).to(bridged.dtype)
    return torch.where(mask, torch.lerp(around, bridged, sharp), bridged)


def _haar() -> Tensor:
    """Mean and differences of 8 neighbours, in the order of :func:`fold`: (8, 8), the mean first."""
    pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / 2
    return torch.kron(torch.kron(pair, pair), pair)
