r"""How far a filled voxel can be trusted, and what phase retrieval is given for it: decided here, and nowhere else.

A filled voxel has the expected intensity I and the standard deviation :math:`\sigma` of what a detector would have
counted there.  A measured one has :math:`\sigma = \sqrt I`, counting noise alone; a filled one is as good as measured
where its **relative uncertainty**, :math:`\sigma / \sqrt{I + 0.05}`, is about 1.  Near the peak it is tens to hundreds,
because a small relative error of a bright voxel is many times its counting noise; there the finite size of the crystal
determines the amplitude far better than any filling, and the voxel is better **masked** in phase retrieval, which then
finds it itself.  Where the gap is weak it is near 1, and masked voxels would take up intensity that nobody measured.

What is added to the photons decides about those voxels that hold few of them.  With 1 instead of 0.05 many of a photon
or so stay filled, and after phase retrieval of crosses of 4 voxels that costs up to 1.8 times the strain error of
masking all.  Which relative uncertainty is too much ``benchmarks/fill_or_free.py`` tells, by what phase retrieval
reaches if it does all it can: with 1.5 instead of 1.15 the strain error is a tenth to a half higher.
``docs/realspace.md`` has both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braggfill.errors import BraggfillError

VALUES = ("expectation", "amplitude")
"""What a filled voxel may hold: the expected photons, or the square of the expected amplitude of counts."""
MASKED = ("none", "uncertain", "filled")
"""Which filled voxels phase retrieval may be told to mask."""
HIGHEST = 1.15
"""Above this relative uncertainty a filled voxel is masked in phase retrieval."""
DARK = 0.05
"""Photons that are added to a voxel's own: one in which next to none is expected has some noise, too."""
NARROW, WIDE = 1.0, 2.0
"""Speckles: narrower gaps are determined by the crystal's size, the middle of wider ones by nothing but the filling."""


@dataclass(frozen=True)
class ForPhasing:
    """A filled pattern as phase retrieval is given it; arrays of the pattern's shape."""

    data: np.ndarray
    """Photons: what was measured, bit for bit; filled voxels hold what ``value`` says."""
    masked: np.ndarray
    """True where phase retrieval has no constraint: the filled voxels that ``rule`` names, never a measured one."""
    value: str
    """One of ``VALUES``: what was decided."""
    rule: str
    """One of ``MASKED``: what was decided."""


def for_phasing(
    data: np.ndarray,
    mask: np.ndarray,
    sigma: np.ndarray,
    *,
    corrected: bool = False,
    value: str | None = None,
    masked: str | None = None,
) -> ForPhasing:
    r"""What phase retrieval is given for the filled voxels of a pattern, and which of them it leaves masked.

    Phase retrieval compares with :math:`\sqrt n` where a detector has counted.  Where few photons are expected the mean
    of that is far less than their root, and a gap filled with the expectation would stand out as too bright.  So a
    filled voxel holds :math:`\langle\sqrt n\rangle^2` (:func:`braggfill.patterns.distribution.amplitude_of_filled`) for
    counts of the stated mean and standard deviation; of a filling that was corrected to a finite crystal, whose
    ``sigma`` is that from before, for counting noise alone, :math:`\sigma = \sqrt I`; and the expectation itself where
    no uncertainty is known.

    Parameters
    ----------
    data, sigma : photons, as a filling states them, see :class:`braggfill.filling.Filled`.
    mask : True where filled, same shape.
    corrected : whether a correction to a finite crystal was accepted (:attr:`braggfill.filling.Filled.corrected`).
    value : ``"amplitude"`` or ``"expectation"``; by default the amplitude where an uncertainty is known.
    masked : ``"none"``, ``"uncertain"`` (:func:`uncertain`) or ``"filled"``; by default ``"uncertain"`` of a filling
        that states its uncertainty, ``"none"`` of one that does not.

    Raises
    ------
    BraggfillError : another word for ``value`` or ``masked``.
    """
    check(value, masked)
    stated = states_uncertainty(sigma, mask)
    rule = masked or ("uncertain" if stated else "none")
    value = "amplitude" if value != "expectation" and (stated or corrected) else "expectation"
    found = data.copy()
    if value == "amplitude":
        from braggfill.patterns import distribution

        spread = np.sqrt(data[mask]) if corrected else sigma[mask]
        found[mask] = distribution.amplitude_of_filled(data[mask], spread)
    chosen = {"none": lambda: np.zeros(mask.shape, bool), "filled": mask.copy}
    return ForPhasing(found, chosen.get(rule, lambda: uncertain(data, sigma, mask))(), value, rule)


def check(value: str | None, masked: str | None, prefix: str = "") -> None:
    """Raise a :class:`BraggfillError` if a word for what filled voxels hold, or for which are masked, is unknown."""
    for name, word, words in (("value", value, VALUES), ("masked", masked, MASKED)):
        if word is not None and word not in words:
            raise BraggfillError(f"{prefix}{name}: {word!r} is unknown; use one of {', '.join(words)}")


def states_uncertainty(sigma: np.ndarray, mask: np.ndarray) -> bool:
    """Whether a filling states the standard deviation of what it filled."""
    return bool(np.isfinite(sigma[mask]).any())


def uncertainty(data: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    r"""How many times its counting noise a filled voxel is uncertain, :math:`\sigma / \sqrt{I + 0.05}`.

    Parameters
    ----------
    data, sigma : photons, same shape; see :class:`braggfill.filling.Filled`.  NaN where ``sigma`` is NaN.
    """
    data = np.asarray(data, float)
    return np.asarray(sigma, float) / np.sqrt(np.maximum(data, 0) + DARK)


def held_std(data: np.ndarray, sigma: np.ndarray, held: np.ndarray) -> np.ndarray:
    r"""Standard deviation of what a filled voxel holds, counting noise not included, photons.

    That of the expectation I is :math:`\sqrt{\sigma^2 - I}`, that of its root the same over :math:`2 \sqrt I`, and what
    is held, H, has the same one of its root: :math:`\sqrt{(\sigma^2 - I)(H + 0.05) / (I + 0.05)}`.

    Parameters
    ----------
    data, sigma : photons, same shape; see :class:`braggfill.filling.Filled`.  NaN where ``sigma`` is NaN.
    held : photons, what is held in phase retrieval (``data`` of :class:`ForPhasing`).
    """
    data, held = np.asarray(data, float), np.asarray(held, float)
    variance = np.maximum(np.asarray(sigma, float) ** 2 - data, 0)
    return np.sqrt(variance * (np.maximum(held, 0) + DARK) / (np.maximum(data, 0) + DARK))


def uncertain(data: np.ndarray, sigma: np.ndarray, mask: np.ndarray, highest: float = HIGHEST) -> np.ndarray:
    """Which filled voxels are better masked in phase retrieval: those whose :func:`uncertainty` is above ``highest``.

    Parameters
    ----------
    data, sigma : photons, as a filling states them.
    mask : True where filled.

    Returns
    -------
    Boolean array, True where a voxel should be masked.  What was measured never is; a filled voxel without an
    uncertainty is, because nothing speaks for it.
    """
    found = uncertainty(data, sigma)
    with np.errstate(invalid="ignore"):
        return np.asarray(mask, bool) & ~(found <= highest)


def summary(data: np.ndarray, sigma: np.ndarray, mask: np.ndarray) -> str:
    """What :func:`uncertain` masks, in a sentence."""
    mask = np.asarray(mask, bool)
    number = int(np.count_nonzero(mask))
    if not number:
        return "nothing is filled"
    masked = uncertain(data, sigma, mask)
    share = np.count_nonzero(masked) / number
    photons = np.asarray(data, float)
    total = float(photons[mask].sum())
    bright = float(photons[masked].sum()) / total if total else 0.0
    return (
        f"phase retrieval should mask {share:.0%} of the filled voxels, which hold {bright:.0%} of the filled "
        f"photons: there the filling is more than {HIGHEST:g} times as uncertain as a count"
    )


def speckles(width: float, oversampling: float) -> float:
    """Width of a gap in speckles, which are as many voxels wide as the pattern is oversampled along that axis."""
    return width / oversampling


def of_gap(width: float, oversampling: float) -> str:
    """What to do about a gap of ``width`` voxels across an axis with this oversampling, in a sentence."""
    found = speckles(width, oversampling)
    if found < NARROW:
        advice = "the crystal's finite size determines it: fill it to begin with, mask bright voxels in the end"
    elif found < WIDE:
        advice = "partly determined by the crystal's finite size: fill it, and mask what is uncertain"
    else:
        advice = "the gap is wider than the oversampling constrains; values more than one speckle deep are unreliable"
    return f"{found:.1f} speckles wide; {advice}"
