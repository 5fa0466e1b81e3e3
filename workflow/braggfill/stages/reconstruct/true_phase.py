r"""Real space with the true phase: what a gap does to an object, and what is left of it once the gap is filled.

The object's amplitude :math:`A = \mathrm{FT}[O]` loses a cross; from what is left or filled in, :math:`I`, comes
:math:`\mathrm{FT}^{-1}[\sqrt{I}\, e^{i \arg A}]`.  An object reconstructed from a measurement gets the phase zero
first, so that all phase and all strain in the result are errors; simulated, relaxed particles keep their own phase, and
what differs from it is the error.

Source: paper section 2.6.1 and Fig. 7, supplement S7 (Figs 15 to 18), thesis 3.8 (Figs 3.18 to 3.23).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.filling import methods
from braggfill.physics import fourier, support
from braggfill.runs import storage
from braggfill.settings.reconstruct import ReconstructSettings
from braggfill.stages.reconstruct import objects

SHOWN = 4.0
"""The case whose objects are kept is the one whose oversampling comes nearest to this."""
ENOUGH = 2.0
"""Oversampling along each axis that a simulated pattern should have."""

TRUE_PHASE_COLUMNS = [
    "oversampling",
    "gap_px",
    "method",
    "phase_std_rad",
    "phase_std_factor",
    "strain_rmse",
    "strain_rmse_factor",
    "mean_strain",
    "strain_std",
    "displacement_rms_pm",
    "displacement_max_pm",
    "modulus_rmse",
    "inhomogeneity",
    "outside_share",
    "oversampling_0",
    "oversampling_1",
    "oversampling_2",
    "zoom",
    "box_px",
]
PARTICLE_COLUMNS = [
    "particle",
    "view",
    "element",
    "shape",
    *(name for name in TRUE_PHASE_COLUMNS if name not in ("oversampling", "zoom")),
]
MEANS = ("phase_std_rad", "phase_std_factor", "strain_rmse", "strain_rmse_factor", "mean_strain", "displacement_rms_pm")
"""What is averaged over particles."""
MEAN_COLUMNS = ["gap_px", "method", "particles", *(f"{name}_{kind}" for name in MEANS for kind in ("mean", "std"))]


def true_phase(
    settings: ReconstructSettings, seed: int, obj: Path, model: Path, out: Path, table: Path, code: str = ""
) -> None:
    """Objects from the pattern whole, with a cross gap, and filled, for each oversampling and gap width.

    ``table``: one row for each oversampling, width and method (``gap`` is left empty; width 0, method ``whole``, is
    untouched).  ``oversampling`` is the one that was asked for, ``oversampling_0`` … what came of it along each axis,
    with the object resampled by ``zoom`` and padded to ``box_px``.  Other columns: see
    :func:`braggfill.stages.reconstruct.objects.compare`; the factors say how many times lower than with the gap.

    ``out``: of the oversampling nearest to 4 groups ``truth``, ``whole`` and ``gap-03/<method>`` …, see
    :func:`braggfill.stages.reconstruct.objects.write`.

    Raises
    ------
    BraggfillError : a file is missing or damaged, or the object or the gap does not fit the box.
    """
    import pandas
    from tqdm import tqdm

    chosen = settings.true_phase
    reason = storage.left_out(obj)
    rows: list[dict[str, Any]] = []
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=reason) as file:
        if reason is None:
            given = objects.load(obj)
            shown = min(chosen.oversamplings, key=lambda value: abs(value - SHOWN))
            number = len(chosen.gap_widths_px) * (1 + len(methods.available(chosen.methods))) + 1
            total = number * len(chosen.oversamplings)
            with tqdm(total=total, desc="reconstruct", unit="object", disable=None, leave=False) as bar:
                for oversampling in chosen.oversamplings:
                    truth, zoom = objects.sampled(
                        given,
                        oversampling=oversampling,
                        zoom=chosen.zoom,
                        box=chosen.box_px,
                        threshold=chosen.support_threshold,
                        keep_phase=False,
                    )
                    geometry = objects.geometry(settings, zoom)
                    about = {"oversampling": oversampling, "zoom": zoom, "box_px": truth.shape[0]}
                    keep = file if oversampling == shown else None
                    for row in _cases(settings, truth, truth != 0, geometry, chosen.gap_widths_px, model, keep):
                        rows.append({**about, **row})
                        bar.update()
    storage.write_table(table, pandas.DataFrame(rows), columns=TRUE_PHASE_COLUMNS)


def particles(
    settings: ReconstructSettings,
    seed: int,
    patterns: Sequence[Path],
    model: Path,
    table: Path,
    means: Path,
    chosen: Sequence[int] = (),
    code: str = "",
) -> None:
    """The same for simulated, relaxed particles with the true phase of their own.

    A particle's object is the inverse transform of its whole amplitude as ``scatter`` made it; what the pattern with
    gap or filling gives is compared with it inside its support.  Of a particle's views the first one whose oversampling
    is at least 2 along each axis is taken, else the one that comes nearest to it.

    Parameters
    ----------
    patterns : files from ``scatter`` that hold the particles.
    chosen : the particles' numbers.

    ``table``: one row for each particle, width and method, columns as of :func:`true_phase`.  ``means``: mean and
    standard deviation over the particles for each width and method.

    Raises
    ------
    BraggfillError : a file is missing or damaged or does not hold a particle, or the gap does not fit the pattern.
    """
    import pandas
    from tqdm import tqdm

    rows: list[dict[str, Any]] = []
    for particle in tqdm(chosen, desc="reconstruct", unit="particle", disable=None, leave=False):
        amplitude, attrs = _pattern(patterns, particle)
        obj = fourier.inverse(amplitude.astype(complex))
        inside = support.from_modulus(obj, settings.true_phase.support_threshold)
        geometry = objects.geometry_of(attrs, obj.shape, settings.surface_layers)
        about = {name: attrs[name] for name in ("element", "shape")}
        about |= {"particle": particle, "view": int(attrs["view"]), "box_px": obj.shape[0]}
        widths = settings.true_phase.particle_gap_widths_px
        rows += [{**row, **about} for row in _cases(settings, obj, inside, geometry, widths, model)]
    found = pandas.DataFrame(rows, columns=PARTICLE_COLUMNS)
    storage.write_table(table, found, columns=PARTICLE_COLUMNS)
    storage.write_table(means, averaged(found), columns=MEAN_COLUMNS)


def averaged(rows: Any) -> Any:
    """Mean and standard deviation over the particles for each width and method, a pandas table."""
    import pandas

    found = []
    for (width, method), part in rows.groupby(["gap_px", "method"], sort=False):
        row: dict[str, Any] = {"gap_px": width, "method": method, "particles": len(part)}
        for name in MEANS:
            row |= {f"{name}_mean": part[name].mean(), f"{name}_std": part[name].std(ddof=0)}
        found.append(row)
    return pandas.DataFrame(found, columns=MEAN_COLUMNS)


def _pattern(patterns: Sequence[Path], particle: int) -> tuple[np.ndarray, dict[str, Any]]:
    """A particle's amplitude and what is known about it, in the view that is best to take."""
    for path in patterns:
        with storage.read(path) as file:
            views = file.get(f"{particle:06d}")
            if views is None:
                continue
            least = {view: float(np.min(views[view].attrs["oversampling"])) for view in sorted(views)}
            best = max(least, key=lambda view: min(least[view], ENOUGH))
            return storage.array(views[best], "amplitude"), dict(views[best].attrs)
    where = patterns[0] if patterns else "scatter"
    raise BraggfillError(f"{where}: does not hold particle {particle:06d}; make it again")


def _cases(
    settings: ReconstructSettings,
    obj: np.ndarray,
    inside: np.ndarray,
    geometry: objects.Geometry,
    widths: Sequence[int],
    model: Path,
    file: Any = None,
) -> Iterator[dict[str, Any]]:
    """Rows for one object: whole, and for each width with gap and filled; objects go to ``file``, if one is given."""
    chosen = settings.true_phase
    amplitude = fourier.forward(obj)
    scale = np.sqrt(chosen.photons_at_peak) / np.abs(amplitude).max()
    amplitude, obj = amplitude * scale, obj * scale
    intensity = np.abs(amplitude) ** 2
    peak = [int(i) for i in np.unravel_index(int(np.argmax(intensity)), intensity.shape)]
    phase = np.divide(amplitude, np.abs(amplitude), out=np.ones_like(amplitude), where=amplitude != 0)
    truth = objects.fields(obj, inside, geometry)
    if file is not None:
        objects.write_truth(file.create_group("truth"), truth, intensity, inside, geometry)
    sampling = {f"oversampling_{axis}": value for axis, value in enumerate(support.oversampling(inside))}

    def one(name: str, width: int, pattern: np.ndarray, gap: dict[str, Any] | None = None) -> dict[str, Any]:
        found = objects.fields(fourier.inverse(np.sqrt(pattern) * phase), inside, geometry)
        row = {"gap_px": width, "method": name, **objects.compare(found, truth, inside, geometry), **sampling}
        if gap is not None:
            for figure in ("phase_std_rad", "strain_rmse"):
                factor = gap[figure] / row[figure] if row[figure] else float("inf")
                row[figure.removesuffix("_rad") + "_factor"] = factor
        if file is not None:
            group = file.create_group(f"gap-{width:02d}/{name}" if width else name)
            objects.write(group, found, pattern, inside)
            group.attrs.update({k: v for k, v in row.items() if k != "method"})
        return row

    yield one("whole", 0, intensity)
    for width in widths:
        mask = objects.cross(intensity.shape, width, chosen.offset_px, peak)
        empty = np.where(mask, 0, intensity)
        gap = one("gap", width, empty)
        yield gap
        for method in methods.available(chosen.methods):
            yield one(method, width, objects.fill(empty, mask, method, model, settings).data, gap)
