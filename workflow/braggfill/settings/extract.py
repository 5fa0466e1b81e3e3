"""Settings of the stage ``extract``: patches, and their split into training, validation and test."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import field_validator

from braggfill.settings.base import Field, StageSettings

Side = Annotated[int, Field(ge=4, le=256)]


class ScanSource(StageSettings):
    """One measured scan, as a list entry of the configuration."""

    path: str = Field(min_length=1)
    """The file: HDF5, CXI, NeXus, NPZ, NPY or a TIFF stack; relative paths start at the project's root."""

    dataset: str | None = None
    """Path or name of the array inside the file; by default the one 3D array that is there."""

    mask: str | None = None
    """File with the detector's mask (True or 1 = missing), of the scan's shape or of one frame's."""

    mask_dataset: str | None = None
    """Path or name of the mask inside that file."""

    source: str = ""
    """Origin of the scan: beamline, sample, reference, licence. Stored with its patches."""

    split: Literal["train", "validation", "test"] = "train"
    """Set that all patches of this scan belong to."""

    peak: tuple[int, int, int] | None = None
    """Voxel of the Bragg peak; by default the brightest voxel that is not masked."""


class ExtractSettings(StageSettings):
    """Patches of 32 x 32 x 32 voxels at pseudo-random positions (paper section 2.1, thesis 3.4.1)."""

    shape: tuple[Side, Side, Side] = (32, 32, 32)
    """Voxels of a patch along the three axes."""

    patches: int = Field(10, ge=1, le=10_000)
    """Patches of each simulated pattern."""

    periphery: float = Field(1.0, ge=-5.0, le=5.0)
    """Preference for the outer regions: the probability of a position is proportional to the distance of the patch's
    centre from the peak to this power. 0: uniform; negative values prefer the peak."""

    near_peak_share: float = Field(0.0, ge=0.0, le=1.0)
    """Fraction of the patches with their centre near the peak, drawn without that preference (paper: 0). They contain
    the bright fringes that determine the strain."""

    near_peak_radius_voxels: float = Field(25.0, ge=1.0)
    """Largest distance from the peak for `near_peak_share`."""

    min_photons: int = Field(100, ge=0)
    """Fewest photons in a patch; emptier ones are drawn again. A pattern with too few such positions gives fewer
    patches."""

    split_train: float = Field(0.935, ge=0.5, le=1.0)
    """Fraction of the particles for training, at least half."""

    split_validation: float = Field(0.04, ge=0.0, le=0.5)
    """Fraction of the particles for validation; the rest is for the test. Particles are assigned in rounds of
    1 / (smallest fraction): a run of fewer particles needs larger fractions."""

    measured_share: float = Field(0.5, ge=0.0, lt=1.0)
    """Fraction of measured patches in the whole set, if `scans` lists measured scans (paper: half)."""

    scans: dict[str, ScanSource] = Field(default_factory=dict)
    """Measured scans by name, each with `path`, `dataset`, `mask`, `mask_dataset`, `source`, `split` and `peak`."""

    @field_validator("split_validation")
    @classmethod
    def _shares(cls, validation: float, info) -> float:
        train = info.data.get("split_train")
        if train is not None and train + validation > 1 + 1e-9:
            raise ValueError(f"split_train {train:g} and split_validation {validation:g} add up to more than 1")
        return validation

    @property
    def fractions(self) -> tuple[float, float, float]:
        """Shares of training, validation and test; they add up to 1."""
        return self.split_train, self.split_validation, max(0.0, 1 - self.split_train - self.split_validation)

    def patches_per_scan(self, simulated: int) -> int:
        """Patches to take from each measured scan so that `measured_share` holds beside `simulated` simulated ones."""
        if not self.scans or not self.measured_share:
            return 0
        wanted = simulated * self.measured_share / (1 - self.measured_share)
        return max(1, round(wanted / len(self.scans)))
