r"""Coverage: how often the intervals of a distribution of counts hold the counts.

Coverage of counts is judged by the probability integral transform: :math:`u` uniform between :math:`F(n - 1)` and
:math:`F(n)` is uniform between 0 and 1 if the distribution is right, however few counts there are (P. K. Dunn and
G. K. Smyth, J. Comput. Graph. Stat. 5, 236, 1996); instead of drawing :math:`u` its distribution is used (C. Czado,
T. Gneiting and L. Held, Biometrics 65, 1254, 2009), so that nothing here is random.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from braggfill.patterns.distribution import Predictive

BINS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0, np.inf)
"""Edges of the bins of predicted photons, :math:`e^\\mu - 1`, by which calibration is told apart."""


def held(distribution: Predictive, counts: np.ndarray, level: float) -> np.ndarray:
    """Probability, over the randomised transform, that the central interval of ``level`` holds each count, 0 to 1.

    Its mean over voxels is the coverage: ``level`` if the distribution is right, for any number of counts.
    """
    return between(*distribution.pit(counts), level)


def between(before: np.ndarray, upto: np.ndarray, level: float) -> np.ndarray:
    """Share of each stretch F(n - 1) to F(n) within the central interval of ``level``; see :func:`held`."""
    low, high = (1 - level) / 2, (1 + level) / 2
    inside = np.minimum(upto, high) - np.maximum(before, low)
    width = upto - before
    # Stretches so far out in a tail that rounding makes them points lie within or without.
    point = ((before >= low) & (before <= high)).astype(float)
    return np.where(width > 0, np.clip(inside, 0, None) / np.where(width > 0, width, 1.0), point)


def held_by_gaussian(mu: np.ndarray, sigma: np.ndarray, counts: np.ndarray, level: float) -> np.ndarray:
    """1 where log(1 + counts) lies within the Gaussian interval of ``level`` about ``mu``, else 0: for comparison."""
    reach = float(special.ndtri((1 + level) / 2))
    return (np.abs(np.log1p(np.asarray(counts, np.float64)) - mu) <= reach * np.asarray(sigma)).astype(float)


def coverage(
    shares: np.ndarray, rng: np.random.Generator, *, number: np.ndarray | None = None, draws: int = 1000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coverage over patches and its bootstrap 95 % interval; voxels of one patch are not independent.

    Parameters
    ----------
    shares : (patches,) or (patches, levels): sums of :func:`held` over the voxels of each patch.
    number : (patches,) how many voxels each has; one by default.

    Returns
    -------
    Coverage, and the 2.5 and 97.5 % points over patches drawn with replacement; NaN where there is no voxel.
    """
    shares = np.asarray(shares, np.float64)
    number = np.ones(len(shares)) if number is None else np.asarray(number, np.float64)
    shares, number = shares[number > 0], number[number > 0]
    if not len(shares):
        nothing = np.full(shares.shape[1:], np.nan)
        return nothing, nothing.copy(), nothing.copy()
    times = rng.multinomial(len(shares), np.full(len(shares), 1 / len(shares)), draws)
    drawn = (times @ shares) / (times @ number).reshape([-1] + [1] * (shares.ndim - 1))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return shares.sum(axis=0) / number.sum(), low, high
