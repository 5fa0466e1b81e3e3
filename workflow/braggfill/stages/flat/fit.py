"""The phase of one pattern fitted by a small network with WCA (Masto, thesis, Fig. 4.7)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from braggfill.learning import phase_losses, planar_phase
from braggfill.networks import planar
from braggfill.runs import seeds, storage
from braggfill.settings.flat import FlatSettings
from braggfill.stages.flat import sets

STEPS = (0, 150, 400)
"""Steps that the figure shows."""
WIDTH = 0.15
RATE = 1e-3


def fit(settings: FlatSettings, seed: int, patterns: Path, out: Path, code: str = "") -> None:
    """Fit the first validation pattern of the low-strain set.

    ``out`` holds ``intensity``, ``phase`` (side, side), ``predicted`` (steps, side, side) before the steps of
    ``steps``, ``updates`` likewise, the change of the phase in the step that follows, and ``coherence`` (all steps
    and 1).
    """
    one = sets.read(patterns, "validation", 1).planar
    torch.manual_seed(seeds.integer(seed, "flat/fit"))
    network = planar.build("phase_large", WIDTH)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    coherence, predicted, updates = [], [], []
    for step in range(STEPS[-1] + 1):
        output = network(one.inputs(slice(None)))
        found = planar_phase.value("wca_amplitude", output, one.intensity, one.phase).mean()
        coherence.append(1 - float(found.detach()))
        optimiser.zero_grad(set_to_none=True)
        found.backward()
        optimiser.step()
        if step in STEPS:
            with torch.no_grad():
                after = network(one.inputs(slice(None)))
            predicted.append(output.detach()[0, 0].numpy())
            updates.append((after - output.detach())[0, 0].numpy())
    weights = phase_losses.amplitude_weights(one.intensity)[0].numpy()
    # The truth or its twin, whichever it came to.
    same, twin = phase_losses.coherence(
        phase_losses.phasor(output.detach()[:, 0]), one.phase, torch.tensor(weights[None])
    )
    sign = 1 if float(same) >= float(twin) else -1
    with storage.create(out, settings=settings, seed=seed, code=code, twin=sign < 0) as file:
        file["intensity"], file["phase"] = one.intensity[0].numpy(), sign * one.phase[0].numpy()
        file["predicted"], file["updates"], file["steps"] = np.stack(predicted), np.stack(updates), np.array(STEPS)
        file["coherence"], file["weights"] = np.array(coherence), weights
