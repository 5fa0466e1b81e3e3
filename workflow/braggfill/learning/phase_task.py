"""The task of predicting phases, for the trainer: patterns drawn as they are needed, a loss for each kind of network.

====================== =============================================================================================
``braggphase``         WCA with both weightings, likelihood of the error (:mod:`braggfill.learning.phase_training`)
``rsp``, ``central``   WCA weighted by √I (thesis, Eq. 4.3) or by the logarithm (the published script)
``complex``            mean absolute errors of real and imaginary part of the object, added (Yu et al., 2024)
``autophasenn``        mean absolute error of the amplitudes of the object's transform, no truth (Yao et al., 2022)
====================== =============================================================================================

Validation scores are the same for all: WCA of the phases, both weightings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from braggfill.learning import phase_data, phase_training
from braggfill.learning import phase_losses as losses
from braggfill.learning.phase_data import Batch, ExposureOptions, Stream
from braggfill.learning.task import Step
from braggfill.physics.crystals import CrystalOptions
from braggfill.physics.polyhedra import ShapeOptions

TENSORS = ("log_intensity", "mask", "phase", "intensity")


@dataclass(frozen=True)
class PhaseTask:
    """Predict the phase of a pattern's middle.

    patterns : a whole epoch has.  batch : patterns a step.  exposures : patterns of each crystal; pool : crystals that
    a batch is drawn from.  validating : patterns in the fixed validation set.  weights : of WCA, amplitude or log.
    """

    patterns: int
    batch: int
    seed: int
    exposures: int = 8
    pool: int = 64
    validating: int = 48
    weights: str = "amplitude"
    crystals: CrystalOptions = phase_data.TRAINED[0]
    seen: ExposureOptions = phase_data.TRAINED[1]

    scores = ("wca", "wca_log")

    def steps(self) -> int:
        return -(-self.patterns // self.batch)

    def training(self, epoch: int, rank: int = 0, ranks: int = 1) -> Dataset:
        return _Epoch(self, epoch, rank, ranks)

    def validation(self, rank: int = 0, ranks: int = 1) -> Dataset | None:
        return _Fixed(self, rank, ranks) if self.validating else None

    def tables(self) -> dict[str, Tensor]:
        return {}

    def loss(self, network: Any, batch: Mapping[str, Any], tables: Mapping[str, Tensor]) -> Step:
        """Loss of a batch, and WCA of the phases that the network gives."""
        log_intensity, mask, phase, intensity = (batch[name] for name in TENSORS)
        found = network(log_intensity, mask)
        total = loss(network, found, phase, intensity, self.weights)

        def scores() -> Iterator[tuple[str, Tensor, int]]:
            told, _ = network.predict(log_intensity, mask)
            for name, weigh in (("wca", losses.amplitude_weights), ("wca_log", losses.log_weights)):
                yield name, losses.wca(losses.phasor(told), phase, weigh(intensity)).mean(), len(phase)

        return Step(total, len(phase), scores)

    def told(self, row: Mapping[str, float]) -> str:
        return f"loss {row['train_loss']:.4g}, validation {row['val_loss']:.4g}, WCA {row['wca']:.4f}"

    def save(self, folder: Path) -> None:
        (folder / "task.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> PhaseTask:
        told = json.loads((folder / "task.json").read_text())

        def plain(value: Any) -> Any:
            """JSON's lists are tuples here."""
            if isinstance(value, dict):
                return {name: plain(one) for name, one in value.items()}
            return tuple(map(plain, value)) if isinstance(value, list) else value

        crystals, seen = plain(told.pop("crystals")), plain(told.pop("seen"))
        crystals["shapes"] = ShapeOptions(**crystals["shapes"])
        return cls(**told, crystals=CrystalOptions(**crystals), seen=ExposureOptions(**seen))


def loss(network: nn.Module, found: Any, phase: Tensor, intensity: Tensor, weights: str = "amplitude") -> Tensor:
    """The loss of what a network predicts, by its kind; see the module."""
    name = network.name
    if name == "braggphase":
        return phase_training.loss(found[0], found[1], phase, intensity)
    if name in ("rsp", "central"):
        weigh = losses.amplitude_weights if weights == "amplitude" else losses.log_weights
        return losses.wca(losses.phasor(found), phase, weigh(intensity)).mean()
    top = intensity.flatten(1).amax(1).clamp(min=losses.TINY).view(-1, 1, 1, 1)
    if name == "complex":
        truth = losses.objects(intensity / top, phase)
        truth = truth / truth.abs().flatten(1).amax(1).clamp(min=losses.TINY).view(-1, 1, 1, 1)
        return (found.real - truth.real).abs().mean() + (found.imag - truth.imag).abs().mean()
    axes = (1, 2, 3)
    amplitude = torch.fft.fftshift(
        torch.fft.fftn(torch.fft.ifftshift(found, dim=axes), dim=axes, norm="ortho"), dim=axes
    )
    amplitude = (amplitude.real.square() + amplitude.imag.square() + losses.TINY).sqrt()
    seen = (intensity / top).sqrt()
    amplitude = amplitude / amplitude.flatten(1).amax(1).clamp(min=losses.TINY).view(-1, 1, 1, 1)
    return (amplitude - seen).abs().flatten(1).sum(1).div(seen.flatten(1).sum(1).clamp(min=losses.TINY)).mean()


def _tensors(batch: Batch, rank: int, ranks: int) -> dict[str, Any]:
    """A process's part of a batch."""
    whole = len(batch.phase)
    part = slice(rank, None, ranks) if rank < whole else slice(0, 1)
    number = len(range(whole)[part]) if rank < whole else 0
    found = {name: torch.from_numpy(getattr(batch, name)[part]) for name in TENSORS}
    return found | {"share": number * ranks / whole}


class _Epoch(IterableDataset):
    """The batches of an epoch: the steps of one stream that follow those of the epochs before it."""

    def __init__(self, task: PhaseTask, epoch: int, rank: int, ranks: int):
        self.task, self.epoch, self.rank, self.ranks = task, epoch, rank, ranks

    def __len__(self) -> int:
        return self.task.steps()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        task, steps = self.task, self.task.steps()
        stream = Stream(task.seed, self.epoch * steps, task.batch, task.exposures, task.pool, task.crystals, task.seen)
        for _, batch in zip(range(steps), stream, strict=False):
            yield _tensors(batch, self.rank, self.ranks)


class _Fixed(Dataset):
    """The validation set in batches, always the same."""

    def __init__(self, task: PhaseTask, rank: int, ranks: int):
        self.task, self.rank, self.ranks = task, rank, ranks
        self.whole, _ = phase_data.validation(task.validating, task.seed, task.crystals, side=task.seen.side)

    def __len__(self) -> int:
        return -(-len(self.whole.phase) // self.task.batch)

    def __getitem__(self, item: int) -> dict[str, Any]:
        if item >= len(self):
            raise IndexError(item)
        some = slice(item * self.task.batch, (item + 1) * self.task.batch)
        return _tensors(Batch(*(values[some] for values in vars(self.whole).values())), self.rank, self.ranks)
