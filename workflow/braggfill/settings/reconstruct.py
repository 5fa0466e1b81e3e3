"""Settings of the reconstruct stage: real space with the true phase, and by phase retrieval."""

from __future__ import annotations

from typing import Annotated, Literal

from braggfill.settings.base import Field, StageSettings

Width = Annotated[int, Field(ge=1, le=64)]
Method = Literal["network", "shipped", "linear", "cubic", "nearest"]
Treatment = Literal["free", "zeros", "network", "shipped", "linear", "cubic", "nearest"]
Smooth = Annotated[float, Field(ge=0, le=10)]


class TruePhaseSettings(StageSettings):
    """An object of known phase, its pattern with gap, filled and whole (paper section 2.6.1, supplement S7)."""

    zoom: float = Field(default=0.4, gt=0, le=2)
    """Factor by which the reconstructed object is resampled. Smaller objects give a higher oversampling in a box."""

    box_px: int = Field(default=192, ge=32, le=512)
    """Edge of the cube into which the resampled object is padded; 192 with a zoom of 0.4 gives an oversampling of about
    4 along each axis."""

    support_threshold: float = Field(default=0.3, gt=0, lt=1)
    """Voxels above this fraction of the largest modulus are the object; the rest is set to zero."""

    photons_at_peak: float = Field(default=1e7, ge=1, le=1e12)
    """Intensity of the brightest voxel, in photons: where log(1 + I) bends. There is no counting noise here."""

    gap_widths_px: Annotated[tuple[Width, ...], Field(min_length=1)] = (3, 6, 9, 12)
    """Widths of the cross gap, one case each."""

    offset_px: tuple[int, int] = (13, 16)
    """Where the middle of the cross lies, in voxels from the peak along axes 1 and 2."""

    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = ("linear", "network", "shipped")
    """What fills the gap, besides leaving it empty."""


class RetrievalSettings(StageSettings):
    """Phase retrieval with PyNX, gap free, filled and whole (paper section 2.6.2, supplement S8)."""

    box_px: int = Field(default=96, ge=32, le=512)
    """Edge of the cube that is phased: the middle of the pattern is cut out, the known object padded to it."""

    zoom: float = Field(default=0.2, gt=0, le=2)
    """Factor by which the known object is resampled."""

    cases: Annotated[tuple[Literal["simulated", "known"], ...], Field(min_length=1)] = ("simulated", "known")
    """`simulated`: a particle of this run. `known`: the object reconstructed from a measurement, with its own phase.
    Both with counting noise."""

    treatments: Annotated[tuple[Treatment, ...], Field(min_length=1)] = ("free", "zeros", "linear", "network")
    """What is done about the gap; the whole pattern is always phased too. `free`: masked, its voxels float."""

    gap_width_px: Width = 9
    """Width of the cross gap."""

    offset_px: tuple[int, int] = (13, 16)
    """Where the middle of the cross lies, in voxels from the peak along axes 1 and 2."""

    photons_at_peak: float = Field(default=1e6, ge=10, le=1e9)
    """Expected photons in the brightest voxel, before Poisson noise is drawn. A perturbed pattern has its own."""

    min_oversampling: float = Field(default=3.0, ge=2, le=20)
    """The simulated pattern is the first one whose oversampling is at least this along each axis, else the one that
    comes nearest to it."""

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

    er_cycles: int = Field(default=100, ge=1, le=20_000)
    """Cycles of error reduction with the support kept, last."""

    beta: float = Field(default=0.9, gt=0, le=1)
    """Feedback of both."""

    free_fraction: float = Field(default=0.03, gt=0, le=0.2)
    """Share of the measured voxels that are kept out of phasing for the free log-likelihood; the same ones for each
    treatment, none in the gap."""


class ReconstructSettings(StageSettings):
    """Real-space objects from patterns with gap, filled and whole; errors in phase, displacement and strain."""

    true_phase: TruePhaseSettings = TruePhaseSettings()
    retrieval: RetrievalSettings = RetrievalSettings()

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
