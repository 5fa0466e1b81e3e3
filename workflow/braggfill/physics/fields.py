"""Random fields on a grid: the phase of a strained crystal, and what varies its modulus.

A phase is a displacement times the scattering vector; it is drawn as a correlated Gaussian random field, as the sum of
two Gaussians or as the sum of two cosines (Masto, thesis, section 4.3), and then scaled to span a given range.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

KINDS = ("correlated", "gaussians", "cosines", "none")
"""The kinds of phase field."""
WIDTHS = (0.25, 0.9)
"""Standard deviations of the Gaussians, in half extents of the crystal."""
PERIODS = (0.4, 2.0)
"""Periods of the cosines over the crystal's extent."""


def random_field(rng: np.random.Generator, shape: Sequence[int], sigma_voxels: ArrayLike) -> np.ndarray:
    r"""A correlated Gaussian random field, float32 of ``shape``, mean about 0 and variance about 1, periodic.

    White noise convolved with a Gaussian of standard deviation ``sigma_voxels``; its correlation is
    :math:`\exp(-d^2 / 4 \sigma^2)`.  It is drawn in reciprocal space, where the noise is white too, and only at the
    frequencies that the Gaussian leaves more than 1e-7 of, which is less than the rounding of single precision.
    """
    shape = tuple(shape)
    last = len(shape) - 1
    sigmas = np.broadcast_to(np.asarray(sigma_voxels, np.float64), (len(shape),))
    kept, factors, power = [], [], 1.0
    for axis, (n, sigma) in enumerate(zip(shape, sigmas, strict=True)):
        frequencies = _frequencies(n)
        own = np.abs(frequencies[: n // 2 + 1]) if axis == last else frequencies
        factor = np.exp(-2 * (np.pi * sigma * own) ** 2)
        kept.append(np.flatnonzero(factor > 1e-7))
        factors.append(factor[kept[-1]].astype(np.float32))
        power *= np.mean(np.exp(-4 * (np.pi * sigma * frequencies) ** 2))
    spectrum = rng.standard_normal((*map(len, kept), 2), np.float32).view(np.complex64)[..., 0]
    # The planes that are their own mirror image keep only the real part of what they transform to.
    spectrum[..., (kept[last] == 0) | (2 * kept[last] == shape[last])] *= np.sqrt(np.float32(2))
    spectrum *= np.float32(1 / np.sqrt(2 * power))
    for axis in range(last + 1):
        spectrum *= factors[axis].reshape([-1 if i == axis else 1 for i in range(last + 1)])
    for axis in range(last):
        whole = np.zeros((*spectrum.shape[:axis], shape[axis], *spectrum.shape[axis + 1 :]), np.complex64)
        whole[(slice(None),) * axis + (kept[axis],)] = spectrum
        spectrum = scipy.fft.ifft(whole, axis=axis, norm="ortho", overwrite_x=True)
    return scipy.fft.irfft(spectrum, n=shape[last], axis=last, norm="ortho")


@lru_cache(maxsize=512)
def _frequencies(n: int) -> np.ndarray:
    """Frequencies of a transform of n voxels, cycles a voxel."""
    return np.fft.fftfreq(n)


def spanning(field: np.ndarray, lowest: float, highest: float) -> np.ndarray:
    """The field, shifted and scaled so that it goes from ``lowest`` to ``highest``, float32."""
    least, most = float(field.min()), float(field.max())
    if most == least:
        return np.full_like(field, lowest)
    return np.float32(lowest) + (field - np.float32(least)) * np.float32((highest - lowest) / (most - least))


def phase_field(
    rng: np.random.Generator, kind: str, shape: Sequence[int], extent: ArrayLike, correlation: float = 0.25
) -> np.ndarray:
    r"""A phase of one kind, of no particular scale, float32 of ``shape``; see :func:`scaled`.

    ``"gaussians"``: :math:`\sum_{i=1}^2 a_i \prod_j e^{-(x_j - c_{ij})^2 / 2 s_{ij}^2}`, centres anywhere in the box of
    the crystal, widths of :data:`WIDTHS`, either sign; ``"cosines"``: :math:`\sum_{i=1}^2 a_i \cos(2\pi k_i x + p_i)`,
    directions at random, :data:`PERIODS` over the extent; ``"correlated"``: :func:`random_field` with a standard
    deviation of ``correlation`` extents; ``"none"``: zero.  The origin is at ``n // 2``.

    Parameters
    ----------
    extent : of the crystal along each axis, voxels.

    Raises
    ------
    ValueError : an unknown kind.
    """
    shape, half = tuple(shape), np.asarray(extent, float) / 2
    if kind == "none":
        return np.zeros(shape, np.float32)
    if kind == "correlated":
        # The field is periodic: drawn on half as much again, so that opposite faces know nothing of each other.
        wide = tuple(scipy.fft.next_fast_len(int(1.5 * n) + 1, real=True) for n in shape)
        return random_field(rng, wide, 2 * correlation * half)[tuple(slice(n) for n in shape)]
    if kind not in KINDS:
        raise ValueError(f"phase field {kind!r} is unknown; use one of {', '.join(KINDS)}")
    lines = [((np.arange(n) - n // 2) / h).astype(np.float32) for n, h in zip(shape, half, strict=True)]
    field = np.zeros(shape, np.float32)
    for _ in range(2):
        size = np.float32(rng.uniform(0.4, 1))
        if kind == "gaussians":
            size *= np.float32(1 if rng.random() < 0.5 else -1)
            centre, width = rng.uniform(-1, 1, len(shape)), rng.uniform(*WIDTHS, len(shape))
            factors = [np.exp(-0.5 * ((x - c) / w) ** 2) for x, c, w in zip(lines, centre, width, strict=True)]
            field += size * _product(factors)
        else:
            direction = rng.normal(size=len(shape))
            wave = np.pi * rng.uniform(*PERIODS) * direction / np.linalg.norm(direction)
            factors = [np.exp(1j * k * x).astype(np.complex64) for x, k in zip(lines, wave, strict=True)]
            factors[0] = factors[0] * np.complex64(np.exp(1j * rng.uniform(0, 2 * np.pi)))
            field += size * _product(factors).real
    return field


def scaled(field: np.ndarray, inside: np.ndarray, span: float) -> np.ndarray:
    """The field scaled so that it spans ``span`` (peak to valley) where ``inside`` is True, its mean there zero."""
    values = field[inside]
    width = float(values.max() - values.min()) if len(values) else 0.0
    if width == 0:
        return np.zeros_like(field)
    return (field - values.mean()) * np.float32(span / width)


def _product(factors: list[np.ndarray]) -> np.ndarray:
    """The product of one factor an axis."""
    found = factors[0]
    for factor in factors[1:]:
        found = found[..., None] * factor
    return found
