"""What happens around the steps of a training: loaders, checkpoint, history, progress bar."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from braggfill.learning.task import Plan, Task
from braggfill.runs import storage


class Loaders(lightning.LightningDataModule):
    """A fresh loader an epoch, because each epoch has its own order and randomness."""

    def __init__(self, task: Task, first_epoch: int = 0):
        """``first_epoch``: epochs that the first weights have behind them."""
        super().__init__()
        self.task, self.first_epoch = task, first_epoch

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        return _whole(self.task.training(self.first_epoch + self.trainer.current_epoch, *self._own()))

    def val_dataloader(self) -> DataLoader | list:
        batches = self.task.validation(*self._own())
        return [] if batches is None else _whole(batches)

    def _own(self) -> tuple[int, int]:
        assert self.trainer is not None
        return self.trainer.global_rank, self.trainer.world_size


def _whole(batches: Dataset) -> DataLoader:
    return DataLoader(batches, batch_size=None, shuffle=False)


class Progress(lightning.Callback):
    """Keeps the best weights and the history, and after each epoch writes everything to one checkpoint file.

    The file is written beside its place and renamed: a kill at any moment leaves the last whole epoch.
    """

    def __init__(self, task: Task, plan: Plan, checkpoint: Path | None):
        """``checkpoint`` None: nothing is written."""
        self.task, self.plan, self.checkpoint, self.steps = task, plan, checkpoint, task.steps()
        self.rows: list[dict[str, float]] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_epoch = 0
        self.best_loss = math.inf
        self.spent, self.started = 0.0, 0.0
        self.bar: tqdm | None = None

    def resume(self) -> str | None:
        """The checkpoint to go on from, if there is one that can be read; nothing in it is ever unpickled."""
        if self.checkpoint is None or not self.checkpoint.is_file():
            return None
        try:
            torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception:  # whatever is wrong with the file, the training can start again
            print(f"{self.checkpoint}: cannot be read; the training starts again", file=sys.stderr)
            self.checkpoint.unlink()
            return None
        return str(self.checkpoint)

    def state_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "seconds": self._seconds(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.best, self.spent = state["rows"], state["best"], state["seconds"]
        self.best_epoch, self.best_loss = state["best_epoch"], state["best_loss"]

    def on_train_start(self, trainer: lightning.Trainer, learner: Any) -> None:
        self.started = time.monotonic()
        learner.past = [row["val_loss"] for row in self.rows]
        tty = sys.stderr.isatty()
        first = trainer.is_global_zero
        if self.rows and first:
            tqdm.write(f"training goes on after epoch {len(self.rows)} of {self.plan.epochs}", file=sys.stderr)
        self.bar = tqdm(
            total=self.steps * self.plan.epochs,
            initial=self.steps * len(self.rows),
            desc=self.plan.title,
            unit="step",
            mininterval=0.5 if tty else 20,
            dynamic_ncols=tty,
            disable=not (first and self.plan.progress),
            leave=self.checkpoint is not None,
            file=sys.stderr,
        )

    def on_train_batch_end(self, *_: Any) -> None:
        assert self.bar is not None
        self.bar.update()

    def on_train_epoch_end(self, trainer: lightning.Trainer, learner: Any) -> None:
        # Comes after the epoch's validation.
        row = {"epoch": trainer.current_epoch + 1, **learner.means()}
        row["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        row["seconds"] = self._seconds()
        self.rows.append(row)
        learner.past.append(row["val_loss"])
        # With no validation patches the last epoch is the best.
        if not self.best or row["val_loss"] < self.best_loss or math.isnan(row["val_loss"]):
            self.best_epoch, self.best_loss = row["epoch"], row["val_loss"]
            self.best = {name: value.detach().cpu().clone() for name, value in learner.network.state_dict().items()}
        if self.checkpoint is None:
            return
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.checkpoint)  # waits for the first process, which alone writes
            return
        with storage.replacing(self.checkpoint) as temporary:
            trainer.save_checkpoint(temporary)
        self._tell(trainer, row)

    def on_train_end(self, trainer: lightning.Trainer, learner: Any) -> None:
        if self.bar is not None:
            self.bar.close()

    def on_exception(self, trainer: lightning.Trainer, learner: Any, exception: BaseException) -> None:
        if self.bar is not None:
            self.bar.close()

    def _seconds(self) -> float:
        return self.spent + (time.monotonic() - self.started if self.started else 0.0)

    def _tell(self, trainer: lightning.Trainer, row: dict[str, float]) -> None:
        tqdm.write(
            f"epoch {row['epoch']}/{self.plan.epochs}: {self.task.told(row)}",
            file=sys.stderr,
        )
        for logger in trainer.loggers:
            logger.log_metrics(
                {name: value for name, value in row.items() if not math.isnan(value)}, step=int(row["epoch"])
            )
