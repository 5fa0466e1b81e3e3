"""The networks of the studies in two dimensions, by name (Masto, thesis, sections 3.3, 4.4 and 4.5).

Those that fill gaps take patterns normalised to 0 to 1 with zeros in the gap, (B, 1, 128, 128), and return them before
the sigmoid; those that predict phases take (B, 1, 64, 64) and return the phase in radians, unbounded.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch.nn import Module

from braggfill.errors import BraggfillError
from braggfill.networks.unets import Dilations, Layer, Layout, UNet, scaled, widths
from braggfill.runs.storage import replacing

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
OWN = {"msd": "braggfill.networks.planar.msd", "braggfill": "braggfill.networks.planar.gated"}
"""Networks in a file of their own, which a task that builds them names."""
NAMES = (*LAYOUTS, *OWN)
PUBLISHED = {"unet": 31_827_673, "msd": 322_458, "unet_mod": 32_652_337, "phase_large": 27_500_000}
"""Parameters, as published (Table 3.1 and Fig. 4.11)."""


def build(name: str, width: float = 1.0, *, outputs: int = 1, channels: Sequence[int] | None = None) -> Module:
    """A new network with random weights.

    Parameters
    ----------
    name : ``unet``, ``unet_mod``, ``msd``, ``braggfill`` (gaps), ``phase``, ``phase_large``.
    width : factor on the channels, 1 for the published size; not of ``braggfill``, which has ``channels`` instead.
    outputs : channels of the output of a network for phases, 1 (the phase) or 2 (its cosine and sine).

    Raises
    ------
    BraggfillError : an unknown name.
    """
    if name in OWN:
        options: dict[str, Any] = {"width": width} if name == "msd" else {"channels": channels or (32, 64, 96)}
        return importlib.import_module(OWN[name]).Network(**options)
    if name not in LAYOUTS:
        raise BraggfillError(f"network: {name!r} is unknown in two dimensions; use one of {', '.join(NAMES)}")
    layout = LAYOUTS[name] if width == 1 else scaled(LAYOUTS[name], width)
    if outputs != 1:
        layout = replace(layout, head=(*layout.head[:-1], replace(layout.head[-1], channels=outputs)))
    return UNet(layout)


def save(path: Path, network: Module, name: str, **options: Any) -> None:
    """Write a network as safetensors, whole or not at all, with the ``options`` that :func:`build` made it with."""
    from safetensors.torch import save as pack

    weights = {key: tensor.detach().contiguous() for key, tensor in network.state_dict().items()}
    with replacing(path) as temporary:
        temporary.write_bytes(pack(weights, metadata={"planar": json.dumps({"name": name, **options})}))


def load(path: Path) -> Module:
    """The network that :func:`save` wrote.

    Raises
    ------
    BraggfillError : no such file, or it is damaged or another network's.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            about = json.loads(file.metadata()["planar"])
            network = build(**about)
            network.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118  no mapping
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise BraggfillError(f"{path}: missing, damaged or no network of this kind; make it again") from error
    return network
