"""Simulated against measured patterns: what the perturbation is for (supplement S2.1, figure S3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage

from braggfill.runs import storage
from braggfill.settings.evaluate import EvaluateSettings
from braggfill.stages.evaluate.cut import crop_around_peak

REALISM_COLUMNS = [
    "quantity",
    "unit",
    "source",
    "patterns",
    "mean",
    "lowest",
    "highest",
    "published",
    "published_source",
]
SUPPLEMENT = "supplement S2.1, figure S3"
SIMULATED, PERTURBED, MEASURED = "simulated, as scattered", "simulated, perturbed", "measured"


def realism_table(
    settings: EvaluateSettings,
    seed: int,
    patterns: Path,
    scan: Path,
    out: Path,
    steps: Path | None = None,
    obj: Path | None = None,
    code: str = "",
) -> None:
    """How close simulated patterns come to measured ones, in three quantities.

    - ``modulus_fwhm``: width of the histogram of the object's modulus (:func:`modulus_fwhm`), of the objects in
      ``steps`` (from ``perturb``, before and after the perturbation) and of the measured ``obj``;
    - ``empty_share``: share of the voxels with no photon;
    - ``radial_exponent``: how the intensity falls with the distance from the peak (:func:`radial_exponent`).

    Patterns are those of one file of ``perturb``; of the scan, the cube of ``settings.crop_px`` around its peak.  What
    was left out has no row.
    """
    found: dict[tuple[str, str], list[float]] = {}

    def note(quantity: str, source: str, value: float) -> None:
        if np.isfinite(value):
            found.setdefault((quantity, source), []).append(float(value))

    for counts in _patterns(patterns):
        note("empty_share", PERTURBED, float(np.mean(counts == 0)))
        note("radial_exponent", PERTURBED, radial_exponent(counts))
    if storage.left_out(scan) is None:
        with storage.read(scan) as file:
            counts = crop_around_peak(storage.array(file, "data"), settings.crop_px)
        note("empty_share", MEASURED, float(np.mean(counts <= 0)))
        note("radial_exponent", MEASURED, radial_exponent(counts))
    for before, after in _objects(steps):
        note("modulus_fwhm", SIMULATED, modulus_fwhm(before))
        note("modulus_fwhm", PERTURBED, modulus_fwhm(after))
    if obj is not None and storage.left_out(obj) is None:
        with storage.read(obj) as file:
            note("modulus_fwhm", MEASURED, modulus_fwhm(storage.array(file, "obj")))
    _write(out, found)


def modulus_fwhm(obj: np.ndarray, bins: int = 100) -> float:
    """Full width at half maximum of the histogram of the modulus, as a share of its largest value.

    0 for a homogeneous crystal with sharp edges.  The histogram has ``bins`` equal bins from 0 to the largest modulus,
    smoothed by one bin, and counts voxels above 0.3 of it; the peak is its highest point.  NaN where the object is zero
    everywhere.  (Supplement, figure S3: 0.117 for a simulated object, 0.186 for one reconstructed from a measurement;
    how its modulus was scaled is not said there.)
    """
    modulus = np.abs(obj)
    top = modulus.max()
    if not np.isfinite(top) or top == 0:
        return float("nan")
    inside = modulus[modulus > 0.3 * top] / top
    counts, edges = np.histogram(inside, bins=bins, range=(0.0, 1.0))
    line = scipy.ndimage.gaussian_filter1d(counts.astype(float), 1.0, mode="constant")
    peak = int(np.argmax(line))
    half = line[peak] / 2
    width = 0.0
    for side in (line[peak::-1], line[peak:]):
        below = np.flatnonzero(side < half)
        if len(below):
            last = below[0]
            width += last - 1 + (side[last - 1] - half) / (side[last - 1] - side[last])
        else:
            width += len(side) - 0.5
    return float(width * (edges[1] - edges[0]))


def radial_exponent(counts: np.ndarray, first: int = 4) -> float:
    r"""The exponent :math:`\alpha` of :math:`\langle I \rangle(q) \propto q^{-\alpha}`.

    Fitted to the logarithms of the mean counts in shells one voxel thick around the peak (the brightest voxel), from
    radius ``first`` to the last complete shell, empty ones left out.  Sharp facets give 4 on average over directions
    (Porod), smooth edges more, a background less; it does not depend on the oversampling.  NaN with fewer than 5
    shells.
    """
    peak = np.unravel_index(np.argmax(counts), counts.shape)
    radius = np.sqrt(
        sum((grid - p) ** 2 for grid, p in zip(np.ogrid[tuple(map(slice, counts.shape))], peak, strict=True))
    )
    last = max(max(p, n - 1 - p) for p, n in zip(peak, counts.shape, strict=True))
    shell = np.rint(radius).astype(int).ravel()
    number = np.bincount(shell)
    mean = np.bincount(shell, np.clip(counts, 0, None).ravel()) / np.maximum(number, 1)
    shells = np.arange(first, min(last, len(mean) - 1) + 1)
    shells = shells[mean[shells] > 0]
    if len(shells) < 5:
        return float("nan")
    return float(-np.polyfit(np.log(shells), np.log(mean[shells]), 1)[0])


def _patterns(path: Path) -> Iterator[np.ndarray]:
    if storage.left_out(path) is not None:
        return
    with storage.read(path) as file:
        for particle in sorted(file):
            for view in sorted(file[particle]):
                yield storage.array(file[particle][view], "counts")


def _objects(path: Path | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if path is None or storage.left_out(path) is not None:
        return
    with storage.read(path) as file:
        for particle in sorted(file):
            for view in sorted(file[particle]):
                group = file[particle][view]
                yield storage.array(group, "ideal"), storage.array(group, "perturbed")


def _write(out: Path, found: dict[tuple[str, str], list[float]]) -> None:
    import pandas as pd

    published = {("modulus_fwhm", SIMULATED): 0.117, ("modulus_fwhm", MEASURED): 0.186}
    units = {"modulus_fwhm": "largest modulus", "empty_share": "voxels", "radial_exponent": ""}
    rows: list[dict[str, Any]] = []
    for quantity, unit in units.items():
        for source in (SIMULATED, PERTURBED, MEASURED):
            values = found.get((quantity, source))
            if not values:
                continue
            row = {"quantity": quantity, "unit": unit, "source": source, "patterns": len(values)}
            row |= {"mean": np.mean(values), "lowest": min(values), "highest": max(values)}
            if (quantity, source) in published:
                row |= {"published": published[quantity, source], "published_source": SUPPLEMENT}
            rows.append(row)
    storage.write_table(out, pd.DataFrame(rows), columns=REALISM_COLUMNS)
