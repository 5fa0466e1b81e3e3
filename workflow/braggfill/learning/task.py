"""What the trainer is handed: a task (batches, loss, scores) and a plan (how long, how fast, on what device)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset


@dataclass(frozen=True)
class Plan:
    """How a network is trained."""

    epochs: int
    learning_rate: float
    """Adam's largest step size."""
    schedule: str = "cosine"
    """``cosine`` or ``plateau`` (:mod:`braggfill.learning.schedule`)."""
    warm_up: float = 0.03
    """Fraction of the steps of a cosine over which the rate rises."""
    clip_norm: float = 1.0
    """Largest norm of the gradient of a step; 0: no limit."""
    batch_size: int = 32
    """Patterns a step, on all devices together: tells how many devices are worth their while."""
    precision: str = "auto"
    """``auto`` (bfloat16 mixed with single precision on a GPU that has it), ``32`` or ``bf16``."""
    device: str = "auto"
    """``auto``, ``cpu`` or ``gpu``."""
    devices: int | None = None
    """GPUs, or processes on a processor; None: all GPUs that there are, one process on a processor."""
    threads: int = 1
    tensorboard: bool = False
    first_epoch: int = 0
    """Epochs that the first weights have behind them; their gaps and noise do not come again."""
    title: str = "train"
    """What the progress bar is called."""
    progress: bool = True
    """Whether there is one."""


@dataclass(frozen=True)
class Step:
    """What a batch came to."""

    loss: Tensor
    """Mean over the batch, a number with its gradient."""
    number: int
    """Patterns in the batch."""
    scores: Callable[[], Iterable[tuple[str, Tensor, int]]] = tuple
    """Called in validation: name of a score, its mean, and over how many patterns."""


class Task(Protocol):
    """What is learned.  Its datasets yield whole batches: mappings of tensors, with the number ``share``, the weight of
    this process's part of the batch (1 where there is one process, 0 where a process has none of it)."""

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the validation scores, the columns of the history between the losses and the learning rate."""
        ...

    def steps(self) -> int:
        """Batches in an epoch."""
        ...

    def training(self, epoch: int, rank: int, ranks: int) -> Dataset:
        """The batches of an epoch, the same however often they are asked for."""
        ...

    def validation(self, rank: int, ranks: int) -> Dataset | None:
        """The batches of the validation, always the same; None where there is none."""
        ...

    def tables(self) -> Mapping[str, Tensor]:
        """Constant tensors that :meth:`loss` needs on the network's device."""
        ...

    def loss(self, network: Any, batch: Mapping[str, Any], tables: Mapping[str, Tensor]) -> Step:
        """Loss and scores of a batch."""
        ...

    def told(self, row: Mapping[str, float]) -> str:
        """An epoch in words."""
        ...


class SharedTask(Task, Protocol):
    """A task that several processes can take part in."""

    def save(self, folder: Path) -> None:
        """Write everything into a folder, for the other processes of a training."""
        ...

    @classmethod
    def load(cls, folder: Path) -> SharedTask:
        """What :meth:`save` wrote."""
        ...
