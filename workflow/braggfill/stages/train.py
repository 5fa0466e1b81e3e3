"""Train a network on patches: from HDF5 files of patches to one safetensors file and its learning curve."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.learning import trainer
from braggfill.learning.gap import losses
from braggfill.learning.gap.options import Options, options
from braggfill.learning.task import Plan
from braggfill.runs import seeds, storage
from braggfill.settings.train import TrainSettings


def train(
    settings: TrainSettings, seed: int, patches: list[Path], model: Path, history: Path, work: Path, code: str = ""
) -> dict[str, Any]:
    """Train a network and keep its best epoch (the least validation loss; paper, section 2.3).

    Parameters
    ----------
    patches : HDF5 files of the extract stage: ``counts``, ``expectation`` (n, s, s, s) and ``split`` (n).
    model : safetensors file to write; its metadata hold settings, seed, code, versions and metrics.
    history : CSV to write, a row an epoch: losses, PCC over the gap of the network and of linear interpolation
        (validation patches of at least one count per voxel), learning rate, seconds since the training began.
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
    from braggfill.learning.gap.data import load
    from braggfill.learning.gap.task import GapTask

    chosen = options(settings.network, settings.model_dump())
    training, validation = load([Path(file) for file in patches], chosen, settings.network)
    task = GapTask(settings.network, chosen, seed, training, validation)
    key = _key(settings, seed, code, training.checksum(), validation.checksum())
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    checkpoint = work / f"{key}.ckpt"
    first, earlier = _build(settings, seed), _seen_before(settings)
    whole = replace(plan(settings, chosen), first_epoch=-(-earlier // len(training)))
    found = trainer.fit(first, task, whole, checkpoint)
    trainer.write_history(task, found.rows, Path(history))
    best = found.rows[found.best_epoch - 1]
    metadata = {
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "code": code,
        "versions": storage.versions(),
        "patches": {"train": len(training), "validation": len(validation)},
        "patches_seen": len(training) * best["epoch"] + earlier,
        "metrics": {name: best[name] for name in trainer.columns(task)[:-1] if not math.isnan(best[name])},
        "uncertainty": any(chosen.loss.get(name) for name in losses.VARIANCE),
    }
    network = _build(settings, seed)
    network.load_state_dict(found.best)
    networks.save(model, network, metadata)
    for other in work.glob("*.ckpt"):
        if other != checkpoint:
            other.unlink()
    return metadata


def plan(settings: TrainSettings, options: Options) -> Plan:
    """What the settings say of the training itself."""
    return Plan(
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        schedule=options.schedule,
        clip_norm=settings.clip_norm,
        batch_size=settings.batch_size,
        precision=settings.precision,
        device=settings.device,
        devices=settings.devices,
        threads=settings.threads,
        tensorboard=settings.tensorboard,
        title=f"train {settings.network}",
    )


def _build(settings: TrainSettings, seed: int) -> Any:
    """The network with its first weights, the same for the same seed."""
    import torch

    if settings.first_weights == "shipped":
        return _shipped(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.integer(seed, "train/weights"))
        return networks.build(settings.network, **settings.options())


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
