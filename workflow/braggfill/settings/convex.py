"""Settings of phases by automatic differentiation: block ``convex`` of the stage ``phase``."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import model_validator

from braggfill.settings.base import Field, StageSettings

Case = Literal[
    "low_gaussians", "low_cosines", "low_correlated", "high_gaussians", "high_cosines", "high_correlated",
    "higher_gaussians", "higher_cosines", "higher_correlated", "id01_s11", "id01_s978", "aps",
]  # fmt: skip
Step = tuple[
    Annotated[int, Field(ge=8, le=1024)], Annotated[int, Field(ge=2, le=512)], Annotated[int, Field(ge=1, le=20_000)]
]
Strength = Annotated[float, Field(ge=0, le=20 * math.pi)]
Cycles = Annotated[int, Field(ge=0, le=20_000)]


class ConvexSettings(StageSettings):
    """Phases by automatic differentiation with a convex support (thesis, chapter 5), beside HIO, RAAR and ER on the
    same patterns for the same time. Part of a run if `figures.chapters` has `convex`."""

    cases: Annotated[tuple[Case, ...], Field(min_length=1)] = (
        "low_gaussians", "low_cosines", "low_correlated", "high_gaussians", "high_cosines", "high_correlated",
        "higher_gaussians", "higher_cosines", "higher_correlated", "id01_s11", "id01_s978", "aps",
    )  # fmt: skip
    """`low_`, `high_`, `higher_`: simulated polyhedra with one kind of phase field. `id01_`: objects reconstructed from
    measurements, with their own phase and counting noise. `aps`: the middle of a measured scan, whose object is not
    known; every method is run with two seeds, and its objects are compared."""

    particles: int = Field(1, ge=1, le=1000)
    """Objects of each simulated case."""

    low_radians: Strength = math.pi
    """Range of the phase, peak to valley, of the cases `low_`; from 2 pi on strain counts as high."""

    high_radians: Strength = 3 * math.pi
    """Of the cases `high_`."""

    higher_radians: Strength = 5 * math.pi
    """Of the cases `higher_`."""

    box_px: int = Field(64, ge=16, le=512)
    """Edge of the patterns, even."""

    oversampling: float = Field(3.0, ge=2, le=8)
    """Of the simulated objects."""

    photons_exponent: float = Field(6.0, ge=2, le=9)
    """Power of ten of the photons in the brightest voxel; the scan has its own."""

    starts: int = Field(16, ge=2, le=1000)
    """Random starts of a run, half of them with each of the two losses (published: 4 to 32)."""

    halfspaces: int = Field(64, ge=4, le=4096)
    """Half-spaces whose intersection is the support (public code: 64)."""

    schedule: Annotated[tuple[Step, ...], Field(min_length=1)] = (
        (16, 6, 150),
        (24, 10, 150),
        (32, 14, 150),
        (64, 24, 80),
    )
    """From coarse to fine: edge of the pattern's middle, edge of the grid of phases, steps. Fitted to `box_px`."""

    normal_rate: float = Field(0.02, gt=0, le=1)
    """Step size of the normals, radians; of the phase it is 0.1 radians. A short schedule needs larger ones, or the
    shape does not arrive."""

    offset_rate: float = Field(0.017, gt=0, le=1)
    """Step size of the offsets, voxels of each resolution."""

    compared: tuple[Case, ...] = ("low_gaussians", "high_gaussians")
    """Cases, simulated ones, whose first objects every variant is tried on."""

    halfspace_counts: tuple[Annotated[int, Field(ge=4, le=4096)], ...] = (16, 128)
    """Other numbers of half-spaces."""

    small_support: float = Field(0.05, ge=0, le=100)
    """Weight of the term for a small support."""

    variation: float = Field(0.01, ge=0, le=100)
    """Weight of the total variation of the phase."""

    spacing_angstrom: float = Field(2.265, gt=0, le=100)
    """Lattice spacing, which a displacement needs; of Pt (111)."""

    gap_px: int = Field(6, ge=1, le=64)
    """Width of a cross of missing voxels."""

    gap_from_peak_px: int = Field(6, ge=0, le=256)
    """From the peak to the middle of that cross, along both axes."""

    published_steps: int = Field(5000, ge=1, le=100_000)
    """Steps of the published form: one resolution, a phase a voxel, at first at random (public code: up to 5000)."""

    published_starts: int = Field(16, ge=1, le=1000)
    """Its random starts; likewise of the object whose voxels are fitted one by one (public code: 4 to 32)."""

    published_rate: float = Field(0.05, gt=0, le=1)
    """Their step size."""

    projection_cycles: tuple[Cycles, Cycles, Cycles] = (600, 400, 60)
    """HIO, RAAR and ER of each random start of the projections, as many of which are made as take the time of one run
    of automatic differentiation."""

    @model_validator(mode="after")
    def _checked(self) -> ConvexSettings:
        if self.box_px % 2:
            raise ValueError("box_px: odd; give an even number")
        known = [case for case in self.compared if case.startswith(("id01_", "aps"))]
        if known or not set(self.compared) <= set(self.cases):
            raise ValueError("compared: takes simulated cases that cases names, too")
        if self.gap_from_peak_px + self.gap_px // 2 + 1 > self.box_px // 2:
            raise ValueError("gap_from_peak_px: the gap leaves the pattern; give less, or a larger box_px")
        return self
