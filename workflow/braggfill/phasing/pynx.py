"""A fixed recipe of HIO, RAAR and ER from random starts (:mod:`.single`), by PyNX; and the engine ``pynx``.

The algorithms are those of PyNX (Favre-Nicolin et al., J. Appl. Cryst. 53, 1404, 2020).  PyNX knows no weights: on the
processor a missing voxel that pulls is masked, and its modulus drawn to what it holds after each Fourier transform.
"""

from __future__ import annotations

import io
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.phasing import judging, single
from braggfill.phasing.context import Context
from braggfill.phasing.pattern import Pattern, crop
from braggfill.phasing.recipe import Recipe as PhasingRecipe
from braggfill.phasing.result import Run
from braggfill.phasing.single import Recipe, Retrieved, Start
from braggfill.phasing.starts import on_finer
from braggfill.runs import seeds

STARTS = 60
"""So many starts the engine makes at the most."""

THRESHOLDS = (0.1, 0.4)
"""Between which it draws support thresholds, one a start."""

BRIGHT = 30.0
"""Root mean square modulus in the object, at the least, that weak patterns are scaled to while they are phased."""


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
        single.check(start)
    unit = processing_unit()
    if unit != "cpu" and any(_Pull.of(start, 1.0) is not None for start in starts):
        raise BraggfillError("weight: PyNX takes none on a GPU; use projections, or set PYNX_PU=cpu")
    with _quiet_pynx(unit) as pynx, ThreadPoolExecutor(threads if unit == "cpu" else 1) as pool:
        done = pool.map(lambda start: _retrieve(pynx, start, recipe), starts)
        bar = tqdm(
            done, title, len(starts), unit="start", leave=False, disable=None if title else True, file=sys.stderr
        )
        return list(bar)


def _retrieve(pynx: Any, start: Start, recipe: Recipe) -> Retrieved:
    """One start, tried again with a tighter first support where the support diverges."""
    began = time.perf_counter()
    problem = ""
    state = start.rng.bit_generator.state
    # PyNX takes a modulus below 1 in the object for a support that has grown too large: weak patterns are made bright.
    scale = max(1.0, BRIGHT**2 * single.SUPPORT_BOUNDS[1] * start.intensity.size / float(start.seen().sum()))
    for factor in single.THRESHOLD_FACTORS:
        start.rng.bit_generator.state = state
        threshold = min(recipe.autocorrelation_threshold * factor, 0.99)
        try:
            cdi = _run(pynx, start, recipe, threshold, scale)
        except (pynx.SupportTooLarge, pynx.SupportTooSmall) as error:
            problem = f"{type(error).__name__} from an autocorrelation threshold of {threshold:g}"
            continue
        return _result(pynx, cdi, start, scale, began)
    return single.diverged(start, problem, began)


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
    shape, missing = start.intensity.shape, _masked(start)
    observed = np.fft.ifftshift(start.intensity if missing is None else np.where(missing, 0, start.intensity))
    cdi = pynx.CDI((scale * observed).astype(np.float32), mask=None if missing is None else np.fft.ifftshift(missing))
    if start.free is not None:
        cdi.set_free_pixel_mask(np.fft.ifftshift(start.free))
    cdi = pynx.AutoCorrelationSupport(threshold=threshold) * cdi
    values = start.rng.random(shape, np.float32) * np.exp(2j * np.pi * start.rng.random(shape, np.float32))
    cdi.set_obj(((cdi.get_support() > 0) * values).astype(np.complex64))
    cdi = pynx.ScaleObj(method="F") * cdi
    bounds = _Bounds.of(start, scale) or _Pull.of(start, scale)
    if isinstance(bounds, _Bounds) and processing_unit() != "cpu":
        bounds.hand_over(cdi)
    first, last = recipe.support_smooth_px
    update = pynx.SupportUpdate(
        threshold_relative=recipe.support_threshold,
        smooth_width=(max(first, 1e-3), max(last, 1e-3), max(recipe.hio_cycles + recipe.raar_cycles, 1)),
        method="rms",
        min_fraction=single.SUPPORT_BOUNDS[0],
        max_fraction=single.SUPPORT_BOUNDS[1],
    )
    for number, (name, cycles) in enumerate(recipe.stages(start.late is not None)):
        if start.late is not None and number == 2:
            cdi.set_mask(np.fft.ifftshift(start.late))
            bounds = _Bounds.of(start, scale, late=True)
        for done in range(0, cycles, recipe.support_period):
            cdi = _cycles(pynx, cdi, name, recipe, min(recipe.support_period, cycles - done), bounds)
            cdi = update * cdi
    return _cycles(pynx, cdi, "ER", recipe, recipe.er_cycles, bounds)


def _masked(start: Start) -> np.ndarray | None:
    """What PyNX is told to be missing: a voxel that pulls as if counted is not."""
    if start.missing is None or start.weight is None:
        return start.missing
    masked = start.missing & (start.weight < 1)
    return masked if masked.any() else None


def _cycles(pynx: Any, cdi: Any, name: str, recipe: Recipe, cycles: int, bounds: _Bounds | _Pull | None) -> Any:
    """Cycles of one algorithm, some amplitudes kept within bounds or drawn to what they hold.

    PyNX's operators for a GPU take bounds, those for the processor do not: there, the voxels are masked and their
    moduli put back between their bounds after each Fourier transform.
    """
    if not cycles:
        return cdi
    options: dict[str, float] = {} if name == "ER" else {"beta": recipe.beta}
    if bounds is None or processing_unit() != "cpu":
        options |= bounds.factors() if isinstance(bounds, _Bounds) else {}
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


@dataclass(frozen=True)
class _Pull:
    """Moduli that some voxels of the amplitude are drawn to, and how strongly, in PyNX's layout."""

    voxels: tuple[np.ndarray, ...]
    weight: np.ndarray
    modulus: np.ndarray

    @classmethod
    def of(cls, start: Start, scale: float) -> _Pull | None:
        """Those of a start, none where none pulls with a weight between 0 and 1."""
        if start.missing is None or start.weight is None:
            return None
        where = start.missing & (start.weight > 0) & (start.weight < 1)
        voxels = np.nonzero(np.fft.ifftshift(where))
        modulus = np.sqrt(scale * np.fft.ifftshift(start.intensity)[voxels]).astype(np.float32)
        return cls(voxels, np.fft.ifftshift(start.weight)[voxels].astype(np.float32), modulus) if where.any() else None

    def apply(self, amplitude: np.ndarray) -> None:
        """Draw the moduli of an amplitude, in place, the phases kept: |A| -> (1 - w) |A| + w sqrt(I)."""
        values = amplitude[self.voxels]
        amplitude[self.voxels] = values * (
            1 - self.weight + self.weight * self.modulus / np.maximum(np.abs(values), 1e-12)
        )


def _result(pynx: Any, cdi: Any, start: Start, scale: float, began: float) -> Retrieved:
    obj = (np.fft.fftshift(cdi.get_obj()) / np.sqrt(scale)).astype(np.complex64)
    inside = np.fft.fftshift(cdi.get_support()) > 0
    pynx.FreePU() * cdi
    return single.judged(obj, inside, start, began)


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
            obj = np.where(inside, obj, 0).astype(np.complex64)
        figures = judging.of_objects(pattern, [(obj, inside)], context)[0] if one.converged else judging.NONE
        run = Run(obj, inside, *figures, "random", number, threshold, 1700, one.seconds, problem=one.problem)
        found = sorted([*found, run], key=lambda r: r.llk_free)
        yield found
