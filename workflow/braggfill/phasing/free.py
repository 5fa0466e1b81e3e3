"""Voxels kept out of phase retrieval to judge it, and the figure that they give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.special

from braggfill.physics import fourier


def free_voxels(
    shape: Sequence[int], missing: np.ndarray | None, fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Voxels to keep out of phase retrieval, so that they can judge it: balls of 2 voxels radius, at random.

    None of them is missing or within a twentieth of the array of its centre.  They are balls because neighbouring
    voxels are correlated: a single one would be known from those around it.

    Parameters
    ----------
    fraction : about how much of the array, above 0 and below 1.

    Returns
    -------
    Boolean array of ``shape``, True where a voxel is kept out.
    """
    grid = fourier.grid(tuple(shape))
    reach = [np.arange(-2, 3)] * len(shape)
    ball = np.argwhere(sum(g**2 for g in np.meshgrid(*reach, indexing="ij")) <= 4) - 2
    number = max(1, round(fraction * np.prod(shape) / len(ball)))
    centres = np.stack([rng.integers(2, n - 2, number) for n in shape], axis=1)
    free = np.zeros(tuple(shape), dtype=bool)
    free[tuple((centres[:, None] + ball).reshape(-1, len(shape)).T)] = True
    free &= sum((g / (0.05 * n)) ** 2 for g, n in zip(grid, shape, strict=True)) > 1
    return free if missing is None else free & ~missing


def likelihood(observed: np.ndarray, model: np.ndarray) -> float:
    r"""Poisson deviance a voxel, :math:`\langle 2\,(m - o + o \ln (o / m)) \rangle`: the negative log-likelihood over
    that of a perfect fit, about 1 where the model is right and there are more than a few photons per voxel.

    The model is taken to be at least 0.01 photons, because a single photon where none is expected is no proof.
    """
    model = np.maximum(model, 0.01)
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = np.where(observed > 0, observed * np.log(observed / model), 0.0)
    return float(2 * np.mean(model - observed + logarithm, dtype=float))


def expected_likelihood(model: np.ndarray) -> float:
    r"""What :func:`likelihood` is on average where the model is right and the counts have Poisson noise.

    Close to 1 above a few photons per voxel, towards 0 where there are next to none.
    """
    levels = np.geomspace(0.01, 30, 60)
    counts = np.arange(0, 120)
    logarithm = scipy.special.xlogy(counts, counts)[None] - counts[None] * np.log(levels)[:, None]
    deviance = 2 * (levels[:, None] - counts[None] + logarithm)
    chance = np.exp(counts[None] * np.log(levels)[:, None] - levels[:, None] - scipy.special.gammaln(counts + 1)[None])
    table = (chance * deviance).sum(axis=1)
    model = np.maximum(np.asarray(model, float), 0.01)
    return float(np.where(model > 30, 1 + 1 / (6 * model), np.interp(model, levels, table)).mean())
