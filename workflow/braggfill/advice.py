r"""Fill or free: which voxels of a filled gap phase retrieval should take as they are, and which it should find itself.

A filled voxel has the expected intensity I and the standard deviation :math:`\sigma` of what a detector would have
counted there.  A measured one has :math:`\sigma = \sqrt I`, counting noise alone; a filled one is as good as measured
where :math:`\sigma / \sqrt{I + 1}`, its **doubt**, is about 1.  Near the peak it is tens to hundreds, because a small
relative error of a bright voxel is many times its counting noise; there the finite size of the crystal determines the
amplitude far better than any filling.  Where the gap is weak it is near 1, and free voxels would take up intensity
that nobody measured.
"""

from __future__ import annotations

import numpy as np

DOUBT = 3.0
"""Above this many times the counting noise, a filled voxel is left free."""


def doubt(data: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    r"""How many times its counting noise a filled voxel is uncertain, :math:`\sigma / \sqrt{I + 1}`.

    Parameters
    ----------
    data, sigma : photons, same shape; see :class:`braggfill.filling.Filled`.  Where ``sigma`` is NaN the doubt is NaN.
    """
    data = np.asarray(data, float)
    return np.asarray(sigma, float) / np.sqrt(np.maximum(data, 0) + 1)


def unsure(data: np.ndarray, sigma: np.ndarray, mask: np.ndarray, most: float = DOUBT) -> np.ndarray:
    """Which filled voxels phase retrieval should leave free: those whose :func:`doubt` is above ``most``.

    Parameters
    ----------
    data, sigma : photons, as a filling states them.
    mask : True where filled.

    Returns
    -------
    Boolean array, True where a voxel should be free.  What was measured never is; a filled voxel without an uncertainty
    is, because nothing speaks for it.
    """
    found = doubt(data, sigma)
    with np.errstate(invalid="ignore"):
        return np.asarray(mask, bool) & ~(found <= most)
