"""``braggfill.inpaint``: from a scan's values and its mask to a filled pattern, checked as by the command line."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from braggfill import scans
from braggfill.filling import checking, inpainting
from braggfill.scans import flatfield

if TYPE_CHECKING:
    from torch.nn import Module


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
    photons_per_unit: float | None = None,
    flat_field: np.ndarray | None = None,
) -> inpainting.Filled:
    """Fill the gaps of a 3D Bragg coherent diffraction pattern, of any size, with gaps of any shape.

    As :func:`braggfill.filling.inpainting.inpaint`, which has the parameters; the values are looked at before, by the
    same functions as on the command line: what cannot be photons is refused, with an estimate of its unit; values that
    scatter below zero, as a subtracted dark level leaves them, are zero for the network and come back as they were;
    what is doubtful is a warning.

    Parameters
    ----------
    intensity : three axes (rocking angle, vertical, horizontal), integers or real numbers.
    mask : True (or 1) where missing, same shape; or one detector frame, which then holds for all.
    method, network, device, step, skip, batch, progress, most_missing, finite : see
        :func:`braggfill.filling.inpainting.inpaint`.
    photons_per_unit : photons in a unit of ``intensity``; None: one, if the values can be photons.
    flat_field : what each pixel counts of an even beam, one frame; the intensity is divided by it over its median, and
        its dead pixels are missing (:mod:`braggfill.scans.flatfield`).

    Returns
    -------
    :class:`braggfill.filling.Filled`, in the unit of ``intensity``; measured voxels are what they were, bit for bit,
    but for a flat field.

    Raises
    ------
    BraggfillError : the values cannot be photons, and those of :func:`braggfill.filling.inpainting.inpaint`.

    Example
    -------
    >>> counts = np.random.default_rng(0).poisson(20.0, (40, 64, 64))
    >>> gap = np.zeros((64, 64), bool)
    >>> gap[:, 30:36] = True
    >>> filled = inpaint(counts, gap, method="linear")
    >>> filled
    Filled(40 × 64 × 64, 9.4% filled by linear, no uncertainty)
    """
    intensity, mask = checking.shapes(intensity, mask, most_missing=most_missing)
    marked = scans.marked(intensity)
    bad = marked.array & ~mask
    if bad.any():
        checking.refuse(intensity, bad)
    given = scans.photons(intensity, mask, marked, photons_per_unit, option="photons_per_unit")
    noise = given.noise_remark(int(np.count_nonzero(~mask)))
    for line in (*given.remarks, *filter(None, [noise])):
        warnings.warn(line, stacklevel=2)
    photons = given.values
    if flat_field is not None:
        field = flatfield.of(flat_field, intensity.shape)
        photons, mask = field.photons(photons), mask | field.bad
        intensity = field.photons(intensity.astype(checking.exact_type(intensity, mask)))
    filled = inpainting.inpaint(
        photons,
        mask,
        method=method,
        network=network,
        device=device,
        step=step,
        skip=skip,
        batch=batch,
        progress=progress,
        most_missing=most_missing,
        finite=finite,
    )
    if given.values is intensity or (flat_field is not None and given.per_unit == 1 and not given.clipped):
        return filled
    data = intensity.astype(checking.exact_type(intensity, mask))
    data[mask] = given.in_units(filled.data)[mask]
    return replace(filled, data=data, sigma=given.in_units(filled.sigma), photons_per_unit=given.per_unit)
