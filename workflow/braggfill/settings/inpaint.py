"""Settings of the inpaint stage: artificial and real gaps in a measured scan, filled by every method."""

from __future__ import annotations

from typing import Annotated, Literal

from braggfill.settings.base import Field, OneOf, StageSettings

Width = Annotated[int, Field(ge=1, le=64)]
Method = Annotated[str, OneOf("braggfill.filling.methods:NAMES", without=("paper",))]


class InpaintSettings(StageSettings):
    """Which gaps are put into the measured scan, and how they are filled."""

    scan: str = Field(default="aps_staff20_s0054", min_length=1)
    """Measured scan without gaps, one of those that `fetch` knows."""

    crop_px: int = Field(default=128, ge=32, le=1024)
    """Edge of the cube that is cut out around the scan's brightest voxel, smaller where the scan is; the paper's
    patterns have 128."""

    gap_widths_px: Annotated[tuple[Width, ...], Field(min_length=1)] = (3, 6, 9, 12)
    """Widths of the artificial gaps (paper, Table 1)."""

    kinds: Annotated[tuple[Literal["plane", "cross"], ...], Field(min_length=1)] = ("plane", "cross")
    """`plane`: a vertical gap, across axis 2. `cross`: a horizontal one as well, across axis 1."""

    offset_px: tuple[int, int] = (13, 16)
    """Where the middle of the gap lies, in voxels from the peak along axes 1 and 2."""

    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = ("network", "braggfill", "linear", "cubic", "nearest")
    """How the gaps are filled; `network` is the one that the run trained, `braggfill` the one that comes with the
    package, the others interpolate: along the axes, from the nearest voxel, by inverse distances (`idw`, as PyNX does),
    or as smoothly as can be (`biharmonic`)."""

    detector: str = "maxipix"
    """Real detector mask whose gap is also laid over the scan, by its name in the masks file; empty: none."""

    detector_offset_px: tuple[int, int] = (13, 16)
    """Where the detector's central cross lies, in pixels from the peak along axes 1 and 2."""

    step_px: int = Field(default=9, ge=1, le=32)
    """Voxels between neighbouring patches when a network is slid along a gap; overlapping predictions are averaged.
    The paper's own is 1 (12 minutes for 128 x 128 x 128 there), and on the APS scan 9 reaches
    the same correlation; odd numbers are better than even."""

    batch_size: int = Field(default=32, ge=1, le=1024)
    """Patches a call of the network; changes speed and memory only."""

    threads: int = Field(default=2, ge=1, le=256)
    """Processor threads of the network."""
