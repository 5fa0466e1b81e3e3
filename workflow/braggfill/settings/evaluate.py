"""Settings of the stage ``evaluate``: sweeps to tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from braggfill.settings.base import Field, OneOf, StageSettings

Method = Annotated[str, OneOf("braggfill.filling.methods:NAMES", without=("finite",))]
Sweep = Literal["measured", "simulated", "oversampling", "position", "skip", "gaps"]
GapWidth = Annotated[int, Field(ge=1, le=16)]
Oversampling = Annotated[float, Field(ge=1.0, le=20.0)]
Arm = Annotated[int, Field(ge=0, le=48)]


class PatchSettings(StageSettings):
    """Common to the sweeps over patches: `measured`, `simulated` and (the first two settings) `calibration`."""

    gap_widths_px: tuple[GapWidth, ...] = Field(tuple(range(1, 17)), min_length=1)
    """Widths of the gap in the middle of each patch; the paper's are 3, 6, 9 and 12."""

    gap_axes: tuple[Literal[0, 1, 2], ...] = Field((2, 1), min_length=1)
    """Axes across which the gap lies in measured patches, one sweep each: 2 is the vertical gap of the paper and the
    thesis. In the APS scan a rod runs along axis 1, so that gaps across axis 1 are easier to fill there. Axes after the
    first use only the published widths among `gap_widths_px`; simulated patches use the first axis only."""

    bright_counts_per_voxel: tuple[Annotated[float, Field(gt=0, le=1e9)], ...] = (1.0, 100.0)
    """Patches with at least this mean count per voxel are also reported separately; darker ones are mostly noise."""

    bins: int = Field(20, ge=2, le=200)
    """Equal bins of the logarithm of a patch's mean count, over which the published values are averaged."""


class MeasuredSettings(StageSettings):
    """Random patches of the measured scan against the width of the gap and the intensity (paper, Table 1, Fig. 5)."""

    patches: int = Field(1000, ge=20, le=100_000)
    """Random patches of 32³ voxels cut from the measured scan, the published 1000 by default. The bootstrap intervals
    scale with one over the square root of their number."""


class SimulatedSettings(StageSettings):
    """Patches of simulated test particles, compared with their counts and with the noise-free expectation."""

    patches: int = Field(1000, ge=1, le=100_000)
    """Largest number of simulated test patches; of more, a fixed random subset is used."""


class WholeSettings(StageSettings):
    """Common to the sweeps over whole patterns: `oversampling`, `position` and `skip`."""

    methods: tuple[Method, ...] = Field(("network", "braggfill", "paper", "linear", "cubic", "nearest"), min_length=1)
    """Methods that fill whole patterns."""

    step_px: int = Field(24, ge=1, le=32)
    """Voxels between neighbouring patches of a network. The paper's is 1; at 24 patches overlap by a quarter, and a
    pattern takes a sixth of the time that it takes at 9. `skip` has its own steps."""


class OversamplingSettings(StageSettings):
    """Whole patterns of the test particles at several oversamplings (paper, Fig. 6; thesis, Fig. 3.17)."""

    oversamplings: tuple[Oversampling, ...] = Field((2.0, 2.5, 3.0, 4.0, 5.0, 7.0), min_length=1)
    """Oversampling along the crystal's longest side at which each test particle is simulated; the paper's 2 to 7."""

    fringes: float = Field(14.0, ge=4.0, le=64.0)
    """Extent of reciprocal space that is predicted at every oversampling, in fringes of the crystal's longest side: the
    edge of the pattern is this many times the oversampling, in voxels. The cost grows with the third power."""

    gap_widths_px: tuple[GapWidth, ...] = Field((3, 6, 9, 12), min_length=1)
    """Widths of the gap that is shifted until the whole pattern has been predicted."""

    photons_at_peak: float = Field(1e6, ge=10.0, le=1e9)
    """Photons in the brightest voxel of those patterns, the same at every oversampling."""


class PositionSettings(StageSettings):
    """A gap at many positions in the test particles' patterns (thesis, Fig. 3.6)."""

    gap_widths_px: tuple[GapWidth, ...] = Field((3, 9), min_length=1)
    """Widths of the gap; the thesis has 9."""

    spacing_px: int = Field(8, ge=1, le=64)
    """Voxels between neighbouring positions of the gap, from one end of the pattern to the other."""

    views: int = Field(1, ge=1, le=1000)
    """Patterns of each test particle, at most as many as `scatter.views`."""


class SkipSettings(StageSettings):
    """Time and error against the step of the sliding, a cross gap in the measured scan (supplement, Figs S10 to S12).

    The position of the gap is that of `gaps`.
    """

    steps_px: tuple[Annotated[int, Field(ge=1, le=32)], ...] = Field((1, 2, 3, 5, 9, 16, 21, 31), min_length=1)
    """Voxels between neighbouring patches, i.e. the number skipped plus one."""

    crop_px: int = Field(96, ge=32, le=512)
    """Edge of the cube around the peak of the measured scan; the published times are for 128."""

    gap_width_px: int = Field(6, ge=1, le=16)
    """Width of the cross."""


class GapsSettings(StageSettings):
    """Unequal crosses and the wide gaps of Eiger detectors in the measured scan."""

    widths_px: tuple[tuple[Arm, Arm], ...] = ((6, 6), (3, 9), (12, 6), (0, 12), (0, 38), (38, 12))
    """Gaps in a cube of `crop_px` of the measured scan: width across axis 1 and across axis 2, 0 for none. By default
    crosses with unequal arms, and the 12 and 38 pixels of Eiger detectors."""

    offset_px: tuple[int, int] = (13, 16)
    """Centre of those crosses, in voxels from the peak along axes 1 and 2; a wide arm is moved outwards until it does
    not cover the peak."""

    step_px: int = Field(9, ge=1, le=32)
    """Voxels between neighbouring patches of a network."""


class CalibrationSettings(StageSettings):
    """Whether the stated uncertainty is right, on patches of both sources."""

    patches: int = Field(400, ge=1, le=100_000)
    """Patches of each source. The cost is about that of two gap widths in the sweeps over patches."""

    voxels: int = Field(256, ge=1, le=100_000)
    """Random voxels of each gap whose counts are compared with the stated interval. Neighbours are correlated: more
    patches improve the statistics more than more voxels."""

    levels: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.68, 0.8, 0.9, 0.95, 0.99), min_length=1
    )
    """Levels of the intervals; the table of the report shows 0.68 and 0.95 if they are among them."""


class EvaluateSettings(StageSettings):
    """How predictions are compared with measurements: settings of all sweeps, and a block for each."""

    sweeps: tuple[Sweep, ...] = ("measured", "simulated", "oversampling", "position", "skip", "gaps")
    """Sweeps to run, each with its own table and figure. Patches of the `measured` scan and of `simulated` patterns:
    width of the gap and intensity. Whole patterns: `oversampling`, and `position` of the gap. `skip`: time and error
    against the step of the sliding. `gaps`: unequal crosses and the wide gaps of Eiger detectors. The table of a sweep
    that is left out has only its header."""

    shards: int = Field(2, ge=1, le=64)
    """Jobs of each sweep over patches, one core each; more than one per width are of no use. Does not change the
    results."""

    particles: int = Field(10, ge=0, le=10_000)
    """Test particles made for the evaluation only, like those of the run but never trained on. They are used by
    `simulated`, `oversampling` and `position`; with 0 the last two are empty."""

    particles_per_shard: int = Field(5, ge=1, le=1000)
    """Test particles per job. Does not change the results."""

    paper_networks: dict[GapWidth, str] = Field(default_factory=dict)
    """Trained networks of the published architecture for the method `paper`, gap width in pixels to file. The method is
    left out at widths without one."""

    scan: str = Field("aps_staff20_s0054", min_length=1)
    """Measured scan without gaps, one of those that `fetch` knows; its patches were never trained on."""

    crop_px: int = Field(128, ge=32, le=512)
    """Edge of the cube around the peak of the measured scan from which patches are cut (paper: 128); smaller if the
    scan is."""

    methods: tuple[Method, ...] = Field(
        ("network", "braggfill", "paper", "linear", "cubic", "nearest", "idw", "biharmonic"), min_length=1
    )
    """Methods that fill patches and the gaps of `gaps`: `network` was trained by the run, `braggfill` comes with the
    package, `paper` uses `paper_networks`, the others interpolate."""

    bootstrap_draws: int = Field(1000, ge=100, le=100_000)
    """Bootstrap resamplings of the patches for each 95 % interval."""

    ceiling_draws: int = Field(2, ge=1, le=100)
    """Binomial thinnings of each patch for the noise ceiling; more reduce its scatter."""

    batch_patches: int = Field(64, ge=1, le=4096)
    """Patches filled at once; affects memory and speed only."""

    patches: PatchSettings = PatchSettings()
    measured: MeasuredSettings = MeasuredSettings()
    simulated: SimulatedSettings = SimulatedSettings()
    whole: WholeSettings = WholeSettings()
    oversampling: OversamplingSettings = OversamplingSettings()
    position: PositionSettings = PositionSettings()
    skip: SkipSettings = SkipSettings()
    gaps: GapsSettings = GapsSettings()
    calibration: CalibrationSettings = CalibrationSettings()

    moved: ClassVar[Mapping[str, str]] = {
        "patches": "measured.patches",
        "simulated_patches": "simulated.patches",
        "gap_widths_px": "patches.gap_widths_px",
        "gap_axes": "patches.gap_axes",
        "bright_counts_per_voxel": "patches.bright_counts_per_voxel",
        "bins": "patches.bins",
        "whole_methods": "whole.methods",
        "whole_step_px": "whole.step_px",
        "oversampling": "oversampling.oversamplings",
        "oversampling_fringes": "oversampling.fringes",
        "oversampling_widths_px": "oversampling.gap_widths_px",
        "oversampling_photons": "oversampling.photons_at_peak",
        "position_widths_px": "position.gap_widths_px",
        "position_spacing_px": "position.spacing_px",
        "position_views": "position.views",
        "skip_steps_px": "skip.steps_px",
        "skip_crop_px": "skip.crop_px",
        "skip_width_px": "skip.gap_width_px",
        "gaps_px": "gaps.widths_px",
        "gaps_offset_px": "gaps.offset_px",
        "gaps_step_px": "gaps.step_px",
        "calibration_patches": "calibration.patches",
        "calibration_voxels": "calibration.voxels",
        "calibration_levels": "calibration.levels",
    }
