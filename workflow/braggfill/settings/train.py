"""Settings of the train stage: patches to a network."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, model_validator

from braggfill.settings.base import Field, OneOf, StageSettings

Width = Annotated[int, Field(ge=1, le=24)]
Exponent = Annotated[float, Field(ge=-6, le=6)]
Network = Annotated[str, OneOf("braggfill.networks:GAP_NAMES")]
Channels = Annotated[int, Field(ge=4, le=512)]


class GapSettings(StageSettings):
    """Gaps in training patches, drawn anew each time a patch is used."""

    style: Literal["any", "paper"] = "any"
    """`any`: planes anywhere, touching the border too, across any axis. `paper`: a vertical gap in the middle of the
    patch, and sometimes a horizontal one of the same width at a random height."""

    width_px: tuple[Width, Width] = (1, 16)
    """Narrowest and widest gap in voxels, drawn uniformly. The published networks have one width each: give it twice,
    e.g. [6, 6]."""

    cross_fraction: float = Field(default=0.2, ge=0, le=1)
    """Fraction of patches with a second gap across the first (paper: 1 in 5). With style `any` its width is drawn
    independently."""

    dead_fraction: float = Field(default=0.1, ge=0, le=1)
    """Fraction of patches that also have a few dead pixels (style `any` only)."""

    @model_validator(mode="after")
    def _ordered(self) -> GapSettings:
        if self.width_px[0] > self.width_px[1]:
            raise ValueError("width_px: the narrowest gap comes first, e.g. [1, 16]")
        return self


def _weights(given: dict[str, float]) -> dict[str, float]:
    """With the losses of the default network that are not named."""
    losses = import_module("braggfill.learning.gap.losses")
    found = losses.DEFAULT | given
    if not any(weight for name, weight in found.items() if name not in losses.VARIANCE):
        raise ValueError("every loss that trains the prediction has weight 0; give mse, mae or another a weight")
    return found


LossName = Annotated[str, OneOf("braggfill.learning.gap.losses:NAMES")]
Weights = Annotated[dict[LossName, Annotated[float, Field(ge=0)]], AfterValidator(_weights)]


class TrainSettings(StageSettings):
    """Which network is trained, on what, and for how long."""

    network: Network = "braggfill"
    """`braggfill`: one network for every gap, with an uncertainty. `paper`: the published network, one gap width."""

    channels: Annotated[tuple[Channels, ...], Field(min_length=2, max_length=4)] = (32, 64, 192)
    """Channels at each level of the `braggfill` network (`paper` has its own). The time is about
    proportional to their square: halve them for a quick test."""

    design: Literal["gated", "residual", "fourier", "concatenated"] = "gated"
    """Architecture of the `braggfill` network: gated convolutions, plain residual blocks, residual blocks with a
    Fourier transform beside them, or a U-Net with concatenation. For comparison; the results are in
    `docs/networks.md`."""

    start: Literal["averaged", "interpolation", "nothing"] = "averaged"
    """First estimate that the `braggfill` network corrects. `averaged`: the distance-weighted mean of the measured
    photons around the gap, and where it is bright the interpolation. `interpolation`: linear interpolation of the log
    intensity. `nothing`: zeros in the gap, as in `paper`."""

    first_weights: Literal["random", "shipped"] = "random"
    """Initial weights: random, or those of the package, to train them further. The latter need a smaller learning rate,
    e.g. 4e-4."""

    gap: GapSettings | None = None
    """Gaps in training and validation. None: the network's own (`braggfill`: any gap of 1 to 16 voxels; `paper`: its
    6 voxel gap in the middle, 1 in 5 crossed)."""

    loss: Weights | None = None
    """Losses and their weights, e.g. {amplitude: 8}; 0 leaves a loss out. `mse`, `amplitude` and `nll` have the weights
    1, 1 and 0.1 where they are not named, any other 0. `docs/networks.md` has a table of the losses. None: the
    network's own (`braggfill`: these three; `paper`: the published sum of `mae`, `ssim` and `gradient`)."""

    target: Literal["expectation", "counts"] = "expectation"
    """Training target: the noise-free expectation if a patch has one (simulation), else its counts; or always the
    counts, as in the paper."""

    epochs: int = Field(default=100, ge=1, le=10_000)
    """Passes over the training patches."""

    batch_size: int = Field(default=32, ge=1, le=4096)
    """Patches per step, on all devices together."""

    learning_rate: float = Field(default=1e-3, gt=0, le=0.1)
    """Largest learning rate of Adam. With 3e-3 training diverged."""

    schedule: Literal["plateau", "cosine"] | None = None
    """`plateau`: multiplied by 0.15 after 4 epochs with no better validation loss, down to 1e-6 (the paper).
    `cosine`: a short warm-up, then down along a cosine to zero at the last epoch. None: the network's own (`paper`:
    plateau, `braggfill`: cosine)."""

    clip_norm: float = Field(default=1.0, ge=0)
    """Largest norm of the gradient of a step; 0: no limit."""

    symmetries: bool = True
    """Augmentation by one of the 48 symmetries of the cube, drawn anew each time."""

    noise_free_fraction: float = Field(default=0.0, ge=0, le=1)
    """Fraction of training patches without Poisson noise, where the expectation is known, so that the network learns
    fringes below the noise."""

    brightness_exponent: tuple[Exponent, Exponent] | None = None
    """Exposure augmentation: each time a simulated patch is used, its expectation is multiplied by ten to a power drawn
    between these two, e.g. [-0.5, 2], and its counts are drawn anew. None: the counts of the pattern."""

    patches_max: int | None = Field(default=None, ge=1)
    """Largest number of training patches, equally many from each file. None: all."""

    validation_max: int = Field(default=1200, ge=1)
    """Largest number of validation patches after each epoch, evenly spread (paper: 4 % of 30,000)."""

    photons_min: float = Field(default=0.0, ge=0)
    """Training patches with fewer photons per voxel on average are left out."""

    precision: Literal["auto", "32", "bf16"] = "auto"
    """Arithmetic. `auto`: mixed bfloat16 and single precision on a GPU that supports it, else single precision."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """`auto`: GPUs if there are any, else the processor."""

    devices: int | None = Field(default=None, ge=1, le=64)
    """Number of GPUs of one machine; each batch is divided among them. None: all that are available to the job, as long
    as each has at least 8 patches of a batch (increase `batch_size` for several). On the processor: number of
    processes, one by default."""

    threads: int = Field(default=2, ge=1, le=256)
    """Processor threads. A setting, because the last bits of a result depend on it."""

    tensorboard: bool = False
    """Also write TensorBoard logs beside the checkpoint."""

    @model_validator(mode="after")
    def _ordered(self) -> TrainSettings:
        if self.brightness_exponent and self.brightness_exponent[0] > self.brightness_exponent[1]:
            raise ValueError("brightness_exponent: the smaller one comes first, e.g. [-0.5, 2]")
        return self

    def options(self) -> dict[str, Any]:
        """What the network is built with (:func:`braggfill.networks.build`)."""
        if self.network == "paper":
            return {}
        return {"channels": list(self.channels), "design": self.design, "start": self.start}
