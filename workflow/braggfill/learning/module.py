"""The Lightning module: how a batch becomes a loss, and how the learning rate goes."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import Tensor

from braggfill.learning.schedule import cosine_rate, plateau_rate
from braggfill.learning.task import Plan, Task

LAYOUTS = {5: torch.channels_last_3d, 4: torch.channels_last}
"""How the weights of convolutions lie in memory, by their dimensions: channels last is faster."""


class Learner(lightning.LightningModule):
    """Trains a network on the batches of a task."""

    def __init__(self, network: torch.nn.Module, task: Task, plan: Plan):
        super().__init__()
        dimensions = max((parameter.dim() for parameter in network.parameters()), default=0)
        layout = LAYOUTS.get(dimensions)
        self.network = network if layout is None else network.to(memory_format=layout)  # type: ignore[call-overload]  # torch declares it for four axes only
        self.task, self.plan = task, plan
        self.total_steps = task.steps() * plan.epochs
        self.names = tuple(task.tables())
        for name, table in task.tables().items():
            self.register_buffer(name, table, persistent=False)
        self.sums: dict[str, list[Tensor]] = {}
        self.past: list[float] = []
        """Validation losses of the epochs so far, for the plateau schedule."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=self.plan.learning_rate)

    def rate(self) -> float:
        """The learning rate of the step to come, from the step's number and the past losses alone."""
        if self.plan.schedule == "plateau":
            return plateau_rate(self.plan.learning_rate, self.past)
        return cosine_rate(self.plan.learning_rate, self.global_step, self.total_steps, self.plan.warm_up)

    def on_train_batch_start(self, batch: dict[str, Any], batch_idx: int) -> None:
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        for group in optimizer.param_groups:
            group["lr"] = self.rate()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        found = self.task.loss(self.network, batch, self._tables())
        self._note("train_loss", found.loss.detach(), found.number if batch["share"] else 0)
        return found.loss * batch["share"]

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        if not batch["share"]:
            return
        found = self.task.loss(self.network, batch, self._tables())
        self._note("val_loss", found.loss, found.number)
        for name, mean, number in found.scores():
            self._note(name, mean, number)

    def _tables(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self.names}

    def _note(self, name: str, value: Tensor, number: int) -> None:
        self.sums.setdefault(name, []).append(torch.stack([value.double() * number, value.new_tensor(number).double()]))

    def means(self) -> dict[str, float]:
        """Means over the epoch, and over all processes, of what was noted, which is then forgotten; NaN for what was
        not."""
        names = ("train_loss", "val_loss", *self.task.scores)
        nothing = torch.zeros(2, dtype=torch.float64, device=self.device)
        sums = torch.stack([torch.stack(self.sums[n]).sum(0) if n in self.sums else nothing for n in names])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        self.sums = {}
        return {
            n: total / number if number else math.nan for n, (total, number) in zip(names, sums.tolist(), strict=True)
        }
