"""Sets of patterns for the studies in two dimensions (Masto, thesis, sections 3.3.1 and 4.3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from braggfill.physics.crystals import Crystal, CrystalOptions, draw
from braggfill.physics.diffraction import Pattern, amplitude, expose
from braggfill.runs import seeds

TINY = 1e-12
BRIGHT = 1e6
"""Photons in the brightest voxel of a pattern without noise."""


@dataclass(frozen=True)
class SetOptions:
    """A set of patterns; ranges are (lowest, highest).

    side : voxels.  range : of the objects' phase, peak to valley, radians.  oversampling : along the longest axis.
    photons_exponent : of ten, in the brightest voxel; None: no noise.  kinds : of phase fields.
    """

    side: int = 64
    range: tuple[float, float] = (0.0, np.pi / 2)
    oversampling: tuple[float, float] = (2.0, 4.0)
    photons_exponent: tuple[float, float] | None = None
    kinds: tuple[str, ...] = ("correlated", "gaussians", "cosines")


LOW_STRAIN = SetOptions()
"""Low strain, without noise (section 4.4)."""
HIGH_STRAIN = SetOptions(range=(2 * np.pi, 5 * np.pi), photons_exponent=(4.5, 7.0))
"""High strain with Poisson noise (section 4.5)."""


@dataclass(frozen=True)
class PlanarSet:
    """Patterns of a set: intensity, photons, and phase, radians, zero at the centre; float32 (n, side, side)."""

    intensity: Tensor
    phase: Tensor

    def __len__(self) -> int:
        return len(self.phase)

    def inputs(self, some: Tensor | slice) -> Tensor:
        """What a network is shown of some patterns, (B, 1, side, side): the logarithm, 0 to 1."""
        return scaled(self.intensity[some])[:, None]

    def part(self, some: slice) -> PlanarSet:
        """Some of the patterns."""
        return PlanarSet(self.intensity[some], self.phase[some])


def scaled(intensity: Tensor) -> Tensor:
    """log(1 + photons), its greatest value in each pattern 1."""
    values = torch.log1p(intensity)
    return values / values.flatten(1).amax(1).clamp(min=TINY).view(-1, 1, 1)


def pattern(options: SetOptions, seed: int, index: int) -> tuple[Pattern, Crystal]:
    """Pattern ``index`` of a set and its object; both depend on the seed and the index alone."""
    rng = seeds.generator(seed, "planar/phase", index)
    side = (options.side,) * 2
    extent = options.side / rng.uniform(*options.oversampling)
    made = draw(rng, (extent, extent), CrystalOptions(kinds=options.kinds, range=options.range))
    found = amplitude(made.object, side, max(*side, *made.object.shape))
    exponent = options.photons_exponent
    return expose(found, BRIGHT if exponent is None else 10 ** rng.uniform(*exponent), rng), made


def seen(options: SetOptions, one: Pattern) -> np.ndarray:
    """What a network is shown, photons, float32: the counts, or the expectation of a set without noise."""
    return (one.expectation if options.photons_exponent is None else one.counts).astype(np.float32)


def patterns(number: int, options: SetOptions = LOW_STRAIN, seed: int = 1, first: int = 0) -> PlanarSet:
    """Patterns ``first`` to ``first + number`` of a set; each depends on the seed and its own number alone."""
    made = [pattern(options, seed, first + i)[0] for i in range(number)]
    intensity = np.stack([seen(options, one) for one in made])
    return PlanarSet(torch.from_numpy(intensity), torch.from_numpy(np.stack([one.phase for one in made])))
