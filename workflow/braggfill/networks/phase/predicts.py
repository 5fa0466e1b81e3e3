"""What every network that predicts phases has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class PhaseNetwork(Protocol):
    """A network that is shown the middle of a pattern."""

    size: int
    """Voxels a side of what it is shown."""

    def predict(self, log_intensity: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Phase in radians, zero at the centre, and the concentration of its von Mises distribution, (B, n, n, n).

        Parameters
        ----------
        log_intensity : log(1 + photons), (B, n, n, n).  mask : boolean, True where missing.
        """
        ...
