"""Settings of the reconstruct stage: real space with the true phase, and by phase retrieval."""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

from braggfill.settings.base import Field, OneOf, StageSettings

Width = Annotated[int, Field(ge=1, le=64)]
Distance = Annotated[int, Field(ge=1, le=256)]
Photons = Annotated[float, Field(ge=10, le=1e12)]
Oversampling = Annotated[float, Field(ge=2, le=20)]
WITHOUT_FILLING = ("free", "streaks", "zeros", "bounded", "guided", "late", "sure", "soft")
Engine = Annotated[str, OneOf("braggfill.phasing.single:ENGINES", more=("auto",))]
"""Of fixed recipes."""
Filling = Annotated[str, OneOf("braggfill.filling.methods:NAMES", without=("paper",))]
Treatment = Annotated[str, OneOf("braggfill.filling.methods:NAMES", without=("paper",), more=WITHOUT_FILLING)]
Case = Literal["known", "strained", "simulated", "measured", "far"]
Smooth = Annotated[float, Field(ge=0, le=10)]


class TruePhaseSettings(StageSettings):
    """Objects of known phase, their patterns with gap, filled and whole (paper section 2.6.1, supplement S7)."""

    oversamplings: Annotated[tuple[Oversampling, ...], Field(min_length=1)] = (2.2, 3.0, 4.0, 6.0)
    """Oversamplings of the reconstructed object, along the axis where it is least, one set of cases each. The object is
    resampled by `zoom` and padded; where the box would exceed `box_px`, it is resampled to fewer voxels instead."""

    zoom: float = Field(default=0.4, gt=0, le=2)
    """Factor by which the reconstructed object is resampled, at the most. Smaller objects fit smaller boxes."""

    box_px: int = Field(default=192, ge=32, le=512)
    """Largest edge of the cube into which the resampled object is padded; 192 holds an oversampling of 4 with a zoom
    of 0.4."""

    support_threshold: float = Field(default=0.3, gt=0, lt=1)
    """Voxels above this fraction of the largest modulus are the object; the rest is set to zero."""

    photons_at_peak: Photons = 1e7
    """Intensity of the brightest voxel, in photons: where log(1 + I) bends. There is no counting noise here."""

    gap_widths_px: Annotated[tuple[Width, ...], Field(min_length=1)] = (3, 6, 9, 12)
    """Widths of the cross gap, one case each."""

    offset_px: tuple[int, int] = (13, 16)
    """Where the middle of the cross lies, in voxels from the peak along axes 1 and 2."""

    methods: Annotated[tuple[Filling, ...], Field(min_length=1)] = (
        "linear",
        "cubic",
        "nearest",
        "network",
        "braggfill",
        "finite",
    )
    """What fills the gap, besides leaving it empty. `finite`: as `braggfill`, held to the finite autocorrelation of a
    crystal."""

    particles: int = Field(default=10, ge=0, le=1000)
    """Simulated, relaxed particles that are taken through the same with the true phase of their own: the first ones
    that the network was not trained on. 0 leaves this out."""

    particle_gap_widths_px: Annotated[tuple[Width, ...], Field(min_length=1)] = (3, 6, 9, 12)
    """Widths of the cross gap in their patterns."""


class RecipeSettings(StageSettings):
    """How the phase is retrieved: the same recipe for each treatment of a gap."""

    treatments: Annotated[tuple[Treatment, ...], Field(min_length=1)] = (
        "free",
        "streaks",
        "zeros",
        "linear",
        "network",
        "braggfill",
        "bounded",
        "guided",
        "late",
        "sure",
        "soft",
    )
    """What is done about the gap; the whole pattern is always phased too. `free`: masked, its voxels float. `streaks`:
    masked where the pattern is bright, zero elsewhere. `zeros`: left at zero. `linear`, `network` …: filled. `bounded`:
    filled, its voxels float within the filling's uncertainty. `guided`: the same, but where the filling is unsure they
    are free for the last cycles. `late`: filled, and free for the last cycles. `sure`: filled where the filling is
    sure, free where it is not. `soft`: filled, each voxel with the weight that its uncertainty allows."""

    engine: Engine = "auto"
    """What retrieves the phase: `projections` (this package's own), `pynx`, `convex` (slow, on a schedule of its own,
    and without the treatments that have bounds or free voxels late), or `auto`: PyNX where it is installed, else
    `projections`."""

    filled_by: Filling = "braggfill"
    """What fills the gap for `bounded`, `guided`, `late`, `sure` and `soft`: it states an uncertainty. Where the
    package came without weights, `braggfill` stands for `network`, the one that the run trained."""

    starts: int = Field(default=3, ge=1, le=100)
    """Random starts for each treatment; the one with the best free log-likelihood counts. The starts are the same for
    each treatment."""

    autocorrelation_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The first support: where the autocorrelation is above this fraction of its maximum. After a support that grew or
    shrank beyond bounds, the start is tried again with 1.5 and with 2.25 times as much."""

    support_threshold: float = Field(default=0.3, gt=0, lt=1)
    """Support updates keep what is above this fraction of the root mean square modulus inside the support. Lower values
    let the support grow and starts stall, higher ones cut weak parts of the object away."""

    support_smooth_px: tuple[Smooth, Smooth] = (1.0, 0.5)
    """Gaussian smoothing before each support update, standard deviation in voxels at the first and the last one.
    Objects of few voxels need little: with 2 and 0.7 most starts stalled where with 1 and 0.5 nearly all arrived."""

    support_period: int = Field(default=20, ge=1, le=1000)
    """Cycles between support updates."""

    hio_cycles: int = Field(default=300, ge=0, le=20_000)
    """Cycles of hybrid input-output, first."""

    raar_cycles: int = Field(default=300, ge=0, le=20_000)
    """Cycles of relaxed averaged alternating reflections, second."""

    late_cycles: int = Field(default=300, ge=0, le=20_000)
    """How many of the second ones, the last, leave those voxels free that `guided` and `late` free in the end. Half
    as many gave the same strain to 1 %."""

    er_cycles: int = Field(default=100, ge=1, le=20_000)
    """Cycles of error reduction with the support kept, last."""

    beta: float = Field(default=0.9, gt=0, le=1)
    """Feedback of both."""

    bound_sigmas: float = Field(default=8.0, gt=0, le=100)
    """How many standard deviations of the filling the voxels of `bounded` and `guided` may stray."""

    free_fraction: float = Field(default=0.03, gt=0, le=0.2)
    """Share of the measured voxels that are kept out of phasing for the free log-likelihood; the same ones for each
    treatment, none in the gap."""


class FarSettings(StageSettings):
    """The paper's case: a large array, a weak gap far from the peak (Fig. 8, supplement S19 to S21)."""

    box_px: int = Field(default=128, ge=32, le=512)
    """Edge of the cube."""

    zoom: float = Field(default=0.27, gt=0, le=2)
    """Factor by which the known object is resampled."""

    gap_width_px: Width = 9
    """Width of the cross gap."""

    offset_px: tuple[int, int] = (34, 38)
    """Where its middle lies, in voxels from the peak along axes 1 and 2."""

    photons_at_peak: Photons = 3e4
    """Expected photons in the brightest voxel."""


class RetrievalSettings(RecipeSettings):
    """Phase retrieval, gap free, filled and whole (paper section 2.6.2, supplement S8)."""

    box_px: int = Field(default=96, ge=32, le=512)
    """Edge of the cube that is phased: the middle of the pattern is cut out, the known object padded to it."""

    zoom: float = Field(default=0.2, gt=0, le=2)
    """Factor by which the known object is resampled."""

    strained_zoom: float = Field(default=0.4, gt=0, le=2)
    """The same for the strongly strained object, which is smaller."""

    cases: Annotated[tuple[Case, ...], Field(min_length=1)] = ("simulated", "known", "strained", "measured", "far")
    """`simulated`: particles of this run. `known`: the object reconstructed from a measurement, with its own phase.
    `strained`: another one, strongly strained. `far`: the first one in a large array, its gap weak and far from the
    peak. These have counting noise and a known truth. `measured`: the scan that patches are judged on, under an
    artificial gap; its whole pattern's object stands in for the truth."""

    simulated_particles: int = Field(default=3, ge=1, le=100)
    """How many simulated particles."""

    gap_width_px: Width = 9
    """Width of the cross gap."""

    offset_px: tuple[int, int] = (13, 16)
    """Where the middle of the cross lies, in voxels from the peak along axes 1 and 2."""

    far: FarSettings = FarSettings()

    photons_at_peak: Photons = 1e6
    """Expected photons in the brightest voxel, before Poisson noise is drawn. A perturbed pattern has its own."""

    min_oversampling: float = Field(default=3.0, ge=2, le=20)
    """Simulated patterns have at least this oversampling along each axis if there are such, else they come nearest to
    it."""


class MapSettings(RecipeSettings):
    """Which treatment of a gap has the lowest strain error where: gap width x distance from the peak x photons x
    oversampling, of the reconstructed object with its own phase. A job a cell."""

    treatments: Annotated[tuple[Treatment, ...], Field(min_length=1)] = (
        "free",
        "zeros",
        "braggfill",
        "bounded",
        "guided",
        "late",
        "sure",
        "soft",
    )
    """What is done about the gap, as in `retrieval`."""

    starts: int = Field(default=2, ge=1, le=100)
    """Random starts for each treatment."""

    hio_cycles: int = Field(default=200, ge=0, le=20_000)
    """Cycles of hybrid input-output, first."""

    raar_cycles: int = Field(default=200, ge=0, le=20_000)
    """Cycles of relaxed averaged alternating reflections, second."""

    late_cycles: int = Field(default=200, ge=0, le=20_000)
    """How many of the second ones, the last, leave those voxels free that `guided` and `late` free in the end."""

    box_px: int = Field(default=64, ge=32, le=512)
    """Edge of the cube that is phased."""

    gap_widths_px: Annotated[tuple[Width, ...], Field(min_length=1)] = (3, 6, 9)
    """Widths of the cross gap."""

    distances_px: Annotated[tuple[Distance, ...], Field(min_length=1)] = (8, 14, 20)
    """How far the middle of one arm lies from the peak; the other lies three voxels farther."""

    photons_at_peak: Annotated[tuple[Photons, ...], Field(min_length=1)] = (1e4, 1e6)
    """Expected photons in the brightest voxel."""

    oversamplings: Annotated[tuple[Oversampling, ...], Field(min_length=1)] = (3.0, 4.5)
    """Oversamplings along the axis where it is least; the object is resampled to fit the box."""

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return prod(len(v) for v in (self.gap_widths_px, self.distances_px, self.photons_at_peak, self.oversamplings))


class FinetuneSettings(StageSettings):
    """Scans with a vertical gap, filled before and after the network has learnt on from the scan itself (paper section
    2.7, Fig. 9)."""

    cases: tuple[Literal["strained", "known", "measured"], ...] = ("strained", "measured")
    """`strained`, `known`: patterns of the objects reconstructed from a measurement, with their own phase and counting
    noise. `measured`: the scan that patches are judged on. None, []: this is left out."""

    oversampling: Oversampling = 2.2
    """Of those objects, along the axis where it is least. Strongly strained and poorly sampled, a pattern is unlike
    those that the network was trained on."""

    zoom: float = Field(default=1.0, gt=0, le=2)
    """Factor by which the objects are resampled, at the most; they are resampled to fewer voxels to fit `box_px`."""

    box_px: int = Field(default=128, ge=40, le=512)
    """Edge of the cube of the pattern, at the most."""

    photons_at_peak: Photons = 1e7
    """Expected photons in the brightest voxel."""

    gap_width_px: Width = 6
    """Width of the gap."""

    distance_px: int = Field(default=12, ge=-256, le=256)
    """How far its middle lies from the peak, across axis 2."""

    patches: int = Field(default=6400, ge=1, le=1_000_000)
    """Patches of the scan to learn from, none of which holds a voxel of the gap (the paper: 6400); fewer where there
    are fewer."""

    epochs: int = Field(default=2, ge=1, le=100)
    """How often each is seen (the paper: 2 to 5)."""


class ReconstructSettings(StageSettings):
    """Real-space objects from patterns with gap, filled and whole; errors in phase, displacement and strain."""

    true_phase: TruePhaseSettings = TruePhaseSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    map: MapSettings = MapSettings()
    finetune: FinetuneSettings = FinetuneSettings()

    d_spacing_angstrom: float = Field(default=2.265, gt=0.1, le=100)
    """Lattice spacing of the reflection of the reconstructed object, Pt 111 by default."""

    voxel_nm: float = Field(default=3.17, gt=0, le=1000)
    """Length of one voxel of that object along the strain axis, before resampling. ID01, 9 keV, 420 pixels of 55 um,
    0.507 m from the sample: wavelength x distance / (420 x 55 um x cos theta)."""

    strain_axis: Literal[0, 1, 2] = 1
    """Array axis that lies along the scattering vector in real space: 1 where the sample rocks about the detector's
    horizontal, 2 where it rocks about the vertical."""

    surface_layers: int = Field(default=1, ge=0, le=8)
    """Layers of voxels at the surface whose strain does not count in the tables. 1 keeps those voxels whose derivative
    has a neighbour inside on both sides; 0 keeps all, the one-sided derivatives of the surface too."""

    device: str = "auto"
    """Where the network runs: `auto`, `cpu`, `cuda`."""

    threads: int = Field(default=2, ge=1, le=256)
    """Processor threads of the network."""
