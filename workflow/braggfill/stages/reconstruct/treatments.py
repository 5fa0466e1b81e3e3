"""What can be done about a gap before and while its pattern is phased.

A treatment is a function of :class:`Gapped` that says what a start of phase retrieval is given; to add one, write it
here and name it in the settings.  Every name that has none is a way of filling.

- ``whole``: nothing is missing, the reference.
- ``free``: masked, the gap's voxels float.
- ``streaks``: masked near the streaks (supplement, Fig. S19c), zero elsewhere.
- ``zeros``: left at zero (Fig. S19d).
- ``linear``, ``network`` …: filled (Fig. S19e), each voxel as :func:`braggfill.filling.trust.for_phasing` gives it.
- ``bounded``: filled, its voxels float within ``bound_sigmas`` standard deviations of the filling.
- ``guided``: the same, but where the filling is uncertain they are masked for the last cycles.
- ``late``: filled, and masked for the last cycles.
- ``sure``: filled where the filling is certain, masked where it is not (:func:`braggfill.filling.trust.uncertain`).
- ``soft``: filled, each voxel with the weight that its uncertainty allows
  (:func:`braggfill.phasing.pattern.gap_weight`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage

from braggfill.filling import Filled, methods, trust
from braggfill.phasing import pattern
from braggfill.settings.reconstruct import RecipeSettings, ReconstructSettings
from braggfill.stages.reconstruct import objects

STREAK_PHOTONS = 1.0
"""Photons a voxel, smoothed over ``STREAK_PX``, above which a voxel of the gap counts as part of a streak."""
STREAK_PX = 2.0


@dataclass(frozen=True)
class Gapped:
    """A pattern with a gap, and its fillings."""

    counts: np.ndarray
    """Photons; what is in the gap is looked at by ``whole`` alone."""
    mask: np.ndarray
    """True where the gap lies."""
    filled: dict[str, Filled]
    """By method."""
    recipe: RecipeSettings

    @property
    def empty(self) -> np.ndarray:
        """The pattern, its gap at zero."""
        return np.where(self.mask, 0.0, self.counts)

    @property
    def best(self) -> Filled:
        """The filling that ``filled_by`` names."""
        return self.filled[filled_by(self.recipe)]

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Between which photons the filling lies."""
        spread = self.recipe.bound_sigmas * self.best.sigma.astype(float)
        return np.maximum(self.best.data - spread, 0), self.best.data + spread

    def uncertain(self) -> np.ndarray:
        """Which voxels that filling is uncertain of, all of them where it states no uncertainty."""
        return self.best.phasing(masked="uncertain").masked


def filled_by(recipe: RecipeSettings) -> str:
    """The method that fills for ``bounded`` and its like, ``network`` where no weights came with the package."""
    return (methods.available([recipe.filled_by]) or ["network"])[0]


def fillings(recipe: RecipeSettings) -> list[str]:
    """The ways of filling that a recipe's treatments need."""
    named = [name for name in names(recipe) if name not in RULES]
    needed = [filled_by(recipe)] if UNCERTAIN & set(recipe.treatments) else []
    return list(dict.fromkeys([*named, *needed]))


def names(recipe: RecipeSettings) -> list[str]:
    """The treatments of a recipe, ``whole`` before them; without those whose weights did not come."""
    return ["whole", *dict.fromkeys(methods.available(recipe.treatments))]


def fill(
    counts: np.ndarray, mask: np.ndarray, recipe: RecipeSettings, model: Path, settings: ReconstructSettings
) -> dict[str, Filled]:
    """The gap filled by each way that a recipe's treatments need."""
    empty = np.where(mask, 0.0, counts)
    return {name: objects.fill(empty, mask, name, model, settings) for name in fillings(recipe)}


def start(name: str, gapped: Gapped) -> dict[str, Any]:
    """What a start is given: ``intensity`` and, as the treatment has it, ``missing``, ``weight``, ``low``, ``high``,
    ``late``; see :class:`braggfill.phasing.single.Start`."""
    if name in RULES:
        return RULES[name](gapped)
    return {"intensity": gapped.filled[name].for_phasing()}


def _whole(gapped: Gapped) -> dict[str, Any]:
    return {"intensity": gapped.counts}


def _free(gapped: Gapped) -> dict[str, Any]:
    return {"intensity": gapped.empty, "missing": gapped.mask}


def _zeros(gapped: Gapped) -> dict[str, Any]:
    return {"intensity": gapped.empty}


def _streaks(gapped: Gapped) -> dict[str, Any]:
    return {"intensity": gapped.empty, "missing": streaks(gapped.empty, gapped.mask)}


def _bounded(gapped: Gapped) -> dict[str, Any]:
    low, high = gapped.bounds()
    return {"intensity": gapped.empty, "missing": gapped.mask, "low": low, "high": high}


def _guided(gapped: Gapped) -> dict[str, Any]:
    return {**_bounded(gapped), "late": gapped.uncertain()}


def _late(gapped: Gapped) -> dict[str, Any]:
    return {"intensity": gapped.best.for_phasing(), "late": gapped.mask}


def _sure(gapped: Gapped) -> dict[str, Any]:
    return {"intensity": gapped.best.for_phasing(), "missing": gapped.uncertain()}


def _soft(gapped: Gapped) -> dict[str, Any]:
    held = gapped.best.for_phasing()
    spread = trust.held_std(gapped.best.data, gapped.best.sigma, held)
    return {"intensity": held, "missing": gapped.mask, "weight": pattern.gap_weight(held, spread)}


RULES: dict[str, Callable[[Gapped], dict[str, Any]]] = {
    "whole": _whole,
    "free": _free,
    "streaks": _streaks,
    "zeros": _zeros,
    "bounded": _bounded,
    "guided": _guided,
    "late": _late,
    "sure": _sure,
    "soft": _soft,
}
UNCERTAIN = {"bounded", "guided", "late", "sure", "soft"}
"""Those that take the filling of ``filled_by``."""
WEIGHTED = {"soft"}
"""Those that give weights."""


def streaks(intensity: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The voxels of a gap near the streaks of a pattern: where what is measured around is at least a photon per voxel.

    Around means a Gaussian of ``STREAK_PX``, or as wide as half of the gap where that is more, over what is measured.
    """
    depth = scipy.ndimage.distance_transform_edt(mask)
    sigma = max(STREAK_PX, float(depth.max()))
    photons = scipy.ndimage.gaussian_filter(np.where(mask, 0.0, intensity), sigma)
    weight = scipy.ndimage.gaussian_filter((~mask).astype(float), sigma)
    return mask & (photons >= STREAK_PHOTONS * np.maximum(weight, 1e-9))
