"""Predicted phases as starts of the iterative engine, beside random starts."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from braggfill.learning import phase_losses, planar_phase
from braggfill.networks import planar
from braggfill.phasing import cycling, score, support
from braggfill.phasing.projections import Measured
from braggfill.phasing.recipe import Recipe, Schedule
from braggfill.phasing.starts import Start, random
from braggfill.physics import fields
from braggfill.runs import seeds, storage
from braggfill.settings.flat import FlatSettings
from braggfill.stages.flat import sets

COLUMNS = ["pattern", "kind", "range", "start", "accuracy", "alone", "residual", "cpu_seconds"]
THRESHOLD = 0.2
"""Of supports, relative to the rms."""


def starts(settings: FlatSettings, seed: int, patterns: Path, models: list[Path], out: Path, code: str = "") -> None:
    """Phase test patterns of high strain from random starts and from each network's prediction.

    The patterns have a first axis of one voxel for the engine.  Columns :data:`COLUMNS`: ``start`` is ``random-<n>`` or
    the network's loss; ``accuracy`` (Eq. 4.5) of the object, ``alone`` of the prediction itself; ``residual`` of the
    amplitudes, what tells without knowing the truth; seconds of the processor.
    """
    options = settings.starts
    test = sets.read(patterns, "test", options.patterns)
    long, short = (
        _schedule(*cycles, long) for cycles, long in ((options.long_cycles, True), (options.short_cycles, False))
    )
    networks = {path.stem.split("-")[2]: planar.load(path) for path in models}
    phases = {name: planar_phase.phase_of(planar_phase.predict(one, test.planar)) for name, one in networks.items()}
    rows = []
    own = sets.study_seed(seed, "starts")
    for index in range(len(test.kind)):
        intensity = test.planar.intensity[index].numpy()
        # The truth has the phase of the noise-free amplitude and its modulus.
        truth = phase_losses.objects(test.expectation[index : index + 1], test.planar.phase[index : index + 1])[
            0
        ].numpy()
        measured = Measured(intensity[None])
        given = {"pattern": index, "kind": fields.KINDS[test.kind[index]], "range": test.range[index]}
        whole = support.autocorrelation(intensity, Recipe().autocorrelation_threshold)
        for number in range(options.starts):
            rng = seeds.generator(own, "flat/start", index, number)
            start = Start(random(whole, rng)[None], whole[None], THRESHOLD, rng, number)
            rows.append({**given, "start": f"random-{number}", "alone": np.nan, **_run(measured, start, long, truth)})
        for name, predicted in phases.items():
            guess = phase_losses.objects(test.planar.intensity[index : index + 1], predicted[index : index + 1])[0]
            rng = seeds.generator(own, "flat/start", index, 0)
            start = Start(guess.numpy()[None], _inside(guess).numpy()[None], THRESHOLD, rng)
            alone = score.accuracy(guess.numpy(), truth)
            rows.append({**given, "start": name, "alone": alone, **_run(measured, start, short, truth)})
    storage.write_table(out, pd.DataFrame(rows), columns=COLUMNS)


def _schedule(hio: int, raar: int, er: int, long: bool) -> Schedule:
    if long:
        return Schedule((("HIO", hio), ("RAAR", raar)), er, (3.0, 0.8), THRESHOLD)
    return Schedule((("RAAR", raar // 2), ("HIO", hio), ("RAAR", raar - raar // 2)), er, (1.5, 0.8), THRESHOLD)


def _inside(guess: torch.Tensor) -> torch.Tensor:
    """A first support of a predicted object, of its smoothed modulus, generous."""
    whole = torch.ones((1, 1, *guess.shape), dtype=torch.bool)
    shifted = torch.fft.ifftshift(guess)[None, None]
    found = support.update(shifted, whole, threshold=0.7, width=1.5)
    return torch.fft.fftshift(found[0, 0])


def _run(measured: Measured, start: Start, schedule: Schedule, truth: np.ndarray) -> dict[str, float]:
    began = time.process_time()
    done = cycling.cycle(measured, [start], schedule, Recipe())[0]
    spent = time.process_time() - began
    amplitude, counted = np.sqrt(done.model[0]), np.sqrt(np.fft.fftshift(measured.pull[0, 0].numpy() ** 2))
    residual = float(((amplitude - counted) ** 2).sum() / (counted**2).sum())
    return {"accuracy": score.accuracy(done.obj[0], truth), "residual": residual, "cpu_seconds": spent}
