r"""The scale on which networks see intensity, from voxels that are not missing only.

.. math:: x = \frac{\log(1 + I) - a}{b - a}, \qquad I = e^{a + (b - a) x} - 1

with the smallest and greatest :math:`\log(1 + I)` of the *measured* voxels as :math:`a` and :math:`b` (paper, section
2.2).  Nothing leaks out of the gap, in training as in use.  The same formulas serve NumPy arrays and torch tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError

EVEN = 1e-6
"""Measured voxels whose log(1 + photons) differ by no more than this are all equal: there is nothing to stretch."""


@dataclass(frozen=True)
class Scale:
    """Limits of log(1 + photons): numbers for one array, or arrays that broadcast over a batch."""

    low: Any
    span: Any

    def apply(self, intensity: Any) -> Any:
        """Photons to the normalised logarithm; 0 to 1 for what :func:`fit` saw, beyond it elsewhere."""
        return self.apply_log(_library(intensity).log1p(intensity))

    def invert(self, normalised: Any) -> Any:
        """The normalised logarithm to photons, never negative; the inverse of :meth:`apply`."""
        return _library(normalised).expm1(self.invert_log(normalised)).clip(0)

    def apply_log(self, log_intensity: Any) -> Any:
        """log(1 + photons) to the normalised logarithm."""
        return (log_intensity - self.low) / self.span

    def invert_log(self, normalised: Any) -> Any:
        """The normalised logarithm to log(1 + photons)."""
        return normalised * self.span + self.low


def fit(intensity: Any, mask: Any) -> Scale:
    """The scale of one array or of a batch.

    Parameters
    ----------
    intensity : photons, an array or tensor whose last three axes are one pattern.
    mask : boolean, same shape, True where missing; what lies there is not looked at.

    Returns
    -------
    Scale with ``low`` and ``span`` of shape ``(*batch, 1, 1, 1)``; numbers for a single NumPy pattern.  Where all the
    measured voxels are equal to within :data:`EVEN` (an empty patch) the span is 1: they become 0 and come back as
    they were.

    Raises
    ------
    BraggfillError : a pattern has no measured voxel.
    """
    low, high = _limits(intensity, mask)
    log1p = _library(intensity).log1p
    return _scale(log1p(low), log1p(high))


def fit_log(log_intensity: Any, mask: Any) -> Scale:
    """The same scale from log(1 + photons)."""
    return _scale(*_limits(log_intensity, mask))


def _limits(values: Any, mask: Any) -> tuple[Any, Any]:
    """Smallest and greatest measured value of each pattern."""
    if bool(mask.reshape(*mask.shape[:-3], -1).all(-1).any()):
        raise BraggfillError("mask: everything is missing, there is nothing to normalise by; check the mask")
    axes = (-3, -2, -1)
    if _library(values) is np:
        values = values if np.issubdtype(values.dtype, np.floating) else values.astype(np.float64)
        return np.where(mask, np.inf, values).min(axes, keepdims=True), np.where(mask, -np.inf, values).max(
            axes, keepdims=True
        )
    return values.masked_fill(mask, np.inf).amin(axes, keepdim=True), values.masked_fill(mask, -np.inf).amax(
        axes, keepdim=True
    )


def _scale(low: Any, high: Any) -> Scale:
    library = _library(low)
    span = library.where(high - low > EVEN, high - low, library.ones_like(low))
    return Scale(low.item(), span.item()) if library is np and low.ndim == 3 else Scale(low, span)


def _library(array: Any) -> Any:
    """NumPy for arrays and numbers, torch for tensors."""
    if isinstance(array, np.ndarray | np.generic | float | int):
        return np
    import torch

    return torch
