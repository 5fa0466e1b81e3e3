"""Train a network on patches: from HDF5 files of patches to one safetensors file and its learning curve."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.runs import seeds, storage
from braggfill.settings.train import TrainSettings

if TYPE_CHECKING:
    from braggfill.learning.progress import Progress

HISTORY = ("epoch", "train_loss", "val_loss", "val_pcc", "linear_pcc", "learning_rate", "seconds")


def train(
    settings: TrainSettings, seed: int, patches: list[Path], model: Path, history: Path, work: Path, code: str = ""
) -> dict[str, Any]:
    """Train a network and keep its best epoch (the least validation loss; paper, section 2.3).

    Parameters
    ----------
    patches : HDF5 files of the extract stage: ``counts``, ``expectation`` (n, s, s, s) and ``split`` (n).
    model : safetensors file to write; its metadata hold settings, seed, code, versions and metrics.
    history : CSV to write, a row an epoch: losses, PCC over the gap of the network and of linear interpolation
        (validation patches of at least one count a voxel), learning rate, seconds since the training began.
    work : folder of the checkpoint, one whole file an epoch.  A training that was killed goes on from it when called
        again with the same settings, seed, code and patches, and on the processor ends with the same bits.

    Returns
    -------
    The metadata of the model.

    Raises
    ------
    BraggfillError : a file is missing or damaged, or there is nothing to train on.
    """
    import torch

    torch.set_num_threads(settings.threads)
    from braggfill.learning.data import load

    learning, checking = load([Path(file) for file in patches], settings)
    key = _key(settings, seed, code, learning.checksum(), checking.checksum())
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    checkpoint = work / f"{key}.ckpt"
    best, rows, epoch = _fit(settings, seed, learning, checking, checkpoint)
    _write_history(rows, Path(history))
    chosen = rows[epoch - 1]
    metadata = {
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "code": code,
        "versions": storage.versions(),
        "patches": {"train": len(learning), "validation": len(checking)},
        "patches_seen": len(learning) * chosen["epoch"] + _seen_before(settings),
        "metrics": {name: chosen[name] for name in HISTORY[:-1] if not math.isnan(chosen[name])},
        "uncertainty": bool(settings.weights().nll),
    }
    network = _build(settings, seed)
    network.load_state_dict(best)
    networks.save(model, network, metadata)
    for other in work.glob("*.ckpt"):
        if other != checkpoint:
            other.unlink()
    return metadata


def _fit(
    settings: TrainSettings, seed: int, learning: Any, checking: Any, checkpoint: Path
) -> tuple[dict[str, Any], list[dict[str, float]], int]:
    """Weights of the best epoch, the rows of the history, and which epoch was the best."""
    from braggfill.learning import ranks

    number = ranks.number(settings)
    if number == 1:
        progress = fit_here(settings, seed, learning, checking, checkpoint)
        return progress.best, progress.rows, progress.best_epoch
    import torch

    ranks.fit(settings, seed, learning, checking, checkpoint, number)
    found = torch.load(checkpoint, map_location="cpu", weights_only=True)["callbacks"]["Progress"]
    return found["best"], found["rows"], found["best_epoch"]


def fit_here(
    settings: TrainSettings, seed: int, learning: Any, checking: Any, checkpoint: Path, ranks: int = 1
) -> Progress:
    """Train in this process, which is one of ``ranks`` (:mod:`braggfill.learning.ranks`)."""
    import lightning
    import torch

    from braggfill.learning.module import Learner
    from braggfill.learning.progress import Loaders, Progress

    _quiet()
    steps = -(-len(learning) // settings.batch_size)
    learner = Learner(_build(settings, seed), settings, learning.shape[0], steps * settings.epochs)
    progress = Progress(settings, checkpoint, steps)
    accelerator = {"auto": "auto", "cpu": "cpu", "gpu": "gpu"}[settings.device]
    gpu = accelerator != "cpu" and torch.cuda.is_available()
    half = settings.precision == "bf16" or (settings.precision == "auto" and gpu and torch.cuda.is_bf16_supported())
    logger: Any = False
    if settings.tensorboard:
        from lightning.pytorch.loggers import TensorBoardLogger

        try:
            logger = TensorBoardLogger(checkpoint.parent, name="tensorboard", version=checkpoint.stem)
        except ModuleNotFoundError as error:
            raise BraggfillError(
                "train.tensorboard: TensorBoard is not installed; pip install tensorboard, or set it to false"
            ) from error
    several: dict[str, Any] = {}
    if ranks > 1:
        from lightning.fabric.plugins.environments import LightningEnvironment
        from lightning.pytorch.strategies import DDPStrategy

        # Said outright, because within a Slurm job Lightning would look for a task of Slurm's for each process.
        several = {"strategy": DDPStrategy(broadcast_buffers=False), "plugins": [LightningEnvironment()]}
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        trainer = lightning.Trainer(
            accelerator=accelerator,
            devices=ranks,
            precision="bf16-mixed" if half else "32-true",
            max_epochs=settings.epochs,
            gradient_clip_val=settings.clip_norm or None,
            deterministic="warn" if gpu else True,
            logger=logger,
            callbacks=[progress],
            default_root_dir=checkpoint.parent,
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
            datamodule=Loaders(settings, seed, learning, checking, -(-_seen_before(settings) // len(learning))),
            ckpt_path=resume,
            weights_only=True if resume else None,
        )
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    return progress


def _build(settings: TrainSettings, seed: int) -> Any:
    """The network with its first weights, the same for the same seed."""
    import torch

    options = settings.options()
    if settings.first_weights == "shipped":
        return _shipped(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.integer(seed, "train/weights"))
        return networks.build(settings.network, **options)


def _shipped(settings: TrainSettings) -> Any:
    """The network that came with the package, to be trained further.

    Raises
    ------
    BraggfillError : there is none, or it is another one than the settings ask for.
    """
    if not networks.is_shipped(settings.network):
        raise BraggfillError(
            f"train.first_weights: no weights of {settings.network} came with this package; set it to random"
        )
    network = networks.load(networks.shipped(settings.network))
    wanted = networks.build(settings.network, **settings.options()).options
    if network.options != wanted:
        raise BraggfillError(
            f"train.first_weights: the shipped network is {network.options}, the settings ask for {wanted}; make them "
            "equal, or set first_weights to random"
        )
    return network


def _seen_before(settings: TrainSettings) -> int:
    """Patches that the first weights have been trained on."""
    if settings.first_weights == "random":
        return 0
    return int(networks.card(networks.shipped(settings.network)).get("patches_seen", 0))


def _key(settings: TrainSettings, seed: int, code: str, *checksums: int) -> str:
    """Names a training: a checkpoint of another one is never taken up."""
    plain = settings.model_dump(mode="json", exclude={"tensorboard", "devices"})
    first = networks.shipped_digest(settings.network) if settings.first_weights == "shipped" else ""
    whole = json.dumps([plain, seed, code, checksums, storage.versions().get("torch"), first], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _write_history(rows: list[dict[str, float]], path: Path) -> None:
    lines = [",".join(HISTORY)]
    lines += [",".join("" if math.isnan(row[name]) else f"{row[name]:.6g}" for name in HISTORY) for row in rows]
    storage.write_text(path, "\n".join(lines) + "\n")


def _quiet() -> None:
    """Lightning's remarks on hardware and workers are not for the user of the pipeline."""
    import logging

    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
