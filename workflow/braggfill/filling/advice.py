r"""Fill or free: which voxels of a filled gap phase retrieval should take as they are, and which it should find itself.

A filled voxel has the expected intensity I and the standard deviation :math:`\sigma` of what a detector would have
counted there.  A measured one has :math:`\sigma = \sqrt I`, counting noise alone; a filled one is as good as measured
where its **doubt**, :math:`\sigma / \sqrt{I + 0.05}`, is about 1.  Near the peak it is tens to hundreds, because a
small relative error of a bright voxel is many times its counting noise; there the finite size of the crystal determines
the amplitude far better than any filling.  Where the gap is weak it is near 1, and free voxels would take up intensity
that nobody measured.

What is added to the photons decides about those voxels that hold few of them.  With 1 instead of 0.05 many of a photon
or so stay filled, and after phase retrieval of crosses of 4 voxels that costs up to 1.8 times the strain error of
leaving all free.  How much doubt is too much ``benchmarks/fill_or_free.py`` tells, by what phase retrieval reaches if
it does all it can: with 1.5 instead of 1.15 the strain error is a tenth to a half higher.  ``docs/realspace.md`` has
both.
"""

from __future__ import annotations

import numpy as np

DOUBT = 1.15
"""Above this many times the counting noise, a filled voxel is left free."""
DARK = 0.05
"""Photons that are added to a voxel's own: one in which next to none is expected has some noise, too."""
NARROW, WIDE = 1.0, 2.0
"""Speckles: narrower gaps are determined by the crystal's size, the middle of wider ones by nothing but the filling."""


def doubt(data: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    r"""How many times its counting noise a filled voxel is uncertain, :math:`\sigma / \sqrt{I + 0.05}`.

    Parameters
    ----------
    data, sigma : photons, same shape; see :class:`braggfill.filling.Filled`.  Where ``sigma`` is NaN the doubt is NaN.
    """
    data = np.asarray(data, float)
    return np.asarray(sigma, float) / np.sqrt(np.maximum(data, 0) + DARK)


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


def summary(data: np.ndarray, sigma: np.ndarray, mask: np.ndarray) -> str:
    """What :func:`unsure` leaves free, in a sentence."""
    mask = np.asarray(mask, bool)
    number = int(np.count_nonzero(mask))
    if not number:
        return "nothing is filled"
    free = unsure(data, sigma, mask)
    share = np.count_nonzero(free) / number
    photons = np.asarray(data, float)
    total = float(photons[mask].sum())
    bright = float(photons[free].sum()) / total if total else 0.0
    return (
        f"phase retrieval should leave {share:.0%} of the filled voxels free, which hold {bright:.0%} of the filled "
        f"photons: there the filling is more than {DOUBT:g} times as uncertain as a count"
    )


def speckles(width: float, oversampling: float) -> float:
    """Width of a gap in speckles, which are as many voxels wide as the pattern is oversampled along that axis."""
    return width / oversampling


def of_gap(width: float, oversampling: float) -> str:
    """What to do about a gap of ``width`` voxels across an axis with this oversampling, in a sentence."""
    found = speckles(width, oversampling)
    if found < NARROW:
        advice = "the crystal's finite size determines it: fill it to begin with, leave bright voxels free in the end"
    elif found < WIDE:
        advice = "partly determined by the crystal's finite size: fill it, and leave free what the filling is unsure of"
    else:
        advice = "nothing but the filling determines its middle: fill it, and mistrust what lies beyond a speckle"
    return f"{found:.1f} speckles wide; {advice}"
