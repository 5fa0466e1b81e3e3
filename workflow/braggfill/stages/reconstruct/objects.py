"""Objects: how they are prepared, gapped, filled, compared with the truth and stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.patterns import gaps
from braggfill.physics import fourier, strain, support
from braggfill.runs import storage
from braggfill.settings.reconstruct import ReconstructSettings

if TYPE_CHECKING:
    from braggfill import filling

MARGIN = 6
"""Voxels around the support that stored objects keep."""


@dataclass(frozen=True)
class Geometry:
    """What turns a phase into a strain."""

    d_spacing_angstrom: float
    voxel_angstrom: tuple[float, ...]
    """Length of a voxel along each array axis."""
    direction: tuple[float, ...]
    """Unit vector along the scattering vector, in array axes."""
    layers: int
    """Layers of surface voxels whose strain does not count."""


@dataclass(frozen=True)
class Fields:
    """An object and what is read from it; arrays of the object's shape, phase and strain NaN outside the support."""

    obj: np.ndarray
    phase: np.ndarray
    strain: np.ndarray


def load(path: Path) -> np.ndarray:
    """The reconstructed object of a file from ``fetch``, complex.

    Raises
    ------
    BraggfillError : the file is missing or damaged, or the object is not a finite 3D array.
    """
    with storage.read(path) as file:
        obj = storage.array(file, "obj")
    if obj.ndim != 3 or not np.isfinite(obj).all():
        raise BraggfillError(f"{path}: obj has shape {obj.shape} or values that are not finite; fetch it again")
    return obj


def prepare(obj: np.ndarray, *, zoom: float, box: int, threshold: float, keep_phase: bool) -> np.ndarray:
    """Cut to its support, resampled by ``zoom`` (cubic), cut again and padded into the middle of a cube.

    Parameters
    ----------
    obj : complex object.
    zoom : new number of voxels over old, along each axis.
    box : edge of the cube.
    threshold : what is under this fraction of the largest modulus is outside, and zero.
    keep_phase : keep the object's own phase; if not, it is zero (paper section 2.6.1).

    Returns
    -------
    Complex128 (real values if ``keep_phase`` is false), (box, box, box), largest modulus 1.

    Raises
    ------
    BraggfillError : the resampled object is larger than half of the box, which no array of intensities samples.
    """
    import scipy.ndimage

    inside = support.from_modulus(obj, threshold)
    cut = np.where(inside, obj if keep_phase else np.abs(obj), 0)[support.bounding_box(inside)]
    small = scipy.ndimage.zoom(cut.real, zoom).astype(complex)
    if keep_phase:
        small += 1j * scipy.ndimage.zoom(cut.imag, zoom)
    else:
        small = np.maximum(small.real, 0).astype(complex)
    if max(small.shape) > box // 2:
        raise BraggfillError(
            f"reconstruct: the resampled object has {' x '.join(map(str, small.shape))} voxels, more than half of a "
            f"box of {box}; lower zoom or raise box_px"
        )
    small[~support.from_modulus(small, threshold)] = 0
    whole = np.zeros((box,) * 3, complex)
    start = [box // 2 - n // 2 for n in small.shape]
    whole[tuple(slice(s, s + n) for s, n in zip(start, small.shape, strict=True))] = small / np.abs(small).max()
    return whole


def sampled(
    obj: np.ndarray, *, oversampling: float, zoom: float, box: int, threshold: float, keep_phase: bool
) -> tuple[np.ndarray, float]:
    """An object at an oversampling, along the axis where it is least; see :func:`prepare`.

    It is resampled by ``zoom`` and padded to the even box that gives the oversampling; where that is more than ``box``,
    it is resampled to fewer voxels instead and padded to ``box``.

    Returns
    -------
    The object and the factor by which it was resampled.
    """
    longest = max(support.extent(support.from_modulus(obj, threshold)))
    edge = 2 * round(oversampling * round(zoom * longest) / 2)
    if edge > box:
        zoom, edge = box / (oversampling * longest), box
    return prepare(obj, zoom=zoom, box=edge, threshold=threshold, keep_phase=keep_phase), zoom


def geometry(settings: ReconstructSettings, zoom: float) -> Geometry:
    """Of the object reconstructed from a measurement, resampled by ``zoom``."""
    return Geometry(
        settings.d_spacing_angstrom,
        (settings.voxel_nm * 10 / zoom,) * 3,
        tuple(np.eye(3)[settings.strain_axis]),
        settings.surface_layers,
    )


def geometry_of(attrs: Mapping[str, Any], shape: Sequence[int], layers: int) -> Geometry:
    """Of a simulated pattern cut to ``shape``, from the attributes that ``scatter`` gave it."""
    hkl = np.asarray(attrs["hkl"], float)
    length = float(np.linalg.norm(hkl))
    step = np.asarray(attrs["step_inverse_angstrom"], float)
    return Geometry(
        float(attrs["lattice_constant_angstrom"]) / length,
        tuple(1 / (np.asarray(shape) * step)),
        tuple(np.asarray(attrs["rotation"]) @ hkl / length),
        layers,
    )


def cross(shape: Sequence[int], width: int, offset: tuple[int, int], peak: Sequence[int] | None = None) -> np.ndarray:
    """The cross gap of an experiment: its middle ``offset`` voxels from the peak along axes 1 and 2.

    Raises
    ------
    BraggfillError : it does not lie inside the array.
    """
    peak = [n // 2 for n in shape] if peak is None else list(peak)
    return gaps.cross(shape, width, [p + o - width // 2 for p, o in zip(peak[1:], offset, strict=True)])


def fill(
    intensity: np.ndarray, mask: np.ndarray, method: str, model: Path, settings: ReconstructSettings
) -> filling.Filled:
    """The pattern with its gap filled by a method of :mod:`braggfill.filling.methods`; ``network`` is the one that the
    run trained."""
    from braggfill import filling
    from braggfill.filling import methods

    if methods.get(method).network is None:
        return filling.inpaint(intensity, mask, method=method)
    import torch

    torch.set_num_threads(settings.threads)
    given = model if method == "network" else None
    return filling.inpaint(intensity, mask, method=method, network=given, device=settings.device)


def fields(obj: np.ndarray, inside: np.ndarray, geometry: Geometry) -> Fields:
    """Unwrapped phase and strain of an object inside a support."""
    phase = strain.unwrap(obj, inside)
    return Fields(
        obj,
        phase,
        strain.strain(
            phase,
            inside,
            d_spacing_angstrom=geometry.d_spacing_angstrom,
            voxel_angstrom=geometry.voxel_angstrom,
            direction=geometry.direction,
        ),
    )


def compare(found: Fields, truth: Fields, inside: np.ndarray, geometry: Geometry) -> dict[str, float]:
    """Figures of merit, inside the support unless they say otherwise.

    phase_std_rad : standard deviation of the phase difference, the phase error for a truth of any phase.
    strain_rmse : root mean square of the strain difference, surface layers left out.
    mean_strain, strain_std : mean and standard deviation of the object's own strain, likewise.
    displacement_rms_pm, displacement_max_pm : of the displacement difference.
    modulus_rmse : root mean square difference of the moduli over their mean.
    inhomogeneity : standard deviation over mean of the object's own modulus.
    outside_share : share of the object's squared modulus that lies outside the support.
    """
    box = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in support.bounding_box(inside))
    total = float(np.vdot(found.obj, found.obj).real)
    found, truth = (Fields(fields.obj[box], fields.phase[box], fields.strain[box]) for fields in (found, truth))
    inside = inside[box]
    counted = support.interior(inside, geometry.layers)
    if not counted.any():
        counted = inside
    wrapped = np.angle(np.exp(1j * (found.phase - truth.phase)))
    moved = strain.displacement_pm(wrapped - np.nanmean(wrapped), geometry.d_spacing_angstrom)
    mean, spread = strain.mean_and_std(found.strain, counted)
    modulus, true = np.abs(found.obj), np.abs(truth.obj)
    return {
        "phase_std_rad": strain.phase_std(found.obj, inside, truth.obj),
        "strain_rmse": strain.rms(found.strain - truth.strain, counted),
        "mean_strain": mean,
        "strain_std": spread,
        "displacement_rms_pm": strain.rms(moved, inside),
        "displacement_max_pm": float(np.nanmax(np.abs(moved))),
        "modulus_rmse": strain.rms(modulus - true, inside) / float(true[inside].mean()),
        "inhomogeneity": strain.inhomogeneity(found.obj, inside),
        "outside_share": max(1 - float((modulus[inside] ** 2).sum()) / total, 0.0),
    }


def write(group: h5py.Group, found: Fields, intensity: np.ndarray, inside: np.ndarray) -> None:
    """Store an object: slices across each axis, and the object itself around the support.

    Datasets ``modulus/<axis>``, ``phase/<axis>`` (rad) and ``strain/<axis>`` cut the middle of the support and show
    half of the array around it; ``intensity/<axis>`` (photons) cuts the middle of the whole array.  ``obj`` is
    complex64, the support's bounding box and a margin, its first voxel in the attribute ``origin``.
    """
    box = support.bounding_box(inside)
    middle = [(s.start + s.stop) // 2 for s in box]
    view = [span(m, n // 2, n) for m, n in zip(middle, inside.shape, strict=True)]
    for name, field in (("modulus", np.abs(found.obj)), ("phase", found.phase), ("strain", found.strain)):
        for axis in range(3):
            shown = tuple(middle[axis] if a == axis else view[a] for a in range(3))
            _store(group, f"{name}/{axis}", field[shown].astype(np.float32))
    for axis, n in enumerate(intensity.shape):
        _store(group, f"intensity/{axis}", np.take(intensity, n // 2, axis).astype(np.float32))
    window = _near(inside)
    _store(group, "obj", found.obj[window].astype(np.complex64))
    group["obj"].attrs["origin"] = [s.start for s in window]


def write_truth(
    group: h5py.Group, truth: Fields, intensity: np.ndarray, inside: np.ndarray, geometry: Geometry
) -> None:
    """Store the object that the others are compared with, its ``support`` (as ``obj``), and what turned phase into
    strain."""
    write(group, truth, intensity, inside)
    _store(group, "support", inside[_near(inside)])
    group.attrs["shape"] = inside.shape
    group.attrs["oversampling"] = support.oversampling(inside)
    group.attrs["d_spacing_angstrom"] = geometry.d_spacing_angstrom
    group.attrs["voxel_angstrom"] = geometry.voxel_angstrom
    group.attrs["direction"] = geometry.direction


def intensity_of(obj: np.ndarray) -> np.ndarray:
    """Squared modulus of the centred Fourier transform."""
    amplitude = fourier.forward(obj)
    return amplitude.real**2 + amplitude.imag**2


def span(centre: int, size: int, length: int) -> slice:
    """``size`` voxels around ``centre``, moved inside ``length``."""
    start = min(max(centre - size // 2, 0), length - size)
    return slice(start, start + size)


def _near(inside: np.ndarray) -> tuple[slice, ...]:
    return tuple(slice(max(s.start - MARGIN, 0), s.stop + MARGIN) for s in support.bounding_box(inside))


def _store(group: h5py.Group, name: str, data: np.ndarray) -> None:
    group.create_dataset(name, data=data, compression="gzip", compression_opts=1, shuffle=True)
