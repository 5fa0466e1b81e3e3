"""How far can a method be trusted on this scan?  Artificial gaps in its own good region, filled and compared.

Sheets, gaps of the whole cross-section, are laid into the neighbourhood of the peak, 48 voxels apart, at places drawn
anew in each round, and filled by each method exactly as a real gap is.  The sheets are then looked at in patches of 32
voxels along each axis (fewer in small scans) with the gap in their middle; only patches in which every voxel was
measured count, so that no artificial gap lies over a real one.  What is really missing is bridged by linear
interpolation beforehand, and not filled again in each round.  The PCC of a patch is that of log(1 + counts) over its
gap (the paper's Eq. 1).
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.patterns import metrics, patching
from braggfill.patterns.interpolate import interpolate
from braggfill.runs import seeds, storage

Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""A scan and what is missing in it (True) to the filled scan, photons."""

WIDTHS = (3, 6, 9, 12)
PATCHES, PITCH = (32, 24, 16), 48
"""Edge of the patches, the first of which there is a whole one; and distance between sheets, voxels."""
CROP = 128
"""Voxels along each axis around the peak that are looked at: the paper's pattern."""
ROUNDS = 60
SHORT, EVERY = 10.0, 30.0
"""Seconds from which on it is said how long it takes, and how often where no bar is shown."""
BRIGHT = 1.0
"""Photons a voxel of the patches in the second selection; the darker ones are nothing but noise."""


@dataclass(frozen=True)
class Row:
    """One width of gap, method and selection of patches."""

    gap_px: int
    method: str
    selection: str
    """``all``, or ``bright``: at least one photon per voxel."""
    patches: int
    pcc: float
    """Mean over the patches; NaN where there is none."""
    pcc_low: float
    pcc_high: float
    """95 % bootstrap interval of the mean."""
    ceiling: float
    """What a perfect prediction could reach against counts with their noise; NaN where the scan holds no counts."""


def compare(
    intensity: np.ndarray,
    missing: np.ndarray,
    methods: dict[str, Fill],
    *,
    widths: Sequence[int] = WIDTHS,
    axis: int = 2,
    patches: int = 100,
    seed: int = 0,
    progress: bool = False,
    say: Callable[[str], None] | None = None,
) -> list[Row]:
    """Fill artificial gaps by each method and compare with what was measured there.

    Parameters
    ----------
    intensity : photons, three axes; missing : boolean, same shape, True where nothing was measured.
    methods : by name.
    widths : of the gaps, voxels, 1 to 24.
    axis : the one that the gaps interrupt: 1 for horizontal gaps of the detector, 2 for vertical ones.
    say : told how long it will take, as soon as every method has filled once, and without ``progress`` from time to
        time how far it is.
    patches : how many to look at; fewer where the scan has fewer.  All widths and methods get the same ones.

    Returns
    -------
    Rows in the order of widths, selections, methods.

    Raises
    ------
    BraggfillError : a width that does not fit, or no place that is wholly measured.
    """
    widths = sorted(set(widths))
    if not widths or widths[0] < 1 or widths[-1] > 24:
        raise BraggfillError(f"--width {' '.join(map(str, widths))}: give widths of 1 to 24 voxels")
    intensity, missing = _around_peak(intensity, missing)
    bridged = interpolate(intensity, missing, "linear")
    size, places = _patches(intensity, missing, widths[-1], axis, patches, seed)
    scores = _scores(bridged, methods, widths, axis, size, places, progress, say)
    whole = bool((np.rint(intensity[~missing]) == intensity[~missing]).all())
    light = np.concatenate([patching.cut(np.where(missing, 0, intensity), found, size) for found in places])
    bright = light.reshape(len(light), -1).mean(1, dtype=np.float64) >= BRIGHT
    rows = []
    for width in widths:
        inside = (slice(None),) * (axis + 1) + (_middle(size[axis], width),)
        gap = light[inside].reshape(len(light), -1)
        rng = seeds.generator(seed, "compare/ceiling", width)
        ceiling = (
            metrics.noise_ceiling(gap, np.ones(gap.shape[1:], bool), rng, draws=3)
            if whole
            else np.full(len(gap), np.nan)
        )
        for selection, chosen in (("all", np.ones(len(light), bool)), ("bright", bright)):
            for method in methods:
                rows.append(_row(width, method, selection, scores[width, method][chosen], ceiling[chosen], seed))
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows as text for a terminal: a block a selection, a line a method, a column a width."""
    widths = sorted({row.gap_px for row in rows})
    by = {(row.selection, row.method, row.gap_px): row for row in rows}
    methods = list(dict.fromkeys(row.method for row in rows))
    first = max(len(name) for name in [*methods, "ceiling"])
    lines = []
    for selection, told in (("bright", "patches of at least one photon per voxel"), ("all", "all patches")):
        some = [by[selection, methods[0], width] for width in widths]
        lines.append(f"PCC over the gap, {told} ({some[0].patches})")
        lines.append(f"  {'gap':<{first}}" + "".join(f"  {f'{width} px':^19}" for width in widths))
        for method in methods:
            cells = [by[selection, method, width] for width in widths]
            lines.append(f"  {method:<{first}}" + "".join(f"  {_cell(row):^19}" for row in cells))
        best = "".join(f"  {_number(row.ceiling):^19}" for row in some)
        lines.append(f"  {'ceiling':<{first}}{best}")
    return "\n".join(lines)


def write(path: str | Path, rows: Sequence[Row]) -> None:
    """The rows as CSV, whole or not at all."""
    names = [field.name for field in fields(Row)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        values = [getattr(row, name) for name in names]
        writer.writerow(["" if v != v else f"{v:.4f}" if isinstance(v, float) else v for v in values])
    storage.write_text(path, text.getvalue())


def draw(path: str | Path, rows: Sequence[Row], title: str) -> None:
    """A picture: PCC against width with its intervals, a line a method, and the ceiling; one panel a selection."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    methods = list(dict.fromkeys(row.method for row in rows))
    for panel, selection in zip(panels, ("bright", "all"), strict=True):
        for k, method in enumerate(methods):
            some = [row for row in rows if row.selection == selection and row.method == method]
            x = [row.gap_px + 0.08 * (k - (len(methods) - 1) / 2) for row in some]
            y = np.array([row.pcc for row in some])
            spread = np.abs(np.array([[row.pcc_low, row.pcc_high] for row in some]).T - y)
            panel.errorbar(x, y, spread, marker="o", markersize=4, capsize=2, label=method, color=f"C{k}")
            if k == 0:
                panel.plot(
                    [row.gap_px for row in some], [row.ceiling for row in some], "k_--", ms=14, label="noise ceiling"
                )
                panel.set_xticks([row.gap_px for row in some])
                panel.set_xlim(some[0].gap_px - 1, some[-1].gap_px + 1)
                name = "≥ 1 photon per voxel" if selection == "bright" else "all"
                panel.set_title(f"{name}, {some[0].patches} patches", fontsize=10)
        panel.set_xlabel("width of the gap (px)")
    panels[0].set_ylabel("PCC over the gap")
    panels[1].legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    with storage.replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def _around_peak(intensity: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shown = np.where(missing, 0, intensity)
    peak = np.unravel_index(int(np.argmax(shown)), shown.shape)
    first = [min(max(int(p) - CROP // 2, 0), max(n - CROP, 0)) for p, n in zip(peak, shown.shape, strict=True)]
    box = tuple(slice(f, f + CROP) for f in first)
    return shown[box], missing[box]


def _patches(
    intensity: np.ndarray, missing: np.ndarray, widest: int, axis: int, patches: int, seed: int
) -> tuple[tuple[int, ...], list[np.ndarray]]:
    """Size of the patches, and where they lie; smaller ones where there is no room for the usual size."""
    for edge in PATCHES:
        size = tuple(min(edge, n) for n in intensity.shape)
        if widest + 4 > size[axis]:
            if edge == PATCHES[0]:
                raise BraggfillError(
                    f"--width {widest}: does not fit {intensity.shape[axis]} voxels across the gap; give less"
                )
            break
        if places := _places(intensity, missing, size, axis, patches, seed):
            return size, places
    raise BraggfillError(
        "no patch near the peak is wholly measured and holds a photon, so there is nothing to compare with; narrower "
        "gaps (--width) take smaller patches"
    )


def _places(
    intensity: np.ndarray, missing: np.ndarray, size: tuple[int, ...], axis: int, patches: int, seed: int
) -> list[np.ndarray]:
    """For each round the first voxels of its patches, whole ones in sheets that are filled together; empty if none."""
    rounds: list[np.ndarray] = []
    for number in range(ROUNDS):
        rng = seeds.generator(seed, "compare/places", number)
        lines = []
        for a, (n, s) in enumerate(zip(intensity.shape, size, strict=True)):
            pitch = PITCH if a == axis else s
            first = int(rng.integers(0, min(pitch, n - s + 1)))
            lines.append(np.arange(first, n - s + 1, pitch))
        origins = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3)
        good = [
            not missing[patching.window(o, size)].any() and intensity[patching.window(o, size)].any() for o in origins
        ]
        origins = origins[np.array(good, bool)]
        left = patches - sum(map(len, rounds))
        if len(origins):
            rounds.append(origins[np.sort(rng.permutation(len(origins))[:left])])
        if left <= len(origins):
            return rounds
    return rounds


def _scores(
    intensity: np.ndarray,
    methods: dict[str, Fill],
    widths: Sequence[int],
    axis: int,
    size: tuple[int, ...],
    places: list[np.ndarray],
    progress: bool,
    say: Callable[[str], None] | None = None,
) -> dict[tuple[int, str], np.ndarray]:
    """PCC of each patch for each (width, method)."""
    from tqdm import tqdm

    found: dict[tuple[int, str], list[np.ndarray]] = {(w, m): [] for w in widths for m in methods}
    total = len(places) * len(widths) * len(methods)
    done, began = 0, time.monotonic()
    told = began
    with tqdm(total=total, desc="compare", unit="filling", disable=not progress, leave=False) as bar:
        for origins in places:
            for width in widths:
                middle = _middle(size[axis], width)
                gap = np.zeros(intensity.shape, bool)
                for first in np.unique(origins[:, axis]):
                    np.moveaxis(gap, axis, 0)[first + middle.start : first + middle.stop] = True
                inside = (slice(None),) * (axis + 1) + (middle,)
                truth = np.log1p(patching.cut(intensity, origins, size)[inside].astype(np.float64))
                for method, fill in methods.items():
                    bar.set_postfix_str(f"{method}, {width} px")
                    filled = fill(np.where(gap, 0, intensity), gap)
                    guess = np.log1p(patching.cut(filled, origins, size)[inside].astype(np.float64))
                    pcc = metrics.pcc(truth, guess, np.ones(truth.shape[1:], bool))
                    found[width, method].append(np.atleast_1d(pcc))
                    bar.update()
                    done, now = done + 1, time.monotonic()
                    left = (now - began) / done * (total - done)
                    first = done == len(methods) and left > SHORT
                    if say and done < total and (first or (not progress and now - told > EVERY)):
                        told = now
                        say(f"{done} of {total} fillings; about {_time(left)} left")
    return {key: np.concatenate(parts) for key, parts in found.items()}


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _middle(size: int, width: int) -> slice:
    first = (size - width) // 2
    return slice(first, first + width)


def _row(width: int, method: str, selection: str, pcc: np.ndarray, ceiling: np.ndarray, seed: int) -> Row:
    # A gap of one value only has no PCC; it counts neither here nor in the ceiling.
    good = np.isfinite(pcc)
    if not good.any():
        nan = float("nan")
        return Row(width, method, selection, 0, nan, nan, nan, nan)
    low, high = metrics.bootstrap(pcc[good], seeds.generator(seed, "compare/bootstrap"))
    best = ceiling[good & np.isfinite(ceiling)]
    mean = float(best.mean()) if len(best) else float("nan")
    return Row(width, method, selection, int(good.sum()), float(pcc[good].mean()), low, high, mean)


def _cell(row: Row) -> str:
    return f"{_number(row.pcc)} [{_number(row.pcc_low)}–{_number(row.pcc_high)}]" if row.patches else "–"


def _number(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1) if value == value else "–"
