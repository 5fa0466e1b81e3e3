"""Loss and scores of a gap network over a fixed set of patches, as the stage ``train`` has them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from braggfill.errors import BraggfillError
from braggfill.learning.gap.data import VALIDATION, Patches, _patches, encode
from braggfill.learning.gap.options import Options
from braggfill.learning.gap.task import GapTask
from braggfill.learning.ongoing import arithmetic
from braggfill.networks.network import Network
from braggfill.runs import storage


def load(files: Sequence[str | Path], options: Options, size: int = 32) -> Patches:
    """The validation patches of files of the stage ``extract``; ``options.validation_max`` of them at the most.

    Raises
    ------
    BraggfillError : a file is missing, damaged or not made of such patches; there is no validation patch.
    """
    kept: list[tuple[Tensor, ...]] = []
    for file in map(Path, files):
        if storage.left_out(file) is not None:
            continue
        for split, counts, expectation, known in _patches(file, options):
            if counts.shape[1:] != (size,) * 3:
                raise BraggfillError(f"{file}: patches of {counts.shape[1:]}; give such of {(size,) * 3}")
            if split == VALIDATION:
                arrays = encode(counts), encode(expectation), known
                kept.append(tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))
    if not kept:
        raise BraggfillError(f"--validation: no validation patch in {', '.join(map(str, files))}; give other files")
    found = [torch.cat(parts) for parts in zip(*kept, strict=True)]
    chosen = torch.linspace(0, len(found[0]) - 1, min(len(found[0]), options.validation_max)).round().long()
    return Patches(*(part[chosen] for part in found))


@torch.no_grad()
def validate(network: Network, patches: Patches, options: Options, seed: int) -> dict[str, float]:
    """``val_loss``, ``val_pcc`` and ``linear_pcc``, means over the patches, as
    :class:`braggfill.learning.gap.task.GapTask` has them."""
    task = GapTask(network.name, replace(options, batch_size=min(options.batch_size, 64)), seed, patches, patches)
    device = next(network.parameters()).device
    sums = {name: [0.0, 0] for name in ("val_loss", *task.scores)}
    batches = task.validation()
    assert batches is not None
    network.eval()
    for item in range(len(batches)):
        batch = {name: x.to(device) if isinstance(x, Tensor) else x for name, x in batches[item].items()}
        with arithmetic(device):
            step = task.loss(network, batch, {})
        for name, mean, number in [("val_loss", step.loss, step.number), *step.scores()]:
            sums[name][0] += float(mean) * number
            sums[name][1] += number
    network.train()
    return {name: total / number if number else math.nan for name, (total, number) in sums.items()}
