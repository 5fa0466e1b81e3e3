"""What patches that are drawn as they are needed are like, and how a network is trained on them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from braggfill.errors import BraggfillError
from braggfill.learning.gap.options import Gaps
from braggfill.learning.run_options import RunOptions

PEAKS = ((1, 1, 1), (2, 0, 0), (2, 2, 0), (3, 1, 1), (2, 2, 2))
"""Bragg peaks of a face-centred cubic crystal."""
Range = tuple[float, float]


@dataclass(frozen=True)
class PatternKind:
    """One kind of pattern.  Names and meaning are those of the settings of the stages ``scatter`` and ``perturb``.

    other_peak_share : of the patterns that are of any of :data:`PEAKS` instead of ``hkl``.
    strained_share : of the objects whose relaxation is multiplied by ten to a power in ``strain_exponent``.
    """

    hkl: tuple[int, int, int] = (2, 0, 0)
    other_peak_share: float = 0.5
    strained_share: float = 0.4
    strain_exponent: Range = (-1.0, 0.5)
    oversampling: Range = (2.0, 5.0)
    equal_steps: bool = True
    tilt_degrees: Range = (0.0, 0.0)
    smoothing_sigma_voxels: Range = (0.45, 0.75)
    support_threshold: float = 0.1
    modulus_noise: Range = (0.5, 3.0)
    modulus_correlation: Range = (0.01, 0.1)
    phase_replaced_share: float = 0.5
    phase_range_radians: Range = (math.pi / 3, 3 * math.pi)
    phase_correlation: Range = (0.01, 0.1)
    blur_sigma_voxels: Range = (0.5, 1.1)
    coherence_extents: Range = (math.inf, math.inf)
    point_spread_pixels: Range = (0.0, 0.0)
    background_exponent: Range = (-math.inf, -math.inf)
    background_unevenness: Range = (0.0, 1.0)
    flat_field: Range = (0.0, 0.0)
    photons_exponent: Range = (5.0, 6.3)


PAPER = PatternKind()
"""As ``config/paper.yaml`` has them."""
REALISTIC = PatternKind(
    hkl=(1, 1, 1),
    oversampling=(2.5, 11.0),
    equal_steps=False,
    tilt_degrees=(0.0, 35.0),
    smoothing_sigma_voxels=(0.1, 0.75),
    modulus_noise=(0.0, 1.5),
    modulus_correlation=(0.02, 0.2),
    phase_replaced_share=0.7,
    phase_range_radians=(0.5, 15.0),
    phase_correlation=(0.03, 0.3),
    blur_sigma_voxels=(0.1, 0.7),
    coherence_extents=(0.6, 5.0),
    point_spread_pixels=(0.0, 0.6),
    background_exponent=(-2.7, -0.3),
    flat_field=(0.0, 0.08),
    photons_exponent=(4.5, 6.5),
)
"""As ``config/realistic.yaml`` has them."""


@dataclass(frozen=True)
class DrawnOptions:
    """Patterns and the patches that are cut from them.

    kinds, shares : of the patterns, and how often each is drawn.
    side : voxels of a pattern along each axis; box : those around the centre in which an object has to lie.
    size : voxels of a patch along each axis.
    near_peak_share, near_peak_radius_voxels : as in the settings of the stage ``extract``, whose preference for the
        outer regions the other patches have (``periphery`` 1).
    bright_share, least_photons : share of the patterns whose patches have the first of these means of photons per voxel
        at the least; those of the others have the second.
    brightness_exponent, noise_free_fraction, gap : as in the settings of the stage ``train``.
    """

    kinds: tuple[PatternKind, ...] = (PAPER, REALISTIC)
    shares: tuple[float, ...] = (0.65, 0.35)
    side: int = 128
    box: int = 76
    size: int = 32
    near_peak_share: float = 0.2
    near_peak_radius_voxels: float = 25.0
    bright_share: float = 0.75
    least_photons: tuple[float, float] = (3.0, 0.3)
    brightness_exponent: Range = (-1.5, 2.5)
    noise_free_fraction: float = 0.15
    gap: Gaps = field(default_factory=Gaps)


@dataclass(frozen=True)
class BufferOptions:
    """What is kept on the device: memory against variety.

    objects, patterns : kept at the most, the newest ones.
    least_objects, least_patterns : before the first batch.
    patches : cut from each new pattern on average; new patterns are drawn accordingly.
    """

    objects: int = 1024
    patterns: int = 768
    least_objects: int = 48
    least_patterns: int = 384
    patches: int = 64


SMALL_BUFFER = BufferOptions(objects=96, patterns=96, least_objects=4, least_patterns=12, patches=32)
"""For a processor, where a pattern takes as long as some twenty patches of training."""
OPTIMISERS = ("muon", "adam")


@dataclass(frozen=True)
class TrainingOptions(RunOptions):
    """How the network is trained, beside what :class:`braggfill.learning.run_options.RunOptions` tells.

    patches : after how many the learning rate has fallen to its last value, and the training ends.
    optimiser : ``muon`` for the inner weights, or ``adam`` (AdamW) for all.
    channels : of each level of the network.
    realistic : share of the patterns that are as those of ``config/realistic.yaml``; the others are as those of
        ``config/paper.yaml``.
    mse, amplitude, nll : weights of the losses.
    validation : patches of the fixed set, at the most.
    """

    batch: int = 32
    rate: float = 1e-3
    last_rate: float = 1e-6
    warm_up: int = 60
    average: float = 0.9985
    least: int = 2048
    patches: int = 1_000_000
    optimiser: str = "muon"
    channels: tuple[int, ...] = (32, 64, 192)
    realistic: float = 0.35
    mse: float = 1.0
    amplitude: float = 6.0
    nll: float = 0.1
    validation: int = 600

    @property
    def steps(self) -> int:
        return self.patches // self.batch

    @property
    def loss(self) -> dict[str, float]:
        """Weights of the losses by name."""
        return {"mse": self.mse, "amplitude": self.amplitude, "nll": self.nll}

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= 65536:
            raise BraggfillError(f"--batch {self.batch}: give 1 to 65536 patches a step")
        if self.patches < self.batch:
            raise BraggfillError(f"--patches {self.patches}: less than one batch of {self.batch}; give more")
        if self.optimiser not in OPTIMISERS:
            raise BraggfillError(f"--optimiser {self.optimiser}: give one of {', '.join(OPTIMISERS)}")
        if not 0 <= self.realistic <= 1:
            raise BraggfillError(f"--realistic {self.realistic:g}: give a share from 0 to 1")
        super().__post_init__()
