"""Whether the stated uncertainty is right: how often its intervals hold the counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.filling import methods
from braggfill.patterns import coverage, distribution, gaps, patching
from braggfill.runs import device as devices
from braggfill.runs import seeds, storage
from braggfill.settings.evaluate import EvaluateSettings
from braggfill.stages.evaluate.cut import PATCH_PX, crop_around_peak, set_apart

CALIBRATION_COLUMNS = [
    "source",
    "gap_axis",
    "gap_px",
    "method",
    "distribution",
    "selection",
    "photons_low",
    "photons_high",
    "level",
    "patches",
    "voxels",
    "coverage",
    "coverage_low",
    "coverage_high",
]
DISTRIBUTIONS = ("counts", "gaussian")

State = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def calibration_table(
    settings: EvaluateSettings, seed: int, patches: list[Path], scan: Path, model: Path, out: Path, code: str = ""
) -> None:
    """Coverage of the intervals that follow from what a network states, against counts.

    Test patches of simulated particles, and random ones of the measured scan, get a gap in their middle, as in
    :func:`braggfill.stages.evaluate.patches.gap_table`; ``settings.calibration.voxels`` of each gap are looked at.  A
    row is one (source, axis, width, method, distribution, selection of voxels, level):

    - ``distribution``: ``counts``, the negative binomial of :mod:`braggfill.patterns.distribution`, coverage by the
      probability integral transform; ``gaussian``, the interval of log(1 + counts) taken literally, for comparison;
    - ``selection``, ``photons_low``, ``photons_high``: voxels by the photons that the network predicts there: ``all``,
      ``ge1`` (at least 1), and the bins of :data:`braggfill.patterns.coverage.BINS`;
    - ``coverage``, ``coverage_low``, ``coverage_high``: share of the counts within the central interval of ``level``,
      and its bootstrap 95 % interval over the patches.  Right is ``coverage`` = ``level``.

    Methods that state no uncertainty have no rows, nor has a source that was left out.

    Raises
    ------
    BraggfillError : a file is missing or damaged, or the scan is smaller than a patch.
    """
    import pandas as pd

    names = methods.available(settings.methods)
    states = {method: state for method in names if (state := _state(settings, method, model))}
    rows: list[dict[str, Any]] = []
    if states:
        counts, _ = set_apart(patches, settings.calibration.patches, seed)
        rows += _rows(settings, seed, "simulated", counts, settings.patches.gap_axes[:1], states)
        rows += _rows(settings, seed, "measured", _measured(settings, seed, scan), settings.patches.gap_axes, states)
    storage.write_table(out, pd.DataFrame(rows), columns=CALIBRATION_COLUMNS)


def _measured(settings: EvaluateSettings, seed: int, scan: Path) -> np.ndarray:
    """Random patches of the measured scan; none where it was left out."""
    if storage.left_out(scan) is not None:
        return np.zeros((0, *[PATCH_PX] * 3))
    with storage.read(scan) as file:
        counts = np.clip(crop_around_peak(storage.array(file, "data"), settings.crop_px), 0, None)
    if min(counts.shape) < PATCH_PX:
        raise BraggfillError(f"{scan}: {counts.shape} is smaller than a patch of {PATCH_PX}³; use another scan")
    rng = seeds.generator(seed, "evaluate/calibration/measured")
    origins = patching.random_origins(rng, counts.shape, settings.calibration.patches, PATCH_PX)
    return patching.cut(counts, origins, PATCH_PX)


def _state(settings: EvaluateSettings, method: str, model: Path) -> State | None:
    """A function (counts (n, …), mask) -> mu and sigma in the gap, (n, voxels missing) each; None for a method that
    states no uncertainty."""
    file = methods.network_file(method, model if method == "network" else None)
    if file is None:
        return None
    import torch

    device = devices.choose()
    network = networks.load(file, device)
    if not network.uncertain or not network.card.get("uncertainty", True):
        return None

    def state(counts: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = []
        for first in range(0, len(counts), settings.batch_patches):
            part = counts[first : first + settings.batch_patches]
            logs = torch.from_numpy(np.where(mask, 0, np.log1p(part)).astype(np.float32)).to(device)
            missing = torch.from_numpy(mask).to(device).expand(logs.shape)
            with torch.inference_mode():
                mean, log_variance = network.predict(logs, missing)
            assert log_variance is not None  # the network is uncertain
            # Never less than nothing is expected: what filling does, too.
            stated = mean.float().clamp(min=0), torch.exp(log_variance.float() / 2)
            found.append([values.cpu().numpy()[:, mask] for values in stated])
        mu, sigma = (np.concatenate(values) for values in zip(*found, strict=True))
        return mu, sigma

    return state


def _rows(
    settings: EvaluateSettings,
    seed: int,
    source: str,
    counts: np.ndarray,
    axes: tuple[int, ...],
    states: dict[str, State],
) -> Iterator[dict[str, Any]]:
    if not len(counts):
        return
    from tqdm import tqdm

    sweep = [(axis, width) for axis in axes for width in settings.patches.gap_widths_px]
    for axis, width in tqdm(sweep, f"calibration, {source}", unit="gap", disable=None):
        mask = gaps.plane(counts.shape[1:], width, axis=axis)
        rng = seeds.generator(seed, "evaluate/calibration", axis, width)
        some = rng.permuted(np.broadcast_to(np.arange(mask.sum()), (len(counts), mask.sum())), axis=1)
        some = some[:, : settings.calibration.voxels]
        for method, state in states.items():
            mu, sigma = (np.take_along_axis(x, some, axis=1).astype(np.float64) for x in state(counts, mask))
            truth = np.take_along_axis(counts[:, mask], some, axis=1)
            about = {"source": source, "gap_axis": axis, "gap_px": width, "method": method}
            for row in _judged(settings, seed, mu, sigma, truth):
                yield {**about, **row}


def _judged(
    settings: EvaluateSettings, seed: int, mu: np.ndarray, sigma: np.ndarray, truth: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Every distribution, selection of voxels and level, of arrays (patches, voxels)."""
    before, upto = distribution.predictive(mu, sigma).pit(truth)
    photons = np.expm1(mu)
    for kind in DISTRIBUTIONS:
        inside = [
            coverage.between(before, upto, level)
            if kind == "counts"
            else coverage.held_by_gaussian(mu, sigma, truth, level)
            for level in settings.calibration.levels
        ]
        for name, low, high in selections():
            chosen = (photons >= low) & (photons < high)
            number = chosen.sum(axis=1)
            if not number.any():
                continue
            shares = np.stack([np.where(chosen, held, 0).sum(axis=1) for held in inside], axis=1)
            rng = seeds.generator(seed, "evaluate/calibration/bootstrap")
            found = coverage.coverage(shares, rng, number=number, draws=settings.bootstrap_draws)
            about = {"distribution": kind, "selection": name, "photons_low": low, "photons_high": high}
            about |= {"patches": int((number > 0).sum()), "voxels": int(number.sum())}
            for level, *values in zip(settings.calibration.levels, *found, strict=True):
                yield {
                    **about,
                    "level": level,
                    **dict(zip(("coverage", "coverage_low", "coverage_high"), map(float, values), strict=True)),
                }


def selections() -> Iterator[tuple[str, float, float]]:
    """Name and predicted photons of the voxels that are told apart."""
    yield "all", 0.0, np.inf
    yield "ge1", 1.0, np.inf
    for low, high in zip(coverage.BINS, coverage.BINS[1:], strict=False):
        yield (f"{low:g}-{high:g}" if np.isfinite(high) else f"over{low:g}"), low, high
