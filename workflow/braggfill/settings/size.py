"""Settings of the run's size: how many particles, and how they are cut into jobs and files."""

from __future__ import annotations

from braggfill.settings.base import Field, StageSettings


class SizeSettings(StageSettings):
    """How much is simulated, and in how many files. Chunks change no number: each particle has seeds of its own."""

    particles: int = Field(150, ge=1, le=1_000_000)
    """Particles in the run. Each is seen in several views (`scatter.views`) and each view gives several portions
    (`extract`); 150 particles in 10 views of 10 portions are the paper's 15,000 simulated portions. More particles
    give more diverse shapes."""

    particles_per_chunk: int = Field(10, ge=1, le=100_000)
    """Particles in one job and one file of each stage from `particle` to `extract`. Few make many short jobs, which a
    cluster's scheduler dislikes; many leave cores idle. A chunk should take minutes."""

    keep_patterns: bool = False
    """Whether the whole simulated patterns, about 20 MB a view, are kept once their portions are cut."""
