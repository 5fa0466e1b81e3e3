"""Where phase retrieval begins: random objects, objects of a coarser array, and children of good ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from braggfill.phasing import modes
from braggfill.phasing import pattern as _pattern
from braggfill.physics import fourier


@dataclass(frozen=True)
class Start:
    """An object to begin with; arrays with their origin at ``n // 2``."""

    obj: np.ndarray = field(repr=False)
    support: np.ndarray = field(repr=False)
    threshold: float
    """Support threshold, relative to the rms."""
    rng: np.random.Generator = field(repr=False)
    """Where the start's random numbers come from."""
    number: int = 0
    origin: str = "random"
    relaxation: float = 0.0
    """Half width of the interval about 1 that over-relaxations are drawn from; 0 for none."""
    cycles: int = 0
    """Cycles that led to it."""
    seconds: float = 0.0
    """Time that they took."""


def random(support: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moduli uniform in 0 to 1 and phases uniform in 0 to 2 pi inside a support."""
    moduli, turns = rng.random(support.shape, np.float32), rng.random(support.shape, np.float32)
    return (support * moduli * np.exp(2j * np.pi * turns)).astype(np.complex64)


def finer(obj: np.ndarray, shape: Sequence[int], window: np.ndarray, least: float = 0.2) -> np.ndarray:
    """An object on a finer array: its amplitude, freed of the window that it was found under, amid zeros.

    Parameters
    ----------
    window : see :func:`braggfill.phasing.pattern.window`; below ``least`` it is taken for ``least``.
    """
    amplitude = fourier.forward(obj) / np.maximum(window, least)
    return fourier.inverse(_pattern.pad(amplitude, shape)).astype(np.complex64)


def on_finer(
    obj: np.ndarray, support: np.ndarray, shape: Sequence[int], window: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """An object and its support on a finer array; see :func:`finer`."""
    plain = np.ones(obj.shape, np.float32)
    inside = finer(support.astype(np.complex64), shape, plain).real
    level = 0.5 * np.sqrt(obj.size / np.prod(shape))
    return finer(obj, shape, plain if window is None else window), inside > level


def child(best: np.ndarray, other: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """What a guided generation begins with: the geometric mean of an object and the best one that it is laid over.

    Source: Chen et al., Phys. Rev. B 76, 064113 (2007).
    """
    laid = modes.align_all([other], best, inside)[0][0]
    product = np.sqrt(np.abs(laid) * np.abs(best))
    return (product * np.exp(1j * np.angle(laid + best))).astype(np.complex64)
