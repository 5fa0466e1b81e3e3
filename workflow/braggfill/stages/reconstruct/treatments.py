"""What can be done about a gap before and while its pattern is phased.

A treatment is a function of :class:`Gapped` that says what a start of phase retrieval is given; to add one, write it
here and name it in the settings.  Every name that has none is a way of filling.

- ``whole``: nothing is missing, the reference.
- ``free``: masked, the gap's voxels float.
- ``streaks``: masked near the streaks (supplement, Fig. S19c), zero elsewhere.
- ``zeros``: left at zero (Fig. S19d).
- ``linear``, ``network`` …: filled (Fig. S19e); a network's expectation as the amplitude that counts would have, see
  :func:`braggfill.patterns.calibration.amplitude_of_filled`.
- ``bounded``: filled, its voxels float within ``bound_sigmas`` standard deviations of the filling.
- ``guided``: the same, but where the filling is unsure they are free for the last cycles.
- ``late``: filled, and free for the last cycles.
- ``sure``: filled where the filling is sure, free where it is not (:func:`braggfill.filling.advice.unsure`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage

from braggfill import networks
from braggfill.filling import advice
from braggfill.patterns import calibration
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
    filled: dict[str, tuple[np.ndarray, np.ndarray]]
    """Method → photons, and their standard deviation (NaN where the method states none)."""
    recipe: RecipeSettings

    @property
    def empty(self) -> np.ndarray:
        """The pattern, its gap at zero."""
        return np.where(self.mask, 0.0, self.counts)

    @property
    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """The filling that ``filled_by`` names."""
        return self.filled[filled_by(self.recipe)]

    def taken(self, method: str) -> np.ndarray:
        """The filled pattern as it is phased, see :meth:`braggfill.filling.Filled.for_phasing`."""
        data, sigma = self.filled[method]
        if method == "finite":  # its deviation is that from before it was corrected
            sigma = np.sqrt(data)
        found = data.copy()
        found[self.mask] = calibration.amplitude_of_filled(data[self.mask], sigma[self.mask])
        return found

    @property
    def best_taken(self) -> np.ndarray:
        """The filling that ``filled_by`` names, as it is phased."""
        return self.taken(filled_by(self.recipe))

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Between which photons the filling lies."""
        data, sigma = self.best
        spread = self.recipe.bound_sigmas * sigma
        return np.maximum(data - spread, 0), data + spread


def filled_by(recipe: RecipeSettings) -> str:
    """The method that fills for ``bounded`` and its like, ``network`` where no weights came with the package."""
    return (networks.at_hand([recipe.filled_by]) or ["network"])[0]


def fillings(recipe: RecipeSettings) -> list[str]:
    """The ways of filling that a recipe's treatments need."""
    named = [name for name in names(recipe) if name not in RULES]
    needed = [filled_by(recipe)] if {"bounded", "guided", "late", "sure"} & set(recipe.treatments) else []
    return list(dict.fromkeys([*named, *needed]))


def names(recipe: RecipeSettings) -> list[str]:
    """The treatments of a recipe, ``whole`` before them; without ``shipped`` where no weights came."""
    return ["whole", *dict.fromkeys(networks.at_hand(recipe.treatments))]


def fill(
    counts: np.ndarray, mask: np.ndarray, recipe: RecipeSettings, model: Path, settings: ReconstructSettings
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The gap filled by each way that a recipe's treatments need."""
    empty = np.where(mask, 0.0, counts)
    found = {name: objects.fill(empty, mask, name, model, settings) for name in fillings(recipe)}
    return {name: (filled.data.astype(float), filled.sigma.astype(float)) for name, filled in found.items()}


def start(name: str, gapped: Gapped) -> dict[str, Any]:
    """What a start is given: ``intensity`` and, as the treatment has it, ``missing``, ``low``, ``high``, ``late``; see
    :class:`braggfill.phasing.pynx.Start`."""
    if name in RULES:
        return RULES[name](gapped)
    return {"intensity": gapped.taken(name)}


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
    return {**_bounded(gapped), "late": advice.unsure(*gapped.best, gapped.mask)}


def _late(gapped: Gapped) -> dict[str, Any]:
    return {"intensity": gapped.best_taken, "late": gapped.mask}


def _sure(gapped: Gapped) -> dict[str, Any]:
    return {"intensity": gapped.best_taken, "missing": advice.unsure(*gapped.best, gapped.mask)}


RULES: dict[str, Callable[[Gapped], dict[str, Any]]] = {
    "whole": _whole,
    "free": _free,
    "streaks": _streaks,
    "zeros": _zeros,
    "bounded": _bounded,
    "guided": _guided,
    "late": _late,
    "sure": _sure,
}


def streaks(intensity: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The voxels of a gap near the streaks of a pattern: where what is measured around is at least a photon a voxel.

    Around means a Gaussian of ``STREAK_PX``, or as wide as half of the gap where that is more, over what is measured.
    """
    depth = scipy.ndimage.distance_transform_edt(mask)
    sigma = max(STREAK_PX, float(depth.max()))
    photons = scipy.ndimage.gaussian_filter(np.where(mask, 0.0, intensity), sigma)
    weight = scipy.ndimage.gaussian_filter((~mask).astype(float), sigma)
    return mask & (photons >= STREAK_PHOTONS * np.maximum(weight, 1e-9))
