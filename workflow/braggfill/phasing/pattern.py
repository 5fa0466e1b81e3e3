r"""A pattern made ready for phase retrieval: what is known of each voxel, what is kept out, and what looks odd.

A filled voxel pulls with the weight

.. math:: w = \frac{1}{1 + (3 r)^2}, \qquad
          r = \frac{\operatorname{var}(\sqrt{I})}{\operatorname{var}(\sqrt n)} = \frac{\sigma^2}{I}

where :math:`n` is a Poisson count of the expectation :math:`I` and :math:`\sigma` the uncertainty of that expectation:
1 where the filling is sure, 0 where it is not.  Were the errors of filled voxels independent, :math:`1 / (1 + r)` would
be the best weight; but those of neighbours are alike, and many that pull a little, all to the same side, shift the
object where the pattern determines it better.  ``benchmarks/fill_or_free.py`` has what other weights cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.phasing import free as _free
from braggfill.physics import fourier
from braggfill.runs import seeds

FREE_FRACTION = 0.05
"""Share of the voxels that is kept out to judge the result."""
DARK = 0.05
"""Photons added to an expectation: a voxel in which next to none is expected has some counting noise, too."""
STEEPNESS = 3.0
"""A filled voxel pulls half as strongly as a count where the variance of its amplitude is a count's over this: where
its relative uncertainty (:func:`braggfill.filling.trust.uncertainty`) is that above which it is masked otherwise."""
SATURATED = 4
"""So many voxels with exactly the largest count, beyond 1000 photons, are taken for a detector's limit."""


@dataclass(frozen=True)
class Pattern:
    """What phase retrieval is given."""

    intensity: np.ndarray = field(repr=False)
    """Photons, float32, three axes; in a gap the expectation if it is filled, else 0."""
    weight: np.ndarray = field(repr=False)
    """0 to 1: how strongly a voxel pulls; 0 where nothing is known."""
    known: np.ndarray = field(repr=False)
    """True where photons were counted."""
    free: np.ndarray = field(repr=False)
    """True where a counted voxel is kept out to judge the result."""
    centre: tuple[int, int, int]
    """Index of the peak."""
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.intensity.shape

    @property
    def photons(self) -> float:
        """Photons counted."""
        return float(self.intensity[self.known].sum(dtype=float))

    @property
    def fitted(self) -> np.ndarray:
        """The weight of each voxel while those kept out take no part."""
        return np.where(self.free, 0, self.weight).astype(np.float32)

    def centred(self) -> Pattern:
        """The same with the peak rolled to ``n // 2``; objects lose a phase ramp by it and nothing else."""
        shift = [n // 2 - c for n, c in zip(self.shape, self.centre, strict=True)]
        arrays = (np.roll(a, shift, axis=(0, 1, 2)) for a in (self.intensity, self.weight, self.known, self.free))
        middle = (self.shape[0] // 2, self.shape[1] // 2, self.shape[2] // 2)
        return Pattern(next(arrays), next(arrays), next(arrays), next(arrays), middle, self.notes)


def gap_weight(filled: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """How strongly filled voxels pull, 0 to 1; 0 where either is not a number.

    Parameters
    ----------
    filled : photons that they hold.
    sigma : standard deviation of that, photons, counting noise not included.
    """
    filled, sigma = np.asarray(filled, float), np.asarray(sigma, float)
    noise = np.maximum(filled, 0) + DARK
    with np.errstate(invalid="ignore", over="ignore"):
        weight = 1 / (1 + (STEEPNESS * sigma**2 / noise) ** 2)
    return np.where(np.isfinite(filled) & np.isfinite(sigma), weight, 0).astype(np.float32)


def prepare(
    counts: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    filled: np.ndarray | None = None,
    sigma: np.ndarray | None = None,
    seed: int = 0,
    free_fraction: float = FREE_FRACTION,
) -> Pattern:
    """Check a pattern and say what is known of each voxel.

    Parameters
    ----------
    counts : photons, three axes of at least 4 voxels.
    mask : True where missing; None for nowhere.
    filled : expected photons in the gap; None leaves missing voxels free.
    sigma : standard deviation of that expectation without counting noise; None for a filling taken as if counted.

    Raises
    ------
    BraggfillError : shapes differ, or voxels that are not missing hold negative or non-finite values.
    """
    counts = np.asarray(counts)
    if counts.ndim != 3 or min(counts.shape) < 4:
        raise BraggfillError(f"pattern: shape {counts.shape}; phase retrieval takes three axes of 4 voxels or more")
    if np.iscomplexobj(counts) or counts.dtype.kind not in "biuf":
        raise BraggfillError(f"pattern: {counts.dtype}; phase retrieval takes photons, real numbers")
    missing = np.zeros(counts.shape, bool) if mask is None else np.asarray(mask).astype(bool)
    if sigma is not None and filled is None:
        raise BraggfillError("sigma: given without the filling that it belongs to; give both or neither")
    for name, array in (("mask", missing), ("filled", filled), ("sigma", sigma)):
        if array is not None and np.shape(array) != counts.shape:
            raise BraggfillError(
                f"{name}: shape {np.shape(array)} against the pattern's {counts.shape}; use equal ones"
            )
    seen = counts[~missing]
    if not np.isfinite(seen).all() or (seen < 0).any():
        raise BraggfillError("pattern: negative or non-finite values; add such voxels to the mask")
    notes = []
    top = float(seen.max()) if seen.size else 0.0
    flat = ~missing & (counts == top)
    if top > 1000 and int(flat.sum()) >= SATURATED:
        missing = missing | flat
        notes.append(f"{int(flat.sum())} voxels hold exactly {top:g} photons, so the peak is taken for saturated there")
    intensity = np.where(missing, 0, counts).astype(np.float32)
    weight = (~missing).astype(np.float32)
    if filled is not None:
        inside = missing & np.isfinite(filled) & ~flat if notes else missing & np.isfinite(filled)
        pull = np.ones(counts.shape, np.float32) if sigma is None else gap_weight(filled, sigma)
        weight[inside] = pull[inside]
        intensity[inside] = np.maximum(np.asarray(filled)[inside], 0)
    rng = seeds.generator(seed, "phase/free")
    out = np.zeros(counts.shape, bool)
    if min(counts.shape) > 4 and not missing.all():
        out = _free.free_voxels(counts.shape, missing, free_fraction, rng)
        out &= ~_around(counts.shape, peak(intensity, ~missing))
    return Pattern(intensity, weight, ~missing, out, peak(intensity, ~missing), tuple(notes))


def peak(intensity: np.ndarray, known: np.ndarray) -> tuple[int, int, int]:
    """Index of the brightest voxel after a little smoothing, which a hot pixel does not mislead."""
    import scipy.ndimage

    smooth = scipy.ndimage.gaussian_filter(np.where(known, intensity, 0).astype(np.float32), 1.0, mode="constant")
    i, j, k = np.unravel_index(np.argmax(smooth), smooth.shape)
    return int(i), int(j), int(k)


def _around(shape: Sequence[int], centre: Sequence[int]) -> np.ndarray:
    """Voxels within a twentieth of the array of the peak, which must take part."""
    axes = np.ix_(*((np.arange(n) - c) / max(0.05 * n, 1) for n, c in zip(shape, centre, strict=True)))
    return np.asarray(sum(g**2 for g in axes) <= 1)


def window(shape: Sequence[int], width: float) -> np.ndarray:
    """A Gaussian of standard deviation ``width`` (share of each axis), 1 at the centre: what an amplitude is multiplied
    by so that its crop belongs to a smooth object without ringing; 1 everywhere for a width of 0."""
    if not width:
        return np.ones(tuple(shape), np.float32)
    grid = fourier.grid(tuple(shape))
    return np.exp(-sum((g / (width * n)) ** 2 for g, n in zip(grid, shape, strict=True)) / 2).astype(np.float32)


def crop(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The central part of an array, its origin ``n // 2`` kept."""
    return values[tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(values.shape, shape, strict=True))]


def pad(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """An array amid zeros, its origin ``n // 2`` kept: the inverse of :func:`crop`."""
    out = np.zeros(tuple(shape), values.dtype)
    crop(out, values.shape)[...] = values
    return out
