"""Fill the missing voxels of a whole pattern, of any size, by a network or by interpolation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from braggfill import interrupts, patches
from braggfill.errors import BraggfillError

if TYPE_CHECKING:
    from torch.nn import Module

NETWORKS = ("braggfill", "paper")
INTERPOLATIONS = ("linear", "cubic", "nearest")
METHODS = NETWORKS + INTERPOLATIONS
BEYOND = 7.0
"""How far the logarithm of a filled voxel may exceed that of the brightest measured one: a thousandfold."""


@dataclass(frozen=True)
class Filled:
    """A filled pattern, its arrays all of the pattern's shape."""

    data: np.ndarray
    """Photons: what was measured, bit for bit, and what was filled, finite and never negative."""
    mask: np.ndarray
    """True where filled."""
    sigma: np.ndarray
    """Standard deviation, photons, of what the detector would have counted; NaN where measured, and everywhere where
    the method has no uncertainty. It is (1 + I) sinh(s), half the width of the 68 % interval of log(1 + counts)."""


def fill(
    intensity: np.ndarray,
    mask: np.ndarray,
    *,
    method: str = "braggfill",
    network: str | Path | Module | None = None,
    device: str = "auto",
    step: int = 16,
    batch: int = 32,
    progress: bool = False,
    most_missing: bool = False,
) -> Filled:
    """Fill the gaps of a 3D Bragg coherent diffraction pattern.

    With a network, portions of 32 x 32 x 32 voxels are slid over everything that is missing and overlapping
    predictions are averaged in the logarithm, a portion's middle weighing most (paper, section 2.4).  Along an axis
    shorter than a portion the pattern and its mask are mirrored.

    Parameters
    ----------
    intensity : photons, three axes (rocking angle, vertical, horizontal), integers or real numbers; not negative and
        finite where measured. What lies in the gap is not looked at.
    mask : True (or 1) where missing, same shape; or one detector frame, which then holds for all.
    method : ``"braggfill"``, ``"paper"`` (networks), ``"linear"``, ``"cubic"``, ``"nearest"`` (interpolation of the
        log intensity).
    network : a trained network's file, or one that :func:`braggfill.networks.load` has loaded; by default the one of
        that name that comes with the package.
    device : ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` …
    step : voxels between neighbouring portions; less is slower and averages more (1 in the paper).
    batch : portions a call; speed and memory only.
    progress : show a progress bar.
    most_missing : accept a mask under which more than half is missing; it is an error otherwise, because such a mask
        is usually inverted.

    Returns
    -------
    Filled. ``data`` has the input's type if that is a real number of at least single precision; else float32, or
    float64 where that is needed to hold the counts exactly.

    Raises
    ------
    BraggfillError : the arrays do not fit each other or are not of that kind, everything is missing, measured voxels
        are negative or not finite, there is no network, or the method or device is unknown.
    """
    intensity, mask = check(intensity, mask, most_missing=most_missing)
    if method not in METHODS:
        raise BraggfillError(f"method: {method!r} is unknown; use one of {', '.join(METHODS)}")
    model = _network(method, network, device) if method in NETWORKS else None
    data = intensity.astype(_exact_type(intensity, mask))
    sigma = np.full(intensity.shape, np.nan, dtype=np.float32)
    if mask.any():
        from braggfill.interpolate import interpolate

        seen = np.where(mask, 0, intensity).astype(np.float32)
        bridged = interpolate(seen, mask, method if model is None else "linear")
        if model is None:
            values, deviation = bridged[mask], None
        else:
            limit = float(np.log1p(seen.max())) + BEYOND
            del seen
            values, deviation = _slide(np.log1p(bridged, out=bridged), mask, model, step, batch, progress, limit)
        data[mask] = np.clip(values, 0, np.finfo(data.dtype).max)
        if deviation is not None:
            sigma[mask] = np.clip(deviation, 0, np.finfo(np.float32).max)
    return Filled(data, mask, sigma)


def check(intensity: np.ndarray, mask: np.ndarray, *, most_missing: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The arrays, if they can be filled: intensity as it is, mask as booleans of the same shape; see :func:`fill`."""
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
    if kind == "f":
        with np.errstate(invalid="ignore"):
            bad = ~((intensity >= 0) & (intensity < np.inf)) & ~mask
    else:
        bad = (intensity < 0) & ~mask
    if bad.any():
        first = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
        raise BraggfillError(
            f"intensity: {int(bad.sum())} measured voxels are negative or not finite, the first at {first}; "
            "add them to the mask"
        )
    if not (intensity.any() and (intensity.astype(bool) & ~mask).any()):
        raise BraggfillError("intensity: there is not one photon in the measured voxels; check the data and the mask")
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


def _exact_type(intensity: np.ndarray, mask: np.ndarray) -> np.dtype:
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


def _network(method: str, network: str | Path | Module | None, device: str) -> Module:
    """The network, loaded, on its device."""
    with interrupts.held():
        import torch

        from braggfill import networks

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    device = "cuda" if device == "gpu" else device
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BraggfillError(f"device: {device!r} cannot be used here; use auto or cpu") from error
    if network is None:
        network = networks.shipped(method)
    if isinstance(network, str | Path):
        return networks.load(network, device)
    return network.to(device).eval()


def _slide(
    logs: np.ndarray, mask: np.ndarray, model: Module, step: int, batch: int, progress: bool, limit: float
) -> tuple[np.ndarray, np.ndarray | None]:
    """Photons and standard deviations of the missing voxels, in their order, from overlapping portions."""
    import torch

    size = int(model.size)
    missing = np.flatnonzero(mask)
    total, variance, norm = (np.zeros(len(missing)) for _ in range(3))
    grown, hidden, margins = _mirror(logs, mask, size)
    origins = patches.covering_origins(hidden, size, min(step, size))
    weights = patches.taper((size,) * 3)
    device = next(model.parameters()).device
    for part in _bar(range(0, len(origins), batch), batch, len(origins), progress):
        chosen = origins[part : part + batch]
        gaps = patches.cut(hidden, chosen, size)
        # A network that is given no interpolation needs something measured in each portion.
        good = np.ones(len(chosen), bool) if model.uncertain else ~gaps.all(axis=(1, 2, 3))
        if not good.any():
            continue
        chosen, gaps = chosen[good], gaps[good]
        x = torch.from_numpy(patches.cut(grown, chosen, size)).to(device)
        m = torch.from_numpy(gaps).to(device)
        with torch.inference_mode():
            mean, log_variance = model(x, m) if model.uncertain else model.predict(x, m)
        mean = mean.float().cpu().numpy().clip(0, limit)
        spread = None if log_variance is None else np.exp(log_variance.float().cpu().numpy())
        for k, origin in enumerate(chosen):
            inside = np.nonzero(gaps[k])
            places = [i + int(o) - margin for i, o, margin in zip(inside, origin, margins, strict=True)]
            own = np.logical_and.reduce([(p >= 0) & (p < n) for p, n in zip(places, mask.shape, strict=True)])
            inside = tuple(i[own] for i in inside)
            flat = np.ravel_multi_index([p[own] for p in places], mask.shape)
            index = np.searchsorted(missing, flat)
            weight = weights[inside]
            total[index] += weight * mean[k][inside]
            norm[index] += weight
            if spread is not None:
                variance[index] += weight * spread[k][inside]
    # What no portion could predict (a gap as wide as a portion) stays interpolated.
    found = np.where(norm > 0, total / np.where(norm > 0, norm, 1), logs.reshape(-1)[missing])
    photons = np.expm1(found)
    if not model.uncertain or not getattr(model, "card", {}).get("uncertainty", True):
        return photons, None
    return photons, (1 + photons) * np.sinh(np.sqrt(variance / np.where(norm > 0, norm, np.nan)))


def _mirror(logs: np.ndarray, mask: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Pattern and mask grown to at least ``size`` along each axis by mirroring, and how much was added in front."""
    margins = [max(0, size - n) // 2 for n in logs.shape]
    pads = [(front, max(0, size - n) - front) for front, n in zip(margins, logs.shape, strict=True)]
    if not any(sum(pad) for pad in pads):
        return logs, mask, margins
    return np.pad(logs, pads, mode="symmetric"), np.pad(mask, pads, mode="symmetric"), margins


def _bar(parts: range, batch: int, total: int, progress: bool) -> Iterator[int]:
    from tqdm import tqdm

    with tqdm(total=total, desc="fill", unit="portion", disable=not progress, leave=False) as bar:
        for part in parts:
            yield part
            bar.update(min(batch, total - part))
