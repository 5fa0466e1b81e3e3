"""Patterns that are drawn as they are needed, for networks that predict the phase of a pattern's middle.

Crystal i and exposure j depend on the seed, i and j alone, so that a training that was interrupted goes on with the
very patterns that it would have seen.  Each crystal is exposed several times: at another oversampling, with other
photons, mirrored and turned by the cube's 48 operations, with gaps or without.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.ndimage import gaussian_filter

from braggfill.physics.crystals import Crystal, CrystalOptions, draw
from braggfill.physics.diffraction import amplitude, expose
from braggfill.runs import seeds

SIDE = 32
EXTENT = 28.0
"""Longest width of a crystal's body, voxels."""
NEAR = 1
"""Voxels by which a pattern may be off its centre."""


@dataclass(frozen=True)
class ExposureOptions:
    """How a crystal is seen; ranges are (lowest, highest).

    side : voxels of a pattern along each axis.  oversampling : along the body's longest axis.  photons_exponent : of
    ten, in the brightest voxel.  background : photons per voxel.  off_centre, turned : whether the pattern may be off
    its centre by a voxel, and is turned by one of the cube's operations.  blurred, blur : fraction of the patterns that
    are blurred, and the standard deviation of the Gaussian, voxels.  gaps, width : fraction of the patterns with
    missing planes, and their width, voxels.
    """

    side: int = SIDE
    oversampling: tuple[float, float] = (2.0, 4.0)
    photons_exponent: tuple[float, float] = (4.0, 7.5)
    background: tuple[float, float] = (0.0, 0.5)
    off_centre: bool = True
    turned: bool = True
    blurred: float = 0.25
    blur: tuple[float, float] = (0.2, 0.7)
    gaps: float = 0.3
    width: tuple[int, int] = (1, 5)


BODIES = ("hull", "hull", "hull", "cube", "octahedron", "random", "wulff", "winterbottom")
TRAINED = (CrystalOptions(bodies=BODIES), ExposureOptions())
"""What the shipped network is trained on."""
CLEAN = ExposureOptions(photons_exponent=(6.0, 6.0), background=(0.0, 0.0), off_centre=False, blurred=0.0, gaps=0.0)
"""How the validation set is seen: 10^6 photons in the brightest voxel, nothing missing."""


@dataclass(frozen=True)
class Batch:
    """Some patterns, each array (B, n, n, n), n = 32 unless the options have another side.

    log_intensity : log(1 + counts), float32.  mask : boolean, True where missing.  phase : the RSP, radians.
    intensity : photons expected, for the weights of the loss.
    """

    log_intensity: np.ndarray
    mask: np.ndarray
    phase: np.ndarray
    intensity: np.ndarray


def crystal(seed: int, index: int, options: CrystalOptions) -> Crystal:
    """Crystal ``index`` of a training."""
    return draw(seeds.generator(seed, "phase/crystal", index), (EXTENT,) * 3, options)


def exposure(made: Crystal, rng: np.random.Generator, options: ExposureOptions) -> tuple[np.ndarray, ...]:
    """Log intensity, mask, phase and intensity of one pattern of a crystal, as in :class:`Batch`."""
    side = options.side
    margin = side // 2 + NEAR
    period = int(np.ceil(rng.uniform(*options.oversampling) * made.extent.max()))
    period = max(period, *made.object.shape, 2 * margin + 1)
    found = amplitude(made.object, (2 * margin + 1,) * 3, period)
    if options.turned:
        found = np.transpose(found, rng.permutation(3))
        found = np.flip(found, tuple(int(axis) for axis in np.flatnonzero(rng.random(3) < 0.5)))
    starts = NEAR + (rng.integers(-NEAR, NEAR + 1, 3) if options.off_centre else np.zeros(3, int))
    found = found[tuple(slice(s, s + side) for s in starts)]
    pattern = expose(found, 10 ** rng.uniform(*options.photons_exponent), None)
    expected = pattern.expectation
    if rng.random() < options.blurred:
        expected = gaussian_filter(expected, rng.uniform(*options.blur), truncate=3.0)
    expected = expected + np.float32(rng.uniform(*options.background))
    mask = missing(rng, options.width, side) if rng.random() < options.gaps else np.zeros((side,) * 3, bool)
    seen = np.log1p(rng.poisson(expected)).astype(np.float32)
    return np.where(mask, np.float32(0), seen), mask, pattern.phase, pattern.expectation


def missing(rng: np.random.Generator, width: tuple[int, int], side: int = SIDE) -> np.ndarray:
    """A gap of a detector, or two that cross, along the rocking axis whichever that is; and a few dead pixels."""
    rocking = int(rng.integers(3))
    frame = np.zeros((side, side), bool)
    for axis in rng.permutation(2)[: 1 + int(rng.random() < 0.4)]:
        wide, place = int(rng.integers(width[0], width[1] + 1)), int(rng.integers(-2, side))
        np.moveaxis(frame, axis, 0)[max(place, 0) : place + wide] = True
    frame |= rng.random(frame.shape) < 0.002
    return np.repeat(np.expand_dims(frame, rocking), side, rocking)


def validation(
    number: int, seed: int = 0, options: CrystalOptions = TRAINED[0], side: int = SIDE
) -> tuple[Batch, list[dict]]:
    """A fixed set of clean patterns that no training sees, and what was drawn for each; the kinds of phase take turns.

    It is the same for the same ``seed`` wherever and whenever it is drawn.
    """
    found, drawn = [], []
    for index in range(number):
        rng = seeds.generator(seed, "phase/validation", index)
        kind = options.kinds[index % len(options.kinds)]
        made = draw(rng, (EXTENT,) * 3, replace(options, kinds=(kind,)))
        found.append(exposure(made, rng, replace(CLEAN, side=side)))
        drawn.append(made.parameters)
    return _stack(found), drawn


@dataclass
class Stream:
    """Batches without an end, from step ``step`` on: each crystal is in about ``exposures`` patterns.

    A pool of crystals is kept, from which a batch is drawn; with every batch the oldest ones leave it.
    """

    seed: int
    step: int = 0
    batch: int = 16
    exposures: int = 4
    pool: int = 64
    crystals: CrystalOptions = TRAINED[0]
    seen: ExposureOptions = TRAINED[1]
    _made: dict[int, Crystal] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Batch]:
        fresh = max(1, self.batch // self.exposures)
        while True:
            first = self.step * fresh
            for index in range(first, first + self.pool):
                if index not in self._made:
                    self._made[index] = crystal(self.seed, index, self.crystals)
            self._made = {index: made for index, made in self._made.items() if index >= first}
            rng = seeds.generator(self.seed, "phase/batch", self.step)
            chosen = rng.choice(self.pool, self.batch, replace=False)
            rngs = rng.spawn(self.batch)
            self.step += 1
            yield _stack(
                [exposure(self._made[first + int(c)], r, self.seen) for c, r in zip(chosen, rngs, strict=True)]
            )


def _stack(patterns: list[tuple[np.ndarray, ...]]) -> Batch:
    return Batch(*(np.stack(values) for values in zip(*patterns, strict=True)))
