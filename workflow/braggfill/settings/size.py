"""Settings of the run's size: how many particles, and how they are cut into jobs and files."""

from __future__ import annotations

from braggfill.settings.base import Field, StageSettings

SMALLEST_CHUNK = 10
MOST_CHUNKS = 500  # planning takes about 40 ms a chunk; a queue takes some hundred jobs without complaint


class SizeSettings(StageSettings):
    """How much is simulated, and in how many files. Chunks do not change the results: each particle has its own
    seeds."""

    particles: int = Field(150, ge=1, le=1_000_000)
    """Particles in the run. Each is seen in several views (`scatter.views`) and each view gives several patches
    (`extract`); 150 particles in 10 views of 10 patches are the paper's 15,000 simulated patches. More particles
    give more diverse shapes."""

    particles_per_chunk: int | None = Field(None, ge=1, le=100_000)
    """Particles in one job and one file of each stage from `particle` to `extract`. Small chunks give many short
    jobs, large ones leave cores idle; a chunk should take minutes. `null`: 10 up to 5,000 particles, then 20, 40, 80
    and so on, so that there are at most 500 chunks and planning is fast."""

    keep_patterns: bool = False
    """Whether the simulated patterns, about 20 MB per view, are kept after their patches were cut."""

    @property
    def chunk(self) -> int:
        """Particles in a chunk: what ``particles_per_chunk`` says, or else ten, doubled until the chunks are few.

        Doubled, not fitted to the number of particles: a run that is made larger mostly keeps the chunks that it has.
        """
        size = self.particles_per_chunk or SMALLEST_CHUNK
        while self.particles_per_chunk is None and size * MOST_CHUNKS < self.particles:
            size *= 2
        return size

    @property
    def chunks(self) -> int:
        """How many chunks there are; the last one may hold fewer particles."""
        return -(-self.particles // self.chunk)
