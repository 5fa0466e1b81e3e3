"""Networks side by side: the objects that each makes of the same patterns (thesis, section 4.11, Fig. 4.52)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from braggfill import networks
from braggfill.phasing import score
from braggfill.physics import align
from braggfill.runs import seeds, storage
from braggfill.settings.phase import PhaseSettings
from braggfill.stages.phase.assess import BODIES, pattern
from braggfill.stages.phase.starts import Starts

if TYPE_CHECKING:
    from torch.nn import Module

    from braggfill.networks.phase.predicts import PhaseNetwork

COLUMNS = [
    "network", "parameters", "pattern", "kind", "body", "range_radians", "accuracy", "cpu_seconds",
]  # fmt: skip
SHOWN = 3
"""Patterns whose objects are kept."""
FIRST = 1_000_000
"""Number of the first particle; those below are the assessment's."""


def compare(settings: PhaseSettings, seed: int, models: list[Path], out: Path, objects: Path, code: str = "") -> None:
    """Judge the object of every network on the same patterns, which none has seen.

    The patterns are as in ``settings.assess``; kinds of field and bodies take turns, the range of the phase grows to
    the largest in training.  Every network's phase is used alike, with the measured amplitudes.

    Parameters
    ----------
    models : the run's networks.
    out : CSV, a row a network and pattern.
    objects : HDF5, a group a pattern with the slice of ``truth`` and of each network's object laid over it, complex64,
        through the middle across axis 0; the row of the table without the network as attributes.
    """
    import pandas as pd
    import torch

    torch.set_num_threads(1)
    chosen, most = settings.assess, settings.learn.phase_range_radians[1]
    loaded = {path.stem: cast("PhaseNetwork", networks.load(path)) for path in models}
    rows = []
    with storage.create(objects, settings=settings, seed=seed, code=code) as file:
        for index in range(settings.learn.tested):
            kind, body = chosen.kinds[index % len(chosen.kinds)], BODIES[index % len(BODIES)]
            span = most * (index + 1) / settings.learn.tested
            about = {"pattern": index, "kind": kind, "body": body, "range_radians": span}
            truth, counts = pattern(
                seed, kind, FIRST + index, body, span, chosen.oversampling, chosen.photons_exponent, chosen.box_px
            )
            group = file.create_group(f"{index:03d}") if index in _shown(settings.learn.tested) else None
            if group is not None:
                group.attrs.update(about)
                group["truth"] = truth[len(truth) // 2].astype(np.complex64)
            for name, network in loaded.items():
                ways = Starts(counts, None, network, seeds.integer(seed, "phase/compared", index))
                found = ways.expected()
                size = sum(p.numel() for p in cast("Module", network).parameters())
                told = {"accuracy": score.accuracy(found.obj, truth), "cpu_seconds": found.cpu_seconds}
                rows.append({"network": name, "parameters": size, **about, **told})
                if group is not None:
                    group[name] = align.align(found.obj, truth).obj[len(truth) // 2].astype(np.complex64)
                    group[name].attrs["accuracy"] = told["accuracy"]
    storage.write_table(out, pd.DataFrame(rows), columns=COLUMNS)


def _shown(number: int) -> set[int]:
    """Patterns from the weakest to the strongest phase."""
    return {round(place) for place in np.linspace(0, number - 1, min(SHOWN, number))}
