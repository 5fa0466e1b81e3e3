"""Where phase retrieval may begin: the object that a network sees in the middle of a pattern.

The network knows one size, 32 voxels a side, and oversamplings of 2 to 4.  A pattern is centred, binned along each axis
until its oversampling is in that range, and cut to its middle; what the network says is taken back to the pattern's own
grid by way of the object, which is exact: the object ends within the binned array, so its transform is that of its few
voxels at any place.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import permutations, product
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import i0e, i1e

from braggfill.errors import BraggfillError
from braggfill.patterns import oversampling as estimated
from braggfill.physics import fourier

if TYPE_CHECKING:
    from braggfill.networks.phase.predicts import PhaseNetwork

LEAST = 2.2
"""Oversampling that binning leaves: 2, and a margin for the error of the estimate."""
MEASURED = 0.5
"""Fraction of a bin that must be measured; with less it counts as missing."""
ORIENTATIONS = tuple(
    (axes, tuple(a for a in range(3) if mirrored[a]))
    for mirrored in product((False, True), repeat=3)
    for axes in permutations(range(3))
)
"""The cube's 48 operations: order of the axes, then the axes that are mirrored."""
STRIDE = 13
"""Of the orientations that are taken first; no divisor of 48 shares a factor with it."""
TURNS = 8
"""In how many ways the network sees a pattern."""
TOGETHER = 2
"""So many of them at once."""


@dataclass(frozen=True)
class Canonical:
    """A pattern as the network sees it.

    counts : float32 photons, (32, 32, 32), measured voxels of each bin scaled up to the whole bin.
    missing : boolean, same shape.  factors : (3,) voxels a bin.  centre : (3,) voxel of the pattern at its middle.
    """

    counts: np.ndarray
    missing: np.ndarray
    factors: tuple[int, ...]
    centre: tuple[int, ...]


@dataclass(frozen=True)
class Prediction:
    """What a network makes of a pattern.

    phasors : complex64, (32, 32, 32), of the canonical pattern: phase, and as modulus how sure it is, 0 to 1.
    canonical : that pattern.  shape : of the pattern itself.
    """

    phasors: np.ndarray
    canonical: Canonical
    shape: tuple[int, ...]

    @property
    def obj(self) -> np.ndarray:
        """The expected object, complex64 of the pattern's shape, origin ``n // 2``, at the resolution of what was seen.

        Its transform is centred where the pattern is; it is made anew each time.
        """
        return fourier.inverse(self.amplitude(self.shape)).astype(np.complex64)

    def amplitude(self, shape: Sequence[int]) -> np.ndarray:
        """The expected amplitude in the pattern's middle, complex64 of ``shape``, the pattern's voxel ``n // 2`` at its
        own; zero beyond what the network saw."""
        offset = [c - n // 2 for c, n in zip(self.canonical.centre, self.shape, strict=True)]
        return amplitude(self.canonical, self.phasors, shape, offset)


def predict(
    network: PhaseNetwork,
    intensity: np.ndarray,
    missing: np.ndarray | None = None,
    *,
    oversampling: Sequence[float] | None = None,
    turns: int = TURNS,
) -> Prediction:
    """The object that a network expects of a pattern of any size: the first of :func:`predictions`."""
    return predictions(network, intensity, missing, oversampling=oversampling, turns=turns, number=1)[0]


def predictions(
    network: PhaseNetwork,
    intensity: np.ndarray,
    missing: np.ndarray | None = None,
    *,
    oversampling: Sequence[float] | None = None,
    turns: int = TURNS,
    number: int = 1,
    threads: int = 1,
) -> list[Prediction]:
    r"""Objects that a network expects of a pattern of any size.

    An object's amplitude is the mean over the phase that the network states,
    :math:`\sqrt I\, I_1(\kappa) / I_0(\kappa)\, e^{i \hat\varphi}`: what it is not sure of counts little.  The network
    sees the pattern turned and mirrored in several ways; the first prediction is the mean of them all, each with the
    sign and the constant that suit the others, the next ones are single ones that differ most from it.

    Parameters
    ----------
    network : the network.
    intensity : photons, three axes; ``missing`` : boolean, True where missing.
    oversampling : along each axis; estimated from the pattern by default.
    turns : in how many ways the network sees it, 1 to 48; number : of predictions at the most, 1 to ``turns``.
    threads : at a time; the bits do not depend on them.

    Raises
    ------
    BraggfillError : no photons were measured, or the pattern has not three axes.
    """
    counts = np.asarray(intensity, np.float32)
    if counts.ndim != 3:
        raise BraggfillError(f"the pattern has {counts.ndim} axes; give one with three")
    gone = np.zeros(counts.shape, bool) if missing is None else np.asarray(missing, bool)
    gone = gone | ~np.isfinite(counts)
    counts = np.where(gone, np.float32(0), counts).clip(min=0)
    if not (counts > 0).any():
        raise BraggfillError("no photons were measured; check pattern and mask")
    side = network.size
    # One voxel more than the network sees: an odd array has its origin in its middle however it is mirrored.
    wide = canonical(counts, gone, oversampling or estimated.estimate(counts, gone), side + 1)
    single = _seen(network, wide, turns, threads)
    moduli = np.sqrt(wide.counts)
    mean = single[0]
    for _ in range(2 if turns > 1 else 0):
        mean = np.sum([_suited(one, mean, moduli) for one in single], axis=0) / turns
    apart = [abs(np.vdot(moduli * _suited(one, mean, moduli), mean)) for one in single]
    chosen = [mean, *(single[i] for i in np.argsort(apart))][:number]
    kept = (slice(side),) * 3
    seen = replace(wide, counts=wide.counts[kept], missing=wide.missing[kept])
    phasors = [one[kept].astype(np.complex64) for one in chosen]
    return [Prediction(one, seen, counts.shape) for one in phasors]


def _seen(network: PhaseNetwork, wide: Canonical, turns: int, threads: int) -> list[np.ndarray]:
    """Phasors of the pattern turned in so many ways, turned back; 0 in the plane that was not seen."""
    import torch

    side = network.size
    ways = [ORIENTATIONS[(i * STRIDE) % len(ORIENTATIONS)] for i in range(turns)]
    kept = (slice(side),) * 3
    shown = [[np.flip(np.transpose(x, axes), flips)[kept] for axes, flips in ways] for x in (wide.counts, wide.missing)]
    counts, mask = (torch.from_numpy(np.stack(x)) for x in shown)

    def expected(first: int) -> np.ndarray:
        torch.set_num_threads(1)  # of this thread: sums over several are in another order
        some = slice(first, first + TOGETHER)
        phase, concentration = (x.numpy() for x in network.predict(torch.log1p(counts[some]), mask[some]))
        return i1e(concentration) / i0e(concentration) * np.exp(1j * phase)

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads) as pool:
            found = np.concatenate(list(pool.map(expected, range(0, turns, TOGETHER))))
    finally:
        torch.set_num_threads(before)
    back = []
    for one, (axes, flips) in zip(found, ways, strict=True):
        whole = np.zeros((side + 1,) * 3, np.complex64)
        whole[kept] = one
        back.append(np.transpose(np.flip(whole, flips), np.argsort(axes)))
    return back


def _suited(one: np.ndarray, other: np.ndarray, moduli: np.ndarray) -> np.ndarray:
    """Phasors, or those of the twin, turned by the constant by which they agree best with others."""
    weighed = moduli * other
    same, twin = np.vdot(one, weighed), np.vdot(one.conj(), weighed)
    best, turned = (one, same) if abs(same) >= abs(twin) else (one.conj(), twin)
    return best * np.exp(1j * np.angle(turned))


def canonical(
    counts: np.ndarray, missing: np.ndarray, oversampling: Sequence[float | None], side: int = 32
) -> Canonical:
    """The middle of a pattern, centred and binned; see the module.

    Bin j of an axis holds the voxels from j b - b // 2 on, b of them, counted from the centre: for an even b its middle
    is half a voxel off, which :func:`amplitude` takes into account.  What lies beyond the pattern is missing.

    Parameters
    ----------
    counts : photons, zero where ``missing``.
    oversampling : along each axis; None leaves the axis as it is.
    """
    even = side // 2 * 2
    factors = tuple(
        max(1, min(int((s or 1) / LEAST), n // even)) for s, n in zip(oversampling, counts.shape, strict=True)
    )
    middle = centre(counts, [side * b for b in factors])
    total, measured = counts, (~missing).astype(np.float32)
    for axis, (b, c) in enumerate(zip(factors, middle, strict=True)):
        first = c - (side // 2) * b - b // 2
        total, measured = (_binned(x, axis, first, b, side) for x in (total, measured))
    whole = float(np.prod(factors))
    gone = measured < MEASURED * whole
    scaled = np.where(gone, 0, total * whole / np.maximum(measured, 1))
    return Canonical(scaled.astype(np.float32), gone, factors, middle)


def centre(counts: np.ndarray, box: Sequence[int]) -> tuple[int, ...]:
    """Voxel of the intensity's centre of mass, within a box laid around it, at first around the brightest voxel."""
    place = np.array(np.unravel_index(np.argmax(counts), counts.shape))
    for _ in range(3):
        window = tuple(slice(max(p - b // 2, 0), max(p - b // 2, 0) + b) for p, b in zip(place, box, strict=True))
        inside = counts[window]
        total = inside.sum(dtype=np.float64)
        for axis, n in enumerate(inside.shape):
            line = inside.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)
            place[axis] = round(window[axis].start + float(line @ np.arange(n)) / total)
    return tuple(int(p) for p in place)


def amplitude(seen: Canonical, phasors: np.ndarray, shape: Sequence[int], offset: Sequence[int]) -> np.ndarray:
    r"""The amplitude on the pattern's own grid, from the phasors of its canonical pattern.

    With the object :math:`o = F^{-1}[\sqrt I\, p]` of the n voxels that were seen along an axis, bins of b voxels and
    the middle of a bin :math:`\delta = (b - 1) / 2 - \lfloor b / 2 \rfloor` off its voxel,

    .. math:: A(k) = (n b)^{-1/2} \sum_x o(x)\, e^{-2 \pi i (k - \delta) x / n b}

    along each axis in turn, at the voxels k that are asked for alone.

    Parameters
    ----------
    phasors : complex, the shape of ``seen.counts``.
    shape : of the array asked for.
    offset : voxels by which the canonical pattern's middle is off the array's ``n // 2``.

    Returns
    -------
    complex64 of ``shape``; zero beyond what was seen.
    """
    found = fourier.inverse((np.sqrt(seen.counts) * phasors).astype(np.complex64))
    for axis, (b, n, o) in enumerate(zip(seen.factors, shape, offset, strict=True)):
        side = found.shape[axis]
        k = np.arange(n) - n // 2 - o
        x = np.arange(side) - side // 2
        waves = np.exp(-2j * np.pi / (side * b) * np.outer(k - ((b - 1) / 2 - b // 2), x)) / np.sqrt(side * b)
        waves[(k < -(side * b // 2)) | (k >= side * b - side * b // 2)] = 0
        found = np.moveaxis(np.tensordot(waves.astype(np.complex64), found, (1, axis)), 0, axis)
    return np.ascontiguousarray(found)


def _binned(values: np.ndarray, axis: int, first: int, factor: int, side: int) -> np.ndarray:
    """Sums over ``side`` bins of ``factor`` voxels from ``first`` on; zeros where there is nothing."""
    moved = np.moveaxis(values, axis, 0)
    start, stop = max(first, 0), min(first + side * factor, len(moved))
    whole = np.zeros((side * factor, *moved.shape[1:]), np.float32)
    whole[start - first : stop - first] = moved[start:stop]
    return np.moveaxis(whole.reshape(side, factor, *moved.shape[1:]).sum(axis=1), 0, axis)
