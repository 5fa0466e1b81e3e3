"""Arrays packed for a browser: quantised to 16 bits, compressed, as text."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

LEVELS = 65534
"""Steps of a packed array; 65535 stands for what is not a number."""
MISSING = 65535


@dataclass(frozen=True)
class Layer:
    """One array of a stack."""

    name: str
    values: np.ndarray = field(repr=False)
    """Real, three axes; NaN is not shown."""
    unit: str = ""
    scale: Literal["counts", "linear", "signed", "cyclic"] = "linear"
    """Counts have a logarithmic scale, too; signed values have zero in the middle; cyclic are angles in radians."""
    hide_masked: bool = False
    """Whether voxels of the stack's mask are not shown."""
    top: float | None = None
    """The end of the colour scale; by default the largest value, of signed ones the 98th percentile."""


@dataclass(frozen=True)
class Stack:
    """Arrays of one shape that are shown by the same three slices."""

    title: str
    layers: Sequence[Layer]
    axes: tuple[str, str, str] = ("rocking angle", "detector vertical", "detector horizontal")
    unit: str = "px"
    """Of the axes."""
    steps: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """A voxel's length along each axis, in ``unit``."""
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Index of the voxel at 0 along each axis."""
    mask: np.ndarray | None = field(default=None, repr=False)
    """Boolean; its outline can be laid over the slices."""
    sigma: np.ndarray | None = field(default=None, repr=False)
    """Relative uncertainty, NaN where there is none; can be laid over the slices."""
    start: tuple[int, int, int] | None = None
    """Slices that are shown first; by default those through the middle."""


def packed(values: np.ndarray, *, logarithmic: bool = False) -> dict[str, Any]:
    """An array as text: ``value = low + step * code``, of counts ``exp(low + step * code) - 1``.

    Parameters
    ----------
    values : real, any shape; NaN and infinities come back as NaN.
    logarithmic : for values that are not negative: the error is at most 1/65534 of the range of log(1 + value).
    """
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    told = np.log1p(np.maximum(np.where(known, values, 0), 0)) if logarithmic else np.where(known, values, 0)
    low, high = (float(told[known].min()), float(told[known].max())) if known.any() else (0.0, 0.0)
    step = (high - low) / LEVELS or 1.0
    codes = np.where(known, np.rint((told - low) / step), MISSING).astype("<u2")
    return {"shape": list(values.shape), "low": low, "step": step, "log": logarithmic, "data": text(codes)}


def text(array: np.ndarray) -> str:
    """An array's bytes, compressed, in base 64.  Bytes of 16-bit numbers are laid apart, which compresses better."""
    raw = np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.dtype.itemsize).T.tobytes()
    return base64.b64encode(gzip.compress(raw, 6, mtime=0)).decode()


def stack(one: Stack) -> dict[str, Any]:
    """A stack for the page, as JSON holds it.

    Raises
    ------
    ValueError : its arrays differ in shape.
    """
    shape = one.layers[0].values.shape
    arrays = [*(layer.values for layer in one.layers), *(a for a in (one.mask, one.sigma) if a is not None)]
    if len(shape) != 3 or any(array.shape != shape for array in arrays):
        raise ValueError(f"a stack's arrays have one shape and three axes, not {[a.shape for a in arrays]}")
    return {
        "title": one.title,
        "axes": one.axes,
        "unit": one.unit,
        "steps": one.steps,
        "origin": one.origin,
        "start": [int(i) for i in one.start or (n // 2 for n in shape)],
        "layers": [_layer(layer) for layer in one.layers],
        "mask": None if one.mask is None else {"shape": list(shape), "data": text(one.mask.astype(np.uint8))},
        "sigma": None if one.sigma is None else packed(one.sigma),
    }


def _layer(layer: Layer) -> dict[str, Any]:
    known = layer.values[np.isfinite(layer.values)]
    top = layer.top
    if top is None and known.size:
        top = float(np.percentile(np.abs(known), 98)) if layer.scale == "signed" else float(known.max())
    return {
        "name": layer.name,
        "unit": layer.unit,
        "scale": layer.scale,
        "hide": layer.hide_masked,
        "top": top or 1.0,
        **packed(layer.values, logarithmic=layer.scale == "counts"),
    }
