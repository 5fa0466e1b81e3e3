"""One network trained to predict phases with one loss, and its scores."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from braggfill.learning import planar_phase
from braggfill.networks import planar
from braggfill.networks.unets import parameters
from braggfill.runs import seeds, storage
from braggfill.settings.flat import FlatPhases, FlatSettings
from braggfill.stages.flat import sets

EXAMPLES = 4
"""Test patterns that figures show."""
CHECKS = 20
"""Times that the validation loss is computed."""


def phase_cell(
    settings: FlatSettings, seed: int, patterns: Path, model: Path, out: Path, study: str, cell: str, code: str = ""
) -> None:
    """Train the network of ``cell``, ``<loss>-<patterns>-<width>``, and score it.

    ``out`` holds ``history`` (columns), ``scores/<score>`` (n) of each test pattern
    (:func:`braggfill.learning.planar_phase.scores`), with ``kind`` and ``range`` of its object, and ``examples/phase``.
    """
    loss, number, width = cell.split("-")
    block: FlatPhases = getattr(settings, study)
    own = sets.study_seed(seed, study)
    learning, validation = sets.read(patterns, "train", int(number)).planar, sets.read(patterns, "validation").planar
    torch.manual_seed(seeds.integer(seed, "flat/weights"))
    options: dict[str, Any] = {"width": float(width), "outputs": planar_phase.outputs(loss)}
    network = planar.build("phase_large", **options)
    every = max(1, block.steps // CHECKS)
    rows: dict[str, list[float]] = {name: [] for name in ("step", "loss", "validation_loss", "cpu_seconds")}
    spent, last = 0.0, time.process_time()
    recent: list[float] = []

    def told(step: int, found: float) -> None:
        nonlocal spent, last
        recent.append(found)
        if step % every and step != block.steps:
            return
        spent += time.process_time() - last  # without the validation
        values = (step, sum(recent) / len(recent), planar_phase.validate(loss, network, validation), spent)
        for column, value in zip(rows, values, strict=True):
            rows[column].append(value)
        recent.clear()
        last = time.process_time()

    planar_phase.train(
        network,
        loss,
        learning,
        block.steps,
        batch=block.batch,
        rate=block.rate,
        decay=block.decay,
        seed=own,
        told=told,
    )
    planar.save(model, network, "phase_large", **options)
    test = sets.read(patterns, "test")
    some = test.planar.part(slice(EXAMPLES))
    with storage.create(out, settings=settings, seed=seed, code=code, parameters=parameters(network)) as file:
        sets.write_columns(file.create_group("history"), rows)
        for name, values in planar_phase.scores(network, test.planar).items():
            file[f"scores/{name}"] = values.numpy()
        file["scores/kind"], file["scores/range"] = test.kind, test.range
        file["examples/phase"] = planar_phase.phase_of(planar_phase.predict(network, some)).numpy()
