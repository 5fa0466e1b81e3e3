"""An object reconstructed from a measurement, as the truth of patterns."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.physics import boxes, support
from braggfill.physics.crystals import embedded
from braggfill.runs import storage

FAINT = 0.3
"""Share of the largest modulus below which it is taken for empty."""


def embedded_well(path: Path, box: int, oversampling: float) -> np.ndarray:
    """The reconstructed object amid so many zeros that the middle of its transform, ``box`` voxels, holds it well
    sampled.

    Parameters
    ----------
    path : from ``fetch``, with ``obj``.
    oversampling : along the object's longest axis.

    Raises
    ------
    BraggfillError : the file is damaged or holds no object.
    """
    with storage.read(path) as file:
        obj = storage.array(file, "obj")
    if obj.ndim != 3 or not np.isfinite(obj).all() or not obj.any():
        raise BraggfillError(f"{path}: obj has shape {obj.shape} or values that are not finite; fetch it again")
    inside = support.from_modulus(obj, FAINT)
    cut = np.where(inside, obj, 0)[boxes.bounding_box(inside)]
    edge = max(2 * round(oversampling * max(cut.shape) / 2), box)
    return embedded(cut.astype(np.complex64), (edge,) * 3)
