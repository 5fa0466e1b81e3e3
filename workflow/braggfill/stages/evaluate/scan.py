"""Sweeps over gaps of the measured scan: skipped pixels, unequal crosses, the wide gaps of Eiger detectors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.patterns import gaps, metrics
from braggfill.runs import seeds, storage
from braggfill.settings.evaluate import EvaluateSettings
from braggfill.stages.evaluate.cut import crop_around_peak
from braggfill.stages.evaluate.fills import Methods, WholeFill

SKIP_COLUMNS = [
    "method",
    "step_px",
    "skip_px",
    "gap_px",
    "edge_px",
    "voxels",
    "seconds",
    "pcc",
    "ceiling",
    "log_rmse",
    "log_absolute_error_sum",
    "photons_absolute_error_sum",
    "published_seconds",
    "published_source",
]
GAPS_COLUMNS = [
    "gap",
    "vertical_px",
    "horizontal_px",
    "edge_px",
    "method",
    "voxels",
    "photons",
    "pcc",
    "ceiling",
    "recovered_fraction",
    "log_rmse",
    "photons_ratio",
    "seconds",
    "microseconds_per_voxel",
]
SKIP_PUBLISHED = {0: 716.0, 4: 91.0}
SKIP_SOURCE = "supplement, S5 and Fig. S11 (11m56s and 1m31s, 128³, 6 px cross; thesis: on a Tesla V100)"
SKIP_TREND = "supplement, Figs S10 and S12 (figures: a power law in time, the error grows with the skip)"


def skip_table(
    settings: EvaluateSettings, seed: int, scan: Path, model: Path, out: Path, images: Path, code: str = ""
) -> None:
    """Time and error against the voxels between neighbouring patches (supplement, S10 to S12; thesis, Fig. 3.13).

    A cross of ``settings.skip.gap_width_px`` is laid over a cube of ``settings.skip.crop_px`` of the scan and filled by
    the network that comes with the package, or else the run's, and by the published one, sliding by each step;
    ``skip_px``, the published k, is one less.  ``log_absolute_error_sum`` is the sum over the gap of
    |log(1 + filled) - log(1 + counts)|, the published measure of error.

    ``images`` gets the plane inside the vertical gap: ``truth`` and ``{method}/{step}``, float32 photons (S11).
    """
    rows: list[dict[str, Any]] = []
    with storage.create(images, settings=settings, seed=seed, code=code, left_out=storage.left_out(scan)) as target:
        if storage.left_out(scan) is None:
            width = settings.skip.gap_width_px
            cube, peak = _cube(scan, settings.skip.crop_px)
            mask = _mask(settings, cube.shape, peak, width, width)
            middle = int(np.flatnonzero(mask.all(axis=(0, 1)))[width // 2])
            target["truth"] = cube[:, :, middle].astype(np.float32)
            target["missing"] = mask[:, :, middle]
            rng = seeds.generator(seed, "evaluate/skip")
            ceiling = metrics.noise_ceiling(cube[mask], None, rng, draws=settings.ceiling_draws)
            methods = Methods.of(settings.whole.methods, model, settings.paper_networks)
            fill = WholeFill(methods, max(settings.skip.steps_px), settings.batch_patches)
            for method in _sliding(methods.at(width)):
                fill(method, width, cube, mask)  # what is loaded once is not timed
                for step in settings.skip.steps_px:
                    started = time.perf_counter()
                    filled = fill(method, width, cube, mask, step)
                    seconds = time.perf_counter() - started
                    target[f"{method}/{step:02d}"] = filled[:, :, middle].astype(np.float32)
                    row = {"method": method, "step_px": step, "skip_px": step - 1, "gap_px": width}
                    row |= {"edge_px": min(cube.shape), "seconds": seconds, "ceiling": ceiling}
                    rows.append(row | _skip_scores(cube[mask], filled[mask], method, step))
    _write(out, rows, SKIP_COLUMNS)


def _sliding(names: list[str]) -> list[str]:
    """Of the networks the one that comes with the package, or else the run's, and the published one."""
    own = [name for name in ("braggfill", "network") if name in names][:1]
    return own + [name for name in ("paper",) if name in names]


def _skip_scores(truth: np.ndarray, found: np.ndarray, method: str, step: int) -> dict[str, Any]:
    found = found.astype(np.float64)
    logs, filled = np.log1p(truth.astype(np.float64)), np.log1p(found)
    known = SKIP_PUBLISHED.get(step - 1)
    return {
        "voxels": truth.size,
        "pcc": metrics.pcc(logs, filled),
        "log_rmse": metrics.rmse(logs, filled),
        "log_absolute_error_sum": float(np.abs(filled - logs).sum()),
        "photons_absolute_error_sum": float(np.abs(found - truth).sum()),
        "published_seconds": known,
        "published_source": SKIP_TREND if known is None else SKIP_SOURCE,
    }


def gaps_table(settings: EvaluateSettings, seed: int, scan: Path, model: Path, out: Path, code: str = "") -> None:
    """Unequal crosses and wide gaps over the measured scan, by every method, with the time that each takes.

    A row is one (gap, method), the PCC that of log(1 + photons) over the whole gap.  The time is that of
    :func:`braggfill.filling.inpaint` on the rule's cores, without loading the network.
    """
    rows: list[dict[str, Any]] = []
    if storage.left_out(scan) is None:
        cube, peak = _cube(scan, settings.crop_px)
        methods = Methods.of(settings.methods, model, settings.paper_networks)
        fill = WholeFill(methods, settings.gaps.step_px, settings.batch_patches)
        for index, (row, column) in enumerate(settings.gaps.widths_px):
            if not row and not column:
                continue
            mask = _mask(settings, cube.shape, peak, row, column)
            rng = seeds.generator(seed, "evaluate/gaps", index)
            same = {"gap": _name(row, column), "vertical_px": row, "horizontal_px": column}
            same |= {"edge_px": min(cube.shape)}
            rows += _share(list(_fill_gap(settings, same, cube, mask, methods, fill, rng)))
    _write(out, rows, GAPS_COLUMNS)


def _fill_gap(
    settings: EvaluateSettings,
    same: dict[str, Any],
    cube: np.ndarray,
    mask: np.ndarray,
    methods: Methods,
    fill: WholeFill,
    rng: np.random.Generator,
) -> Iterator[dict[str, Any]]:
    truth = cube[mask]
    logs = np.log1p(truth.astype(np.float64))
    ceiling = metrics.noise_ceiling(truth, None, rng, draws=settings.ceiling_draws)
    arms = {same["vertical_px"], same["horizontal_px"]} - {0}
    # The published network is for one width.
    names = [name for name in methods.at(max(arms)) if name != "paper" or len(arms) == 1]
    for method in names:
        path = methods.network(method, max(arms))
        if path is not None:
            fill.network(path)
        started = time.perf_counter()
        found = fill(method, max(arms), cube, mask)[mask].astype(np.float64)
        seconds = time.perf_counter() - started
        yield same | {
            "method": method,
            "voxels": truth.size,
            "photons": int(truth.sum()),
            "pcc": metrics.pcc(logs, np.log1p(found)),
            "ceiling": ceiling,
            "log_rmse": metrics.rmse(logs, np.log1p(found)),
            "photons_ratio": found.sum() / truth.sum() if truth.sum() else np.nan,
            "seconds": seconds,
            "microseconds_per_voxel": 1e6 * seconds / truth.size,
        }


def _share(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    start = next((row["pcc"] for row in rows if row["method"] == "linear"), np.nan)
    for row in rows:
        row["recovered_fraction"] = metrics.recovered_fraction(row["pcc"], start, row["ceiling"])
    return rows


def _name(row: int, column: int) -> str:
    """A gap in words: ``12 px`` for one across axis 2, ``38 × 12 px`` for a cross."""
    if row and column:
        return f"{row} × {column} px cross"
    return f"{column or row} px across axis {2 if column else 1}"


def _cube(scan: Path, edge: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """The scan's counts in a cube around its peak, and where that is."""
    with storage.read(scan) as file:
        cube = np.clip(crop_around_peak(storage.array(file, "data"), edge), 0, None)
    return cube, tuple(int(p) for p in np.unravel_index(int(cube.argmax()), cube.shape))


def _mask(settings: EvaluateSettings, shape: tuple[int, ...], peak: tuple[int, ...], *widths: int) -> np.ndarray:
    """Arms across axes 1 and 2, beside the peak."""
    mask = np.zeros(shape, bool)
    for axis, width, offset in zip((1, 2), widths, settings.gaps.offset_px, strict=True):
        if not width:
            continue
        start = peak[axis] + max(offset - width // 2, 4)
        try:
            mask |= gaps.plane(shape, width, axis=axis, start=min(start, shape[axis] - width))
        except BraggfillError as error:
            raise BraggfillError(f"evaluate.gaps.widths_px: a gap of {width} does not fit the scan: {error}") from None
    return mask


def _write(out: Path, rows: list[dict[str, Any]], columns: list[str]) -> None:
    import pandas as pd

    storage.write_table(out, pd.DataFrame(rows), columns=columns)
