"""What phase retrieval hands back: runs, and what they say together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from braggfill.phasing.coherence import Blur

CONVERGED, UNCERTAIN, FAILED = "converged", "uncertain", "failed"


@dataclass(frozen=True)
class Run:
    """What one start ended with."""

    obj: np.ndarray = field(repr=False)
    """Complex object, origin at ``n // 2``, zero outside the support; its squared moduli add up to the photons."""
    support: np.ndarray = field(repr=False)
    """Boolean, the last support."""
    llk_free: float
    """Poisson deviance a voxel of the voxels kept out, see :func:`braggfill.phasing.free.likelihood`."""
    llk: float
    """The same of the voxels that took part."""
    residual: float
    """Distance of the amplitudes over their norm in the voxels that took part."""
    origin: str = "random"
    """What the start was: random, coarse, bred, convex, network, given."""
    start: int = 0
    """Which start of its engine this is."""
    threshold: float = float("nan")
    """Support threshold, relative to the rms."""
    cycles: int = 0
    seconds: float = 0.0
    blur: Blur | None = None
    """The kernel by which the pattern was taken to be blurred (partial coherence)."""
    problem: str = ""
    """Why it cannot be used; empty if it can."""


@dataclass(frozen=True)
class Verdict:
    """How far a result is to be trusted, in words."""

    word: str
    """converged, uncertain or failed."""
    why: str
    advice: str = ""
    """What to try; empty where nothing needs to be done."""

    def __str__(self) -> str:
        return f"{self.word}: {self.why}" + (f"; {self.advice}" if self.advice else "")


@dataclass(frozen=True, repr=False)
class Phased:
    """A phased pattern.  Arrays have the pattern's shape, origin at ``n // 2``."""

    obj: np.ndarray = field(repr=False)
    """The complex object: the first mode of the chosen runs, canonical (:func:`braggfill.phasing.modes.canonical`),
    zero outside the support; zeros where nothing could be phased."""
    support: np.ndarray = field(repr=False)
    """Boolean."""
    verdict: Verdict
    llk_free: float
    """Free log-likelihood of the best run; counting noise alone gives :attr:`llk_expected`."""
    llk_expected: float
    """Free log-likelihood that counting noise alone would give with the best run's model."""
    agreement: float
    """Mean correlation with the best run of the runs that support it, 0 to 1; NaN where none does."""
    runs: tuple[Run, ...] = field(repr=False)
    """Every run, the best first (:func:`braggfill.phasing.verdict.ordered`), then by free log-likelihood."""
    chosen: tuple[int, ...]
    """Which of the runs the object is made of."""
    aligned: np.ndarray = field(repr=False)
    """The chosen runs' objects (runs, three axes), laid over the object."""
    modes: np.ndarray = field(repr=False)
    """Orthogonal modes (modes, three axes) of the chosen runs, the strongest first."""
    weights: np.ndarray
    """Shares of the photons in the modes; they add up to 1."""
    modulus_std: np.ndarray = field(repr=False)
    """Standard deviation of the modulus over the chosen runs."""
    phase_std: np.ndarray = field(repr=False)
    """Standard deviation of the phase over the chosen runs, radians."""
    prtf: tuple[np.ndarray, np.ndarray] = field(repr=False)
    """Phase retrieval transfer function: radii in cycles a voxel, values."""
    resolution: float
    """Period in voxels at which the transfer function falls below 1/e; 2 is the array's limit."""
    blur: Blur | None
    """The kernel by which the pattern is blurred (partial coherence); None for none."""
    seed: int
    cycles: int
    seconds: float
    notes: tuple[str, ...] = ()
    """What was noticed about the pattern."""

    @property
    def modulus(self) -> np.ndarray:
        """Modulus of the object."""
        return np.abs(self.obj)

    @property
    def phase(self) -> np.ndarray:
        """Phase of the object, wrapped, radians; zero outside the support."""
        return np.where(self.support, np.angle(self.obj), 0).astype(np.float32)

    @property
    def converged(self) -> bool:
        return self.verdict.word == CONVERGED

    @property
    def failed(self) -> bool:
        return self.verdict.word == FAILED

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.obj.shape))
        return f"<Phased {shape}, {len(self.runs)} runs, {self.verdict}>"

    def _repr_html_(self) -> str:
        """For notebooks: the verdict, numbers, slices."""
        from braggfill.phasing import report

        return report.inline(self)
