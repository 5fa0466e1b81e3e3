"""How phase retrieval is run, in numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

RIM_CYCLES = 100
"""Of error reduction with the rim, after which runs of every engine are judged (:mod:`.judging`)."""


@dataclass(frozen=True)
class Schedule:
    """Cycles of one start, and how its support follows it."""

    stages: tuple[tuple[str, int], ...]
    """Algorithms and their cycles, in turn; the support follows in all of them."""
    er_cycles: int = 60
    """Cycles of error reduction afterwards, the support kept."""
    smoothing: tuple[float, float] = (3.0, 0.8)
    """Standard deviation in voxels of the smoothing before the first and the last support update."""
    threshold: float | None = None
    """Support threshold in the end, relative to the rms: a start's own is led to it, linearly, over the first four
    fifths of the updates; None keeps the start's own."""
    border: int | None = None
    """Only voxels within so many of the support's surface may change; None for all."""
    looseness: float = 4.0
    """See :func:`braggfill.phasing.support.update`."""
    rim_cycles: int = 0
    """Cycles of error reduction of a copy whose support has grown by one voxel: what the object predicts is judged with
    the faint rim that a threshold cuts off.  Object and support themselves stay as they were."""

    @property
    def cycles(self) -> int:
        return sum(cycles for _, cycles in self.stages) + self.er_cycles + self.rim_cycles


@dataclass(frozen=True)
class Recipe:
    """What the engine ``projections`` does.

    A round makes ``coarse_starts`` random starts on the pattern's centre and takes the best ``kept`` of them to the
    whole array; or gives the best runs so far more cycles; or cycles what automatic differentiation finds (engine
    ``auto``); or makes ``long_starts`` random starts on the whole array, or as many children of the best runs.  Rounds
    follow each other until the result has converged or there were ``rounds``.
    """

    beta: float = 0.9
    support_thresholds: tuple[float, ...] = (0.2, 0.3, 0.25, 0.25)
    """Thresholds relative to the rms that starts begin with, one start after the other."""
    relaxations: tuple[float, ...] = (0.0, 0.0, 0.5)
    """Half widths of the intervals about 1 that over-relaxations are drawn from, one start after the other; 0 for
    none."""
    support_period: int = 20
    """Cycles between support updates."""
    autocorrelation_threshold: float = 0.1
    coarse_voxels: int = 40**3
    """Arrays of more voxels than this are phased on a coarser array first."""
    coarse_window: float = 0.3
    """Standard deviation, in shares of an axis, of the Gaussian that the amplitudes of a coarse array are under."""
    named_window: float = 0.5
    """The same for starts that are not random: they know more than the pattern's centre, strong strain above all."""
    coarse_starts: int = 12
    kept: int = 3
    long_starts: int = 2
    long_voxels: int = 300_000
    """The long schedule is run on the finest array that has at most so many voxels."""
    convex_starts: int = 8
    """By automatic differentiation, of each loss; one of each is cycled on."""
    rounds: int = 12
    coarse: Schedule = Schedule((("HIO", 400), ("RAAR", 300)), 20, (2.0, 0.6), 0.2)
    named: Schedule = Schedule((("ER", 60), ("RAAR", 100), ("ER", 40)), 20, (1.0, 0.6), 0.2)
    """Of a start that is not random.  It begins with error reduction, which loses nothing of what the start knows."""
    finer: Schedule = Schedule((("RAAR", 100), ("HIO", 60), ("RAAR", 120)), 40, (1.5, 0.8), 0.2, looseness=2)
    long: Schedule = Schedule((("HIO", 600), ("RAAR", 400)), 60, (3.0, 0.8), 0.2)
    settle: Schedule = Schedule((("ER", 40),), 20, (0.8, 0.8), 0.15, border=1, looseness=2, rim_cycles=RIM_CYCLES)
    """Every run on the whole array at its end: what of the faint rim is above the threshold comes into the support."""

    def with_threshold(self, threshold: float) -> Recipe:
        """The same with one support threshold throughout."""
        names = ("coarse", "named", "finer", "long", "settle")
        changed = {name: replace(getattr(self, name), threshold=threshold) for name in names}
        return replace(self, support_thresholds=(threshold,), **changed)
