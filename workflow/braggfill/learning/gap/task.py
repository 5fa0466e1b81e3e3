"""The task of filling gaps, for the trainer: patches with artificial gaps, the weighed loss, PCC over the gap."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from braggfill.learning import symmetries
from braggfill.learning.gap import losses, scores
from braggfill.learning.gap.data import Batches, Patches, decode
from braggfill.learning.gap.options import Options, options
from braggfill.learning.task import Step
from braggfill.networks.gap.bridge import bridge
from braggfill.networks.network import Network

ARRAYS = ("counted", "wanted", "known")


@dataclass(frozen=True)
class GapTask:
    """Fill artificial gaps in patches whose truth is known."""

    network: str
    """Name of the network (:func:`braggfill.networks.build`)."""
    options: Options
    seed: int
    patches: Patches
    """For training, and (``validating``) for validation."""
    validating: Patches

    scores = ("val_pcc", "linear_pcc")

    def steps(self) -> int:
        return -(-len(self.patches) // self.options.batch_size)

    def training(self, epoch: int, rank: int = 0, ranks: int = 1) -> Batches:
        return Batches(self.patches, self.options, self.seed, epoch, rank, ranks)

    def validation(self, rank: int = 0, ranks: int = 1) -> Batches | None:
        return Batches(self.validating, self.options, self.seed, None, rank, ranks) if len(self.validating) else None

    def tables(self) -> dict[str, Tensor]:
        return {"turns": symmetries.tables(self.patches.shape[0])} if self.options.symmetries else {}

    def loss(self, network: Network, batch: Mapping[str, Any], tables: Mapping[str, Tensor]) -> Step:
        """The weighed loss of a batch (logarithms of photons), and PCC over the gap of network and interpolation."""
        counted, truth = decode(batch["counted"]), decode(batch["wanted"])
        mask = batch["mask"]
        counted, truth = expose(counted, truth, batch["brightness"], batch["noise"])
        if bool((batch["symmetry"] >= 0).all()):
            table = tables["turns"][batch["symmetry"]]
            counted, truth = (x.flatten(1).gather(1, table).view_as(x) for x in (counted, truth))
        seen = torch.where(batch["clean"][:, None, None, None], truth, counted)
        # The published network does without an interpolation; it is only compared with one.
        linear = bridge(seen, mask) if network.uncertain or not network.training else seen
        if network.uncertain:
            prediction, log_variance = network(linear, mask)
        else:
            prediction, log_variance = network.predict(seen, mask)
        total = losses.total(self.options.loss, prediction, log_variance, truth, counted, seen, mask)

        def each_score() -> Iterator[tuple[str, Tensor, int]]:
            # Patches of at least one count per voxel, as the tables have it; the darker ones are nothing but noise.
            bright = torch.expm1(counted).flatten(1).mean(1) >= 1
            for name, guess in (("val_pcc", prediction.detach()), ("linear_pcc", linear)):
                value = scores.pcc(guess, truth, mask)
                good = bright & torch.isfinite(value)
                if bool(good.any()):
                    yield name, value[good].mean(), int(good.sum())

        return Step(total, len(mask), each_score)

    def told(self, row: Mapping[str, float]) -> str:
        return (
            f"loss {row['train_loss']:.4g}, validation {row['val_loss']:.4g}, "
            f"PCC in the gap {row['val_pcc']:.4f} (linear {row['linear_pcc']:.4f})"
        )

    def save(self, folder: Path) -> None:
        for name in ("patches", "validating"):
            for array in ARRAYS:
                np.save(folder / f"{name}-{array}.npy", getattr(getattr(self, name), array).numpy())
        told = {"network": self.network, "options": asdict(self.options), "seed": self.seed}
        (folder / "task.json").write_text(json.dumps(told))

    @classmethod
    def load(cls, folder: Path) -> GapTask:
        told = json.loads((folder / "task.json").read_text())
        # "c": changes, of which there are none, would stay in memory; torch wants to be allowed to.
        patches, validating = (
            Patches(*(torch.from_numpy(np.load(folder / f"{name}-{array}.npy", mmap_mode="c")) for array in ARRAYS))
            for name in ("patches", "validating")
        )
        return cls(told["network"], options(told["network"], told["options"]), told["seed"], patches, validating)


def expose(counted: Tensor, truth: Tensor, brightness: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    r"""Counts and expectation of the same patches in another exposure, as log(1 + photons), (B, n0, n1, n2).

    .. math:: \lambda' = e^b \lambda, \qquad n' \sim \mathrm{Poisson}(\lambda')

    Patches whose ``brightness`` :math:`b`, (B,), is not a number stay as they are.
    """
    chosen = torch.isfinite(brightness).nonzero()[:, 0]
    if len(chosen) == 0:
        return counted, truth
    generator = torch.Generator(truth.device).manual_seed(seed)
    rate = torch.expm1(truth[chosen]) * torch.exp(brightness[chosen])[:, None, None, None]
    drawn = torch.poisson(rate, generator)
    return counted.index_copy(0, chosen, torch.log1p(drawn)), truth.index_copy(0, chosen, torch.log1p(rate))
