r"""Where the object is: a first support from the autocorrelation, and supports that follow the object (shrink-wrap).

An update smooths the modulus by a Gaussian of standard deviation :math:`s` and keeps what is above :math:`\tau` times
the root mean square of the smoothed modulus inside the old support.  Smoothing and threshold are annealed: :math:`s`
falls exponentially from the first to the last update, and a support that would leave its bounds takes the largest or
smallest share of voxels that it may.

Source: Marchesini et al., Phys. Rev. B 68, 140101 (2003); the threshold is relative to the rms as in PyNX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from braggfill.phasing import projections
from braggfill.phasing.verdict import BOUNDS
from braggfill.physics import fourier


def autocorrelation(intensity: np.ndarray, threshold: float = 0.1, missing: np.ndarray | None = None) -> np.ndarray:
    """Voxels where the autocorrelation of the object is above ``threshold`` of its maximum, held within bounds.

    The autocorrelation is the inverse transform of the intensity and reaches twice as far as the object.

    Parameters
    ----------
    intensity : photons, three axes, origin at ``n // 2``.
    missing : True where the intensity is not known and taken to be zero.

    Returns
    -------
    Boolean array of the same shape.
    """
    known = intensity if missing is None else np.where(missing, 0, intensity)
    values = np.abs(fourier.inverse(np.asarray(known, np.float32)))
    level = _bounded(values, threshold * float(values.max()), BOUNDS)
    return values > level


def smoothing(done: float, first: float, last: float) -> float:
    """Standard deviation after a share ``done`` (0 to 1) of the updates: exponential between the two."""
    first, last = max(first, 1e-3), max(last, 1e-3)
    return first * (last / first) ** min(max(done, 0.0), 1.0)


def annealed(done: float, first: Sequence[float], last: float | None) -> list[float]:
    """Thresholds after a share ``done`` of the updates: from each first one to ``last``, linearly, reached at 0.8."""
    part = 0.0 if last is None else min(done / 0.8, 1.0)
    return [one + part * ((last or 0.0) - one) for one in first]


def update(
    obj: torch.Tensor,
    support: torch.Tensor,
    *,
    threshold: float | Sequence[float],
    width: float | Sequence[float],
    border: int | None = None,
    bounds: tuple[float, float] = BOUNDS,
    looseness: float = float("inf"),
) -> torch.Tensor:
    r"""New supports from objects.

    Parameters
    ----------
    obj : complex (starts, three axes), layout of the Fourier transform.
    support : boolean, the old supports.
    threshold : relative to the rms of the smoothed modulus inside the old support; one, or one a start.
    width : standard deviation of the smoothing in voxels; one, or one an axis.
    border : only voxels within so many of the old support's surface may change; None for all.
    bounds : smallest and largest share of the array.
    looseness : the rms is that over at most so many times the voxels that the object effectively fills,
        :math:`(\sum m^2)^2 / \sum m^4`, so that faint voxels around it do not lower the level that admits more of them.

    Returns
    -------
    Boolean tensor of the same shape.
    """
    modulus = obj.abs()
    if np.any(np.asarray(width) > 0.05):
        kernel = projections.gaussian(obj.shape[1:], width, obj.device)
        modulus = projections.blur(modulus, kernel)
    number = support.sum(dim=projections.AXES).clamp(min=1).double()
    squares = (modulus * support) ** 2
    total = squares.sum(dim=projections.AXES, dtype=torch.float64)
    if np.isfinite(looseness):
        fourth = squares.square().sum(dim=projections.AXES, dtype=torch.float64)
        number = torch.minimum(number, looseness * total**2 / fourth.clamp(min=1e-300)).clamp(min=1)
    rms = total.div(number).sqrt()
    levels = rms.float() * torch.as_tensor(threshold, dtype=torch.float32, device=obj.device)
    new = torch.empty_like(support)
    for start, level in enumerate(levels.tolist()):
        values = modulus[start]
        new[start] = values > level
        share = float(new[start].float().mean())
        if not bounds[0] <= share <= bounds[1]:
            wanted = bounds[0] if share < bounds[0] else bounds[1]
            rank = max(1, round((1 - wanted) * values.numel()))
            new[start] = values > values.reshape(-1).kthvalue(rank).values
    if border is not None:
        new = torch.where(_near_surface(support, border), new, support)
    return new


def grown(support: torch.Tensor) -> torch.Tensor:
    """Supports (starts, three axes) and the voxels that share a face with them, periodically."""
    return _with_neighbours(support, torch.logical_or)


def _near_surface(support: torch.Tensor, border: int) -> torch.Tensor:
    """Voxels within ``border`` of a support's surface, inside or outside, periodically."""
    larger, smaller = support, support
    for _ in range(border):
        larger = _with_neighbours(larger, torch.logical_or)
        smaller = _with_neighbours(smaller, torch.logical_and)
    return larger & ~smaller


def _with_neighbours(support: torch.Tensor, joined: Callable[..., torch.Tensor]) -> torch.Tensor:
    """Each voxel joined with those that share a face with it."""
    found = support.clone()
    for axis in projections.AXES:
        for step in (-1, 1):
            joined(found, support.roll(step, axis), out=found)
    return found


def _bounded(values: np.ndarray, level: float, bounds: tuple[float, float]) -> float:
    share = float((values > level).mean())
    if bounds[0] <= share <= bounds[1]:
        return level
    wanted = bounds[0] if share < bounds[0] else bounds[1]
    return float(np.quantile(values, 1 - wanted))
