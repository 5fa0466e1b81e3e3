"""Settings of the stage ``diffract``: patterns of the objects."""

from __future__ import annotations

from typing import Annotated

from pydantic import model_validator

from braggfill.settings.base import Field, StageSettings
from braggfill.settings.ranges import Range, within


class DiffractSettings(StageSettings):
    """Patterns of the stage `crystal`'s objects, with their reciprocal-space phase (Masto, thesis, section 3.3.1)."""

    shape: tuple[int, ...] = Field((64, 64, 64), min_length=2, max_length=3)
    """Voxels of a pattern along each axis, as many axes as `crystal.dimensions`."""

    patterns: int = Field(1, ge=1, le=1_000)
    """Patterns of each object, each with its own oversampling, photons and counts."""

    oversampling: Annotated[Range, within(2.0, 20.0)] = (2.0, 4.0)
    """Width of the transformed array divided by the largest width of the body. The pattern is the central part of the
    array."""

    photons_exponent: Annotated[Range, within(0.0, 9.3)] = (4.5, 7.0)
    """Power of ten of the photons expected in the brightest voxel."""

    counting: bool = True
    """Whether counts have Poisson noise. If false, they are the rounded expectation."""

    split_validation: float = Field(0.05, ge=0, le=0.5)
    """Fraction of the objects for the validation."""

    split_test: float = Field(0.05, ge=0, le=0.5)
    """Fraction of the objects for the test. The rest is for training."""

    @model_validator(mode="after")
    def _sizes(self) -> DiffractSettings:
        if not all(8 <= n <= 1024 for n in self.shape):
            raise ValueError(f"shape: each axis must have 8 to 1024 voxels, got {list(self.shape)}")
        if self.split_validation + self.split_test > 0.5:
            raise ValueError("split_validation and split_test: at least half of the objects must be for the training")
        return self

    @property
    def fractions(self) -> tuple[float, float, float]:
        """Fractions of training, validation and test."""
        return (1 - self.split_validation - self.split_test, self.split_validation, self.split_test)
