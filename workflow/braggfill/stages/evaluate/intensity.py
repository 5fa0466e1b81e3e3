"""Accuracy against the intensity of a patch (paper, Fig. 5; thesis, Fig. 3.16)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from braggfill.patterns import metrics
from braggfill.runs import seeds
from braggfill.settings.evaluate import EvaluateSettings

INTENSITY_COLUMNS = [
    "source",
    "against",
    "gap_axis",
    "gap_px",
    "method",
    "bin",
    "photons_per_voxel_from",
    "photons_per_voxel_to",
    "patches",
    "pcc_mean",
    "pcc_low",
    "pcc_high",
    "pcc_std",
    "ceiling",
    "published",
    "published_source",
]
TREND = "paper, Fig. 5 (a figure, no numbers: the PCC rises with the intensity and falls with the gap's width)"


def intensity_rows(
    settings: EvaluateSettings,
    seed: int,
    same: Mapping[str, Any],
    scores: Mapping[str, np.ndarray],
    ceiling: np.ndarray,
    mean: np.ndarray,
) -> list[dict[str, Any]]:
    """A row a method and bin: ``settings.patches.bins`` equal bins of the logarithm of the patches' mean counts a
    voxel.

    The bins span all patches that hold a photon, so they are the same for every method and gap.  ``pcc_low`` and
    ``pcc_high`` bound the bootstrap 95 % interval of the bin's mean, ``pcc_std`` is the standard deviation over
    its patches.  Empty bins have no row.

    Parameters
    ----------
    same : what all rows have in common (source, against, gap).
    scores : method → PCC of each patch; not a number where there is none.
    ceiling, mean : noise ceiling and mean counts per voxel of each patch.
    """
    lit = mean[mean > 0]
    if not len(lit):
        return []
    limits = float(lit.min()), max(float(lit.max()), float(lit.min()) * 1.001)
    low, high = np.log(limits)
    place = metrics.log_places(np.log(np.maximum(mean, limits[0])), low, high, settings.patches.bins)
    rows = []
    for method, values in scores.items():
        good = np.isfinite(values) & np.isfinite(ceiling)
        found = metrics.log_intensity_bins(mean[good], values[good], settings.patches.bins, limits=limits)
        best = metrics.log_intensity_bins(mean[good], ceiling[good], settings.patches.bins, limits=limits)
        for number in np.flatnonzero(found.count):
            rng = seeds.generator(seed, "evaluate/bootstrap", int(number))
            members = good & (mean > 0) & (place == number)
            low, high = metrics.bootstrap(values[members], rng, draws=settings.bootstrap_draws)
            row = {**same, "method": method, "bin": int(number), "patches": int(found.count[number])}
            row |= {"photons_per_voxel_from": found.edges[number], "photons_per_voxel_to": found.edges[number + 1]}
            row |= {"pcc_mean": found.mean[number], "pcc_low": low, "pcc_high": high}
            row |= {"pcc_std": found.deviation[number], "ceiling": best.mean[number], "published_source": TREND}
            rows.append(row)
    return rows
