"""Random patches with a gap in the middle, filled by every method: how the paper's Table 1 was made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.filling.methods import WITH_NETWORK
from braggfill.patterns import gaps, metrics, patching
from braggfill.runs import seeds, storage
from braggfill.settings.evaluate import EvaluateSettings
from braggfill.stages.evaluate.cut import PATCH_PX, crop_around_peak, set_apart
from braggfill.stages.evaluate.fills import Methods, patches_fill
from braggfill.stages.evaluate.intensity import INTENSITY_COLUMNS, intensity_rows

GAP_COLUMNS = [
    "source",
    "against",
    "gap_axis",
    "gap_px",
    "method",
    "selection",
    "patches",
    "pcc_mean",
    "pcc_low",
    "pcc_high",
    "pcc_binned",
    "ceiling",
    "ceiling_binned",
    "recovered_fraction",
    "published",
    "published_source",
]
PUBLISHED = {3: 0.989, 6: 0.977, 9: 0.955, 12: 0.946}
PUBLISHED_SOURCE = "paper, Table 1 (mean of 20 intensity bins; ID01 data)"

Item = tuple[int, int]
"""A gap: the axis that it interrupts, and its width."""


def gap_table(
    settings: EvaluateSettings,
    seed: int,
    scan: Path,
    model: Path,
    out: Path,
    intensity: Path | None = None,
    shard: tuple[int, int] = (0, 1),
    code: str = "",
) -> None:
    """PCC over the gap of random patches of a measured scan, against its counts (paper section 2.3, Table 1).

    ``settings.measured.patches`` patches of 32³ voxels are cut at uniformly random places from a cube of
    ``settings.crop_px`` around the brightest voxel.  Each gets a gap in its middle, of each width and across each axis,
    which each method fills; the PCC is that of log(1 + counts).  A row is one (axis, width, method, selection of
    patches):

    - ``pcc_mean``, ``pcc_low``, ``pcc_high``: mean over the patches and its bootstrap 95 % interval;
    - ``pcc_binned``: mean of the averages over 20 equal bins of the log of the mean intensity, as published;
    - ``ceiling``: mean noise ceiling of the same patches (:func:`braggfill.patterns.metrics.noise_ceiling`), and
      ``ceiling_binned`` its mean over the bins;
    - ``recovered_fraction``: (PCC - linear's) / (ceiling - linear's), the fraction of the difference between linear
      interpolation and noise ceiling that is recovered.

    Where the scan was left out the table has its header only.

    Parameters
    ----------
    intensity : where the averages over each bin go (:func:`braggfill.stages.evaluate.intensity.intensity_rows`), if
        anywhere.
    shard : (i, n): every n-th of the gaps from the i-th on.

    Raises
    ------
    BraggfillError : a file is missing or damaged, or the scan is smaller than a patch.
    """
    if storage.left_out(scan) is not None:
        _write(out, [], intensity, [])
        return
    with storage.read(scan) as file:
        counts = np.clip(crop_around_peak(storage.array(file, "data"), settings.crop_px), 0, None)
    if min(counts.shape) < PATCH_PX:
        raise BraggfillError(f"{scan}: {counts.shape} is smaller than a patch of {PATCH_PX}³; use another scan")
    origins = patching.random_origins(
        seeds.generator(seed, "evaluate/measured"), counts.shape, settings.measured.patches, PATCH_PX
    )
    patches = patching.cut(counts, origins, PATCH_PX)
    rng = seeds.generator(seed, "evaluate/measured/ceiling")
    halves = (patching.cut(metrics.thin(counts, rng), origins, PATCH_PX) for _ in range(settings.ceiling_draws))
    items = _items(settings, settings.patches.gap_axes)[shard[0] :: shard[1]]
    methods = Methods.of(settings.methods, model, settings.paper_networks)
    _write(out, *_sweep(settings, seed, "measured", patches, None, items, methods, halves, intensity))


def simulated_table(
    settings: EvaluateSettings,
    seed: int,
    patches: list[Path],
    model: Path,
    out: Path,
    intensity: Path | None = None,
    shard: tuple[int, int] = (0, 1),
    code: str = "",
) -> None:
    """The same over test patches of simulated patterns, against their counts and against the noise-free expectation.

    Only patches of particles that were set apart for the test are used, at most ``settings.simulated.patches``,
    and the first of ``settings.patches.gap_axes``.  Against the expectation the ceiling is 1.  Columns as in
    :func:`gap_table`; where there is no test patch the table has its header only.
    """
    counts, expectation = set_apart(patches, settings.simulated.patches, seed)
    if not len(counts):
        _write(out, [], intensity, [])
        return
    items = _items(settings, settings.patches.gap_axes[:1])[shard[0] :: shard[1]]
    rng = seeds.generator(seed, "evaluate/simulated/ceiling")
    halves = (metrics.thin(counts, rng) for _ in range(settings.ceiling_draws))
    methods = Methods.of(settings.methods, model, settings.paper_networks)
    _write(out, *_sweep(settings, seed, "simulated", counts, expectation, items, methods, halves, intensity))


def _items(settings: EvaluateSettings, axes: tuple[int, ...]) -> list[Item]:
    """Every gap of the sweep; across axes after the first only the published widths, if there are any."""
    published = (
        tuple(width for width in settings.patches.gap_widths_px if width in PUBLISHED) or settings.patches.gap_widths_px
    )
    return [
        (axis, width) for axis in axes for width in (settings.patches.gap_widths_px if axis == axes[0] else published)
    ]


def _ceilings(counts: np.ndarray, halves: Iterable[np.ndarray], items: list[Item]) -> dict[Item, np.ndarray]:
    """Noise ceiling of each patch for each gap."""
    split: dict[Item, list[np.ndarray]] = {}
    for half in halves:
        for axis, width in items:
            mask = gaps.plane(counts.shape[1:], width, axis=axis)
            split.setdefault((axis, width), []).append(metrics.split_pcc(counts[:, mask], half[:, mask]))
    return {key: metrics.ceiling(np.mean(found, axis=0)) for key, found in split.items()}


def _sweep(
    settings: EvaluateSettings,
    seed: int,
    source: str,
    counts: np.ndarray,
    expectation: np.ndarray | None,
    items: list[Item],
    methods: Methods,
    halves: Iterable[np.ndarray],
    intensity: Path | None,
) -> tuple[list[dict[str, Any]], Path | None, list[dict[str, Any]]]:
    """Every gap, method and selection of patches: the rows of the table, and those of the bins with their place."""
    from tqdm import tqdm

    ceilings = _ceilings(counts, halves, items)
    truths = {"counts": counts} if expectation is None else {"counts": counts, "expectation": expectation}
    mean = counts.reshape(len(counts), -1).mean(axis=1, dtype=np.float64)
    rows, bins = [], []
    for axis, width in tqdm(items, f"{source} patches", unit="gap", disable=None):
        mask = gaps.plane(counts.shape[1:], width, axis=axis)
        names = dict.fromkeys(["linear", *methods.at(width)])
        fills = {name: patches_fill(methods, name, width, settings.batch_patches) for name in names}
        filled = {name: np.log1p(fill(counts, mask)) for name, fill in fills.items()}
        for against, truth in truths.items():
            best = ceilings[axis, width] if against == "counts" else np.ones(len(counts))
            logs = np.log1p(truth[:, mask].astype(np.float64))
            every = np.ones(logs.shape[1], bool)
            scores = {name: metrics.pcc(logs, found, every) for name, found in filled.items()}
            same = {"source": source, "against": against, "gap_axis": axis, "gap_px": width}
            for selection, chosen in _selections(settings, mean):
                linear = _row(settings, seed, scores["linear"], best, mean, chosen)
                for name in methods.at(width):
                    row = same | {"method": name, "selection": selection}
                    row |= _row(settings, seed, scores[name], best, mean, chosen)
                    share = metrics.recovered_fraction(row["pcc_mean"], linear["pcc_mean"], row["ceiling"])
                    row |= {"recovered_fraction": share}
                    published = (source, axis, selection) == ("measured", 2, "all") and width in PUBLISHED
                    if published and name in WITH_NETWORK:
                        row |= {"published": PUBLISHED[width], "published_source": PUBLISHED_SOURCE}
                    rows.append(row)
            if intensity is not None:
                shown = {name: scores[name] for name in methods.at(width)}
                bins += intensity_rows(settings, seed, same, shown, best, mean)
    return rows, intensity, bins


def _row(
    settings: EvaluateSettings, seed: int, scores: np.ndarray, ceiling: np.ndarray, mean: np.ndarray, chosen: np.ndarray
) -> dict[str, Any]:
    # A patch whose gap holds one value only has no PCC; it counts neither here nor in the ceiling.
    good = chosen & np.isfinite(scores) & np.isfinite(ceiling)
    if not good.any():
        nothing = dict.fromkeys(("pcc_mean", "pcc_low", "pcc_high", "pcc_binned", "ceiling", "ceiling_binned"), np.nan)
        return {"patches": 0, **nothing}
    rng = seeds.generator(seed, "evaluate/bootstrap")
    low, high = metrics.bootstrap(scores[good], rng, draws=settings.bootstrap_draws)
    return {
        "patches": int(good.sum()),
        "pcc_mean": scores[good].mean(),
        "pcc_low": low,
        "pcc_high": high,
        "pcc_binned": metrics.log_intensity_bins(mean[good], scores[good], settings.patches.bins).average,
        "ceiling": ceiling[good].mean(),
        "ceiling_binned": metrics.log_intensity_bins(mean[good], ceiling[good], settings.patches.bins).average,
    }


def _selections(settings: EvaluateSettings, mean: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "all", np.ones(len(mean), bool)
    for least in settings.patches.bright_counts_per_voxel:
        yield f"ge{least:g}", mean >= least


def _write(out: Path, rows: list[dict[str, Any]], intensity: Path | None, bins: list[dict[str, Any]]) -> None:
    import pandas as pd

    storage.write_table(out, pd.DataFrame(rows), columns=GAP_COLUMNS)
    if intensity is not None:
        storage.write_table(intensity, pd.DataFrame(bins), columns=INTENSITY_COLUMNS)
