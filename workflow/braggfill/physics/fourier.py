"""The one centred Fourier transform.

Both spaces have their origin at index ``n // 2`` of each axis, for even and for odd ``n``; the transform is unitary,
so that the sum of squared moduli is the same on both sides (Parseval).
"""

from __future__ import annotations

import numpy as np
import scipy.fft


def forward(obj: np.ndarray, *, axes: tuple[int, ...] | None = None, workers: int = 1) -> np.ndarray:
    r"""Object to diffracted amplitude: :math:`A(q) = N^{-1/2} \sum_r O(r)\, e^{-2\pi i\, q \cdot r / n}`.

    Parameters
    ----------
    obj : array of any shape, real or complex, origin at ``n // 2``.
    axes : axes to transform; all by default.
    workers : threads; the result does not depend on it.

    Returns
    -------
    Complex array of the same shape, origin at ``n // 2``; complex64 for single-precision input.
    """
    return scipy.fft.fftshift(
        scipy.fft.fftn(scipy.fft.ifftshift(obj, axes=axes), axes=axes, norm="ortho", workers=workers), axes=axes
    )


def inverse(amplitude: np.ndarray, *, axes: tuple[int, ...] | None = None, workers: int = 1) -> np.ndarray:
    r"""Diffracted amplitude to object, the exact inverse of :func:`forward` (``+2\pi i`` in the exponent)."""
    return scipy.fft.fftshift(
        scipy.fft.ifftn(scipy.fft.ifftshift(amplitude, axes=axes), axes=axes, norm="ortho", workers=workers), axes=axes
    )


def grid(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Integer coordinates of each axis from the origin, ``arange(n) - n // 2``, shaped to broadcast (an open mesh)."""
    return list(np.ix_(*(np.arange(n) - n // 2 for n in shape)))
