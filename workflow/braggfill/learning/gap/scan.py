"""The task of fine-tuning, for the trainer: artificial gaps in whole patches of one scan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from braggfill.errors import BraggfillError
from braggfill.learning import symmetries
from braggfill.learning.gap import losses
from braggfill.learning.gap.options import Options
from braggfill.learning.task import Step
from braggfill.networks.network import Network
from braggfill.patterns import gaps, patching
from braggfill.runs import seeds


@dataclass(frozen=True)
class ScanTask:
    """Fill artificial gaps in whole patches of one scan, for the trainer."""

    logs: np.ndarray
    """log(1 + photons) of the scan."""
    origins: np.ndarray
    """First voxels of the training patches, (n, 3)."""
    size: int
    options: Options
    seed: int
    batch: int
    """Patches a step."""

    scores = ()

    def steps(self) -> int:
        return len(parts(len(self.origins), self.batch))

    def training(self, epoch: int, rank: int = 0, ranks: int = 1) -> Batches:
        return Batches(self, epoch)

    def validation(self, rank: int = 0, ranks: int = 1) -> None:
        return None

    def tables(self) -> dict[str, Tensor]:
        return {}

    def loss(self, network: Network, batch: Mapping[str, Any], tables: Mapping[str, Tensor]) -> Step:
        truth, mask = batch["truth"], batch["mask"]
        guess, log_variance = network.predict(truth.masked_fill(mask, 0), mask)
        return Step(loss(self.options, guess, log_variance, truth, mask), len(truth))

    def told(self, row: Mapping[str, float]) -> str:
        return f"loss {row['train_loss']:.4g}"


class Batches(IterableDataset):
    """One epoch, a batch an item: the patches turned and mirrored at random, gaps drawn afresh."""

    def __init__(self, task: ScanTask, epoch: int):
        self.task = task
        self.rng = seeds.generator(task.seed, "finetune/epoch", epoch)
        number = len(task.origins)
        self.order = self.rng.permutation(number)
        self.turns = list(symmetries.turns())
        self.turned = self.rng.integers(0, len(self.turns) if task.options.symmetries else 1, number)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        task = self.task
        for part in parts(len(self.order), task.batch):
            cut = patching.cut(task.logs, task.origins[self.order[part]], task.size)
            for k, turn in enumerate(self.turned[part]):
                axes, flips = self.turns[turn]
                cut[k] = cut[k].transpose(axes)[:: flips[0], :: flips[1], :: flips[2]]
            truth, mask = tensors(torch.device("cpu"), cut, gap_masks(self.rng, len(cut), task.size, task.options))
            yield {"truth": truth, "mask": mask, "share": 1}


def loss(options: Options, guess: Tensor, log_variance: Tensor | None, truth: Tensor, mask: Tensor) -> Tensor:
    """The loss that the network was first trained with, against the counts: nobody knows their expectation."""
    try:
        return losses.total(options.loss, guess, log_variance, truth, truth, truth, mask)
    except ImportError as error:
        raise BraggfillError(
            "--finetune: the loss of this network needs torchmetrics; pip install 'braggfill[train]'"
        ) from error


def gap_masks(rng: np.random.Generator, number: int, size: int, chosen: Options) -> np.ndarray:
    drawn = gaps.draw(
        rng,
        number,
        (size,) * 3,
        style=chosen.gap.style,
        widths=chosen.gap.width_px,
        cross_fraction=chosen.gap.cross_fraction,
        dead_fraction=chosen.gap.dead_fraction,
    )
    return drawn.masks()


def tensors(device: torch.device, logs: np.ndarray, masks: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(np.ascontiguousarray(logs)).to(device), torch.from_numpy(masks).to(device)


def parts(number: int, batch: int) -> list[slice]:
    """Batches of so many patches."""
    return [slice(first, first + batch) for first in range(0, number, batch)]
