"""A gap that is shifted through a whole pattern: accuracy against oversampling and against the gap's place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.patterns import gaps, metrics
from braggfill.runs import seeds, storage
from braggfill.settings.evaluate import EvaluateSettings
from braggfill.stages.evaluate.fills import Methods, WholeFill

AXIS = 2
"""The axis that the gap interrupts: a vertical gap, as in the paper."""
REACH = 16
"""Voxels on each side of the gap that a method is shown; a patch of 32 sees no more."""
OVERSAMPLING_COLUMNS = [
    "particle",
    "oversampling",
    "edge_px",
    "gap_px",
    "method",
    "against",
    "voxels",
    "photons",
    "pcc",
    "ceiling",
    "recovered_fraction",
    "log_rmse",
    "seconds",
    "published",
    "published_source",
]
POSITION_COLUMNS = [
    "particle",
    "view",
    "oversampling",
    "gap_px",
    "place_px",
    "distance_px",
    "method",
    "photons_per_voxel",
    "pcc",
    "pcc_expectation",
    "ceiling",
    "published",
    "published_source",
]
OVERSAMPLING_TREND = "paper, Fig. 6c (a figure, no numbers: rises with the oversampling, falls with the gap's width)"
POSITION_TREND = "thesis, Fig. 3.6 (a figure, 2D, 9 px: highest at the peak, falls with the distance)"


def oversampling_table(
    settings: EvaluateSettings, seed: int, patterns: Path, model: Path, out: Path, images: Path, code: str = ""
) -> None:
    """PCC over whole patterns of the same particle at several oversamplings (paper, Fig. 6 and S13; thesis, Fig. 3.17).

    ``patterns`` holds each particle at every oversampling over the same extent of reciprocal space, cubic but for a
    margin at both ends of axis 2.  A gap is shifted by its width until every voxel within has been predicted once
    (:func:`predicted`), and the PCC of log(1 + photons) is taken over all of them.  The margin is shown to the methods,
    so that no gap lies at a border.  A row is one (particle, oversampling,
    width, method, truth): the counts, whose ceiling is that of their noise, or the noise-free expectation.

    ``images`` gets, of the first particle, the central slices across axis 0 as the first method of each kind predicts
    them (S14): group ``{oversampling}``, ``truth`` and ``{width}/{method}``, float32 photons.
    """
    from tqdm import tqdm

    methods = Methods.of(settings.whole.methods, model, settings.paper_networks)
    fill = WholeFill(methods, settings.whole.step_px, settings.batch_patches)
    rows: list[dict[str, Any]] = []
    with storage.create(images, settings=settings, seed=seed, code=code) as target, storage.read(patterns) as source:
        first = min(source, default="")
        views = [source[particle][view] for particle in sorted(source) for view in sorted(source[particle])]
        for pattern in tqdm(views, "oversampling", unit="pattern", disable=None):
            oversampling = round(float(np.min(pattern.attrs["oversampling"])), 4)
            counts, expectation = storage.array(pattern, "counts"), storage.array(pattern, "expectation")
            edge = counts.shape[0]
            first_plane = counts.shape[AXIS] // 2 - edge // 2
            window = slice(first_plane, first_plane + edge)
            inside = (..., window)
            own = f"{pattern.name.split('/')[1]}" == first
            group = target.create_group(f"{oversampling:.3f}") if own else None
            if group is not None:
                group["truth"] = counts[len(counts) // 2][:, window].astype(np.float32)
            rng = seeds.generator(seed, "evaluate/oversampling", int(pattern.attrs["particle"]), edge)
            ceiling = metrics.noise_ceiling(counts[inside].ravel(), None, rng, draws=settings.ceiling_draws)
            truths = {"counts": counts[inside], "expectation": expectation[inside]}
            for width in settings.oversampling.gap_widths_px:
                if width >= counts.shape[AXIS]:
                    continue
                same = {"particle": int(pattern.attrs["particle"]), "oversampling": oversampling, "edge_px": edge}
                same |= {"gap_px": width, "voxels": counts[inside].size, "photons": int(counts[inside].sum())}
                found = {}
                for method in methods.at(width):
                    started = time.perf_counter()
                    found[method] = predicted(counts, width, window, partial(fill, method, width))
                    seconds = time.perf_counter() - started
                    if group is not None:
                        group[f"{width:02d}/{method}"] = found[method][len(counts) // 2].astype(np.float32)
                    rows += _scores(same | {"method": method, "seconds": seconds}, truths, found[method], ceiling)
    _share(rows)
    _write(out, rows, OVERSAMPLING_COLUMNS)


def predicted(
    counts: np.ndarray, width: int, window: slice, fill: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Every voxel of the planes ``window`` across the last axis, each predicted once, in a gap (supplement, S13).

    The gap is shifted by its width; where it does not go into the window a whole number of times the last one overlaps
    the one before, and only its new planes count.

    Parameters
    ----------
    counts : photons; a voxel is never shown to the method that predicts it.
    fill : (counts, mask) -> the filled pattern; it is given the planes within 16 of the gap.
    """
    found = np.empty((*counts.shape[:AXIS], window.stop - window.start), np.float32)
    for start, new in starts(window, width, counts.shape[AXIS]):
        slab = slice(max(0, start - REACH), min(counts.shape[AXIS], start + width + REACH))
        part = counts[..., slab]
        mask = gaps.plane(part.shape, width, axis=AXIS, start=start - slab.start)
        filled = fill(np.where(mask, 0, part), mask)
        found[..., new.start - window.start : new.stop - window.start] = filled[
            ..., new.start - slab.start : new.stop - slab.start
        ]
    return found


def starts(window: slice, width: int, length: int) -> Iterator[tuple[int, slice]]:
    """First plane of each gap, and those of its planes that are new: together they are ``window``, each plane once."""
    for first in range(window.start, window.stop, width):
        stop = min(first + width, window.stop)
        yield min(max(0, stop - width), length - width), slice(first, stop)


def position_table(
    settings: EvaluateSettings, seed: int, patterns: Path, model: Path, out: Path, code: str = ""
) -> None:
    """PCC over a gap against how far it lies from the peak, in 3D patterns (thesis, Fig. 3.6 has it in 2D).

    A gap across axis 2 is put every ``settings.position.spacing_px`` voxels, one always with its middle on the peak.
    ``distance_px`` is that of its middle from the brightest voxel, negative before it, and ``place_px`` its first
    plane.  The PCC is that of log(1 + photons) over the whole gap, against counts and against the expectation.
    """
    from tqdm import tqdm

    methods = Methods.of(settings.whole.methods, model, settings.paper_networks)
    fill = WholeFill(methods, settings.whole.step_px, settings.batch_patches)
    rows: list[dict[str, Any]] = []
    reason = storage.left_out(patterns)
    with storage.read(patterns) as source:
        particles = () if reason else sorted(source)
        views = [source[p][v] for p in particles for v in sorted(source[p])[: settings.position.views]]
        for pattern in tqdm(views, "gap position", unit="pattern", disable=None):
            counts, expectation = storage.array(pattern, "counts"), storage.array(pattern, "expectation")
            peak = int(np.unravel_index(int(expectation.argmax()), counts.shape)[AXIS])
            same: dict[str, Any] = {name: int(pattern.attrs[name]) for name in ("particle", "view")}
            same |= {"oversampling": float(np.asarray(pattern.attrs["oversampling"])[AXIS])}
            for width in settings.position.gap_widths_px:
                for place in places(counts.shape[AXIS], width, peak, settings.position.spacing_px):
                    rows += _at(settings, seed, same, counts, expectation, peak, place, width, methods, fill)
    _write(out, rows, POSITION_COLUMNS)


def places(length: int, width: int, peak: int, spacing: int) -> list[int]:
    """First planes of gaps ``spacing`` apart, one with its middle plane on the peak where that fits, all inside."""
    middle = peak - width // 2
    return list(range(middle % spacing, length - width + 1, spacing))


def _at(
    settings: EvaluateSettings,
    seed: int,
    same: dict[str, Any],
    counts: np.ndarray,
    expectation: np.ndarray,
    peak: int,
    place: int,
    width: int,
    methods: Methods,
    fill: WholeFill,
) -> list[dict[str, Any]]:
    """One gap at one place, by every method."""
    gap = slice(place, place + width)
    truth = np.log1p(counts[..., gap].astype(np.float64)).ravel()
    clean = np.log1p(expectation[..., gap].astype(np.float64)).ravel()
    rng = seeds.generator(seed, "evaluate/position", same["particle"], same["view"], place, width)
    ceiling = metrics.noise_ceiling(counts[..., gap].ravel(), None, rng, draws=settings.ceiling_draws)
    rows = []
    for method in methods.at(width):
        found = predicted(counts, width, gap, partial(fill, method, width))
        logs = np.log1p(found.astype(np.float64)).ravel()
        row = same | {"gap_px": width, "place_px": place, "distance_px": place + width // 2 - peak, "method": method}
        row |= {"photons_per_voxel": float(counts[..., gap].mean()), "pcc": metrics.pcc(truth, logs)}
        row |= {"pcc_expectation": metrics.pcc(clean, logs), "ceiling": ceiling, "published_source": POSITION_TREND}
        rows.append(row)
    return rows


def _scores(
    same: dict[str, Any], truths: dict[str, np.ndarray], found: np.ndarray, ceiling: float
) -> Iterator[dict[str, Any]]:
    logs = np.log1p(found.astype(np.float64)).ravel()
    for against, truth in truths.items():
        wanted = np.log1p(truth.astype(np.float64)).ravel()
        row = same | {"against": against, "pcc": metrics.pcc(wanted, logs), "log_rmse": metrics.rmse(wanted, logs)}
        yield row | {"ceiling": ceiling if against == "counts" else 1.0, "published_source": OVERSAMPLING_TREND}


def _share(rows: list[dict[str, Any]]) -> None:
    """Add ``recovered_fraction`` to the rows, where linear interpolation was asked for."""
    key = ("particle", "oversampling", "gap_px", "against")
    linear = {tuple(row[k] for k in key): row["pcc"] for row in rows if row["method"] == "linear"}
    for row in rows:
        start = linear.get(tuple(row[k] for k in key), np.nan)
        row["recovered_fraction"] = metrics.recovered_fraction(row["pcc"], start, row["ceiling"])


def _write(out: Path, rows: list[dict[str, Any]], columns: list[str]) -> None:
    import pandas as pd

    storage.write_table(out, pd.DataFrame(rows), columns=columns)
