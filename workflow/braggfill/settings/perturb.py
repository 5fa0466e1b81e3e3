"""Settings of the stage ``perturb``: simulated patterns are made more like measured ones."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import model_validator

from braggfill.settings.base import Field, StageSettings
from braggfill.settings.ranges import Range, within


class PerturbSettings(StageSettings):
    """Changes in real and in reciprocal space (supplement S2.2, S2.3); for each pattern every value is drawn anew."""

    smoothing_sigma_voxels: Annotated[Range, within(0.0, 10.0)] = (0.45, 0.75)
    """Gaussian smoothing of the object's modulus, standard deviation in voxels: rounds edges and corners."""

    support_threshold: float = Field(0.1, ge=0.0, lt=1.0)
    """Where the smoothed modulus is below this fraction of its maximum, the object is set to zero."""

    modulus_noise: Annotated[Range, within(0.0, 10.0)] = (0.5, 3.0)
    """Span of the correlated random field that the modulus is multiplied with: 1 + field, the field between 0 and this.
    Zero leaves the modulus homogeneous."""

    modulus_correlation: Annotated[Range, within(0.001, 1.0)] = (0.01, 0.1)
    """Correlation length of that field: standard deviation of the Gaussian that white noise is convolved with, as a
    fraction of half the array's width."""

    phase_replaced_share: float = Field(0.5, ge=0.0, le=1.0)
    """Fraction of the patterns whose phase, that of the relaxed atoms, is replaced by a random field."""

    phase_range_radians: Annotated[Range, within(0.0, 20 * math.pi)] = (math.pi / 3, 3 * math.pi)
    """Range of that random phase over the array, peak to valley, in radians."""

    phase_correlation: Annotated[Range, within(0.001, 1.0)] = (0.01, 0.1)
    """Correlation length of that phase, as for the modulus."""

    blur_sigma_voxels: Annotated[Range, within(0.0, 10.0)] = (0.5, 1.1)
    """Gaussian blur of the intensity, standard deviation in voxels: lowers the contrast of the fringes."""

    photons_exponent: Annotated[Range, within(0.0, 9.3)] = (5.0, 6.3)
    """Power of ten of the photons in the brightest voxel. The paper's range is [5, 6.3]; brighter patterns, up to
    [6, 8.5], contain fringes through the peak, which improve the strain."""

    background_photons: Annotated[Range, within(0.0, 1e6)] = (0.0, 0.0)
    """Uniform background added to the expectation before counting, in photons per voxel. Off by default."""

    background_exponent: Annotated[Range, within(-6.0, 3.0)] | None = None
    """Power of ten of a further background in photons per voxel, like scattering by air: the same in each frame,
    non-uniform over the detector (`background_unevenness`). Null: none. Measured scans have about 0.02 photons."""

    background_unevenness: Annotated[Range, within(0.0, 3.0)] = (0.0, 1.0)
    """Standard deviation of the logarithm of that background over the detector; it changes over a quarter of it."""

    point_spread_pixels: Annotated[Range, within(0.0, 10.0)] = (0.0, 0.0)
    """Point spread of the detector, standard deviation in pixels, along axes 1 and 2. Off by default."""

    flat_field: Annotated[Range, within(0.0, 0.5)] = (0.0, 0.0)
    """Standard deviation of the logarithm of the pixels' gains, which are the same in each frame, as in a scan
    without flat-field correction. Off by default."""

    coherence: bool = True
    """Whether the beam is fully coherent. If false, its Gaussian mutual coherence blurs the intensity further, along
    each axis by its own amount."""

    coherence_extents: Annotated[Range, within(0.05, 100.0)] = (0.5, 3.0)
    """Coherence length (standard deviation of the mutual coherence) along each axis, as a multiple of the crystal's
    extent along it. Used when `coherence` is false."""

    @model_validator(mode="after")
    def _counts_fit(self) -> PerturbSettings:
        uneven = 10 ** self.background_exponent[1] * 1e6 if self.background_exponent else 0
        if 10 ** self.photons_exponent[1] + self.background_photons[1] + uneven > 4e9:
            raise ValueError(
                "photons_exponent and background_photons: more than 4e9 photons in a voxel cannot be stored"
            )
        return self
