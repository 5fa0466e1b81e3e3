"""The second stage: the convex object freed from its parametrisation, its support kept.

Projections onto the measured amplitudes and the support, started from the convex object (:mod:`.projections`).  The
support follows the object at its surface only, a layer of voxels at an update, and never leaves a band about the convex
shape: a refinement that may choose its support anew loses, under strong strain, what the first stage found.

Source: Masto, thesis, section 4.9, for supports of which only the border may change; the band is this module's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from braggfill.phasing import projections, support


@dataclass(frozen=True)
class Refinement:
    """Algorithms and cycles of the second stage."""

    stages: tuple[tuple[str, int], ...] = (("RAAR", 100), ("ER", 60))
    """The support follows in all but the last."""
    beta: float = 0.9
    period: int = 10
    """Cycles between updates of the support."""
    threshold: float = 0.25
    """Relative to the rms of the smoothed modulus inside the support."""
    smoothing: tuple[float, float] = (1.5, 0.7)
    """Standard deviation in voxels at the first and the last update."""
    band: int = 3
    """Voxels that the support may lie inside or outside of the convex shape."""


def refine(
    obj: np.ndarray,
    inside: np.ndarray,
    intensity: np.ndarray,
    weight: np.ndarray,
    refinement: Refinement,
    *,
    device: str | torch.device = "cpu",
    should_stop: Callable[[], bool] | None = None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """The object that follows from the amplitudes and a support near the convex one.

    Parameters
    ----------
    obj : complex; inside : boolean, the convex shape; intensity : photons; weight : 0 to 1, 0 where nothing is known.
        All of one shape, origin at ``n // 2``.

    Returns
    -------
    Object (complex64, zero outside its support), support, and the residual of
    :meth:`braggfill.phasing.projections.Projections.residual`.
    """
    from scipy.ndimage import binary_dilation, binary_erosion

    least = binary_erosion(inside, iterations=refinement.band)
    most = binary_dilation(inside, iterations=refinement.band)
    least, most, first = (projections.to_layout(a, device)[None] for a in (least, most, inside))
    start = projections.to_layout(obj.astype(np.complex64), device)[None]
    cycles = projections.Projections(projections.Measured(intensity, weight, device=device), start, first)
    updates = sum(-(-n // refinement.period) for _, n in refinement.stages[:-1])
    done = 0
    for number, (name, wanted) in enumerate(refinement.stages):
        last = number == len(refinement.stages) - 1
        step = wanted if last else refinement.period
        for begun in range(0, wanted, max(step, 1)):
            cycles.run(name, min(step, wanted - begun), beta=refinement.beta, should_stop=should_stop)
            if last:
                continue
            width = support.smoothing(done / max(updates - 1, 1), *refinement.smoothing)
            new = support.update(cycles.obj, cycles.support, threshold=refinement.threshold, width=width, border=1)
            cycles.support = (new & most) | least
            done += 1
    found = (cycles.obj * cycles.support)[0]
    return (
        projections.from_layout(found).astype(np.complex64),
        projections.from_layout(cycles.support[0]),
        float(cycles.residual()[0]),
    )
