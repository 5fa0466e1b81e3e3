"""Settings of the stage ``flat``: gaps and phases in two dimensions."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import model_validator

from braggfill.settings.base import Field, StageSettings
from braggfill.settings.ranges import Range, within

GapNetwork = Literal["unet", "msd", "unet_mod", "braggfill"]
GapLoss = Literal["mse", "mae", "ssim", "mse_ssim", "mse_ssim_gradients"]
PhaseLoss = Literal["real_space", "real_space_broken", "wca_amplitude", "wca_log", "wca_cos_sin", "wca_consistent"]
Number = Annotated[int, Field(ge=1, le=1_000_000)]
Width = Annotated[int, Field(ge=1, le=32)]
Factor = Annotated[float, Field(gt=0, le=1)]
FINAL = "mse_ssim_gradients"
"""The loss that networks are compared with."""
OWN = "likelihood"
"""The loss of the default network."""


class FlatGaps(StageSettings):
    """Gaps in two dimensions (Masto, thesis, section 3.3)."""

    side_px: int = Field(128, ge=32, le=256)
    """Side of the patterns, a multiple of 32. Published: 128."""

    patterns: Number = 12_000
    """Patterns for the training. Published: 12,000."""

    validation: Number = 200
    """Patterns for the validation."""

    test: Number = 150
    """Patterns for the tables."""

    widths_px: tuple[Annotated[tuple[Width, ...], Field(min_length=1)], ...] = Field(
        ((3,), (6,), (9,), (12,)), min_length=1
    )
    """Widths of gaps. Each list is a separate training with these widths; `[[3, 6, 9, 12]]` trains every network once
    on all four."""

    cross_fraction: float = Field(0.5, ge=0, le=1)
    """Fraction of the gaps that are crosses; the others are vertical."""

    networks: tuple[GapNetwork, ...] = Field(("unet", "msd", "unet_mod", "braggfill"), min_length=1)
    """Networks, compared with the final loss (MSE + SSIM + gradients); `braggfill` with its own loss, too."""

    losses: tuple[GapLoss, ...] = Field(("mse", "mae", "ssim", "mse_ssim", "mse_ssim_gradients"), min_length=1)
    """Losses that are compared."""

    loss_networks: tuple[GapNetwork, ...] = ("unet", "msd", "unet_mod")
    """Networks that the losses are compared with."""

    width: Factor = 1.0
    """Factor on the channels of the published networks; 1 is their full size."""

    channels: tuple[Annotated[int, Field(ge=1, le=512)], ...] = Field((32, 64, 96), min_length=2)
    """Channels of `braggfill` at each level."""

    epochs: int = Field(10, ge=1, le=10_000)
    """Passes over the patterns. Published: 10."""

    batch: int = Field(32, ge=1, le=1_024)
    """Patterns per step. Published: 32."""

    rate: float = Field(1e-4, gt=0, le=1)
    """Learning rate of the published networks. Published: 0.0001."""

    own_rate: float = Field(2e-3, gt=0, le=1)
    """Learning rate of `braggfill`."""

    oversampling: Annotated[Range, within(2.0, 20.0)] = (2.0, 6.0)
    """Oversampling of the patterns, along the longest axis."""

    photons_exponent: Annotated[Range, within(0.0, 9.3)] = (4.0, 7.0)
    """Power of ten of the photons expected in the brightest voxel."""

    phase_range_radians: Annotated[Range, within(0.0, 20 * math.pi)] = (0.0, 2 * math.pi)
    """Span of the objects' phase, peak to valley."""

    example_width_px: Width = 9
    """Width of the gaps in figures, and of those that are moved over the patterns. Published: 9."""

    position_patterns: Number = 150
    """Patterns across which a vertical gap is moved. Published: 150."""

    oversampling_patterns: Number = 150
    """Oversamplings of one object, from the lowest to the highest. Published: 150, from 2 to 6."""

    spacing_px: int = Field(1, ge=1, le=64)
    """Distance between positions of the gap. Published: 1."""

    @model_validator(mode="after")
    def _fits(self) -> FlatGaps:
        if self.side_px % 32:
            raise ValueError(f"side_px: must be a multiple of 32, got {self.side_px}")
        widest = max(max(one) for one in (*self.widths_px, (self.example_width_px,)))
        if 2 * widest > self.side_px:
            raise ValueError(f"widths_px: a gap of {widest} px does not fit patterns of {self.side_px} px twice")
        return self


class FlatPhases(StageSettings):
    """Phases in two dimensions: one data set and what is trained on it (Masto, thesis, sections 4.4 and 4.5)."""

    patterns: tuple[Number, ...] = Field((8_500, 17_000), min_length=1)
    """Sizes of the training set, ascending; the first is the one that losses are compared with."""

    validation: Number = 300
    """Patterns for the validation."""

    test: Number = 300
    """Patterns for the tables."""

    widths: tuple[Factor, ...] = Field((0.5, 1.0), min_length=1)
    """Sizes of the network, ascending: factors on the channels of the one of 27.5 million parameters."""

    losses: tuple[PhaseLoss, ...] = Field(("real_space", "real_space_broken", "wca_amplitude", "wca_log"), min_length=1)
    """Losses that are compared, with the smallest set and the smallest network."""

    grid_losses: tuple[PhaseLoss, ...] = ()
    """Losses that are compared with every size of set and network."""

    steps: int = Field(8_000, ge=1, le=10_000_000)
    """Steps of each training, the same for all. Published: 30 epochs, 8,000 steps (low strain), 50 epochs, 47,000
    steps (high strain)."""

    batch: int = Field(32, ge=1, le=1_024)
    """Patterns per step. Published: 32."""

    rate: float = Field(3e-4, gt=0, le=1)
    """Learning rate. Published: 0.0003 (low strain), 0.001 (high strain)."""

    decay: bool = False
    """Whether the learning rate falls along half a cosine; otherwise it is constant, as published."""

    phase_range_radians: Annotated[Range, within(0.0, 20 * math.pi)] = (0.0, math.pi / 2)
    """Span of the objects' phase, peak to valley."""

    photons_exponent: Annotated[Range, within(0.0, 9.3)] | None = None
    """Power of ten of the photons expected in the brightest voxel, Poisson distributed; `null` for no noise."""

    oversampling: Annotated[Range, within(2.0, 20.0)] = (2.0, 4.0)
    """Oversampling of the patterns, along the longest axis."""


class FlatLow(FlatPhases):
    """Phases in two dimensions, low strain, without noise (Masto, thesis, section 4.4)."""

    grid_losses: tuple[PhaseLoss, ...] = ("real_space", "wca_amplitude")
    """Losses that are compared with every size of set and network (Fig. 4.11)."""


class FlatHigh(FlatPhases):
    """Phases in two dimensions, high strain, with counting noise (Masto, thesis, section 4.5)."""

    patterns: tuple[Number, ...] = Field((30_000,), min_length=1)
    """Sizes of the training set, ascending. Published: 30,000."""

    widths: tuple[Factor, ...] = Field((1.0,), min_length=1)
    """Sizes of the network, ascending: factors on the channels of the one of 27.5 million parameters."""

    losses: tuple[PhaseLoss, ...] = Field(
        ("real_space", "wca_amplitude", "wca_log", "wca_cos_sin", "wca_consistent"), min_length=1
    )
    """Losses that are compared, with the smallest set and the smallest network."""

    steps: int = Field(47_000, ge=1, le=10_000_000)
    """Steps of each training. Published: 50 epochs, 47,000 steps."""

    rate: float = Field(1e-3, gt=0, le=1)
    """Learning rate. Published: 0.001."""

    phase_range_radians: Annotated[Range, within(0.0, 20 * math.pi)] = (2 * math.pi, 5 * math.pi)
    """Span of the objects' phase, peak to valley."""

    photons_exponent: Annotated[Range, within(0.0, 9.3)] | None = (4.5, 7.0)
    """Power of ten of the photons expected in the brightest voxel, Poisson distributed; `null` for no noise."""


class FlatStarts(StageSettings):
    """Predicted phases as starts of the iterative engine, beside random starts."""

    losses: tuple[PhaseLoss, ...] = ("real_space", "wca_amplitude", "wca_cos_sin", "wca_consistent")
    """Networks of the high-strain study, by their loss."""

    patterns: Number = 60
    """Test patterns that are phased."""

    starts: int = Field(4, ge=1, le=100)
    """Random starts of each pattern, the best of which counts."""

    long_cycles: tuple[int, int, int] = (400, 300, 60)
    """HIO, RAAR and ER cycles of a random start."""

    short_cycles: tuple[int, int, int] = (60, 220, 60)
    """HIO, RAAR and ER cycles of a predicted start: RAAR, HIO, RAAR, ER."""


class FlatFull(StageSettings):
    """The networks at their published size, trained for a few steps."""

    networks: tuple[Literal["unet", "msd", "unet_mod", "phase_large"], ...] = Field(
        ("unet", "msd", "unet_mod", "phase_large"), min_length=1
    )
    """Networks that are built and trained."""

    steps: int = Field(3, ge=1, le=1_000)
    """Steps of each."""

    batch: int = Field(2, ge=1, le=256)
    """Patterns per step."""


class FlatSettings(StageSettings):
    """Gaps and phases in two dimensions: the studies that losses and networks were chosen by (Masto, thesis, sections
    3.3, 4.4 and 4.5). Part of a run if `figures.chapters` has `flat`."""

    gaps: FlatGaps = FlatGaps()
    low: FlatLow = FlatLow()
    high: FlatHigh = FlatHigh()
    starts: FlatStarts = FlatStarts()
    full: FlatFull = FlatFull()

    @model_validator(mode="after")
    def _known(self) -> FlatSettings:
        missing = [loss for loss in self.starts.losses if loss not in self.high.losses]
        if missing:
            raise ValueError(f"starts.losses: high.losses has no {', '.join(missing)}; add it there")
        for name in ("low", "high"):
            study = getattr(self, name)
            for sizes in ("patterns", "widths"):
                values = getattr(study, sizes)
                if list(values) != sorted(set(values)):
                    raise ValueError(f"{name}.{sizes}: must ascend, got {list(values)}")
        return self
