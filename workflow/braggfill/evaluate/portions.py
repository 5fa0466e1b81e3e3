"""Random portions with a gap in the middle, filled by every method: how the paper's Table 1 was made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from braggfill import gaps, metrics, networks, patches, seeds, storage
from braggfill.errors import BraggfillError
from braggfill.interpolate import MOST, interpolate
from braggfill.settings.evaluate import EvaluateSettings

PORTION_PX = 32
GAP_COLUMNS = [
    "source",
    "against",
    "gap_axis",
    "gap_px",
    "method",
    "selection",
    "portions",
    "pcc_mean",
    "pcc_low",
    "pcc_high",
    "pcc_binned",
    "ceiling",
    "ceiling_binned",
    "share_of_ceiling",
    "published",
    "published_source",
]
PUBLISHED = {3: 0.989, 6: 0.977, 9: 0.955, 12: 0.946}
PUBLISHED_SOURCE = "paper, Table 1 (mean of 20 intensity bins; ID01 data)"

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]


def gap_table(settings: EvaluateSettings, seed: int, scan: Path, model: Path, out: Path, code: str = "") -> None:
    """PCC over the gap of random portions of a measured scan, against its counts (paper section 2.3, Table 1).

    ``settings.portions`` portions of 32³ voxels are cut at uniformly random places from a cube of ``settings.crop_px``
    around the brightest voxel.  Each gets a gap in its middle, of each width and across each axis, which each method
    fills; the PCC is that of log(1 + counts).  A row is one (axis, width, method, selection of portions):

    - ``pcc_mean``, ``pcc_low``, ``pcc_high``: mean over the portions and its bootstrap 95 % interval;
    - ``pcc_binned``: mean of the averages over 20 equal bins of the log of the mean intensity, as published;
    - ``ceiling``: mean noise ceiling of the same portions (:func:`braggfill.metrics.noise_ceiling`), and
      ``ceiling_binned`` its mean over the bins;
    - ``share_of_ceiling``: (PCC - linear's) / (ceiling - linear's), how much of what can be gained is gained.

    Where the scan was left out the table has its header only.

    Raises
    ------
    BraggfillError : a file is missing or damaged, or the scan is smaller than a portion.
    """
    if storage.left_out(scan) is not None:
        _write(out, [])
        return
    with storage.read(scan) as file:
        counts = np.clip(crop_around_peak(storage.array(file, "data"), settings.crop_px), 0, None)
    if min(counts.shape) < PORTION_PX:
        raise BraggfillError(f"{scan}: {counts.shape} is smaller than a portion of {PORTION_PX}³; use another scan")
    origins = patches.random_origins(
        seeds.generator(seed, "evaluate/measured"), counts.shape, settings.portions, PORTION_PX
    )
    portions = patches.cut(counts, origins, PORTION_PX)
    rng = seeds.generator(seed, "evaluate/measured/ceiling")
    halves = (patches.cut(metrics.thin(counts, rng), origins, PORTION_PX) for _ in range(settings.ceiling_draws))
    ceilings = _ceilings(settings, portions, halves, settings.gap_axes)
    rows = []
    for axis in settings.gap_axes:
        rows += _sweep(settings, seed, "measured", portions, None, axis, model, ceilings)
    _write(out, rows)


def simulated_table(
    settings: EvaluateSettings, seed: int, portions: list[Path], model: Path, out: Path, code: str = ""
) -> None:
    """The same over test portions of simulated patterns, against their counts and against the noise-free expectation.

    Only portions of particles that were set apart for the test are used, at most ``settings.simulated_portions``,
    and the first of ``settings.gap_axes``.  Against the expectation the ceiling is 1.  Columns as in :func:`gap_table`;
    where there is no test portion the table has its header only.
    """
    counts, expectation = _test_portions(portions, settings.simulated_portions, seed)
    rows = []
    if len(counts):
        axis = settings.gap_axes[0]
        rng = seeds.generator(seed, "evaluate/simulated/ceiling")
        ceilings = _ceilings(
            settings, counts, (metrics.thin(counts, rng) for _ in range(settings.ceiling_draws)), (axis,)
        )
        rows = _sweep(settings, seed, "simulated", counts, expectation, axis, model, ceilings)
    _write(out, rows)


def crop_around_peak(counts: np.ndarray, edge: int) -> np.ndarray:
    """The cube of ``edge`` voxels around the brightest one, moved inside the array, smaller where the array is."""
    peak = np.unravel_index(np.argmax(counts), counts.shape)
    first = [min(max(p - edge // 2, 0), max(n - edge, 0)) for p, n in zip(peak, counts.shape, strict=True)]
    return counts[tuple(slice(f, f + edge) for f in first)]


def _fill_of(method: str, model: Path, batch: int) -> Fill:
    if method in ("network", "shipped"):
        return network_fill(model if method == "network" else networks.shipped(), batch)
    return interpolation_fill(method, batch)


def network_fill(model: Path, batch: int) -> Fill:
    """A function (counts (n, …), mask) -> what a trained network predicts in the gap, photons (n, voxels missing)."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = networks.load(model, device)

    def fill(counts: np.ndarray, mask: np.ndarray) -> np.ndarray:
        # The published network knows gaps across the last axis only.
        axis = _gap_axis(mask) if getattr(network, "name", "") == "paper" else mask.ndim - 1
        found = []
        for part in _parts(len(counts), batch):
            logs = np.log1p(counts[part]).astype(np.float32).swapaxes(axis + 1, -1)
            missing = np.broadcast_to(mask.swapaxes(axis, -1), logs.shape)
            with torch.inference_mode():
                x = torch.from_numpy(np.ascontiguousarray(np.where(missing, 0, logs))).to(device)
                m = torch.from_numpy(missing.copy()).to(device)
                predicted = network.predict(x, m)[0].float().cpu().numpy()
            logs = predicted.swapaxes(axis + 1, -1)[:, mask].astype(np.float64)
            found.append(np.expm1(np.clip(logs, 0, MOST)))
        return np.concatenate(found)

    return fill


def interpolation_fill(method: str, batch: int) -> Fill:
    """The same for an interpolation."""

    def fill(counts: np.ndarray, mask: np.ndarray) -> np.ndarray:
        # Along the axes no method looks further than two voxels beyond a plane, the others as far as they say.
        reach = 2 if method in ("linear", "cubic", "nearest") else 8
        axis = _gap_axis(mask)
        places = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        near = (slice(None),) * axis + (slice(max(places[0] - reach, 0), places[-1] + 1 + reach),)
        part = mask[near]
        return np.concatenate(
            [interpolate(counts[(p, *near)], part, method)[:, part] for p in _parts(len(counts), batch)]
        )

    return fill


def _ceilings(
    settings: EvaluateSettings, counts: np.ndarray, halves: Iterable[np.ndarray], axes: tuple[int, ...]
) -> dict[tuple[int, int], np.ndarray]:
    """Noise ceiling of each portion for each (gap axis, width)."""
    split: dict[tuple[int, int], list[np.ndarray]] = {}
    for half in halves:
        for axis in axes:
            for width in settings.gap_widths_px:
                mask = gaps.plane(counts.shape[1:], width, axis=axis)
                split.setdefault((axis, width), []).append(metrics.split_pcc(counts[:, mask], half[:, mask]))
    return {key: metrics.ceiling(np.mean(found, axis=0)) for key, found in split.items()}


def _sweep(
    settings: EvaluateSettings,
    seed: int,
    source: str,
    counts: np.ndarray,
    expectation: np.ndarray | None,
    axis: int,
    model: Path,
    ceilings: dict[tuple[int, int], np.ndarray],
) -> list[dict[str, Any]]:
    """Every width, method and selection of portions for a gap across one axis: the rows of the table."""
    from tqdm import tqdm

    methods = networks.at_hand(settings.methods)
    fills = {method: _fill_of(method, model, settings.batch_portions) for method in ("linear", *methods)}
    truths = {"counts": counts} if expectation is None else {"counts": counts, "expectation": expectation}
    mean = counts.reshape(len(counts), -1).mean(axis=1, dtype=np.float64)
    bar = tqdm(settings.gap_widths_px, f"{source} portions, gap across axis {axis}", unit="gap", disable=None)
    rows = []
    for width in bar:
        mask = gaps.plane(counts.shape[1:], width, axis=axis)
        filled = {method: np.log1p(fill(counts, mask)) for method, fill in fills.items()}
        for against, truth in truths.items():
            best = ceilings[axis, width] if against == "counts" else np.ones(len(counts))
            logs = np.log1p(truth[:, mask].astype(np.float64))
            every = np.ones(logs.shape[1], bool)
            scores = {method: metrics.pcc(logs, found, every) for method, found in filled.items()}
            for name, chosen in _selections(settings, mean):
                linear = _row(settings, seed, scores["linear"], best, mean, chosen)
                for method in methods:
                    row = _row(settings, seed, scores[method], best, mean, chosen)
                    row |= {"share_of_ceiling": _share(row["pcc_mean"], linear["pcc_mean"], row["ceiling"])}
                    row |= {"source": source, "against": against, "gap_axis": axis, "gap_px": width}
                    row |= {"method": method, "selection": name}
                    if (source, axis, method, name) == ("measured", 2, "network", "all"):
                        row |= {"published": PUBLISHED.get(width), "published_source": PUBLISHED_SOURCE}
                    rows.append(row)
    return rows


def _share(score: float, linear: float, ceiling: float) -> float:
    """How much of the way from linear interpolation to the ceiling."""
    return (score - linear) / (ceiling - linear) if abs(ceiling - linear) > 1e-9 else float("nan")


def _row(
    settings: EvaluateSettings, seed: int, scores: np.ndarray, ceiling: np.ndarray, mean: np.ndarray, chosen: np.ndarray
) -> dict[str, Any]:
    # A portion whose gap holds one value only has no PCC; it counts neither here nor in the ceiling.
    good = chosen & np.isfinite(scores) & np.isfinite(ceiling)
    if not good.any():
        nothing = dict.fromkeys(("pcc_mean", "pcc_low", "pcc_high", "pcc_binned", "ceiling", "ceiling_binned"), np.nan)
        return {"portions": 0, **nothing}
    rng = seeds.generator(seed, "evaluate/bootstrap")
    low, high = metrics.bootstrap(scores[good], rng, draws=settings.bootstrap_draws)
    return {
        "portions": int(good.sum()),
        "pcc_mean": scores[good].mean(),
        "pcc_low": low,
        "pcc_high": high,
        "pcc_binned": metrics.log_intensity_bins(mean[good], scores[good], settings.bins).average,
        "ceiling": ceiling[good].mean(),
        "ceiling_binned": metrics.log_intensity_bins(mean[good], ceiling[good], settings.bins).average,
    }


def _selections(settings: EvaluateSettings, mean: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "all", np.ones(len(mean), bool)
    for least in settings.bright_counts_per_voxel:
        yield f"ge{least:g}", mean >= least


def _test_portions(files: list[Path], most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts and expectation of the test portions, in the order of the particles, at most ``most`` of them."""
    places: list[tuple[Path, int]] = []
    for path in files:
        if storage.left_out(path) is not None:
            continue
        with storage.read(path) as file:
            places += [(path, int(i)) for i in np.flatnonzero(storage.array(file, "split") == 2)]
    if len(places) > most:
        rng = seeds.generator(seed, "evaluate/simulated")
        places = [places[i] for i in np.sort(rng.choice(len(places), most, replace=False))]
    counts, expectation = [], []
    for path in dict.fromkeys(path for path, _ in places):
        wanted = [i for other, i in places if other == path]
        with storage.read(path) as file:
            counts.append(storage.array(file, "counts")[wanted])
            expectation.append(storage.array(file, "expectation")[wanted])
    if not places:
        return np.zeros((0, *[PORTION_PX] * 3)), np.zeros((0, *[PORTION_PX] * 3))
    return np.concatenate(counts), np.concatenate(expectation)


def _gap_axis(mask: np.ndarray) -> int:
    """The axis that a plane gap interrupts."""
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        if mask.all(axis=others).any():
            return axis
    return mask.ndim - 1


def _parts(total: int, size: int) -> list[slice]:
    return [slice(first, first + size) for first in range(0, total, size)]


def _write(out: Path, rows: list[dict[str, Any]]) -> None:
    import pandas as pd

    storage.write_table(out, pd.DataFrame(rows), columns=GAP_COLUMNS)
