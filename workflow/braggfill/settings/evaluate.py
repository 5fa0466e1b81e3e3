"""Settings of the stage ``evaluate``: sweeps to tables."""

from __future__ import annotations

from typing import Annotated, Literal

from braggfill.settings.base import Field, StageSettings

Method = Literal["network", "shipped", "linear", "cubic", "nearest", "idw", "biharmonic"]
GapWidth = Annotated[int, Field(ge=1, le=16)]


class EvaluateSettings(StageSettings):
    """How the predictions are compared with what was measured."""

    scan: str = Field("aps_staff20_s0054", min_length=1)
    """Measured scan without gaps, one of those that `fetch` knows; its portions were never trained on."""

    portions: int = Field(1000, ge=20, le=100_000)
    """Random portions of 32³ voxels cut from the measured scan, the published 1000 by default; fewer are faster and
    widen the bootstrap intervals as one over the square root."""

    simulated_portions: int = Field(1000, ge=1, le=100_000)
    """The most test portions of simulated patterns to evaluate; where there are more, the same ones are drawn every
    time."""

    crop_px: int = Field(128, ge=32, le=512)
    """Edge of the cube around the peak of the measured scan from which portions are cut; the paper's 128 by default,
    cut down where the scan is smaller."""

    gap_widths_px: tuple[GapWidth, ...] = Field((3, 6, 9, 12), min_length=1)
    """Widths of the gap in the middle of each portion; the paper's four by default."""

    gap_axes: tuple[Literal[0, 1, 2], ...] = Field((2, 1), min_length=1)
    """Axes that the gap interrupts in measured portions, one sweep each: 2 is the vertical gap of the paper and the
    thesis. In the APS scan a rod runs along axis 1 and hides in a gap across axis 2, so that a gap across axis 1 is
    easier there. Simulated portions take the first axis alone."""

    methods: tuple[Method, ...] = Field(("network", "shipped", "linear", "cubic", "nearest"), min_length=1)
    """What fills the gap; `network` is the one that the run trained, `shipped` the one that comes with the
    package, the others interpolate the log intensity."""

    bright_counts_per_voxel: tuple[Annotated[float, Field(gt=0, le=1e9)], ...] = (1.0, 100.0)
    """Portions with at least this mean count a voxel are reported apart, a selection for each number, because in darker
    ones the truth is noise."""

    bins: int = Field(20, ge=2, le=200)
    """Equal bins of the logarithm of a portion's mean count, over which the published figures were averaged."""

    bootstrap_draws: int = Field(1000, ge=100, le=100_000)
    """Resamplings of the portions behind each 95 % interval."""

    ceiling_draws: int = Field(2, ge=1, le=100)
    """Binomial thinnings of each portion behind the noise ceiling; more only steady it."""

    batch_portions: int = Field(64, ge=1, le=4096)
    """Portions filled at once: a matter of memory and speed, never of the result's meaning."""

    calibration_portions: int = Field(400, ge=1, le=100_000)
    """Portions, of each source, on which the uncertainty is judged. What it costs is about two widths of gap of the
    accuracy's."""

    calibration_voxels: int = Field(256, ge=1, le=100_000)
    """Voxels of each gap, drawn at random, whose counts are compared with the stated interval; neighbours tell the
    same, so that more portions tell more than more voxels."""

    calibration_levels: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.68, 0.8, 0.9, 0.95, 0.99), min_length=1
    )
    """Levels of the intervals that are judged; the report's table shows 0.68 and 0.95 where they are among them."""
