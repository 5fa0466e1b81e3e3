"""What can be filled: the arrays that are given, looked at before anything is done."""

from __future__ import annotations

import numpy as np

from braggfill.errors import BraggfillError


def check(intensity: np.ndarray, mask: np.ndarray, *, most_missing: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The arrays, if they can be filled: intensity as it is, mask as booleans of the same shape; see
    :func:`braggfill.filling.inpaint`."""
    intensity, mask = shapes(intensity, mask, most_missing=most_missing)
    if intensity.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            bad = ~((intensity >= 0) & (intensity < np.inf)) & ~mask
    else:
        bad = (intensity < 0) & ~mask
    if bad.any():
        refuse(intensity, bad)
    if not (intensity.any() and (intensity.astype(bool) & ~mask).any()):
        raise BraggfillError("intensity: there is not one photon in the measured voxels; check the data and the mask")
    return intensity, mask


def refuse(intensity: np.ndarray, bad: np.ndarray) -> None:
    """Raise a :class:`BraggfillError` about the measured voxels that are ``bad``."""
    first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
    value = intensity[first]
    what = "negative or not finite" if not value > 0 or not np.isfinite(value) else f"{value}, a detector's sign"
    raise BraggfillError(
        f"intensity: {int(bad.sum())} measured voxels are {what}, the first at {first}; add them to the mask"
    )


def shapes(intensity: np.ndarray, mask: np.ndarray, *, most_missing: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The arrays, if their types and shapes fit; values are not looked at."""
    intensity = np.asarray(intensity)
    kind = intensity.dtype.kind
    if kind not in "iuf":
        what = {"c": "complex numbers", "O": "Python objects", "b": "booleans"}.get(kind, f"of type {intensity.dtype}")
        hint = "; take the squared modulus" if kind == "c" else "; give numbers of photons"
        raise BraggfillError(f"intensity: its values are {what}{hint}")
    if intensity.ndim != 3:
        what = "one image" if intensity.ndim == 2 else f"an array of {intensity.ndim} axes"
        raise BraggfillError(f"intensity: {what}, shape {intensity.shape}; give a 3D stack of frames")
    if intensity.size == 0:
        raise BraggfillError(f"intensity: shape {intensity.shape} holds nothing; check the file")
    mask = _as_mask(mask, intensity.shape)
    share = float(mask.mean())
    if share == 1:
        raise BraggfillError("mask: it covers everything, nothing is measured; is it inverted? True means missing")
    if share > 0.5 and not most_missing:
        raise BraggfillError(
            f"mask: {share:.0%} is missing; is it inverted? True means missing (most_missing=True fills it anyway)"
        )
    return intensity, mask


def _as_mask(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.dtype.kind not in "biuf":
        raise BraggfillError(f"mask: its values are of type {mask.dtype}; give booleans, True where missing")
    if mask.dtype.kind != "b" and not ((mask == 0) | (mask == 1)).all():
        raise BraggfillError("mask: values other than 0 and 1; give booleans, True where missing")
    if mask.shape not in (shape, shape[1:]):
        raise BraggfillError(
            f"mask: its shape {mask.shape} fits neither the intensity's {shape} nor one frame {shape[1:]}; check both"
        )
    return np.broadcast_to(mask.astype(bool), shape).copy()


def exact_type(intensity: np.ndarray, mask: np.ndarray) -> np.dtype:
    """The real type in which every measured voxel is what it was."""
    if intensity.dtype.kind == "f":
        return np.promote_types(intensity.dtype.newbyteorder("="), np.float32)
    greatest = int(np.where(mask, 0, intensity).max())
    sentinel = intensity.dtype.itemsize >= 4 and greatest == np.iinfo(intensity.dtype).max
    if sentinel or greatest > 2**53:
        raise BraggfillError(
            f"intensity: a measured voxel of {greatest} is no count but a detector's sign for a bad pixel; "
            "add such voxels to the mask"
        )
    return np.dtype(np.float32 if greatest <= 2**24 else np.float64)
