r"""One random start of phase retrieval by a fixed recipe: what it is given and what it ends with, whichever engine
takes it there.  This is what treatments of a gap are compared with; a scan is phased by :mod:`.phase`.

Each start begins with random values inside a support taken from the autocorrelation, then runs

1. ``hio_cycles`` of hybrid input-output, the support updated every ``support_period`` cycles,
2. ``raar_cycles`` of relaxed averaged alternating reflections, likewise,
3. ``er_cycles`` of error reduction with the support kept,

with voxels that are missing free, pulling with a weight, kept between bounds, or filled first and freed for the last
cycles, and is judged by its free log-likelihood (:func:`braggfill.phasing.free.likelihood`): that of voxels which took
no part; counting noise alone gives about 1.  The smoothing before the support updates falls exponentially from the
first to the last.

A start whose support grows or shrinks beyond bounds is tried again with a tighter autocorrelation; what still diverges
is reported as not converged, with its reason.

Source: paper section 2.6.2, supplement S8.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.phasing.free import likelihood
from braggfill.physics import fourier
from braggfill.runs import external

ENGINES = {
    "projections": "braggfill.phasing.fixed",
    "pynx": "braggfill.phasing.pynx",
    "convex": "braggfill.phasing.convex_single",
}
"""Modules with a function ``retrieve(starts, recipe, *, threads, title)`` that returns a :class:`Retrieved` a start."""

THRESHOLD_FACTORS = (1.0, 1.5, 2.25)
"""Autocorrelation thresholds that are tried in turn, as multiples of the setting."""

SUPPORT_BOUNDS = (2e-4, 0.3)
"""Smallest and largest share of the array that a support may take up."""


@dataclass(frozen=True)
class Recipe:
    """How each start is phased."""

    autocorrelation_threshold: float = 0.1
    """The first support: where the autocorrelation is above this fraction of its maximum."""
    support_threshold: float = 0.3
    """Of support updates, relative to the root mean square modulus inside the support."""
    support_smooth_px: tuple[float, float] = (1.0, 0.5)
    """Standard deviation in voxels of the smoothing before the first and the last support update."""
    support_period: int = 20
    hio_cycles: int = 300
    raar_cycles: int = 300
    late_cycles: int = 300
    """The last so many of the second kind leave ``late`` voxels free."""
    er_cycles: int = 100
    beta: float = 0.9

    @classmethod
    def of(cls, settings: Any) -> Recipe:
        """The recipe in an object that has attributes of the same names."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})

    def stages(self, late: bool) -> list[tuple[str, int]]:
        """Algorithms that the support follows in, and their cycles; in the third one ``late`` voxels are free."""
        last = min(self.late_cycles, self.raar_cycles) if late else 0
        return [("HIO", self.hio_cycles), ("RAAR", self.raar_cycles - last), ("RAAR", last)]


@dataclass(frozen=True)
class Start:
    """One random start to be made.

    intensity : photons, 3 axes of even length, the peak near the centre.
    rng : where the start's random values come from.
    missing : True where a voxel floats; None if none does.
    weight : 0 to 1, same shape; how strongly a missing voxel pulls to what ``intensity`` holds there: 0 floats, 1 is as
        if counted; None for 0.
    low, high : photons, same shape; a voxel that is missing and has numbers here floats between these bounds only.
    late : True where a voxel is taken as it is, or kept between its bounds, at first, and floats freely in the last
        ``late_cycles`` of the second kind and all that follow.
    free : True where a voxel is kept out to judge the result, see :func:`braggfill.phasing.free.free_voxels`.
    number : to tell the starts apart.
    """

    intensity: np.ndarray
    rng: np.random.Generator
    missing: np.ndarray | None = None
    free: np.ndarray | None = None
    number: int = 0
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    late: np.ndarray | None = None
    weight: np.ndarray | None = None

    def pull(self) -> np.ndarray:
        """How strongly each voxel pulls, 0 to 1, voxels kept out as if they were not."""
        pull = np.ones(self.intensity.shape, np.float32)
        if self.missing is not None:
            pull[self.missing] = 0 if self.weight is None else self.weight[self.missing]
        return pull

    def seen(self) -> np.ndarray:
        """Photons of voxels that pull."""
        return self.intensity[self.pull() > 0]


@dataclass(frozen=True)
class Retrieved:
    """What one start of phase retrieval ended with."""

    obj: np.ndarray
    """Complex object, centred; zeros if it did not converge."""
    support: np.ndarray
    """Boolean, the last support; empty if it did not converge."""
    llk: float
    """Negative log-likelihood of the voxels that took part, see :func:`braggfill.phasing.free.likelihood`."""
    llk_free: float
    """The same of those that took none, which overfitting cannot lower; ``llk`` where there are none."""
    residual: float
    """Distance of the amplitudes over their norm, in the voxels that took part."""
    converged: bool
    problem: str
    """Why it did not converge; empty if it did."""
    start: int
    """Which random start this is."""
    seconds: float


def engines(name: str, weights: bool) -> list[str]:
    """The engines that a name may stand for: itself, and of ``auto`` those that :func:`engine` chooses from."""
    if name != "auto":
        return [name]
    return ["projections"] if not external.have_pynx() else ["pynx", *(["projections"] if weights else [])]


def engine(name: str, weights: bool) -> str | None:
    """The engine that a name stands for: ``auto`` is PyNX where it is installed, and ``projections`` where it is not or
    runs on a GPU, where it takes no weights, and there are some.  None for an engine that is not installed.

    Parameters
    ----------
    name : auto, or one of :data:`ENGINES`; weights : whether there are starts with weights.
    """
    found = engines(name, weights)
    if len(found) > 1 and import_module(ENGINES["pynx"]).processing_unit() != "cpu":
        return "projections"
    return None if found[0] == "pynx" and not external.have_pynx() else found[0]


def retrieve(engine: str, starts: Iterable[Start], recipe: Recipe, *, title: str | None = None) -> list[Retrieved]:
    """Phase retrieval by an engine of :data:`ENGINES` from each start, in their order.

    Parameters
    ----------
    title : what a progress bar is called; None for no bar.

    Raises
    ------
    BraggfillError : a pattern does not fit the engine, has no photons or values that are no intensities.
    """
    return import_module(ENGINES[engine]).retrieve(starts, recipe, title=title)


def one_by_one(
    once: Callable[[Start], Retrieved], starts: Iterable[Start], threads: int, title: str | None
) -> list[Retrieved]:
    """What an engine that runs on PyTorch makes of each start, all checked first, with so many ``threads``."""
    import torch
    from tqdm import tqdm

    starts = list(starts)
    for start in starts:
        check(start)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        bar = tqdm(starts, title, unit="start", leave=False, disable=None if title else True, file=sys.stderr)
        return [once(start) for start in bar]
    finally:
        torch.set_num_threads(before)


def best(runs: Sequence[Retrieved]) -> Retrieved:
    """The start with the lowest free log-likelihood among those that converged, else the first one.

    Raises
    ------
    ValueError : there are no starts.
    """
    return min(runs, key=lambda run: (not run.converged, run.llk_free if run.converged else run.start))


def check(start: Start) -> None:
    """Raise a :class:`BraggfillError` if a start cannot be made."""
    intensity = start.intensity
    if intensity.ndim != 3 or any(n % 2 or n < 8 for n in intensity.shape):
        raise BraggfillError(f"pattern: PyNX takes three axes of even length, got shape {intensity.shape}; crop it")
    if (start.low is None) != (start.high is None):
        raise BraggfillError("bounds: only one of them is given; give both")
    given = {"mask": start.missing, "free voxels": start.free, "late voxels": start.late, "weight": start.weight}
    for name, mask in {**given, "bounds": start.low, "bounds above": start.high}.items():
        if mask is not None and mask.shape != intensity.shape:
            raise BraggfillError(f"{name}: shape {mask.shape} against the pattern's {intensity.shape}; use equal ones")
    if start.weight is not None and not ((start.weight >= 0) & (start.weight <= 1)).all():
        raise BraggfillError("weight: below 0, above 1 or not a number; give 0 for free and 1 for as if counted")
    seen = start.seen()
    if not np.isfinite(seen).all() or (seen < 0).any() or not (seen > 0).any():
        raise BraggfillError("pattern: negative, not finite or without photons; add such voxels to the mask")


def judged(obj: np.ndarray, inside: np.ndarray, start: Start, began: float) -> Retrieved:
    """An object (complex64, photons) and its support with their figures: of measured voxels alone."""
    used = np.ones(obj.shape, bool) if start.missing is None else ~start.missing
    used = used if start.late is None else used & ~start.late
    kept_out = np.zeros(obj.shape, bool) if start.free is None else start.free & used
    used &= ~kept_out
    amplitude = np.abs(fourier.forward(obj))
    measured = np.sqrt(start.intensity[used])
    residual = float(np.linalg.norm(amplitude[used] - measured) / np.linalg.norm(measured))
    llk = likelihood(start.intensity[used], amplitude[used] ** 2)
    llk_free = likelihood(start.intensity[kept_out], amplitude[kept_out] ** 2) if kept_out.any() else llk
    finite = bool(np.isfinite(obj).all() and np.isfinite([llk, llk_free, residual]).all())
    problem = "" if finite else "values that are not finite"
    seconds = time.perf_counter() - began
    return Retrieved(obj, inside, llk, llk_free, residual, finite, problem, start.number, seconds)


def diverged(start: Start, problem: str, began: float) -> Retrieved:
    """What is reported of a start whose support grew or shrank beyond bounds, however it began."""
    nothing = np.zeros(start.intensity.shape, np.complex64)
    nan = float("nan")
    seconds = time.perf_counter() - began
    return Retrieved(nothing, nothing != 0, nan, nan, nan, False, problem, start.number, seconds)
