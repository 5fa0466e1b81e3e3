"""Settings of the stage ``extract``: which patches are cut out, and which of them are never trained on."""

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
    """Where the scan comes from: beamline, sample, reference, licence. Kept with its patches."""

    split: Literal["train", "validation", "test"] = "train"
    """Where all patches of this scan go."""

    peak: tuple[int, int, int] | None = None
    """Voxel of the Bragg peak; by default the brightest voxel that is not masked."""


class ExtractSettings(StageSettings):
    """Patches of 32 x 32 x 32 voxels at pseudo-random places (paper section 2.1, thesis 3.4.1)."""

    shape: tuple[Side, Side, Side] = (32, 32, 32)
    """Voxels of a patch along the three axes."""

    patches: int = Field(10, ge=1, le=10_000)
    """Patches of each simulated pattern."""

    periphery: float = Field(1.0, ge=-5.0, le=5.0)
    """Preference for the outer regions: the probability of a place grows as the distance of the patch's centre from
    the peak to this power. 0 makes every place equally likely, negative values prefer the peak."""

    near_peak_share: float = Field(0.0, ge=0.0, le=1.0)
    """Share of the patches that are drawn, without that preference, with their centre near the peak. 0 is the paper's;
    more of them teach a network the bright fringes that decide the strain."""

    near_peak_radius_voxels: float = Field(25.0, ge=1.0)
    """What counts as near the peak for `near_peak_share`."""

    min_photons: int = Field(100, ge=0)
    """Fewest photons in a patch; emptier ones are drawn again. A pattern with too few such places gives fewer."""

    split_train: float = Field(0.935, ge=0.5, le=1.0)
    """Share of the particles whose patches are trained on, at least half."""

    split_validation: float = Field(0.04, ge=0.0, le=0.5)
    """Share of the particles that decide when to stop. The rest is for the final test. Whole particles are dealt out in
    rounds of 1 / (smallest share): a run of fewer particles than that needs larger shares here."""

    measured_share: float = Field(0.5, ge=0.0, lt=1.0)
    """Share of measured patches in the whole set, where `scans` lists measured scans (the paper's is half)."""

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
