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
    """Lowest oversampling along any axis of the reconstructed object, one set of cases each. The object is resampled
    by `zoom` and padded; if the box would exceed `box_px`, it is resampled to fewer voxels."""

    zoom: float = Field(default=0.4, gt=0, le=2)
    """Largest factor by which the reconstructed object is resampled. Smaller objects fit smaller boxes."""

    box_px: int = Field(default=192, ge=32, le=512)
    """Largest edge of the cube into which the resampled object is padded; 192 holds an oversampling of 4 with a zoom
    of 0.4."""

    support_threshold: float = Field(default=0.3, gt=0, lt=1)
    """Voxels above this fraction of the largest modulus are the object; the rest is set to zero."""

    photons_at_peak: Photons = 1e7
    """Intensity of the brightest voxel, in photons. It sets the scale of log(1 + I); there is no counting noise
    here."""

    gap_widths_px: Annotated[tuple[Width, ...], Field(min_length=1)] = (3, 6, 9, 12)
    """Widths of the cross gap, one case each."""

    offset_px: tuple[int, int] = (13, 16)
    """Centre of the cross, in voxels from the peak along axes 1 and 2."""

    methods: Annotated[tuple[Filling, ...], Field(min_length=1)] = (
        "linear",
        "cubic",
        "nearest",
        "network",
        "braggfill",
        "finite",
    )
    """Methods that fill the gap, compared with the empty gap. `finite`: as `braggfill`, corrected to the finite
    autocorrelation of a crystal."""

    particles: int = Field(default=10, ge=0, le=1000)
    """Number of simulated, relaxed particles, treated likewise with their own true phase: the first ones that the
    network was not trained on. 0 skips this."""

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
    """Treatments of the gap; the pattern without a gap is always phased, too. `free`: masked (unconstrained).
    `streaks`: masked where the pattern is bright, zero elsewhere. `zeros`: zero. `linear`, `network` …: filled.
    `bounded`: filled, and constrained to the uncertainty of the filling. `guided`: as `bounded`, but masked in the last
    cycles where the uncertainty is large. `late`: filled, and masked in the last cycles. `sure`: filled where the
    uncertainty is small, masked elsewhere. `soft`: filled, each voxel weighted by its uncertainty."""

    engine: Engine = "auto"
    """Phase retrieval by `projections` (of this package), `pynx`, `convex` (slow, with its own schedule, and without
    `bounded`, `guided` and `late`), or `auto`: PyNX if it is installed, else `projections`."""

    filled_by: Filling = "braggfill"
    """Method that fills the gap for `bounded`, `guided`, `late`, `sure` and `soft`; it must state an uncertainty. If
    the package has no weights, `braggfill` means `network`, the one that the run trained."""

    starts: int = Field(default=3, ge=1, le=100)
    """Random starts for each treatment; the one with the best free log-likelihood counts. The starts are the same for
    each treatment."""

    autocorrelation_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The first support: where the autocorrelation is above this fraction of its maximum. If the support grows or
    shrinks beyond limits, the start is repeated with 1.5 and with 2.25 times this value."""

    support_threshold: float = Field(default=0.3, gt=0, lt=1)
    """Support updates keep what is above this fraction of the root mean square modulus inside the support. With
    lower values the support grows and runs stagnate; higher ones remove weak parts of the object."""

    support_smooth_px: tuple[Smooth, Smooth] = (1.0, 0.5)
    """Gaussian smoothing before each support update: standard deviation in voxels at the first and the last one. Small
    objects need little: with 2 and 0.7 most runs stagnated, with 1 and 0.5 nearly all converged."""

    support_period: int = Field(default=20, ge=1, le=1000)
    """Cycles between support updates."""

    hio_cycles: int = Field(default=300, ge=0, le=20_000)
    """Cycles of hybrid input-output (HIO), first."""

    raar_cycles: int = Field(default=300, ge=0, le=20_000)
    """Cycles of relaxed averaged alternating reflections (RAAR), second."""

    late_cycles: int = Field(default=300, ge=0, le=20_000)
    """Last RAAR cycles, in which `guided` and `late` mask voxels. Half as many gave the same strain to 1 %."""

    er_cycles: int = Field(default=100, ge=1, le=20_000)
    """Cycles of error reduction (ER) with a fixed support, last."""

    beta: float = Field(default=0.9, gt=0, le=1)
    """Feedback parameter of HIO and RAAR."""

    bound_sigmas: float = Field(default=8.0, gt=0, le=100)
    """Bounds of `bounded` and `guided`, in standard deviations of the filling."""

    free_fraction: float = Field(default=0.03, gt=0, le=0.2)
    """Fraction of the measured voxels that are excluded from phasing for the free log-likelihood; the same ones for
    each treatment, none in the gap."""


class FarSettings(StageSettings):
    """The paper's case: a large array, a weak gap far from the peak (Fig. 8, supplement S19 to S21)."""

    box_px: int = Field(default=128, ge=32, le=512)
    """Edge of the cube."""

    zoom: float = Field(default=0.27, gt=0, le=2)
    """Factor by which the known object is resampled."""

    gap_width_px: Width = 9
    """Width of the cross gap."""

    offset_px: tuple[int, int] = (34, 38)
    """Centre of the cross, in voxels from the peak along axes 1 and 2."""

    photons_at_peak: Photons = 3e4
    """Expected photons in the brightest voxel."""


class RetrievalSettings(RecipeSettings):
    """Phase retrieval of patterns with the gap masked, filled, and without gap (paper section 2.6.2, supplement S8)."""

    box_px: int = Field(default=96, ge=32, le=512)
    """Edge of the cube that is phased: patterns are cropped, and the known object is padded to it."""

    zoom: float = Field(default=0.2, gt=0, le=2)
    """Factor by which the known object is resampled."""

    strained_zoom: float = Field(default=0.4, gt=0, le=2)
    """The same for the strongly strained object, which is smaller."""

    cases: Annotated[tuple[Case, ...], Field(min_length=1)] = ("simulated", "known", "strained", "measured", "far")
    """`simulated`: particles of this run. `known`: an object reconstructed from a measurement, with its own phase.
    `strained`: another, strongly strained one. `far`: as `known`, in a large array with a weak gap far from the peak.
    All of these have counting noise and a known truth. `measured`: the scan of the evaluation with an artificial gap;
    the reference is the object from the pattern without the gap."""

    simulated_particles: int = Field(default=3, ge=1, le=100)
    """Number of simulated particles."""

    gap_width_px: Width = 9
    """Width of the cross gap."""

    offset_px: tuple[int, int] = (13, 16)
    """Centre of the cross, in voxels from the peak along axes 1 and 2."""

    far: FarSettings = FarSettings()

    photons_at_peak: Photons = 1e6
    """Expected photons in the brightest voxel, before Poisson noise is drawn. A perturbed pattern has its own."""

    min_oversampling: float = Field(default=3.0, ge=2, le=20)
    """Lowest oversampling along each axis of the simulated patterns; if there are none, the nearest are taken."""


class MapSettings(RecipeSettings):
    """The treatment with the lowest strain error as a function of gap width, distance from the peak, photons and
    oversampling, for the reconstructed object with its own phase. One job per cell."""

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
    """Treatments of the gap, as in `retrieval`."""

    starts: int = Field(default=2, ge=1, le=100)
    """Random starts for each treatment."""

    hio_cycles: int = Field(default=200, ge=0, le=20_000)
    """Cycles of hybrid input-output, first."""

    raar_cycles: int = Field(default=200, ge=0, le=20_000)
    """Cycles of relaxed averaged alternating reflections, second."""

    late_cycles: int = Field(default=200, ge=0, le=20_000)
    """Last RAAR cycles, in which `guided` and `late` mask voxels."""

    box_px: int = Field(default=64, ge=32, le=512)
    """Edge of the cube that is phased."""

    gap_widths_px: Annotated[tuple[Width, ...], Field(min_length=1)] = (3, 6, 9)
    """Widths of the cross gap."""

    distances_px: Annotated[tuple[Distance, ...], Field(min_length=1)] = (8, 14, 20)
    """Distance of the centre of one arm from the peak; the other is three voxels farther."""

    photons_at_peak: Annotated[tuple[Photons, ...], Field(min_length=1)] = (1e4, 1e6)
    """Expected photons in the brightest voxel."""

    oversamplings: Annotated[tuple[Oversampling, ...], Field(min_length=1)] = (3.0, 4.5)
    """Lowest oversampling along any axis; the object is resampled to fit the box."""

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return prod(len(v) for v in (self.gap_widths_px, self.distances_px, self.photons_at_peak, self.oversamplings))


class FinetuneSettings(StageSettings):
    """Scans with a vertical gap, filled before and after the network was fine-tuned on the scan itself (paper section
    2.7, Fig. 9)."""

    cases: tuple[Literal["strained", "known", "measured"], ...] = ("strained", "measured")
    """`strained`, `known`: patterns of the objects reconstructed from a measurement, with their own phase and counting
    noise. `measured`: the scan of the evaluation. None, []: skipped."""

    oversampling: Oversampling = 2.2
    """Lowest oversampling of those objects along any axis. Strongly strained and poorly sampled patterns differ from
    those that the network was trained on."""

    zoom: float = Field(default=1.0, gt=0, le=2)
    """Largest factor by which the objects are resampled; they are resampled to fewer voxels to fit `box_px`."""

    box_px: int = Field(default=128, ge=40, le=512)
    """Largest edge of the cube of the pattern."""

    photons_at_peak: Photons = 1e7
    """Expected photons in the brightest voxel."""

    gap_width_px: Width = 6
    """Width of the gap."""

    distance_px: int = Field(default=12, ge=-256, le=256)
    """Distance of its centre from the peak, across axis 2."""

    patches: int = Field(default=6400, ge=1, le=1_000_000)
    """Largest number of patches of the scan to train on, none of which contains the gap (paper: 6400)."""

    epochs: int = Field(default=2, ge=1, le=100)
    """Passes over the patches (paper: 2 to 5)."""


class ReconstructSettings(StageSettings):
    """Real-space objects from patterns with gap, filled, and without gap; errors in phase, displacement and strain."""

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
    """Array axis along the scattering vector in real space: 1 if the rocking axis is horizontal on the detector, 2 if
    it is vertical."""

    surface_layers: int = Field(default=1, ge=0, le=8)
    """Layers of surface voxels that are excluded from the strain in the tables. With 1 every derivative has a neighbour
    inside on both sides; with 0 one-sided derivatives at the surface are included."""

    device: str = "auto"
    """Where the network runs: `auto`, `cpu`, `cuda`."""

    threads: int = Field(default=2, ge=1, le=256)
    """Processor threads of the network."""
