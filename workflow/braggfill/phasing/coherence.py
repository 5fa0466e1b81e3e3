r"""Partial coherence: the kernel that blurs a pattern, estimated from an object on the way.

The pattern of a partially coherent beam is :math:`|A|^2 * K`; the autocorrelation of the object is multiplied by the
transform of K, a product over the axes of

==========  ===============================================  ==================================================
gaussian    :math:`\exp(-\sigma^2 (1 - \cos 2 \pi k))`       discrete Gaussian of standard deviation σ voxels
lorentzian  :math:`\exp(-2 \pi \gamma |k|)`                  Lorentzian of half width at half maximum γ voxels
==========  ===============================================  ==================================================

with :math:`k` cycles a voxel, up to one half.  Neither kernel is negative anywhere, however narrow, as the transform of
a sampled Gaussian would be: a blurred intensity is never below zero, so that a modulus can be divided by its root.

Source: Clark et al., Nat. Commun. 3, 993 (2012); Lindeberg, IEEE Trans. PAMI 12, 234 (1990) for the discrete Gaussian.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.fft
import scipy.optimize

from braggfill.errors import BraggfillError
from braggfill.phasing import pattern
from braggfill.physics import fourier

LEAST, MOST = 0.15, 3.0
"""Widths in voxels: below the first there is no blur, beyond the second none is believed."""
GAIN = 0.97
"""A blur is kept if it brings the figure of the voxels kept out below so much of what it was."""
BETTER = 0.98
"""A Lorentzian is taken if its misfit is below so much of a Gaussian's."""
TURNS = 2
"""Estimates and runs in turn."""
MIDDLE = 48
"""Voxels along each axis, about the peak, that the width is estimated from."""


@dataclass(frozen=True)
class Blur:
    """A kernel: its width in voxels along each axis, and its kind."""

    widths: tuple[float, ...]
    kind: str = "gaussian"

    def __post_init__(self) -> None:
        if self.kind not in TRANSFORMS:
            raise BraggfillError(f"blur: {self.kind!r} is unknown; use one of {', '.join(TRANSFORMS)}")

    def __str__(self) -> str:
        return " × ".join(f"{w:.2f}" for w in self.widths) + f" voxels ({self.kind})"


def _gaussian(k: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-(width**2) * (1 - np.cos(2 * np.pi * k)))


def _lorentzian(k: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-2 * np.pi * width * np.abs(k))


TRANSFORMS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {"gaussian": _gaussian, "lorentzian": _lorentzian}
"""Transform of each kind along an axis: (cycles a voxel, width)."""


def transform(shape: Sequence[int], blur: Blur) -> np.ndarray:
    """Fourier transform of a kernel of unit sum, as ``rfftn`` has it; float32."""
    axes = [scipy.fft.fftfreq(n) for n in shape[:-1]] + [scipy.fft.rfftfreq(shape[-1])]
    lines = [TRANSFORMS[blur.kind](k, w).astype(np.float32) for k, w in zip(axes, blur.widths, strict=True)]
    first, second, third = np.ix_(*lines)
    return first * second * third


def blurred(intensity: np.ndarray, blur: Blur | None) -> np.ndarray:
    """An intensity after the blur, periodic; itself for None."""
    if blur is None:
        return intensity
    spectrum = scipy.fft.rfftn(intensity)
    return scipy.fft.irfftn(spectrum * transform(intensity.shape, blur), s=intensity.shape).clip(0)


def estimate(
    obj: np.ndarray, intensity: np.ndarray, used: np.ndarray, should_stop: Callable[[], bool] | None = None
) -> Blur | None:
    r"""The kernel with the least :math:`\sum (\sqrt{|A|^2 * K} - \sqrt{I})^2` where ``used``, in the pattern's middle.

    Parameters
    ----------
    obj : complex object, origin at ``n // 2``.
    intensity : photons, its peak at ``n // 2``; used : True where they count.
    should_stop : asked now and then; True ends the search without a kernel.

    Returns
    -------
    A kernel; None where no axis is blurred by ``LEAST`` or more.
    """
    shape = tuple(min(n, MIDDLE) for n in obj.shape)
    model = pattern.crop(np.abs(fourier.forward(obj)).astype(np.float32) ** 2, shape)
    there, intensity = pattern.crop(used, shape), pattern.crop(intensity, shape)
    spectrum = scipy.fft.rfftn(model)
    seen = np.sqrt(intensity[there])

    def misfit(widths: np.ndarray, kind: str) -> float:
        made = scipy.fft.irfftn(spectrum * transform(shape, Blur(tuple(widths), kind)), s=shape)
        return float(((np.sqrt(made[there].clip(0)) - seen) ** 2).sum() / max(float((seen**2).sum()), 1e-30))

    best = {}
    for kind in TRANSFORMS:
        if should_stop is not None and should_stop():
            return None
        alone = _least(partial(_along, misfit, kind, np.zeros(3), np.ones(3, bool)), 12)
        if alone < LEAST / 2:
            continue
        found = np.full(3, alone)
        for axis in range(3):
            found[axis] = _least(partial(_along, misfit, kind, found.copy(), np.arange(3) == axis), 8)
        found[found < LEAST] = 0
        if found.any():
            best[kind] = misfit(found, kind), Blur(tuple(map(float, found)), kind)
    sharp = misfit(np.zeros(3), "gaussian")
    chosen = best.get("gaussian", (np.inf, None))
    if "lorentzian" in best and best["lorentzian"][0] < BETTER * chosen[0]:
        chosen = best["lorentzian"]
    return chosen[1] if chosen[0] < sharp else None


def _along(
    misfit: Callable[[np.ndarray, str], float], kind: str, widths: np.ndarray, axes: np.ndarray, width: float
) -> float:
    """The misfit with one width along some axes and the others as they are."""
    return misfit(np.where(axes, width, widths), kind)


def _least(misfit: Callable[[float], float], steps: int) -> float:
    """The width with the least misfit."""
    found = scipy.optimize.minimize_scalar(misfit, bounds=(0, MOST), method="bounded", options={"maxiter": steps})
    return float(found.x)
