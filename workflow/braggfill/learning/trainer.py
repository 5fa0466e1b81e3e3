"""The trainer: a network, a task and a plan in, the best weights and the history out.

It knows no stage and no kind of network; on several devices it is :mod:`braggfill.learning.ranks`.
"""

from __future__ import annotations

import math
import signal
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from braggfill.errors import BraggfillError
from braggfill.learning.task import Plan, SharedTask, Task
from braggfill.runs import device, storage

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from braggfill.learning.progress import Progress


@dataclass(frozen=True)
class Trained:
    """What a training ended with."""

    best: dict[str, Tensor]
    """Weights of the epoch with the least validation loss, on the processor; of the last one without validation."""
    rows: list[dict[str, float]]
    """The history, a row an epoch: see :func:`columns`."""
    best_epoch: int
    """From 1 on."""


def columns(task: Task) -> tuple[str, ...]:
    """The columns of the history: epoch, losses, scores, learning rate, seconds since the training began."""
    return ("epoch", "train_loss", "val_loss", *task.scores, "learning_rate", "seconds")


def fit(network: Module, task: Task | SharedTask, plan: Plan, checkpoint: Path | None = None) -> Trained:
    """Train a network.

    Parameters
    ----------
    network : with its first weights, which are changed.
    task : a :class:`~braggfill.learning.task.SharedTask` where several processes are to train.
    checkpoint : one whole file an epoch.  A training that was killed goes on from it when called again with the same
        arguments, and on the processor ends with the same bits.  None: nothing is written, and one process trains.

    Raises
    ------
    BraggfillError : a device that is not there, TensorBoard asked for and not installed, or a process that failed.
    """
    from braggfill.learning import ranks

    number = 1 if checkpoint is None else ranks.number(plan)
    if number == 1 or checkpoint is None:
        progress = fit_here(network, task, plan, checkpoint)
        return Trained(progress.best, progress.rows, progress.best_epoch)
    import torch

    ranks.fit(network, cast("SharedTask", task), plan, checkpoint, number)
    found = torch.load(checkpoint, map_location="cpu", weights_only=True)["callbacks"]["Progress"]
    return Trained(found["best"], found["rows"], found["best_epoch"])


def fit_here(network: Module, task: Task, plan: Plan, checkpoint: Path | None, ranks: int = 1) -> Progress:
    """Train in this process, which is one of ``ranks``."""
    import lightning
    import torch

    from braggfill.learning.module import Learner
    from braggfill.learning.progress import Loaders, Progress

    _quiet()
    learner = Learner(network, task, plan)
    progress = Progress(task, plan, checkpoint)
    gpu = device.gpus(plan.device) > 0
    half = plan.precision == "bf16" or (plan.precision == "auto" and gpu and torch.cuda.is_bf16_supported())
    several: dict[str, Any] = {}
    if ranks > 1:
        from lightning.fabric.plugins.environments import LightningEnvironment
        from lightning.pytorch.strategies import DDPStrategy

        # Said outright, because within a Slurm job Lightning would look for a task of Slurm's for each process.
        several = {"strategy": DDPStrategy(broadcast_buffers=False), "plugins": [LightningEnvironment()]}
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer = lightning.Trainer(
            accelerator=plan.device,
            devices=ranks,
            precision="bf16-mixed" if half else "32-true",
            max_epochs=plan.epochs,
            gradient_clip_val=plan.clip_norm or None,
            deterministic="warn" if gpu else True,
            logger=_logger(checkpoint) if plan.tensorboard and checkpoint else False,
            callbacks=[progress],
            default_root_dir=checkpoint.parent if checkpoint else None,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            **several,
        )
        resume = progress.resume()
        trainer.fit(
            learner,
            datamodule=Loaders(task, plan.first_epoch),
            ckpt_path=resume,
            weights_only=True if resume else None,
        )
    except SystemExit as error:  # so Lightning ends what was interrupted, and turns interrupts off
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if interrupt is not None and signal.getsignal(signal.SIGINT) is not interrupt:
            signal.signal(signal.SIGINT, interrupt)
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    return progress


def write_history(task: Task, rows: list[dict[str, float]], path: Path) -> None:
    """The history as CSV, whole or not at all; empty where there is no number."""
    names = columns(task)
    lines = [",".join(names)]
    lines += [",".join("" if math.isnan(row[name]) else f"{row[name]:.6g}" for name in names) for row in rows]
    storage.write_text(path, "\n".join(lines) + "\n")


def _logger(checkpoint: Path) -> Any:
    from lightning.pytorch.loggers import TensorBoardLogger

    try:
        return TensorBoardLogger(checkpoint.parent, name="tensorboard", version=checkpoint.stem)
    except ModuleNotFoundError as error:
        raise BraggfillError(
            "train.tensorboard: TensorBoard is not installed; pip install tensorboard, or set it to false"
        ) from error


def _quiet() -> None:
    """Lightning's remarks on hardware and workers are not for the user of the pipeline."""
    import logging

    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
