"""The function that fills, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.filling import methods
from braggfill.filling.checking import check, exact_type
from braggfill.runs import device as devices

if TYPE_CHECKING:
    from torch.nn import Module

    from braggfill.filling.finite import Finite
    from braggfill.filling.trust import ForPhasing

__all__ = ["Filled", "check", "inpaint"]


@dataclass(frozen=True, repr=False)
class Filled:
    """A filled pattern, its arrays all of the pattern's shape.

    Arrays are in photons, or, where the scan is in another unit (``photons_per_unit``), in that.
    """

    data: np.ndarray
    """Photons: what was measured, bit for bit, and what is expected where filled, finite and never negative; by a
    network that states its uncertainty the square of the expected amplitude where it is bright
    (:func:`braggfill.patterns.distribution.photons`)."""
    mask: np.ndarray
    """True where filled."""
    sigma: np.ndarray
    """Standard deviation, photons, of what the detector would have counted; NaN where measured, and everywhere where
    the method has no uncertainty. It is (1 + I) sinh(s), with s the standard deviation of log(1 + counts)."""
    finite: Finite | None = None
    """What holding the filling to a finite crystal came to, if that was asked for."""
    method: str = ""
    """What filled, one of :data:`braggfill.filling.methods.METHODS`."""
    photons_per_unit: float = 1.0

    def __repr__(self) -> str:
        from braggfill.filling import shown

        return f"Filled({shown.summary(self)})"

    def _repr_html_(self) -> str:
        """Summary and central slices, for a notebook."""
        from braggfill.filling import shown

        return shown.html(self)

    def report(self, path: str | Path) -> None:
        """Write an HTML file that holds everything, with slices to move through.

        Raises
        ------
        BraggfillError : plotly is not installed, or the file cannot be written.
        """
        from braggfill.filling import report
        from braggfill.viewing import page

        page.check()
        report.write(path, self, title=Path(path).stem, provenance={})

    @property
    def corrected(self) -> bool:
        """Whether the filling is that of a finite crystal: the correction was asked for, and it was accepted."""
        return self.finite is not None and self.finite.accepted

    def for_phasing(self) -> np.ndarray:
        r"""The pattern as phase retrieval should be given it, same shape and type as ``data``: filled voxels hold
        :math:`\langle\sqrt n\rangle^2`, photons (:func:`braggfill.filling.trust.for_phasing`)."""
        return self.phasing().data

    def mask_for_phasing(self) -> np.ndarray:
        """True where phase retrieval should have no constraint: filled voxels that are too uncertain
        (:func:`braggfill.filling.trust.uncertain`); none of a filling that states no uncertainty."""
        return self.phasing().masked

    def phasing(self, *, value: str | None = None, masked: str | None = None) -> ForPhasing:
        """Both, and what was decided; parameters and errors as of :func:`braggfill.filling.trust.for_phasing`."""
        from braggfill.filling import trust

        unit = self.photons_per_unit
        data, sigma = (self.data, self.sigma) if unit == 1 else (self.data * unit, self.sigma * unit)
        given = trust.for_phasing(data, self.mask, sigma, corrected=self.corrected, value=value, masked=masked)
        if unit == 1:
            return given
        return replace(given, data=np.where(self.mask, given.data / unit, self.data).astype(self.data.dtype))

    def interval(self, level: float = 0.68) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest count of the interval that holds what the detector would have counted with probability
        ``level``, both of the pattern's shape, NaN where measured (:mod:`braggfill.patterns.distribution`).

        Counts are whole: where few are expected the interval holds more than ``level``. About 0.1 ms a voxel.

        Raises
        ------
        BraggfillError : the method stated no uncertainty, or ``level`` is no share between 0 and 1.
        """
        from braggfill.patterns import distribution

        chosen = self.mask & np.isfinite(self.sigma)
        if self.mask.any() and not chosen.any():
            raise BraggfillError("interval: the method states no uncertainty; use method braggfill")
        unit = self.photons_per_unit
        data, sigma = self.data[chosen] * unit, self.sigma[chosen] * unit
        ends = distribution.of_filled(data, sigma, corrected=self.corrected).interval(level)
        found = np.full((2, *self.data.shape), np.nan)
        found[:, chosen] = np.asarray(ends) / unit
        return found[0], found[1]


def inpaint(
    intensity: np.ndarray,
    mask: np.ndarray,
    *,
    method: str = "braggfill",
    network: str | Path | Module | None = None,
    device: str = "auto",
    step: int = 9,
    skip: int = 4,
    batch: int = 32,
    progress: bool = False,
    most_missing: bool = False,
    finite: bool = False,
) -> Filled:
    """Fill the gaps of a 3D Bragg coherent diffraction pattern, of any size, with gaps of any shape.

    ``braggfill``, the default, predicts patches of 32 x 32 x 32 voxels that overlap over everything that is missing
    and averages them in the logarithm, a patch's middle weighing most (:mod:`braggfill.filling.sliding`).  Gaps
    whose middle lies more than 9 voxels from anything measured are also filled coarse to fine, over copies of the
    pattern binned by 2, 4 …, and both are averaged (:mod:`braggfill.filling.wide`).  ``paper`` slides the published
    network along planes and crosses (:mod:`braggfill.filling.published`).  The others interpolate
    (:func:`braggfill.patterns.interpolate.interpolate`) and state no uncertainty.

    Parameters
    ----------
    intensity : photons, three axes (rocking angle, vertical, horizontal), integers or real numbers; not negative and
        finite where measured. What lies in the gap is not looked at.
    mask : True (or 1) where missing, same shape; or one detector frame, which then holds for all.
    method : one of :data:`braggfill.filling.methods.METHODS`: ``"braggfill"``, ``"network"`` (the same with a network
        that is given), ``"finite"`` (``"braggfill"`` with ``finite``), ``"paper"``; ``"linear"``, ``"cubic"``,
        ``"nearest"``, ``"biharmonic"`` (interpolation of the log intensity), ``"idw"`` (inverse distance weighting of
        the photons, as in PyNX).
    network : a trained network's file, or one that :func:`braggfill.networks.load` has loaded; by default the one of
        that name that comes with the package. Methods but ``paper`` take a published network as well, slide it over
        everything that is missing, whatever it was trained for, and state no uncertainty.
    device : ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` …
    step : voxels between neighbouring patches of ``braggfill``; less is slower and averages more, odd numbers are
        better than even ones.
    skip : voxels skipped between neighbouring patches of ``paper``; 0 is the best that there is, and the slowest.
    batch : patches a call; speed and memory only.
    progress : show a progress bar.
    most_missing : accept a mask under which more than half is missing; it is an error otherwise, because such a mask
        is usually inverted.
    finite : correct the filling so that the pattern is that of a finite crystal (:mod:`braggfill.filling.finite`):
        bright voxels of narrow gaps become several times better where the pattern is oversampled. It judges itself by
        measured voxels, and leaves the filling as it is where it does not help. ``sigma`` stays that of the filling.

    Returns
    -------
    Filled: ``data``, ``mask`` (what was filled) and ``sigma``. ``data`` has the input's type if that is a real number
    of at least single precision; else float32, or float64 where that is needed to hold the counts exactly. Measured
    voxels are what they were, bit for bit. ``sigma`` grows with the distance from what is measured: where the network
    can only guess, it is as large as the pattern varies.

    Raises
    ------
    BraggfillError : the arrays do not fit each other or are not of that kind, everything is missing, measured voxels
        are negative or not finite, there is no network, the method or device is unknown, or the gap is none that a
        ``paper`` network can fill.

    Example
    -------
    >>> counts = np.random.default_rng(0).poisson(20.0, (40, 64, 64))
    >>> gap = np.zeros((64, 64), bool)
    >>> gap[:, 30:36] = True
    >>> filled = inpaint(counts, gap, method="linear")
    >>> bool((filled.data[:, ~gap] == counts[:, ~gap]).all())
    True
    """
    intensity, mask = check(intensity, mask, most_missing=most_missing)
    chosen = methods.get(method)
    options = methods.Options(step, skip, batch, progress)
    devices.check(device)
    model = methods.network(method, network, device)

    def ask(missing: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        with np.errstate(over="ignore", invalid="ignore"):
            seen = intensity.astype(np.float32)
        seen[missing] = 0
        np.minimum(seen, np.finfo(np.float32).max, out=seen)
        return methods.filler(method)(seen, missing, model, options)

    data = intensity.astype(exact_type(intensity, mask))
    sigma = np.full(intensity.shape, np.nan, dtype=np.float32)
    corrected = None
    if mask.any():
        values, deviation = ask(mask)
        data[mask] = np.clip(values, 0, np.finfo(np.float32).max)
        if deviation is not None:
            sigma[mask] = np.clip(deviation, 0, np.finfo(np.float32).max)
        if finite or chosen.finite:
            corrected = _correct(data, mask, sigma[mask], ask)
    return Filled(data, mask, sigma, corrected, method)


def _correct(
    data: np.ndarray,
    mask: np.ndarray,
    sigma: np.ndarray,
    ask: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]],
) -> Finite:
    """Hold the filled voxels of ``data`` to a finite crystal, in place, if that is seen to help."""
    import os

    from braggfill.filling.finite import make_finite

    most = np.finfo(np.float32).max / 1e6

    def latent(values: np.ndarray, sigma: np.ndarray | None) -> np.ndarray:
        """How uncertain the expectation is: the stated deviation without counting noise; else half of the filling."""
        sigma = np.full(len(values), np.nan) if sigma is None else sigma
        found = np.sqrt(np.maximum(sigma.astype(np.float64) ** 2 - values, (0.05 * values) ** 2) + 0.01)
        return np.where(np.isfinite(found), found, 0.5 * values + 0.3)

    def fill_anew(missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, deviation = ask(missing)
        values = np.clip(values, 0, most)
        return values, latent(values, deviation)

    known = np.minimum(data, most).astype(np.float32)
    spread = latent(known[mask].astype(np.float64), sigma)
    found = make_finite(known, mask, spread, fill_anew, workers=len(os.sched_getaffinity(0)))
    if found.accepted:
        data[mask] = found.values
    return found
