"""Settings of the stage ``phase``: networks that predict phases, how they are trained and judged; measured scans."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import model_validator

from braggfill.settings.base import Field, OneOf, StageSettings
from braggfill.settings.convex import ConvexSettings
from braggfill.settings.ranges import Range, within

Net = Annotated[str, OneOf("braggfill.networks:PHASE_NAMES")]
Kind = Literal["gaussians", "cosines", "correlated"]
Method = Literal["network", "network_er", "network_run", "run", "best_of_6"]
Body = Literal["hull", "wulff", "winterbottom", "cube", "octahedron", "random"]
Strength = Annotated[float, Field(ge=0, le=20 * math.pi)]
Part = Literal["learn", "assess", "patches", "refine", "measured"]


class LearnSettings(StageSettings):
    """How the networks for whole patterns are trained (thesis, sections 4.8 and 4.11): all on the same patterns, each
    drawn as it is needed."""

    networks: Annotated[tuple[Net, ...], Field(min_length=1)] = ("braggphase", "complex", "autophasenn")
    """Networks to train. `braggphase`: the default, with an uncertainty. `rsp`: the published one of 143,759,937
    parameters, patterns of 64 voxels a side. `central`, `complex`, `autophasenn`: published, 32 voxels."""

    patterns: int = Field(20_000, ge=1, le=10**9)
    """Patterns per epoch (published: 95,000)."""

    epochs: int = Field(1, ge=1, le=10_000)
    """Epochs of each training (published: 60)."""

    exposures: int = Field(8, ge=1, le=10_000)
    """Patterns of each crystal, rotated, with other photons, oversampling and gaps."""

    batch_size: int = Field(16, ge=1, le=4096)
    """Patterns per step."""

    learning_rate: float = Field(1e-3, gt=0, le=1)
    """Largest learning rate of Adam (published: 1e-4)."""

    weights: Literal["amplitude", "log"] = "amplitude"
    """Weights of the errors of `rsp` and `central`: the square root of the intensity (the text) or its logarithm (the
    published script)."""

    width: float = Field(1.0, gt=0, le=4)
    """Factor on the channels of `rsp` and `central`; 1 as published."""

    channels: Annotated[tuple[int, ...], Field(min_length=3, max_length=3)] = (32, 96, 224)
    """Channels of `braggphase` at 16, 8 and 4 voxels per side; the last a multiple of `heads`."""

    blocks: int = Field(4, ge=1, le=64)
    """Transformer blocks of `braggphase` at its coarsest level."""

    heads: int = Field(7, ge=1, le=64)
    """Attention heads of these blocks."""

    validation: int = Field(48, ge=1, le=100_000)
    """Patterns of the fixed validation set, 10^6 photons in the brightest voxel (published: 4,000)."""

    phase_range_radians: Annotated[Range, within(0.0, 20 * math.pi)] = (0.0, 5 * math.pi)
    """Span of the crystals' phase, peak to valley."""

    tested: int = Field(12, ge=1, le=10_000)
    """Patterns that no network has seen, on which the objects of all of them are compared (Fig. 4.52)."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """`auto`: a GPU if there is one."""

    devices: int | None = Field(None, ge=1, le=64)
    """Number of GPUs; all by default."""

    threads: int = Field(2, ge=1, le=256)
    """Processor threads."""

    @model_validator(mode="after")
    def _heads(self) -> LearnSettings:
        if self.channels[-1] % self.heads:
            raise ValueError(f"channels: the last one, {self.channels[-1]}, must be a multiple of heads, {self.heads}")
        return self


class AssessSettings(StageSettings):
    """Accuracy (Eq. 4.5) against the strength of the phase (thesis, section 4.10, Figs. 4.46 to 4.51)."""

    network: Literal["shipped", "trained"] = "trained"
    """Network: that of the package, or `braggphase` as trained by this run."""

    kinds: Annotated[tuple[Kind, ...], Field(min_length=1)] = ("gaussians", "cosines", "correlated")
    """Phase fields."""

    particles: int = Field(20, ge=1, le=10_000)
    """Random particles, each with every kind of phase in every strength (published: 20)."""

    strengths_radians: Annotated[tuple[Strength, ...], Field(min_length=1)] = tuple(
        round(math.pi * (i + 1) / 2, 4) for i in range(10)
    )
    """Phase ranges, peak to valley (published: 10)."""

    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = ("network",)
    """Phase retrieval of these particles. `network`: the object of the network. `network_er`: followed by 300 cycles of
    ER, in which the support changes only at its border. `network_run`: objects of the network, cycled as
    `braggfill phase` begins, and once more where they do not fit. `run`: 400 HIO, 1000 RAAR, 300 ER from random
    phases. `best_of_6`: the best of six random starts by RAAR, HIO, RAAR, ER on the whole array."""

    compared: Body = "winterbottom"
    """Body of the one particle on which the methods are compared in fine steps."""

    compared_strengths: int = Field(50, ge=0, le=1000)
    """Steps of the phase range, up to the largest of `strengths_radians` (published: 50). 0: skipped."""

    compared_methods: Annotated[tuple[Method, ...], Field(min_length=1)] = ("network", "run", "network_er")
    """Phase retrieval of that particle."""

    box_px: int = Field(64, ge=32, le=512)
    """Edge of the cubic pattern."""

    oversampling: float = Field(2.8, ge=2, le=10)
    """Oversampling along the longest axis of the body."""

    photons_exponent: float = Field(6.0, ge=2, le=9)
    """Power of ten of the photons in the brightest voxel."""

    oversamplings: tuple[Annotated[float, Field(ge=2, le=10)], ...] = (2.3, 3.5)
    """Other oversamplings: every kind of phase, half the largest strength, the method `network`."""

    photons_exponents: tuple[Annotated[float, Field(ge=2, le=9)], ...] = (4.0, 5.0)
    """Other photons, likewise."""

    gap_widths_px: tuple[Annotated[int, Field(ge=1, le=64)], ...] = (3, 6)
    """A gap of these widths, eight voxels beside the peak, likewise."""


class PatchSettings(StageSettings):
    """Phases of patches, from the centre outwards (thesis, sections 4.6 and 4.7)."""

    strains: Annotated[tuple[Literal["low", "high"], ...], Field(min_length=1)] = ("low", "high")
    """`low`: phase ranges up to pi; `high`: 2 pi to 5 pi."""

    box_px: int = Field(128, ge=48, le=512)
    """Edge of the patterns that patches of 32 are cut from."""

    step_px: int = Field(10, ge=2, le=16)
    """Distance of neighbouring shells of patches."""

    shells: int = Field(5, ge=1, le=20)
    """Shells around the central patch."""

    central: int = Field(10_000, ge=1, le=10**8)
    """Patterns whose central patch is used for training (published: 10,000 low, 50,000 high)."""

    outer: int = Field(50_000, ge=1, le=10**8)
    """Outer patches for training (published: 50,000)."""

    exposures: int = Field(8, ge=1, le=1000)
    """Patches cut from each pattern of the outer network."""

    epochs: int = Field(50, ge=1, le=1000)
    """Epochs, with newly drawn patches in each (published: 50)."""

    batch_size: int = Field(16, ge=1, le=1024)
    """Patches per step."""

    learning_rate: float = Field(3e-4, gt=0, le=1)
    """Learning rate of Adam."""

    width: float = Field(1.0, gt=0, le=4)
    """Factor on the channels; 1 is about 3.5 million parameters per network."""

    guesses: Annotated[tuple[Literal["truth", "own", "expected"], ...], Field(min_length=1)] = (
        "truth", "own", "expected",
    )  # fmt: skip
    """Known phase given to the outer network in training: the true one (published), the predicted one, or the expected
    phasors of the network that comes along, whose layout the outer one has then, too."""

    tested: int = Field(6, ge=1, le=10_000)
    """Whole patterns that are stitched."""

    per_shell: int = Field(48, ge=6, le=10_000)
    """Patches of the first shell; the k-th has k times as many."""


class RefineSettings(StageSettings):
    """From the network's object to the refined one (thesis, section 4.9, Table 4.2)."""

    cases: Annotated[tuple[Literal["particle_1", "particle_2", "id01"], ...], Field(min_length=1)] = (
        "particle_1",
        "particle_2",
        "id01",
    )
    """`particle_1`, `particle_2`: simulated, strained Winterbottom particles. `id01`: a strained object reconstructed
    from a measurement, with its own phase and counting noise."""

    box_px: int = Field(96, ge=32, le=512)
    """Edge of the patterns."""

    photons_exponent: float = Field(6.0, ge=2, le=9)
    """Power of ten of the photons in the brightest voxel."""

    engines: Annotated[tuple[Literal["projections", "pynx"], ...], Field(min_length=1)] = ("projections", "pynx")
    """Engines of the random starts; `pynx` is skipped if it is not installed."""

    runs: int = Field(60, ge=1, le=1000)
    """Random starts of the published recipe; the best three are combined."""

    hio_cycles: int = Field(400, ge=0, le=20_000)
    """Cycles of hybrid input-output (HIO) in these runs, first."""

    raar_cycles: int = Field(1000, ge=0, le=20_000)
    """Cycles of relaxed averaged alternating reflections (RAAR), second."""

    er_cycles: int = Field(300, ge=1, le=20_000)
    """Cycles of error reduction (ER): last in these runs, and for the refinement of the network's object."""


class GeometrySettings(StageSettings):
    """How a scan was measured: what turns the phase of its object into strain."""

    energy_ev: float = Field(gt=0, le=1e6)
    """Energy of the photons."""

    distance_m: float = Field(gt=0, le=1000)
    """From the sample to the detector."""

    pixel_um: float = Field(gt=0, le=10_000)
    """Edge of a pixel."""

    rocking_step_deg: float = Field(ge=-10, le=10)
    """Between neighbouring frames; its sign as `braggfill phase --rocking-step` has it."""

    delta_deg: float = Field(0.0, ge=-180, le=180)
    """Elevation of the detector's arm."""

    nu_deg: float = Field(0.0, ge=-180, le=180)
    """Azimuth of the detector's arm."""

    rocking_axis: Literal["horizontal", "vertical"] = "horizontal"
    """What the crystal turns about."""


class MeasuredSettings(StageSettings):
    """Measured scans, phased as `braggfill phase` does it, with the network that comes with the package, if there is
    one, among the starts."""

    scans: Annotated[tuple[str, ...], Field(min_length=1)] = ("aps_staff20_s0054",)
    """Of those that `fetch` knows."""

    crop_px: int = Field(96, ge=16, le=512)
    """Edge of the cube around the peak that is phased, cut down where the scan is smaller."""

    engine: Literal["auto", "projections", "convex", "pynx"] = "auto"
    """What phases: `auto` is projections, and convex where these do not agree."""

    starts: int | None = Field(None, ge=1, le=1000)
    """Runs on the whole array at the most; by default as many as it takes until they agree, within the engine's rounds.
    """

    support_threshold: float | None = Field(None, gt=0, lt=1)
    """The only threshold of the support, relative to the rms of the modulus; by default several side by side."""

    geometry: dict[str, GeometrySettings] = Field(default_factory=dict)
    """Of those scans whose geometry is known: their objects are shown in nanometres, with strain. Scan: `energy_ev`,
    `distance_m`, `pixel_um`, `rocking_step_deg`, `delta_deg`, `nu_deg`, `rocking_axis`."""


class PhaseSettings(StageSettings):
    """Phase retrieval: networks that predict the phase of a pattern, their training, patches, refinement, assessment;
    measured scans, phased. Part of a run if `figures.chapters` has `phase`."""

    parts: Annotated[tuple[Part, ...], Field(min_length=1)] = ("learn", "assess", "patches", "refine", "measured")
    """What is made, a block below each."""

    learn: LearnSettings = LearnSettings()
    assess: AssessSettings = AssessSettings()
    patches: PatchSettings = PatchSettings()
    refine: RefineSettings = RefineSettings()
    measured: MeasuredSettings = MeasuredSettings()
    convex: ConvexSettings = ConvexSettings()
