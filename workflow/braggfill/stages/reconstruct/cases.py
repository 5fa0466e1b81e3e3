"""The patterns whose gap phase retrieval has to cope with, and how they are handed from one job to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.filling import Filled
from braggfill.filling.finite import Finite
from braggfill.physics import fourier
from braggfill.runs import seeds, storage
from braggfill.settings.reconstruct import ReconstructSettings
from braggfill.stages.reconstruct import objects

FINITE = ("support", "error_before", "error_after")
"""What is kept of :class:`braggfill.filling.finite.Finite`."""


@dataclass(frozen=True)
class Case:
    """A pattern to phase."""

    name: str
    counts: np.ndarray
    expectation: np.ndarray
    """What the counts were drawn from, photons; the counts themselves where that is unknown."""
    geometry: objects.Geometry
    truth: np.ndarray | None
    """The object behind it, if it is known."""
    gap_px: int
    """Width of its cross gap."""
    offset_px: tuple[int, int]
    """Where the middle of the cross lies, in voxels from the peak along axes 1 and 2."""

    @property
    def mask(self) -> np.ndarray:
        """True where its gap lies."""
        peak = np.unravel_index(int(np.argmax(self.expectation)), self.expectation.shape)
        return objects.cross(self.counts.shape, self.gap_px, self.offset_px, [int(p) for p in peak])


def known(settings: ReconstructSettings, seed: int, obj: Path) -> Case:
    """The object reconstructed from a measurement with its own phase, and Poisson counts of its intensity."""
    chosen = settings.retrieval
    return _known(
        settings, seed, obj, "known", chosen.box_px, chosen.zoom, chosen.photons_at_peak, chosen.gap_width_px,
        chosen.offset_px,
    )  # fmt: skip


def strained(settings: ReconstructSettings, seed: int, obj: Path) -> Case:
    """A strongly strained object reconstructed from a measurement, and Poisson counts of its intensity."""
    chosen = settings.retrieval
    return _known(
        settings, seed, obj, "strained", chosen.box_px, chosen.strained_zoom, chosen.photons_at_peak,
        chosen.gap_width_px, chosen.offset_px,
    )  # fmt: skip


def far(settings: ReconstructSettings, seed: int, obj: Path) -> Case:
    """The paper's case: the reconstructed object in a large array, its gap weak and far from the peak."""
    chosen = settings.retrieval.far
    return _known(
        settings, seed, obj, "far", chosen.box_px, chosen.zoom, chosen.photons_at_peak, chosen.gap_width_px,
        chosen.offset_px,
    )  # fmt: skip


def _known(
    settings: ReconstructSettings,
    seed: int,
    obj: Path,
    name: str,
    box: int,
    zoom: float,
    photons: float,
    width: int,
    offset: tuple[int, int],
) -> Case:
    threshold = settings.true_phase.support_threshold
    truth = objects.prepare(objects.load(obj), zoom=zoom, box=box, threshold=threshold, keep_phase=True)
    return counted(settings, seed, name, truth, zoom, photons, width, offset)


def counted(
    settings: ReconstructSettings,
    seed: int,
    name: str,
    truth: np.ndarray,
    zoom: float,
    photons: float,
    width: int,
    offset: tuple[int, int],
) -> Case:
    """A reconstructed object that was resampled by ``zoom``, and Poisson counts of its intensity."""
    intensity = objects.intensity_of(truth)
    scale = photons / intensity.max()
    rng = seeds.generator(seed, "reconstruct/counts" if name == "known" else f"reconstruct/counts/{name}", 0)
    counts = rng.poisson(intensity * scale).astype(float)
    geometry = objects.geometry(settings, zoom)
    return Case(name, counts, intensity * scale, geometry, truth * np.sqrt(scale), width, offset)


def simulated(
    settings: ReconstructSettings, seed: int, patterns: Path | Sequence[Path], taken: Sequence[int] = ()
) -> list[Case]:
    """Simulated patterns of the run, their middles cut out, so that strain stays relative to the perfect lattice.

    A file from ``scatter`` gives a particle's amplitude: the true object is its inverse transform, and counts are
    drawn.  A file from ``perturb`` gives counts, and no truth.  One pattern a particle: among those whose oversampling
    is at least ``min_oversampling`` along each axis the one with the largest oversampling over blur, whose fringes are
    sharpest; if none is, the one with the highest oversampling.  The ``simulated_particles`` best of the particles
    are taken, or of those whose numbers are ``taken``.

    Raises
    ------
    BraggfillError : a file is damaged or holds no pattern, or a pattern is smaller than the box.
    """
    chosen = settings.retrieval
    files = [patterns] if isinstance(patterns, Path) else list(patterns)
    best: dict[str, tuple[bool, float, str, Path]] = {}
    for path in files:
        with storage.read(path) as file:
            for particle in sorted(file):
                if taken and int(particle) not in taken:
                    continue
                for view in sorted(file[particle]):
                    attrs = file[particle][view].attrs
                    least = float(np.min(attrs["oversampling"]))
                    enough = least >= chosen.min_oversampling
                    sharpness = least / max(float(attrs.get("blur_sigma_voxels", 0)), 0.05) if enough else least
                    rank = (enough, sharpness, f"{particle}/{view}", path)
                    best[particle] = max(best.get(particle, rank), rank)
    if not best:
        raise BraggfillError(f"{files[0]}: holds no pattern; make it again")
    ranked = sorted(best.values(), reverse=True)[: chosen.simulated_particles]
    return [_simulated(settings, seed, path, group, number) for number, (_, _, group, path) in enumerate(ranked, 1)]


def _simulated(settings: ReconstructSettings, seed: int, path: Path, name: str, number: int) -> Case:
    chosen = settings.retrieval
    with storage.read(path) as file:
        group = file[name]
        known = "amplitude" in group
        stored = storage.array(group, "amplitude" if known else "counts")
        expectation = np.abs(stored) ** 2 if known else storage.array(group, "expectation")
        attrs = dict(group.attrs)
    part = _middle(expectation, chosen.box_px, path)
    expectation = expectation[part].astype(float)
    truth = None
    if known:
        scale = chosen.photons_at_peak / expectation.max()
        expectation *= scale
        truth = fourier.inverse(stored[part].astype(complex)) * np.sqrt(scale)
        counts = seeds.generator(seed, "reconstruct/counts", number).poisson(expectation).astype(float)
    else:
        counts = stored[part].astype(float)
    shape = (chosen.box_px,) * 3
    geometry = objects.geometry_of(attrs, shape, settings.surface_layers)
    label = "simulated" if number == 1 else f"simulated_{number}"
    return Case(label, counts, expectation, geometry, truth, chosen.gap_width_px, chosen.offset_px)


def measured(settings: ReconstructSettings, scan: Path) -> Case:
    """A measured scan around its brightest voxel; the object behind it is not known.

    The scan does not tell its geometry: lengths are those of the settings, and only ratios of strain errors mean
    something.
    """
    chosen = settings.retrieval
    with storage.read(scan) as file:
        counts = storage.array(file, "data").astype(float)
    peak = np.unravel_index(int(np.argmax(counts)), counts.shape)
    counts = counts[_middle(counts, chosen.box_px, scan, [int(p) for p in peak])]
    geometry = objects.geometry(settings, 1.0)
    return Case("measured", counts, counts, geometry, None, chosen.gap_width_px, chosen.offset_px)


def _middle(array: np.ndarray, box: int, path: Path, centre: Sequence[int] | None = None) -> tuple[slice, ...]:
    if min(array.shape) < box:
        raise BraggfillError(
            f"reconstruct.retrieval.box_px: {box} is more than the {min(array.shape)} voxels of the pattern in {path}; "
            "lower it"
        )
    centre = [n // 2 for n in array.shape] if centre is None else centre
    return tuple(objects.span(c, box, n) for c, n in zip(centre, array.shape, strict=True))


def store(group: h5py.Group, case: Case, filled: dict[str, Filled]) -> None:
    """Write a case and its fillings: ``counts``, ``expectation``, ``truth``, and ``filled/<method>``,
    ``sigma/<method>`` over the voxels of the gap in their order; what a correction to a finite crystal came to are
    attributes of ``filled/<method>``."""
    for name, array in (("counts", case.counts), ("expectation", case.expectation), ("truth", case.truth)):
        if array is not None:
            group.create_dataset(name, data=array, compression="gzip", compression_opts=1, shuffle=True)
    mask = case.mask
    for method, one in filled.items():
        group[f"filled/{method}"] = one.data[mask].astype(float)
        group[f"sigma/{method}"] = one.sigma[mask].astype(float)
        if one.finite is not None:
            told = {name: getattr(one.finite, name) for name in FINITE}
            group[f"filled/{method}"].attrs.update({f"finite_{name}": value for name, value in told.items()})
    group.attrs.update(
        gap_px=case.gap_px,
        offset_px=case.offset_px,
        d_spacing_angstrom=case.geometry.d_spacing_angstrom,
        voxel_angstrom=case.geometry.voxel_angstrom,
        direction=case.geometry.direction,
        layers=case.geometry.layers,
    )


def restore(group: h5py.Group) -> tuple[Case, dict[str, Filled]]:
    """A case that :func:`store` wrote, and its fillings."""
    attrs: dict[str, Any] = dict(group.attrs)
    geometry = objects.Geometry(
        float(attrs["d_spacing_angstrom"]),
        tuple(attrs["voxel_angstrom"]),
        tuple(attrs["direction"]),
        int(attrs["layers"]),
    )
    truth = storage.array(group, "truth") if "truth" in group else None
    counts, expectation = storage.array(group, "counts"), storage.array(group, "expectation")
    row, column = (int(o) for o in attrs["offset_px"])
    case = Case(group.name.strip("/"), counts, expectation, geometry, truth, int(attrs["gap_px"]), (row, column))
    mask = case.mask
    filled = {}
    for method in group.get("filled", ()):
        data, sigma = counts.copy(), np.full(counts.shape, np.nan)
        data[mask], sigma[mask] = group[f"filled/{method}"][...], group[f"sigma/{method}"][...]
        told = group[f"filled/{method}"].attrs
        finite = None
        if f"finite_{FINITE[0]}" in told:
            finite = Finite(data[mask], *(float(told[f"finite_{name}"]) for name in FINITE))
        filled[method] = Filled(data, mask, sigma, finite)
    return case, filled
