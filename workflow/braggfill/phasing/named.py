"""Starts that are not random: objects from elsewhere, such as what a network makes of the pattern.

They are cycled before the random starts and judged as these are, by the voxels kept out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch

from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.phasing import predicted, support
from braggfill.phasing.pattern import Pattern
from braggfill.phasing.starts import Start
from braggfill.physics import fourier
from braggfill.runs import seeds

if TYPE_CHECKING:
    from braggfill.networks.phase.predicts import PhaseNetwork

CHOICES = ("auto", "random", "network")
"""Where phase retrieval begins: random objects, and the network's where there is one; those alone; these alone."""
NETWORK = "braggphase"
FIRST = 2_000_000
"""Number of the first start that is not random."""
HYPOTHESES = 2
"""Objects that are taken from a network: what it expects, and what it sees in single orientations of the pattern.
Where the first is a mixture of object and twin, one of the others often is not."""
WEIGHED = 0.5
"""A voxel that pulls with less is missing for the network."""
SMOOTHING, THRESHOLD = 1.0, 0.3
"""First support of such an object: standard deviation of the smoothing in voxels, and share of the rms modulus inside
the support that the autocorrelation gives."""


class Source(Protocol):
    """An object by its amplitude, as :class:`braggfill.phasing.predicted.Prediction` is."""

    @property
    def obj(self) -> np.ndarray:
        """Complex, the pattern's shape, origin ``n // 2``."""

    def amplitude(self, shape: Sequence[int]) -> np.ndarray:
        """The middle of its transform, complex of ``shape``, the pattern's voxel ``n // 2`` at its own."""


@dataclass(frozen=True)
class Named:
    """An object to begin with."""

    origin: str
    """As in :attr:`braggfill.phasing.result.Run.origin`."""
    source: Source = field(repr=False)
    """What it is made of, on any array."""


def file(named: str | Path | None, start: str = "auto") -> Path | None:
    """The file of the network whose objects are to be tried: the one that is named, else the one that comes with the
    package; None for random starts, or where there is none.

    Parameters
    ----------
    start : one of :data:`CHOICES`.

    Raises
    ------
    BraggfillError : no such choice; the file is none of a network for phases; ``start`` is network and there is none.
    """
    if start not in CHOICES:
        raise BraggfillError(f"start: {start!r} is none of {', '.join(CHOICES)}; choose one of them")
    if named is not None:
        kind = networks.card(named)["network"]
        if kind not in networks.PHASE_NAMES:
            raise BraggfillError(f"{named}: a network {kind}, which predicts no phases; give one trained for phases")
    if start == "random":
        return None
    if named is not None:
        return Path(named)
    if networks.is_shipped(NETWORK):
        return networks.shipped(NETWORK)
    if start == "network":
        raise BraggfillError("start: no network for phases came with this version; name a file of one, or use random")
    return None


def network(named: str | Path | PhaseNetwork | None, start: str = "auto") -> PhaseNetwork | None:
    """The network of :func:`file`, or the one that is given, where it is to be tried."""
    if named is not None and not isinstance(named, str | Path):
        return named
    found = file(named, start)
    return None if found is None else cast("PhaseNetwork", networks.load(found))


def of_network(
    network: PhaseNetwork, pattern: Pattern, number: int = HYPOTHESES, threads: int = 1
) -> tuple[Named, ...]:
    """The objects that a network expects of a pattern whose peak is at ``n // 2``.

    It sees what takes part in the cycles; the voxels kept out are missing for it, so that they judge its object, too.
    The bits do not depend on the number of threads.
    """
    missing = pattern.fitted < WEIGHED
    if not (pattern.intensity[~missing] > 0).any():
        return ()
    found = predicted.predictions(network, pattern.intensity, missing, number=number, threads=threads)
    return tuple(Named("network", one) for one in found if np.isfinite(one.phasors).all() and one.phasors.any())


def on_level(named: Sequence[Named], shape: Sequence[int], window: np.ndarray, inside: np.ndarray, threshold: float,
             seed: int) -> list[Start]:  # fmt: skip
    """The starts on the pattern's centre, or on the whole array.

    Parameters
    ----------
    window : that the amplitudes of this array are under.  inside : support from the autocorrelation.
    """
    found = []
    for number, one in enumerate(named):
        obj = fourier.inverse(one.source.amplitude(shape) * window).astype(np.complex64)
        first = support.update(
            torch.from_numpy(np.fft.ifftshift(obj))[None],
            torch.from_numpy(np.fft.ifftshift(inside))[None],
            threshold=THRESHOLD,
            width=SMOOTHING,
        )
        own = np.fft.fftshift(first[0].numpy())
        rng = seeds.generator(seed, "phase/start", FIRST + number)
        found.append(Start((obj * own).astype(np.complex64), own, threshold, rng, FIRST + number, one.origin))
    return found
