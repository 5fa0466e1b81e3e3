r"""How right an object is where the truth is known.

.. math:: \frac{1}{2} \left( \mathrm{PCC}(m, m_0) +
          \left| \frac{\sum m\, e^{i (\varphi - \varphi_0)}}{\sum m} \right| \right)

after shift, twin, ramp and offset are taken out, :math:`m` and :math:`\varphi` modulus and phase of the object,
:math:`m_0` and :math:`\varphi_0` those of the truth.

Source: Masto, thesis, eq. (4.5).
"""

from __future__ import annotations

import numpy as np

from braggfill.physics import align

RIGHT = 0.95
"""From here on an object is right."""
FAINT = 0.05
"""Of the largest modulus: below it lies what a shift by a fraction of a voxel spreads; it has no phase to compare."""


def accuracy(obj: np.ndarray, truth: np.ndarray) -> float:
    """The score of an object, 1 for the truth itself, 0 for an object that is zero."""
    if not np.any(obj):
        return 0.0
    return of_aligned(align.align(obj, truth).obj, truth)


def of_aligned(aligned: np.ndarray, truth: np.ndarray) -> float:
    """The score of an object that lies over the truth already, see :func:`braggfill.physics.align.align`."""
    modulus, expected = np.abs(aligned), np.abs(truth)
    pcc = float(np.corrcoef(modulus.ravel(), expected.ravel())[0, 1])
    weight = np.where(modulus > FAINT * modulus.max(), modulus, 0)
    turned = weight * np.exp(1j * (np.angle(aligned) - np.angle(truth)))
    return (pcc + float(np.abs(turned.sum()) / weight.sum())) / 2
