"""Overlapping portions of a pattern, predicted in batches and averaged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from braggfill import patches

if TYPE_CHECKING:
    from torch.nn import Module


def bridged(logs: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The pattern, (n0, n1, n2) float32, with its gaps interpolated linearly along the axes: what a network starts
    from.  Linear in ``logs``, which may be of any sign."""
    import torch

    from braggfill.networks.bridge import bridge

    return bridge(torch.from_numpy(logs)[None], torch.from_numpy(mask)[None])[0].numpy()


def slide(
    start: np.ndarray,
    mask: np.ndarray,
    model: Module,
    step: int,
    batch: int,
    progress: bool,
    limit: float,
) -> tuple[np.ndarray, np.ndarray]:
    r"""log(1 + photons) of the missing voxels and its standard deviation, in their order.

    Portions lie over everything that is missing, gaps in their middle where they can be, ``step`` voxels apart
    (:func:`braggfill.patches.covering_origins`).  With :math:`\mu_k, \sigma_k` what portion k predicts of a voxel and
    :math:`w_k` its weight there (:func:`braggfill.patches.taper`),

    .. math:: y = \frac{\sum_k w_k \mu_k}{\sum_k w_k}, \qquad \sigma^2 = \frac{\sum_k w_k \sigma_k^2}{\sum_k w_k}.

    Along an axis shorter than a portion the pattern and its mask are mirrored.

    Parameters
    ----------
    start : the pattern with its gaps bridged, log(1 + photons), float32.
    model : a network that states its uncertainty.
    step, batch, progress : see :func:`braggfill.filling.fill`.
    limit : greatest value that a portion may predict.
    """
    import torch

    size = int(model.size)
    missing = np.flatnonzero(mask)
    total, variance, norm = (np.zeros(len(missing), np.float32) for _ in range(3))
    grown, hidden, margins = _mirror(start, mask, size)
    origins = patches.covering_origins(hidden, size, min(step, size))
    weights = patches.taper((size,) * 3)
    device = next(model.parameters()).device
    for part in bar(len(origins), batch, progress):
        chosen = origins[part : part + batch]
        gaps = patches.cut(hidden, chosen, size)
        x, m = torch.from_numpy(patches.cut(grown, chosen, size)).to(device), torch.from_numpy(gaps).to(device)
        with torch.inference_mode():
            mean, log_variance = model(x, m)
        mean = mean.float().clamp(0, limit).cpu().numpy()
        spread = log_variance.float().exp().cpu().numpy()
        for k, origin in enumerate(chosen):
            inside, index = places(gaps[k], origin - margins, mask.shape, missing)
            weight = weights[inside]
            total[index] += weight * mean[k][inside]
            variance[index] += weight * spread[k][inside]
            norm[index] += weight
    return total / norm, np.sqrt(variance / norm)


def places(
    gap: np.ndarray, origin: np.ndarray, shape: tuple[int, ...], missing: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """A portion's missing voxels that lie in the array: their indices within the portion, and their ranks among all.

    Parameters
    ----------
    gap : boolean, True on the portion's voxels that are asked for.
    origin : the portion's first voxel in the array; may lie outside.
    missing : sorted flat indices of all the missing voxels of the array.
    """
    inside = np.nonzero(gap)
    place = [i + int(o) for i, o in zip(inside, origin, strict=True)]
    own = np.logical_and.reduce([(p >= 0) & (p < n) for p, n in zip(place, shape, strict=True)])
    flat = np.ravel_multi_index([p[own] for p in place], shape)
    return tuple(i[own] for i in inside), np.searchsorted(missing, flat)


def bar(total: int, batch: int, progress: bool) -> Iterator[int]:
    """The first portion of each batch, with a progress bar if asked."""
    from tqdm import tqdm

    with tqdm(total=total, desc="fill", unit="portion", disable=not progress, leave=False) as shown:
        for part in range(0, total, batch):
            yield part
            shown.update(min(batch, total - part))


def _mirror(logs: np.ndarray, mask: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pattern and mask grown to at least ``size`` along each axis by mirroring, and how much was added in front."""
    pads = [(max(0, size - n) // 2, max(0, size - n) - max(0, size - n) // 2) for n in logs.shape]
    margins = np.array([front for front, _ in pads])
    if not any(sum(pad) for pad in pads):
        return logs, mask, margins
    return np.pad(logs, pads, mode="symmetric"), np.pad(mask, pads, mode="symmetric"), margins
