"""Settings of the inpaint stage: artificial and real gaps in a measured scan, filled by every method."""

from __future__ import annotations

from typing import Annotated, Literal

from braggfill.settings.base import Field, OneOf, StageSettings

Width = Annotated[int, Field(ge=1, le=64)]
Method = Annotated[str, OneOf("braggfill.filling.methods:NAMES", without=("paper",))]


class InpaintSettings(StageSettings):
    """Artificial gaps in the measured scan, and the methods that fill them."""

    scan: str = Field(default="aps_staff20_s0054", min_length=1)
    """Measured scan without gaps, one of those that `fetch` knows."""

    crop_px: int = Field(default=128, ge=32, le=1024)
    """Edge of the cube around the scan's brightest voxel (paper: 128); smaller if the scan is."""

    gap_widths_px: Annotated[tuple[Width, ...], Field(min_length=1)] = (3, 6, 9, 12)
    """Widths of the artificial gaps (paper, Table 1)."""

    kinds: Annotated[tuple[Literal["plane", "cross"], ...], Field(min_length=1)] = ("plane", "cross")
    """`plane`: a vertical gap, across axis 2. `cross`: a horizontal one as well, across axis 1."""

    offset_px: tuple[int, int] = (13, 16)
    """Centre of the gap, in voxels from the peak along axes 1 and 2."""

    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = ("network", "braggfill", "linear", "cubic", "nearest")
    """Methods that fill the gaps: `network` was trained by the run, `braggfill` comes with the package, the others
    interpolate: along the axes (`linear`, `cubic`), from the nearest voxel, by inverse-distance weighting (`idw`, as
    PyNX), or by the biharmonic equation."""

    detector: str = "maxipix"
    """Mask of a real detector that is also applied to the scan, by its name in the masks file; empty: none."""

    detector_offset_px: tuple[int, int] = (13, 16)
    """Centre of the detector's central cross, in pixels from the peak along axes 1 and 2."""

    step_px: int = Field(default=9, ge=1, le=32)
    """Voxels between neighbouring patches of a network; overlapping predictions are averaged. The paper's is 1 (12
    minutes for 128 x 128 x 128 there); on the APS scan 9 reaches the same correlation. Odd steps are more accurate
    than even ones."""

    batch_size: int = Field(default=32, ge=1, le=1024)
    """Patches per call of the network; affects memory and speed only."""

    threads: int = Field(default=2, ge=1, le=256)
    """Processor threads of the network."""
