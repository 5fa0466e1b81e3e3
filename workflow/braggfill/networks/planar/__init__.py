"""The networks of the studies in two dimensions, by name (Masto, thesis, sections 3.3, 4.4 and 4.5).

Those that fill gaps take patterns normalised to 0 to 1 with zeros in the gap, (B, 1, 128, 128), and return them before
the sigmoid; those that predict phases take (B, 1, 64, 64) and return the phase in radians, unbounded.
"""

from __future__ import annotations

from torch.nn import Module

from braggfill.errors import BraggfillError
from braggfill.networks.planar.msd import MSDNet
from braggfill.networks.unets import Dilations, Layer, Layout, UNet, widths

UNET = Layout(
    dimensions=2,
    down=widths(48, 96, 192, 384, 768),
    bottom=Layer(1536),
    up=widths(768, 384, 192, 96, 48),
    head=widths(24, 12, 6, 1),
)
"""31,827,673 parameters (Table 3.1; the printed kernels of the last layers, 5, give another number)."""

UNET_MOD = Layout(
    dimensions=2,
    down=(
        Dilations(12, 3, (16, 8, 4, 2)),
        Dilations(24, 3, (10, 5, 3, 1)),
        Dilations(48, 3, (5, 3, 2, 1)),
        *widths(384, 768),
    ),
    bottom=Layer(1536),
    up=(*widths(768, 384, 192, 96), Layer(48, 4)),
    head=widths(24, 12, 6, 1),
    first_skip=True,
)
"""32,652,337 parameters (Table 3.1)."""


def _phase(width: int, bottom: int) -> Layout:
    """Six blocks from 64 voxels a side to a vector, and back."""
    channels = [width * 2**i for i in range(6)]
    return Layout(2, widths(*channels), Layer(bottom), widths(*channels[::-1]), widths(1), first_skip=True)


PHASE = _phase(11, 733)
"""6.9 million parameters: the first network of section 4.4, whose layers are not published."""
PHASE_LARGE = _phase(22, 1466)
"""27,494,361 parameters: the larger one (Fig. 4.11 and section 4.5; published as 27.5 million)."""

LAYOUTS = {"unet": UNET, "unet_mod": UNET_MOD, "phase": PHASE, "phase_large": PHASE_LARGE}
NAMES = (*LAYOUTS, "msd")


def build(name: str) -> Module:
    """A new network with random weights.

    Parameters
    ----------
    name : ``unet``, ``unet_mod``, ``msd`` (gaps), ``phase``, ``phase_large``.

    Raises
    ------
    BraggfillError : an unknown name.
    """
    if name == "msd":
        return MSDNet()
    if name in LAYOUTS:
        return UNet(LAYOUTS[name])
    raise BraggfillError(f"network: {name!r} is unknown in two dimensions; use one of {', '.join(NAMES)}")
