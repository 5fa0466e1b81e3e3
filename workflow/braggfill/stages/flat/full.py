"""The networks at their published size: counted, and trained for a few steps."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import torch

from braggfill.learning import planar_gap, planar_phase, planar_sets
from braggfill.networks import planar
from braggfill.networks.unets import parameters
from braggfill.runs import seeds, storage
from braggfill.settings.flat import FINAL, FlatSettings

SIDES = {"unet": 128, "msd": 128, "unet_mod": 128, "phase_large": 64}


def full(settings: FlatSettings, seed: int, out: Path, code: str = "") -> None:
    """Build each network, and train it on one batch: columns ``network``, ``side_px``, ``parameters``, ``published``,
    ``steps``, ``first_loss``, ``last_loss``, ``cpu_seconds`` a step and pattern."""
    rows = []
    for name, side in ((name, SIDES[name]) for name in settings.full.networks):
        torch.manual_seed(seeds.integer(seed, "flat/weights"))
        network = planar.build(name)
        steps, batch = settings.full.steps, settings.full.batch
        start = time.process_time()
        if name == "phase_large":
            drawn = planar_sets.patterns(batch, planar_sets.LOW_STRAIN, seeds.integer(seed, "flat/full"))
            start = time.process_time()
            curve = planar_phase.train(network, "wca_amplitude", drawn, steps, batch=batch)
        else:
            options = planar_sets.SetOptions(side=side, photons_exponent=(6, 6))
            drawn = planar_sets.patterns(batch, options, seeds.integer(seed, "flat/full"))
            start = time.process_time()
            gaps = planar_gap.GapOptions((9,))
            curve = planar_gap.train(network, FINAL, torch.log1p(drawn.intensity), gaps, steps, batch=batch)
        spent = (time.process_time() - start) / steps / batch
        rows.append({"network": name, "side_px": side, "parameters": parameters(network),
                     "published": planar.PUBLISHED[name], "steps": steps, "first_loss": curve[0],
                     "last_loss": curve[-1], "cpu_seconds": spent})  # fmt: skip
    storage.write_table(out, pd.DataFrame(rows))
