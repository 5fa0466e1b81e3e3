"""Settings of the stage ``crystal``: how many objects, of which shapes, with which phase."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import model_validator

from braggfill.settings.base import Field, StageSettings
from braggfill.settings.ranges import Range, within

Body = Literal["hull", "wulff", "winterbottom", "cube", "octahedron", "random"]
Phase = Literal["correlated", "gaussians", "cosines", "none"]


class CrystalSettings(StageSettings):
    """Complex objects for the study of phase retrieval, without atoms: a convex body, a modulus, the phase of a strain
    (Masto, thesis, sections 3.3.1 and 4.3). Each is drawn from the run's seed and its own index."""

    number: int = Field(2_000, ge=1, le=10_000_000)
    """Objects in the run. The published data sets have 8,500 and 30,000 (2D) and 95,000 (3D)."""

    chunk: int = Field(500, ge=1, le=100_000)
    """Objects per job and file. Does not change the results."""

    dimensions: int = Field(3, ge=2, le=3)
    """2 (polygons) or 3 (polyhedra)."""

    extent_voxels: float = Field(32.0, ge=4, le=512)
    """Largest width of the body along an axis. Multiplied by the lowest oversampling it must be at least the width of
    the pattern, `diffract.shape`."""

    bodies: tuple[Body, ...] = Field(("hull", "wulff", "winterbottom", "cube", "octahedron", "random"), min_length=1)
    """Shapes, one of which is drawn: `hull`, the convex hull of random points, in 2D and 3D; and the families of the
    stage `particle`, turned at random, in 3D. In 2D only `hull` is used."""

    phases: tuple[Phase, ...] = Field(("correlated", "gaussians", "cosines"), min_length=1)
    """Phase fields, one of which is drawn: `correlated` (Gaussian random field), `gaussians` (sum of two), `cosines`
    (sum of two), `none`."""

    phase_range_radians: Annotated[Range, within(0.0, 20 * math.pi)] = (0.0, 5 * math.pi)
    """Span of the phase within the body, peak to valley. Published: up to 5 pi; from 2 pi it counts as high strain."""

    phase_correlation: Annotated[Range, within(0.02, 2.0)] = (0.1, 0.4)
    """Correlation length of `correlated`: standard deviation of the Gaussian that white noise is convolved with, in
    extents of the body."""

    smoothing_sigma_voxels: Annotated[Range, within(0.0, 5.0)] = (0.3, 0.7)
    """Gaussian smoothing of the modulus, standard deviation in voxels."""

    modulus_noise: Annotated[Range, within(0.0, 1.0)] = (0.0, 0.1)
    """Standard deviation of the random field that the modulus is multiplied with, 1 + field."""

    modulus_correlation_voxels: Annotated[Range, within(0.0, 10.0)] = (0.0, 2.0)
    """Correlation length of that field, as for the phase, in voxels; 0 is white noise."""

    @model_validator(mode="after")
    def _polygons(self) -> CrystalSettings:
        if self.dimensions == 2 and "hull" not in self.bodies:
            raise ValueError("bodies: in two dimensions there is only 'hull'")
        return self
