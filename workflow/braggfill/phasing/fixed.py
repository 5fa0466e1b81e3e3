"""A fixed recipe of HIO, RAAR and ER from random starts (:mod:`.single`), by this package's own projections."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from braggfill.phasing import single, support
from braggfill.phasing import starts as _starts
from braggfill.phasing.projections import Measured, Projections, from_layout, to_layout
from braggfill.phasing.single import Recipe, Retrieved, Start


def retrieve(starts: Iterable[Start], recipe: Recipe, *, threads: int = 1, title: str | None = None) -> list[Retrieved]:
    """Phase retrieval from each start, in their order; see :func:`braggfill.phasing.single.retrieve`.

    Parameters
    ----------
    threads : of each Fourier transform; no result depends on it.
    """
    return single.one_by_one(lambda start: _retrieve(start, recipe), starts, threads, title)


class Diverged(Exception):
    """A support that grew or shrank beyond bounds."""


@dataclass(frozen=True)
class _Bounds:
    """Between which moduli some voxels may lie, in the layout of the Fourier transform."""

    voxels: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    @classmethod
    def of(cls, start: Start, late: bool) -> _Bounds | None:
        if start.low is None or start.high is None or start.missing is None:
            return None
        where = start.missing & np.isfinite(start.low) & np.isfinite(start.high)
        if late and start.late is not None:
            where &= ~start.late
        voxels = to_layout(where).reshape(-1).nonzero().view(-1)
        low, high = (
            to_layout(np.sqrt(np.maximum(np.where(where, b, 0), 0)).astype(np.float32)).reshape(-1)[voxels]
            for b in (start.low, start.high)
        )
        return cls(voxels, low, high)


class _Bounded(Projections):
    """Projections that keep some moduli between bounds."""

    bounds: _Bounds | None = None

    def fit(self, wave: torch.Tensor, relaxation: float | torch.Tensor | None = None) -> None:
        super().fit(wave, relaxation)
        if self.bounds is not None:
            flat = wave.view(-1)
            values = flat[self.bounds.voxels]
            modulus = values.abs()
            within = torch.minimum(torch.maximum(modulus, self.bounds.low), self.bounds.high)
            flat[self.bounds.voxels] = values * (within / modulus.clamp(min=1e-12))


def _retrieve(start: Start, recipe: Recipe) -> Retrieved:
    """One start, tried again with a tighter first support where the support diverges."""
    began = time.perf_counter()
    state = start.rng.bit_generator.state
    problem = ""
    for factor in single.THRESHOLD_FACTORS:
        start.rng.bit_generator.state = state
        threshold = min(recipe.autocorrelation_threshold * factor, 0.99)
        try:
            with torch.no_grad():
                obj, inside = _run(start, recipe, threshold)
        except Diverged as error:
            problem = f"{error} from an autocorrelation threshold of {threshold:g}"
            continue
        return single.judged(obj, inside, start, began)
    return single.diverged(start, problem, began)


def _run(start: Start, recipe: Recipe, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    pull = start.pull()
    intensity = np.where(pull > 0, start.intensity, 0)
    inside = support.autocorrelation(pull * intensity, threshold)
    if start.free is not None:
        pull = np.where(start.free, 0, pull)
    first = to_layout(inside)
    obj = torch.from_numpy(_starts.random(first.numpy(), start.rng))  # drawn in this layout, as for PyNX
    work = _Bounded(Measured(intensity, pull), obj[None], first[None])
    work.rescale()
    work.bounds = _Bounds.of(start, late=False)
    total = max(recipe.hio_cycles + recipe.raar_cycles, 1)
    done = 0
    for number, (name, cycles) in enumerate(recipe.stages(start.late is not None)):
        if start.late is not None and number == 2:
            work.measured = Measured(intensity, np.where(start.late, 0, pull))
            work.bounds = _Bounds.of(start, late=True)
        for cycle in range(0, cycles, recipe.support_period):
            some = min(recipe.support_period, cycles - cycle)
            work.run(name, some, beta=recipe.beta)
            done += some
            _update(work, recipe, support.smoothing(done / total, *recipe.support_smooth_px))
    work.run("ER", recipe.er_cycles)
    return from_layout(work.obj * work.support)[0].astype(np.complex64), from_layout(work.support)[0]


def _update(work: Projections, recipe: Recipe, width: float) -> None:
    work.support = support.update(
        work.obj, work.support, threshold=recipe.support_threshold, width=width, bounds=single.SUPPORT_BOUNDS
    )
    share = float(work.support.float().mean())
    # A support that would leave its bounds has been given the share at the bound, but for rounding and equal values.
    if share >= 0.999 * single.SUPPORT_BOUNDS[1]:
        raise Diverged("the support grew too large")
    if share <= 1.001 * single.SUPPORT_BOUNDS[0]:
        raise Diverged("the support grew too small")
