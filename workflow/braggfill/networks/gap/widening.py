"""More channels at the coarsest level of a trained network, which computes what it did."""

from __future__ import annotations

import torch
from torch import Tensor

from braggfill.errors import BraggfillError
from braggfill.networks.gap.unet import Braggfill


def widened(network: Braggfill, channels: int) -> Braggfill:
    """A network of the default design with ``channels`` at its coarsest level, at first the same function.

    The new channels read what the old ones read with random weights, and nothing reads them yet: where they would be
    read the weights are zero, and move with the first step.

    Raises
    ------
    BraggfillError : another design, or fewer channels than it has.
    """
    before, levels = network.channels[-1], len(network.channels) - 1
    if network.design != "gated" or levels < 1:
        raise BraggfillError(f"a network of design {network.design} cannot be widened; begin with a gated one")
    if channels < before:
        raise BraggfillError(f"a network of {before} channels at its coarsest level cannot get {channels}; give more")
    found = Braggfill([*network.channels[:-1], channels], network.design, network.start)
    old, new = network.state_dict(), found.state_dict()
    coarsest = f"trunk.down.{levels}."
    with torch.no_grad():
        for name, weight in new.items():
            if name.startswith(coarsest) and ".first." in name:  # values, then gates
                for part, known in zip(weight.chunk(2), old[name].chunk(2), strict=True):
                    _place(part, known)
            else:
                _place(weight, old[name])
    return found


def _place(weight: Tensor, known: Tensor) -> None:
    """The known weights among the new ones, which add nothing to what the known outputs are."""
    outputs, inputs = known.shape[0], known.shape[1] if known.ndim > 1 else 0
    if known.ndim > 1:
        weight[:outputs, inputs:] = 0
        weight[:outputs, :inputs] = known
    else:
        weight[outputs:] = 0
        weight[:outputs] = known
