"""Settings of the stage ``figures``: tables and arrays to figures and the report."""

from __future__ import annotations

from typing import Annotated, Literal

from braggfill.settings.base import Field, StageSettings


class FiguresSettings(StageSettings):
    """How the figures look and what they show."""

    chapters: tuple[Literal["gaps", "flat", "phase", "convex"], ...] = Field(("gaps",), min_length=1)
    """What the report is about, and so what the run makes: `gaps` (gaps in three dimensions, filled), `flat` (gaps and
    phases in two dimensions, the stage `flat`), `phase` (phase retrieval and networks for it, the stage `phase`),
    `convex` (phases by automatic differentiation, `phase.convex`)."""

    dpi: int = Field(150, ge=50, le=600)
    """Resolution of the PNG figures, dots per inch; 150 reads well on a screen, 300 suits print."""

    formats: tuple[Literal["png", "svg"], ...] = Field(("png", "svg"), min_length=1)
    """Formats of each figure; the report needs `png`, and `svg` suits a paper."""

    intensity_map: Literal["viridis", "inferno", "magma", "cividis"] = "inferno"
    """Colour map of intensities, on a logarithmic scale; all four read well in grey and for the colour-blind."""

    gallery_particles: int = Field(5, ge=1, le=12)
    """Particles in the gallery, chosen so that shapes and elements differ."""

    gallery_atoms: int = Field(20_000, ge=500, le=1_000_000)
    """The most atoms drawn for one particle; larger ones are thinned evenly."""

    perturb_patterns: int = Field(1, ge=1, le=8)
    """Patterns whose perturbation is shown step by step."""

    patch_examples: int = Field(6, ge=1, le=12)
    """Example patches, masked, true and predicted."""

    slice_gap_widths_px: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field((6, 12), min_length=1)
    """Gap widths whose in-gap slices are drawn, of those that `inpaint` filled."""

    title: str = Field("braggfill", min_length=1, max_length=120)
    """Title of the report, followed by the name of the run."""
