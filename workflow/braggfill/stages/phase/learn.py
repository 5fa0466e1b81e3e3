"""Training of the networks for whole patterns, each on the same patterns (thesis, sections 4.8 and 4.11)."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from braggfill import networks
from braggfill.learning import phase_data, trainer
from braggfill.learning.phase_task import PhaseTask
from braggfill.learning.task import Plan
from braggfill.networks.phase import braggphase, whole
from braggfill.runs import seeds, storage
from braggfill.settings.phase import LearnSettings, PhaseSettings


def learn(
    settings: PhaseSettings, seed: int, name: str, model: Path, history: Path, work: Path, code: str = ""
) -> dict[str, Any]:
    """Train one network and keep its best epoch.

    Parameters
    ----------
    name : of the network, one of ``settings.learn.networks``.
    model : safetensors file to write, with a card.  history : CSV, a row an epoch.
    work : folder of the checkpoint; a training that was killed goes on from it.

    Returns
    -------
    The card.
    """
    import torch

    chosen = settings.learn
    torch.set_num_threads(chosen.threads)
    task = task_of(chosen, seed, name)
    plan = Plan(
        chosen.epochs, chosen.learning_rate, batch_size=chosen.batch_size, device=chosen.device,
        devices=chosen.devices, threads=chosen.threads, title=f"phase_learn {name}",
    )  # fmt: skip
    plain = chosen.model_dump(mode="json", exclude={"networks", "devices", "tested"})
    key = hashlib.sha256(json.dumps([plain, seed, name, code, storage.versions().get("torch")]).encode()).hexdigest()
    work.mkdir(parents=True, exist_ok=True)
    checkpoint = work / f"{name}-{key[:16]}.ckpt"
    found = trainer.fit(build(chosen, seed, name), task, plan, checkpoint)
    trainer.write_history(task, found.rows, history)
    best = found.rows[found.best_epoch - 1]
    card = {
        "settings": plain,
        "seed": seed,
        "code": code,
        "versions": storage.versions(),
        "patterns_seen": int(best["epoch"]) * task.steps() * chosen.batch_size,
        "metrics": {name: best[name] for name in trainer.columns(task)[:-1] if not math.isnan(best[name])},
    }
    network = build(chosen, seed, name)
    network.load_state_dict(found.best)
    networks.save(model, network, card)
    for other in work.glob(f"{name}-*.ckpt"):
        if other != checkpoint:
            other.unlink()
    return card


def task_of(chosen: LearnSettings, seed: int, name: str) -> PhaseTask:
    """What the network learns: the patterns are the same for all of one size."""
    crystals, seen = phase_data.TRAINED
    side = whole.SIDES.get(name, braggphase.SIDE)
    return PhaseTask(
        patterns=chosen.patterns,
        batch=chosen.batch_size,
        seed=seeds.integer(seed, "phase/learn"),
        exposures=chosen.exposures,
        pool=4 * chosen.batch_size,
        validating=chosen.validation,
        weights=chosen.weights,
        crystals=replace(crystals, range=chosen.phase_range_radians),
        seen=replace(seen, side=side),
    )


def build(chosen: LearnSettings, seed: int, name: str) -> Any:
    """The network with its first weights, the same for the same seed."""
    import torch

    options: dict[str, Any] = {}
    if name == "braggphase":
        options = {"channels": chosen.channels, "blocks": chosen.blocks, "heads": chosen.heads}
    elif name in ("rsp", "central"):
        options = {"width": chosen.width}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.integer(seed, "phase/weights"))
        return networks.build(name, **options)
