"""The support of a reconstructed object: the particle, its size, its inside."""

from __future__ import annotations

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.physics import boxes


def from_modulus(obj: np.ndarray, threshold: float = 0.3) -> np.ndarray:
    """The particle: the largest connected set of voxels whose modulus is above ``threshold`` of the largest modulus.

    Parameters
    ----------
    obj : complex or real, any number of axes.
    threshold : above 0, below 1.

    Raises
    ------
    BraggfillError : the object is zero everywhere or not finite.
    """
    import scipy.ndimage

    modulus = np.abs(obj)
    top = modulus.max()
    if not np.isfinite(top) or top == 0:
        raise BraggfillError("object: zero everywhere or not finite, so it has no support; check what it was made from")
    labels, number = scipy.ndimage.label(modulus > threshold * top)
    if number == 1:
        return labels > 0
    sizes = np.bincount(labels.ravel())
    return labels == 1 + np.argmax(sizes[1:])


def extent(inside: np.ndarray) -> tuple[int, ...]:
    """Size in voxels of a support's bounding box along each axis."""
    return tuple(s.stop - s.start for s in bounding_box(inside))


def oversampling(inside: np.ndarray) -> tuple[float, ...]:
    """Size of the array over size of the support along each axis: 2 is the least that phase retrieval needs."""
    return tuple(n / e for n, e in zip(inside.shape, extent(inside), strict=True))


def interior(inside: np.ndarray, layers: int) -> np.ndarray:
    """The support without its outer ``layers`` of voxels (by faces); with 1, every difference is a central one."""
    import scipy.ndimage

    return scipy.ndimage.binary_erosion(inside, iterations=layers) if layers > 0 else inside.copy()


def bounding_box(inside: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds the support; BraggfillError if it is empty."""
    if not inside.any():
        raise BraggfillError("support: empty; lower its threshold")
    return boxes.bounding_box(inside)
