r"""The distribution of counts that belongs to a stated uncertainty, and its intervals.

A network states the expected :math:`\mu = \log(1 + \lambda)` of a missing voxel and the standard deviation :math:`s` of
:math:`\log(1 + n)` about it, where :math:`n` is what the detector would have counted.  Where little is expected no
interval of :math:`\log(1 + n)` that is symmetric about :math:`\mu` can be right, because counts are whole and not
negative.  What belongs to :math:`(\mu, s)` is therefore the negative binomial distribution: Poisson counts of an
expectation that is itself not known for certain, gamma distributed with mean :math:`m` and relative variance :math:`t`,

.. math:: \lambda \sim \Gamma(\text{shape } 1/t, \text{mean } m), \qquad n \sim \mathrm{Poisson}(\lambda), \qquad
          \langle \log(1 + \lambda) \rangle = \mu, \qquad \langle (\log(1 + n) - \mu)^2 \rangle = s^2 .

The last two equations, which are what the losses ask of the network, determine :math:`m` and :math:`t`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special
from scipy.ndimage import map_coordinates

from braggfill.errors import BraggfillError

LEAST_LOG, MOST_LOG = 1e-3, 40.0
MOST_LATENT = 2.0
"""Variance of the logarithm, counting noise not included, beyond which :func:`photons` grows no more."""
BRIGHT = 7.0
"""log(1 + photons) above which the moments of log(1 + counts) are those of a Gaussian."""


@dataclass(frozen=True)
class Predictive:
    """Negative binomial distributions of counts, one a voxel."""

    mean: np.ndarray
    """Expected counts."""
    spread: np.ndarray
    """Relative variance t of the expectation, 0 for pure counting noise; the variance is mean + t mean²."""

    def cdf(self, counts: np.ndarray) -> np.ndarray:
        """Probability of at most so many counts; 0 for negative ones."""
        counts = np.asarray(counts, np.float64)
        whole = np.maximum(np.floor(counts), 0.0)
        poisson = self.spread <= 0
        shape = 1 / np.where(poisson, 1.0, self.spread)
        found = np.where(
            poisson,
            special.pdtr(whole, self.mean),
            special.betainc(shape, whole + 1, shape / (shape + self.mean)),
        )
        return np.where(counts < 0, 0.0, found)

    def quantile(self, share: float) -> np.ndarray:
        """Smallest whole number of counts with at least this share of the probability below or at it."""
        _check(share)
        mean, spread = (np.ravel(x) for x in np.broadcast_arrays(self.mean, self.spread))
        deviation = np.sqrt(mean + spread * mean**2)
        low = np.maximum(np.floor(_guess(mean, spread, share)), 0.0)
        high, step = low.copy(), np.ceil(1 + 0.01 * deviation)
        # Bracket: the answer is above low and at most high.
        rising = np.ones(len(mean), bool)
        while len(open_ := np.flatnonzero(rising)):
            reached = Predictive(mean[open_], spread[open_]).cdf(high[open_]) >= share
            rising[open_[reached]] = False
            left = open_[~reached]
            low[left], high[left], step[left] = high[left], high[left] + step[left], 2 * step[left]
        falling = low == high
        step = np.ceil(1 + 0.01 * deviation)
        low[falling] = np.maximum(high[falling] - step[falling], -1.0)
        while len(open_ := np.flatnonzero(falling)):
            under = (low[open_] < 0) | (Predictive(mean[open_], spread[open_]).cdf(low[open_]) < share)
            falling[open_[under]] = False
            left = open_[~under]
            high[left], step[left] = low[left], 2 * step[left]
            low[left] = np.maximum(low[left] - step[left], -1.0)
        while len(open_ := np.flatnonzero(high - low > 1)):
            middle = np.floor((low[open_] + high[open_]) / 2)
            enough = Predictive(mean[open_], spread[open_]).cdf(middle) >= share
            high[open_] = np.where(enough, middle, high[open_])
            low[open_] = np.where(enough, low[open_], middle)
        return high.reshape(np.shape(self.mean))

    def interval(self, level: float = 0.68) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest count of the central interval, both within it.

        Counts are whole, so it holds at least ``level`` of the probability, and more where few are expected: of a voxel
        where 0.05 photons are expected every interval up to 95 % is 0 to 0.
        """
        _check(level)
        return self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)

    def amplitude(self) -> np.ndarray:
        r"""Expected amplitude of what a detector would count, :math:`\langle\sqrt n\rangle`.

        Phase retrieval compares its amplitudes with :math:`\sqrt n`, whose mean is less than :math:`\sqrt{m}`: 0.77
        where one photon is expected, :math:`\approx m` of far less, and :math:`\approx \sqrt m (1 - 1/8m)` of many.
        An expectation that is itself uncertain lowers it further.
        """
        means, spreads, ratio = _amplitudes()
        mean, spread = np.broadcast_arrays(np.maximum(self.mean, 0.0), self.spread)
        row = _steps(np.maximum(mean, means[0]), means)
        column = _steps(np.maximum(spread, spreads[0]), spreads)
        found = map_coordinates(ratio, [row.ravel(), column.ravel()], order=1, mode="nearest").reshape(mean.shape)
        # Below the table the amplitude is proportional to the mean, above it to its root.
        return found * np.sqrt(mean * np.minimum(mean / means[0], 1.0))

    def pit(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """F(n - 1) and F(n): between them the probability integral transform of each count is uniform."""
        counts = np.asarray(counts, np.float64)  # unsigned ones have no -1
        return self.cdf(counts - 1), self.cdf(counts)


def _check(level: float) -> None:
    if not 0 < level < 1:
        raise BraggfillError(f"level: {level!r} is no share between 0 and 1; use e.g. 0.68")


def predictive(mu: np.ndarray, sigma: np.ndarray) -> Predictive:
    """The distribution of counts behind what a network states.

    Parameters
    ----------
    mu : expected log(1 + photons), any shape.
    sigma : standard deviation of log(1 + counts) about it, same shape.  Where it is less than counting noise alone
        makes it the distribution is Poisson's.

    Raises
    ------
    BraggfillError : something is not finite, or a deviation is negative.
    """
    mu, sigma = np.asarray(mu, np.float64), np.asarray(sigma, np.float64)
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all() and (sigma >= 0).all()):
        raise BraggfillError("calibration: mu and sigma have to be finite, and sigma not negative")
    shape = np.broadcast_shapes(mu.shape, sigma.shape)
    mu, sigma = (np.broadcast_to(x, shape).reshape(-1) for x in (mu, sigma))
    logs, spreads, moment, log_mean = _table()
    mu = np.clip(mu, LEAST_LOG, logs[-1])
    row = np.clip(np.searchsorted(logs, mu, side="right") - 1, 0, len(logs) - 2)
    part = (mu - logs[row]) / (logs[row + 1] - logs[row])

    def at(table: np.ndarray, column: np.ndarray) -> np.ndarray:
        return (1 - part) * table[row, column] + part * table[row + 1, column]

    # The last column whose second moment is at most what is stated; the moment grows with the spread.
    low, high = np.zeros(len(mu), int), np.full(len(mu), len(spreads) - 1)
    for _ in range(int(np.ceil(np.log2(len(spreads))))):
        middle = (low + high) // 2
        below = at(moment, middle) <= sigma**2
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    last = np.minimum(low + 1, len(spreads) - 1)
    here, there = at(moment, low), at(moment, last)
    share = np.clip((sigma**2 - here) / np.where(there > here, there - here, 1.0), 0.0, 1.0)
    spread = (1 - share) * spreads[low] + share * spreads[last]
    mean = np.exp((1 - share) * at(log_mean, low) + share * at(log_mean, last))
    return Predictive(mean.reshape(shape), spread.reshape(shape))


def photons(mu: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    r"""What a voxel is filled with: the square of its expected amplitude where that is more than
    :math:`\lambda_0 = e^\mu - 1`, else that.

    A mean of logarithms is below the mean of what they are the logarithms of, so that bright voxels which are not
    known well come out too dark, and darker the less is known.  Phases and strain depend on amplitudes.  With
    :math:`v = s^2 - \lambda_0 / (1 + \lambda_0)^2` what of the variance is not counting noise, to second order in
    :math:`\log(1 + \lambda)`,

    .. math:: \langle\sqrt\lambda\rangle^2 \approx
              \lambda_0 + \frac14 \Bigl(\lambda_0 - \frac1{\lambda_0}\Bigr) \min(v, 2), \qquad \lambda_0 > 1,

    at most half more; where v is larger nothing is known that would tell how much.  :func:`of_filled` undoes it.
    With the true phase, strain errors of gaps filled so are up to a half lower, and in 2 of 60 cases by 1 or 2 %
    higher (``docs/networks.md``).

    Parameters
    ----------
    mu, sigma : as of :func:`predictive`, any shape.

    Returns
    -------
    Photons, of the type of ``mu``; infinite where those of ``mu`` are.
    """
    with np.errstate(over="ignore"):
        least = np.expm1(mu)
        bright = np.maximum(least, 1.0).astype(np.float64)
        more = (1 - 1 / bright**2) * _latent(bright, np.asarray(sigma, np.float64)) / 4
        return least * (1 + more).astype(least.dtype)


def _latent(least: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """What of the variance is not counting noise, of at least a photon and no more than counts in :func:`photons`."""
    return np.clip(spread**2 - 1 / (2 + least + 1 / least), 0, MOST_LATENT)


def stated(data: np.ndarray, sigma: np.ndarray, *, corrected: bool = False) -> tuple[np.ndarray, np.ndarray]:
    r"""What a network stated, from what was filled: :math:`\mu` and s of :func:`predictive`.

    Parameters
    ----------
    data, sigma : photons, of filled voxels; see :class:`braggfill.filling.Filled`.  There data is :func:`photons` of
        :math:`\mu` and s, and :math:`\sigma = (1 + I) \sinh s`.
    corrected : data are those of a finite crystal instead, and :math:`\mu` their logarithm.
    """
    data, sigma = np.asarray(data, np.float64), np.asarray(sigma, np.float64)
    spread = np.arcsinh(sigma / (1 + data))
    if corrected:
        return np.log1p(data), spread
    # How much brighter hardly depends on the photons, but by the counting noise of a few: ten digits in six rounds.
    least = bright = np.maximum(data, 1.0)
    for _ in range(6):
        more = _latent(least, spread) / 4
        least = np.maximum((bright / 2 + np.hypot(bright / 2, np.sqrt(more * (1 + more)))) / (1 + more), 1.0)
    return np.log1p(np.where(data > 1, least, data)), spread


def of_filled(data: np.ndarray, sigma: np.ndarray, *, corrected: bool = False) -> Predictive:
    """The same from photons: parameters as of :func:`stated`, of filled voxels."""
    return predictive(*stated(data, sigma, corrected=corrected))


def _guess(mean: np.ndarray, spread: np.ndarray, share: float) -> np.ndarray:
    """Near the quantile: the gamma distribution's where it is wider than counting noise, else Cornish and Fisher's."""
    normal = float(special.ndtri(share))
    deviation = np.sqrt(mean + spread * mean**2)
    skew = (1 + 2 * spread * mean) / np.sqrt(mean * (1 + spread * mean))
    found = mean + deviation * (normal + (normal**2 - 1) * skew / 6)
    wide = spread * mean > 1
    found[wide] = special.gammaincinv(1 / spread[wide], share) * spread[wide] * mean[wide]
    return found


@lru_cache(maxsize=1)
def _table() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For log(1 + photons) (rows) and spreads (columns): both, the second moment about the former, and log(mean)."""
    logs = np.concatenate(
        [np.geomspace(LEAST_LOG, 1, 40)[:-1], np.linspace(1, 8, 57)[:-1], np.linspace(8, MOST_LOG, 9)]
    )
    spreads = np.concatenate([[0.0], np.geomspace(1e-6, 100, 65)])
    moments, means = np.empty((len(logs), len(spreads))), np.empty((len(logs), len(spreads)))
    log_mean = np.log(np.expm1(logs))
    for column, spread in enumerate(spreads):
        nodes, weights = _gamma(spread)
        for _ in range(12):  # Newton, on logarithms: nearly a straight line on both sides
            rate = np.exp(log_mean[:, None] + nodes)
            level = np.log1p(rate) @ weights
            change = np.log(level / logs) * level / ((rate / (1 + rate)) @ weights)
            log_mean = log_mean - change
            if np.abs(change).max() < 1e-10:
                break
        mean, variance = _counted(np.exp(log_mean[:, None] + nodes))
        # What the nodes leave out below has no counts.
        moments[:, column] = (variance + (mean - logs[:, None]) ** 2) @ weights + (1 - weights.sum()) * logs**2
        means[:, column] = log_mean
    return logs, spreads, np.maximum.accumulate(moments, axis=1), means


def _gamma(spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for the logarithm of a gamma variable of mean 1: a trapezoid rule, whose error is minute for a
    smooth density that ends at nothing on both sides.  What lies below e^-30 of the mean is left to nothing."""
    if spread == 0:
        return np.zeros(1), np.ones(1)
    shape = 1 / spread
    width = np.sqrt(special.polygamma(1, shape))
    nodes = np.linspace(max(-10 * width, -30.0), np.log1p(12 * np.sqrt(spread) + 40 * spread), 140)
    log_density = shape * (nodes + np.log(shape)) - shape * np.exp(nodes) - special.gammaln(shape)
    return nodes, np.exp(log_density) * (nodes[1] - nodes[0])


def _counted(rate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of log(1 + n) for Poisson counts n of this expectation."""
    grid, mean, variance = _poisson()
    logs = np.log1p(rate)
    inverse = rate / (1 + rate) ** 2
    return (
        np.where(logs > BRIGHT, logs - inverse / 2, np.interp(logs, grid, mean)),
        np.where(logs > BRIGHT, inverse, np.interp(logs, grid, variance)),
    )


@lru_cache(maxsize=1)
def _poisson() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log(1 + expectation), and mean and variance of log(1 + n) there, by summing over n."""
    grid = np.linspace(0, BRIGHT, 401)
    rate = np.expm1(grid)[:, None]
    counts = np.arange(1600.0)
    chance = np.exp(special.xlogy(counts, rate) - rate - special.gammaln(counts + 1))
    logs = np.log1p(counts)
    mean = chance @ logs
    return grid, mean, chance @ logs**2 - mean**2


def amplitude_of_filled(data: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    r"""Square of the expected amplitude of counts, :math:`\langle\sqrt n\rangle^2`, of filled voxels.

    It is what phase retrieval should be given for a voxel that nobody measured, because :math:`\sqrt n` is what it
    compares with where somebody did.  Of measured voxels in which 0.1 photons are expected one in ten holds a photon,
    and the mean of their amplitudes is that of 0.01 photons.

    Parameters
    ----------
    data, sigma : photons, same shape; see :class:`braggfill.filling.Filled`.

    Returns
    -------
    Photons.  Where ``sigma`` is NaN ``data`` itself, and nowhere more than the photons of the mean logarithm: in phase
    retrieval bright voxels that are taken as if measured do no better with :func:`photons` or with more
    (``docs/realspace.md``).
    """
    data, sigma = np.asarray(data, np.float64), np.asarray(sigma, np.float64)
    known = np.isfinite(sigma)
    found = data.copy()
    mu, spread = stated(data[known], sigma[known])
    found[known] = np.minimum(predictive(mu, spread).amplitude() ** 2, np.expm1(mu))
    return found


@lru_cache(maxsize=1)
def _amplitudes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (rows) and spreads (columns), both in even steps of the logarithm, and the expected root of counts over the
    root of the mean."""
    means, spreads = np.geomspace(1e-6, 1e6, 241), np.geomspace(1e-6, 100, 66)
    rates = np.concatenate([[0.0], np.geomspace(1e-8, 1000, 600)])
    counts = np.arange(1600.0)
    chance = np.exp(special.xlogy(counts, rates[:, None]) - rates[:, None] - special.gammaln(counts + 1))
    roots = chance @ np.sqrt(counts)
    ratio = np.empty((len(means), len(spreads)))
    for column, spread in enumerate(spreads):
        nodes, weights = _gamma(spread)
        rate = means[:, None] * np.exp(nodes)
        many = np.sqrt(rate) * (1 - 1 / (8 * np.maximum(rate, 1)) - 7 / (128 * np.maximum(rate, 1) ** 2))
        ratio[:, column] = np.where(rate > 500, many, np.interp(rate, rates, roots)) @ weights / np.sqrt(means)
    return means, spreads, ratio


def _steps(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Where values lie on a geometric grid, counted in its steps."""
    return np.log(values / grid[0]) / np.log(grid[1] / grid[0])
