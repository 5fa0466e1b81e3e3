r"""Phase retrieval with PyNX: the object behind an intensity, from several random starts.

Each start begins with random values inside a support taken from the autocorrelation, then runs

1. ``hio_cycles`` of hybrid input-output, the support updated every ``support_period`` cycles,
2. ``raar_cycles`` of relaxed averaged alternating reflections, likewise,
3. ``er_cycles`` of error reduction with the support kept,

with voxels that are missing either free, or kept between bounds, or filled first and freed for the last cycles,

and is judged by its free log-likelihood (:func:`braggfill.phasing.free.likelihood`): that of voxels which took no
part; counting noise alone gives about 1.  The smoothing before the support updates falls exponentially from the first
to the last.

A start whose support grows or shrinks beyond bounds is tried again with a tighter autocorrelation; what still diverges
is reported as not converged, with its reason.

Source: paper section 2.6.2, supplement S8; the algorithms are those of PyNX (Favre-Nicolin et al., J. Appl. Cryst. 53,
1404, 2020).
"""

from __future__ import annotations

import io
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.phasing.context import Context
from braggfill.phasing.free import likelihood
from braggfill.phasing.pattern import Pattern, crop
from braggfill.phasing.recipe import Recipe as PhasingRecipe
from braggfill.phasing.result import Run
from braggfill.phasing.starts import on_finer
from braggfill.physics import fourier
from braggfill.runs import seeds

THRESHOLD_FACTORS = (1.0, 1.5, 2.25)
"""Autocorrelation thresholds that are tried in turn, as multiples of the setting."""

SUPPORT_BOUNDS = (2e-4, 0.3)
"""Smallest and largest share of the array that a support may take up."""

STARTS = 60
"""So many starts the engine makes at the most."""

THRESHOLDS = (0.1, 0.4)
"""Between which it draws support thresholds, one a start."""

BRIGHT = 30.0
"""Root mean square modulus in the object, at the least, that weak patterns are scaled to while they are phased."""


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


@dataclass(frozen=True)
class Start:
    """One random start to be made.

    intensity : photons, 3 axes of even length, the peak near the centre.
    rng : where the start's random values come from.
    missing : True where a voxel floats; None if none does.
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


def processing_unit() -> str:
    """Where PyNX runs: ``PYNX_PU`` if it is set, else ``cuda`` where PyCUDA finds a device, else ``cpu``."""
    named = os.environ.get("PYNX_PU")
    if named:
        return named
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pycuda.driver as driver
            import pyvkfft.cuda  # noqa: F401

            driver.init()
            return "cuda" if driver.Device.count() else "cpu"
    except Exception:  # no package, no library, no driver, no device: each fails in its own way
        return "cpu"


def retrieve(starts: Iterable[Start], recipe: Recipe, *, threads: int = 1, title: str | None = None) -> list[Retrieved]:
    """Phase retrieval from each start, in their order.

    Parameters
    ----------
    threads : starts at a time on the processor; no result depends on it. On a GPU it is one.
    title : what a progress bar is called; None for no bar.

    Raises
    ------
    BraggfillError : a pattern does not fit PyNX, has no photons or values that are no intensities.
    """
    from concurrent.futures import ThreadPoolExecutor

    from tqdm import tqdm

    starts = list(starts)
    for start in starts:
        _check(start)
    unit = processing_unit()
    with _quiet_pynx(unit) as pynx, ThreadPoolExecutor(threads if unit == "cpu" else 1) as pool:
        done = pool.map(lambda start: _retrieve(pynx, start, recipe), starts)
        bar = tqdm(
            done, title, len(starts), unit="start", leave=False, disable=None if title else True, file=sys.stderr
        )
        return list(bar)


def best(runs: Sequence[Retrieved]) -> Retrieved:
    """The start with the lowest free log-likelihood among those that converged, else the first one.

    Raises
    ------
    ValueError : there are no starts.
    """
    return min(runs, key=lambda run: (not run.converged, run.llk_free if run.converged else run.start))


def _check(start: Start) -> None:
    intensity = start.intensity
    if intensity.ndim != 3 or any(n % 2 or n < 8 for n in intensity.shape):
        raise BraggfillError(f"pattern: PyNX takes three axes of even length, got shape {intensity.shape}; crop it")
    if (start.low is None) != (start.high is None):
        raise BraggfillError("bounds: only one of them is given; give both")
    given = {"mask": start.missing, "free voxels": start.free, "late voxels": start.late}
    for name, mask in {**given, "bounds": start.low, "bounds above": start.high}.items():
        if mask is not None and mask.shape != intensity.shape:
            raise BraggfillError(f"{name}: shape {mask.shape} against the pattern's {intensity.shape}; use equal ones")
    seen = intensity if start.missing is None else intensity[~start.missing]
    if not np.isfinite(seen).all() or (seen < 0).any() or not (seen > 0).any():
        raise BraggfillError("pattern: negative, not finite or without photons; add such voxels to the mask")


def _retrieve(pynx: Any, start: Start, recipe: Recipe) -> Retrieved:
    """One start, tried again with a tighter first support where the support diverges."""
    began = time.perf_counter()
    problem = ""
    state = start.rng.bit_generator.state
    # PyNX takes a modulus below 1 in the object for a support that has grown too large: weak patterns are made bright.
    seen = start.intensity if start.missing is None else start.intensity[~start.missing]
    scale = max(1.0, BRIGHT**2 * SUPPORT_BOUNDS[1] * start.intensity.size / float(seen.sum()))
    for factor in THRESHOLD_FACTORS:
        start.rng.bit_generator.state = state
        threshold = min(recipe.autocorrelation_threshold * factor, 0.99)
        try:
            cdi = _run(pynx, start, recipe, threshold, scale)
        except (pynx.SupportTooLarge, pynx.SupportTooSmall) as error:
            problem = f"{type(error).__name__} from an autocorrelation threshold of {threshold:g}"
            continue
        return _result(pynx, cdi, start, scale, began)
    nothing = np.zeros(start.intensity.shape, np.complex64)
    nan = float("nan")
    seconds = time.perf_counter() - began
    return Retrieved(nothing, nothing != 0, nan, nan, nan, False, problem, start.number, seconds)


@contextmanager
def _quiet_pynx(unit: str) -> Iterator[Any]:
    """PyNX's coherent diffraction module, on a processing unit, its messages kept off the terminal."""
    os.environ["PYNX_PU"] = unit
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pynx.cdi

        yield pynx.cdi


def _run(pynx: Any, start: Start, recipe: Recipe, threshold: float, scale: float) -> Any:
    """The recipe, from one random start, with all intensities times ``scale``."""
    shape, missing = start.intensity.shape, start.missing
    observed = np.fft.ifftshift(start.intensity if missing is None else np.where(missing, 0, start.intensity))
    cdi = pynx.CDI((scale * observed).astype(np.float32), mask=None if missing is None else np.fft.ifftshift(missing))
    if start.free is not None:
        cdi.set_free_pixel_mask(np.fft.ifftshift(start.free))
    cdi = pynx.AutoCorrelationSupport(threshold=threshold) * cdi
    values = start.rng.random(shape, np.float32) * np.exp(2j * np.pi * start.rng.random(shape, np.float32))
    cdi.set_obj(((cdi.get_support() > 0) * values).astype(np.complex64))
    cdi = pynx.ScaleObj(method="F") * cdi
    bounds = _Bounds.of(start, scale)
    if bounds is not None and processing_unit() != "cpu":
        bounds.hand_over(cdi)
    first, last = recipe.support_smooth_px
    update = pynx.SupportUpdate(
        threshold_relative=recipe.support_threshold,
        smooth_width=(max(first, 1e-3), max(last, 1e-3), max(recipe.hio_cycles + recipe.raar_cycles, 1)),
        method="rms",
        min_fraction=SUPPORT_BOUNDS[0],
        max_fraction=SUPPORT_BOUNDS[1],
    )
    late = 0 if start.late is None else min(recipe.late_cycles, recipe.raar_cycles)
    stages = [("HIO", recipe.hio_cycles), ("RAAR", recipe.raar_cycles - late), ("RAAR", late)]
    for number, (name, cycles) in enumerate(stages):
        if start.late is not None and number == 2:
            cdi.set_mask(np.fft.ifftshift(start.late))
            bounds = _Bounds.of(start, scale, late=True)
        for done in range(0, cycles, recipe.support_period):
            cdi = _cycles(pynx, cdi, name, recipe, min(recipe.support_period, cycles - done), bounds)
            cdi = update * cdi
    return _cycles(pynx, cdi, "ER", recipe, recipe.er_cycles, bounds)


def _cycles(pynx: Any, cdi: Any, name: str, recipe: Recipe, cycles: int, bounds: _Bounds | None) -> Any:
    """Cycles of one algorithm, some amplitudes kept within bounds.

    PyNX's operators for a GPU take bounds, those for the processor do not: there, the voxels are masked and their
    moduli put back between their bounds after each Fourier transform.
    """
    if not cycles:
        return cdi
    options: dict[str, float] = {} if name == "ER" else {"beta": recipe.beta}
    if bounds is None or processing_unit() != "cpu":
        options |= {} if bounds is None else bounds.factors()
        return getattr(pynx, name)(**options) ** cycles * cdi
    from pynx.cdi import cpu_operator as unit

    project = getattr(unit, f"{name}Proj")(**options)
    for _ in range(cycles):
        cdi = unit.ApplyAmplitude() * unit.FT() * unit.CopyToPrevious() * cdi
        bounds.apply(cdi._obj)
        cdi = project * unit.IFT() * cdi
        cdi.cycle += 1
    return cdi


@dataclass(frozen=True)
class _Bounds:
    """Between which moduli some voxels of the amplitude may lie, in PyNX's layout."""

    voxels: tuple[np.ndarray, ...]
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, start: Start, scale: float, late: bool = False) -> _Bounds | None:
        """Those of a start, none where it has none; without the voxels that float freely ``late``."""
        if start.low is None or start.high is None or start.missing is None:
            return None
        where = start.missing & np.isfinite(start.low) & np.isfinite(start.high)
        if late and start.late is not None:
            where &= ~start.late
        voxels = np.nonzero(np.fft.ifftshift(where))
        low, high = (
            np.sqrt(scale * np.maximum(np.fft.ifftshift(b)[voxels], 0)).astype(np.float32)
            for b in (start.low, start.high)
        )
        return cls(voxels, low, high)

    def apply(self, amplitude: np.ndarray) -> None:
        """Put the moduli of an amplitude between the bounds, in place, the phases kept."""
        values = amplitude[self.voxels]
        modulus = np.abs(values)
        amplitude[self.voxels] = values * (np.clip(modulus, self.low, self.high) / np.maximum(modulus, 1e-12))

    def hand_over(self, cdi: Any) -> None:
        """Store the middle of the bounds as PyNX stores estimates of masked voxels: ``-(I + 1) 1e19``."""
        observed = cdi.get_iobs()
        observed[self.voxels] = -((self.low**2 + self.high**2) / 2 + 1) * np.float32(1e19)
        cdi.set_iobs(observed)

    def factors(self) -> dict[str, float]:
        """The bounds as PyNX takes them, one pair for all voxels: as multiples of the middle, each voxel weighing as
        much as its intensity."""
        middle = float(((self.low**2 + self.high**2) / 2).sum())
        names = ("confidence_interval_factor_mask_min", "confidence_interval_factor_mask_max")
        return {
            name: float((bound**2).sum() / max(middle, 1e-30))
            for name, bound in zip(names, (self.low, self.high), strict=True)
        }


def _result(pynx: Any, cdi: Any, start: Start, scale: float, began: float) -> Retrieved:
    obj = (np.fft.fftshift(cdi.get_obj()) / np.sqrt(scale)).astype(np.complex64)
    inside = np.fft.fftshift(cdi.get_support()) > 0
    pynx.FreePU() * cdi
    used = np.ones(obj.shape, bool) if start.missing is None else ~start.missing
    used = used if start.late is None else used & ~start.late
    judged = np.zeros(obj.shape, bool) if start.free is None else start.free & used
    used &= ~judged
    amplitude = np.abs(fourier.forward(obj))
    measured = np.sqrt(start.intensity[used])
    residual = float(np.linalg.norm(amplitude[used] - measured) / np.linalg.norm(measured))
    llk = likelihood(start.intensity[used], amplitude[used] ** 2)
    llk_free = likelihood(start.intensity[judged], amplitude[judged] ** 2) if judged.any() else llk
    finite = bool(np.isfinite(obj).all() and np.isfinite([llk, llk_free, residual]).all())
    problem = "" if finite else "values that are not finite"
    seconds = time.perf_counter() - began
    return Retrieved(obj, inside, llk, llk_free, residual, finite, problem, start.number, seconds)


def rounds(pattern: Pattern, recipe: PhasingRecipe, context: Context) -> Iterator[list[Run]]:
    """The engine: PyNX's recipe of the thesis (400 HIO, 1000 RAAR, 300 ER), thresholds drawn from 0.1 to 0.4.

    PyNX takes arrays of even length, so that of an odd one the last plane does not take part; and it knows no weights,
    so that a filled voxel counts if its weight is above one half and is free otherwise.
    """
    shape = tuple(n - n % 2 for n in pattern.shape)
    whole = shape == pattern.shape
    intensity, weight, judged = (
        a if whole else crop(a, shape) for a in (pattern.intensity, pattern.weight, pattern.free)
    )
    found: list[Run] = []
    for number in range(STARTS):
        if context.over():
            return
        context.tell("pynx", number, STARTS, found)
        rng = seeds.generator(context.seed, "phase/pynx", number)
        one_threshold = len(recipe.support_thresholds) == 1
        threshold = recipe.support_thresholds[0] if one_threshold else float(rng.uniform(*THRESHOLDS))
        start = Start(intensity.astype(float), rng, weight < 0.5, judged, number)
        own = Recipe(support_threshold=threshold, support_smooth_px=(2.0, 1.0), hio_cycles=400, raar_cycles=1000,
                     late_cycles=0, er_cycles=300, beta=recipe.beta)  # fmt: skip
        one = retrieve([start], own)[0]
        context.cycles += 1700
        obj = np.where(one.support, one.obj, 0).astype(np.complex64)
        inside = one.support
        if not whole:
            obj, inside = on_finer(obj, inside, pattern.shape)
        figures = (one.llk_free, one.llk, one.residual) if one.converged else (float("inf"),) * 3
        run = Run(obj, inside, *figures, "random", number, threshold, 1700, one.seconds, problem=one.problem)
        found = sorted([*found, run], key=lambda r: r.llk_free)
        yield found
