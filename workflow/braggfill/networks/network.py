"""What every network that fills gaps has."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Network(nn.Module):
    """A network of the package; called with (interpolated log intensity, mask) if it is ``uncertain``."""

    name: str
    """Its name in the registry."""
    size: int
    """Voxels along each edge of a patch."""
    uncertain: bool
    """Whether it states a variance."""
    card: dict[str, Any]
    """What its file says of it; there once it was loaded."""

    @property
    def options(self) -> dict[str, Any]:
        """What :func:`braggfill.networks.build` needs to make the same network again."""
        raise NotImplementedError

    def predict(self, log_intensity: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Expected log(1 + photons) and the logarithm of its variance, (B, n0, n1, n2), from measured voxels alone."""
        raise NotImplementedError
