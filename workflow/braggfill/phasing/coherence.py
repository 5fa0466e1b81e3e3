r"""Partial coherence: the width of the Gaussian that blurs a pattern, estimated from an object on the way.

The pattern of a partially coherent beam is :math:`|A|^2 * K`.  For a Gaussian K of standard deviations
:math:`\sigma_i` voxels the autocorrelation of the object is multiplied by
:math:`\exp(-2 \pi^2 \sigma_i^2 x_i^2 / n_i^2)`.

Source: Clark et al., Nat. Commun. 3, 993 (2012).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
import scipy.optimize

from braggfill.physics import fourier

LEAST, MOST = 0.15, 3.0
"""Widths in voxels: below the first there is no blur, beyond the second none is believed."""
GAIN = 0.97
"""A blur is kept if it brings the free log-likelihood below so much of what it was."""
TURNS = 3
"""Estimates and runs in turn."""


def blurred(intensity: np.ndarray, widths: tuple[float, ...] | None) -> np.ndarray:
    """An intensity after the blur, periodic; itself for None."""
    if widths is None:
        return intensity
    spectrum = scipy.fft.rfftn(intensity)
    return scipy.fft.irfftn(spectrum * _factor(intensity.shape, widths), s=intensity.shape).clip(0)


def _factor(shape: tuple[int, ...], widths: Sequence[float] | np.ndarray) -> np.ndarray:
    """Fourier transform of the Gaussian, as ``scipy.fft.rfftn`` has it."""
    axes = [scipy.fft.fftfreq(n) for n in shape[:-1]] + [scipy.fft.rfftfreq(shape[-1])]
    parts = np.ix_(*(np.exp(-2 * (np.pi * k * w) ** 2).astype(np.float32) for k, w in zip(axes, widths, strict=True)))
    return parts[0] * parts[1] * parts[2]


def estimate(obj: np.ndarray, intensity: np.ndarray, used: np.ndarray) -> tuple[float, ...] | None:
    r"""Standard deviations along each axis with the least :math:`\sum (\sqrt{|A|^2 * K} - \sqrt{I})^2` where ``used``.

    Parameters
    ----------
    obj : complex object, origin at ``n // 2``.
    intensity : photons; used : True where they count.

    Returns
    -------
    Voxels, one an axis; None where no axis is blurred by ``LEAST`` or more.
    """
    model = np.abs(fourier.forward(obj)).astype(np.float32) ** 2
    spectrum = scipy.fft.rfftn(model)
    seen = np.sqrt(intensity[used])

    def misfit(widths: np.ndarray) -> float:
        blurry = scipy.fft.irfftn(spectrum * _factor(obj.shape, widths), s=obj.shape)
        return float(((np.sqrt(blurry[used].clip(0)) - seen) ** 2).sum() / (seen**2).sum())

    alone = scipy.optimize.minimize_scalar(
        lambda w: misfit(np.full(3, w)), bounds=(0, MOST), method="bounded", options={"maxiter": 12}
    )
    if alone.x < LEAST / 2:
        return None
    found = np.full(3, float(alone.x))
    for axis in range(3):
        one = scipy.optimize.minimize_scalar(
            lambda w, axis=axis: misfit(np.where(np.arange(3) == axis, w, found)),
            bounds=(0, MOST),
            method="bounded",
            options={"maxiter": 8},
        )
        found[axis] = one.x
    found[found < LEAST] = 0
    return tuple(map(float, found)) if found.any() and misfit(found) < misfit(np.zeros(3)) else None
