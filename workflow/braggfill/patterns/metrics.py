r"""How well a prediction agrees with the truth, and how well it could at best against noisy counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


def pcc(truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None = None) -> Any:
    r"""Pearson correlation coefficient over the gap (the paper's Eq. 1).

    .. math:: \mathrm{PCC} = \frac{\sum_i (t_i - \bar t)(p_i - \bar p)}
                                  {\sqrt{\sum_i (t_i - \bar t)^2}\,\sqrt{\sum_i (p_i - \bar p)^2}}

    Parameters
    ----------
    truth, prediction : same shape ``(*batch, *mask.shape)``; usually ``log1p`` of photons.
    mask : boolean, True on the voxels to compare (the gap); everything but a batch of none where it is not given.

    Returns
    -------
    One number an array of the batch (a float for no batch), NaN where either side does not vary.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} differ in shape")
    mask = np.ones(truth.shape, bool) if mask is None else np.asarray(mask, bool)
    return _pearson(truth[..., mask].astype(np.float64), prediction[..., mask].astype(np.float64))


def noise_ceiling(counts: np.ndarray, mask: np.ndarray | None, rng: np.random.Generator, *, draws: int = 1) -> Any:
    r"""The PCC that a perfect predictor of the expected intensity could reach against these noisy counts.

    The counts are split by binomial thinning into two independent halves A and B, r is the PCC between
    :math:`\log(1 + 2A)` and :math:`\log(1 + 2B)` over the gap, and the ceiling is :math:`\sqrt{2r/(1 + r)}`: the
    Spearman-Brown formula for halves of a test, under the root because the truth has no noise of its own.

    Parameters
    ----------
    counts : whole photon counts, shape ``(*batch, *mask.shape)``.
    mask : True on the voxels to compare; None for all.
    draws : thinnings whose r is averaged.

    Returns
    -------
    One number an array of the batch, 0 where the halves do not correlate, NaN where there is nothing but one value.
    """
    counts = np.asarray(counts)
    mask = np.ones(counts.shape, bool) if mask is None else np.asarray(mask, bool)
    whole = counts[..., mask]
    r = np.mean([split_pcc(whole, thin(whole, rng)) for _ in range(draws)], axis=0)
    return ceiling(float(r) if r.ndim == 0 else r)


def thin(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each photon kept with probability one half: a half of the counts that is independent of the rest (int64).

    If the counts are Poisson with mean m, both halves are Poisson with mean m / 2.
    """
    whole = np.rint(np.asarray(counts)).astype(np.int64)
    half = np.zeros(whole.shape, np.int64)
    lit = whole != 0
    if (whole[lit] < 0).any():
        raise ValueError("counts must not be negative")
    half[lit] = rng.binomial(whole[lit], 0.5)
    return half


def split_pcc(counts: np.ndarray, half: np.ndarray) -> Any:
    r"""PCC between :math:`\log(1 + 2A)` and :math:`\log(1 + 2B)`, A a thinned half and B the rest (last axis)."""
    half = np.asarray(half, np.float64)
    return _pearson(np.log1p(2 * half), np.log1p(2 * (np.asarray(counts, np.float64) - half)))


def ceiling(r: np.ndarray | float) -> Any:
    r""":math:`\sqrt{2r / (1 + r)}`, 0 where the halves correlate negatively; see :func:`noise_ceiling`."""
    r = np.clip(r, 0.0, 1.0)
    return np.sqrt(2 * r / (1 + r))


def recovered_fraction(score: float, linear: float, ceiling: float) -> float:
    """Fraction of the difference between linear interpolation and noise ceiling that is recovered,
    (score - linear) / (ceiling - linear); NaN if there is no difference."""
    room = ceiling - linear
    return (score - linear) / room if abs(room) > 1e-9 else float("nan")


def rmse(truth: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None = None) -> float:
    r"""Root mean squared error :math:`\sqrt{\langle (p - t)^2 \rangle}` over the True voxels of ``mask``, or all."""
    error = np.asarray(prediction, np.float64) - np.asarray(truth, np.float64)
    return float(np.sqrt(np.mean(np.square(error if mask is None else error[mask]))))


@dataclass(frozen=True)
class Bins:
    """Averages over equal bins of the logarithm of the mean intensity; NaN in an empty bin."""

    edges: np.ndarray
    """Photons a voxel, one more than there are bins, equally spaced in the logarithm."""
    mean: np.ndarray
    deviation: np.ndarray
    count: np.ndarray

    @property
    def centres(self) -> np.ndarray:
        """Geometric mean of each bin's edges, photons per voxel."""
        return np.sqrt(self.edges[1:] * self.edges[:-1])

    @property
    def average(self) -> float:
        """Mean of the bins that are not empty: how the figures of the paper's Table 1 were averaged."""
        return float(np.mean(self.mean[self.count > 0])) if (self.count > 0).any() else float("nan")


def log_intensity_bins(
    mean_intensity: np.ndarray, values: np.ndarray, bins: int = 20, *, limits: tuple[float, float] | None = None
) -> Bins:
    """Average ``values`` over equal bins of log(mean intensity), from the least to the greatest that occurs.

    Items whose intensity is not positive or whose value is not finite are left out (paper Fig. 5, thesis Fig. 3.16).

    Parameters
    ----------
    limits : least and greatest intensity of the bins, if they are not to follow from the items; what lies beyond is
        counted in the first or the last bin.
    """
    mean_intensity, values = np.asarray(mean_intensity, np.float64), np.asarray(values, np.float64)
    good = (mean_intensity > 0) & np.isfinite(values)
    if not good.any() and limits is None:
        nothing = np.full(bins, np.nan)
        return Bins(np.full(bins + 1, np.nan), nothing, nothing.copy(), np.zeros(bins, int))
    logs, values = np.log(mean_intensity[good]), values[good]
    low, high = (logs.min(), logs.max()) if limits is None else np.log(limits)
    high = high if high > low else low + 1e-9
    place = log_places(logs, low, high, bins)
    count = np.bincount(place, minlength=bins)
    divisor = np.where(count > 0, count, np.nan)
    mean = np.bincount(place, values, bins) / divisor
    square = np.bincount(place, np.square(values - mean[place]), bins) / divisor
    return Bins(np.exp(np.linspace(low, high, bins + 1)), mean, np.sqrt(square), count)


def log_places(logs: np.ndarray, low: float, high: float, bins: int) -> np.ndarray:
    """Which of ``bins`` equal bins from ``low`` to ``high`` each value lies in; the first or last if it is beyond."""
    return np.clip(((logs - low) / (high - low) * bins).astype(int), 0, bins - 1)


def bootstrap(
    values: np.ndarray, rng: np.random.Generator, *, draws: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of ``values``; those that are not finite are left out.

    Patches of one scan overlap, so the interval tells how far the mean depends on which were drawn, and not how far
    it would change with another scan.
    """
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    means = np.concatenate(
        [
            values[rng.integers(0, len(values), (part, len(values)))].mean(axis=1)
            for part in _parts(draws, max(1, 2_000_000 // len(values)))
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _parts(total: int, most: int) -> list[int]:
    return [min(most, total - done) for done in range(0, total, most)]


def _pearson(a: np.ndarray, b: np.ndarray) -> Any:
    """PCC along the last axis, double precision."""
    a = a - a.mean(axis=-1, keepdims=True)
    b = b - b.mean(axis=-1, keepdims=True)
    norm = np.sqrt(np.square(a).sum(axis=-1)) * np.sqrt(np.square(b).sum(axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (a * b).sum(axis=-1) / norm
    r = np.where(norm > 0, np.clip(r, -1.0, 1.0), np.nan)
    return float(r) if r.ndim == 0 else r
