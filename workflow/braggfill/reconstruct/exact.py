r"""Real space with the true phase: what a gap does to an object, and what is left of it once the gap is filled.

The object, reconstructed from a measurement, gets the phase zero.  Its amplitude :math:`A = \mathrm{FT}[O]` loses a
cross; from what is left or filled in, :math:`I`, comes :math:`\mathrm{FT}^{-1}[\sqrt{I}\, e^{i \arg A}]`.  All phase
and all strain in it are errors.

Source: paper section 2.6.1 and Fig. 7, supplement S7 (Figs 15 to 18), thesis 3.8 (Figs 3.18 to 3.23).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from braggfill import fourier, networks, storage, strain
from braggfill.reconstruct import objects
from braggfill.settings.reconstruct import ReconstructSettings

TRUE_PHASE_COLUMNS = [
    "gap_px",
    "method",
    "phase_std_rad",
    "phase_std_factor",
    "strain_rmse",
    "strain_rmse_factor",
    "mean_strain",
    "strain_spread",
    "displacement_rms_pm",
    "displacement_max_pm",
    "modulus_rmse",
    "inhomogeneity",
    "outside_share",
    "oversampling_0",
    "oversampling_1",
    "oversampling_2",
]


def true_phase(
    settings: ReconstructSettings, seed: int, obj: Path, model: Path, out: Path, table: Path, code: str = ""
) -> None:
    """Objects from the pattern whole, with a cross gap, and filled, for each gap width.

    ``table``: one row for each width and method (``gap`` is left empty; width 0, method ``whole``, is untouched).
    Columns: see :func:`braggfill.reconstruct.objects.compare`; the factors say how many times lower than with the gap.

    ``out``: groups ``truth``, ``whole`` and ``gap-03/<method>`` …, see :func:`braggfill.reconstruct.objects.write`.

    Raises
    ------
    BraggfillError : a file is missing or damaged, or the object or the gap does not fit the box.
    """
    import pandas

    chosen = settings.true_phase
    reason = storage.left_out(obj)
    rows: list[dict[str, Any]] = []
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=reason) as file:
        if reason is None:
            truth = objects.prepare(
                objects.load(obj),
                zoom=chosen.zoom,
                box=chosen.box_px,
                threshold=chosen.support_threshold,
                keep_phase=False,
            )
            rows = _cases(settings, truth, model, file)
    storage.write_table(table, pandas.DataFrame(rows), columns=TRUE_PHASE_COLUMNS)


def _cases(settings: ReconstructSettings, obj: np.ndarray, model: Path, file: Any) -> list[dict[str, Any]]:
    from tqdm import tqdm

    chosen = settings.true_phase
    inside = obj != 0
    geometry = objects.Geometry(
        settings.d_spacing_angstrom,
        (settings.voxel_nm * 10 / chosen.zoom,) * 3,
        tuple(np.eye(3)[settings.strain_axis]),
        settings.surface_layers,
    )
    amplitude = fourier.forward(obj)
    scale = np.sqrt(chosen.photons_at_peak) / np.abs(amplitude).max()
    amplitude, obj = amplitude * scale, obj * scale
    intensity = np.abs(amplitude) ** 2
    phase = np.divide(amplitude, np.abs(amplitude), out=np.ones_like(amplitude), where=amplitude != 0)
    truth = objects.fields(obj, inside, geometry)
    objects.write_truth(file.create_group("truth"), truth, intensity, inside, geometry)
    sampling = {f"oversampling_{axis}": value for axis, value in enumerate(strain.oversampling(inside))}

    def one(name: str, width: int, pattern: np.ndarray, gap: dict[str, Any] | None = None) -> dict[str, Any]:
        found = objects.fields(fourier.inverse(np.sqrt(pattern) * phase), inside, geometry)
        group = file.create_group(f"gap-{width:02d}/{name}" if width else name)
        objects.write(group, found, pattern, inside)
        row = {"gap_px": width, "method": name, **objects.compare(found, truth, inside, geometry), **sampling}
        for figure in ("phase_std_rad", "strain_rmse") if gap else ():
            row[figure.removesuffix("_rad") + "_factor"] = gap[figure] / row[figure] if row[figure] else float("inf")
        group.attrs.update({k: v for k, v in row.items() if k != "method"})
        return row

    methods = networks.at_hand(chosen.methods)
    rows = [one("whole", 0, intensity)]
    number = len(chosen.gap_widths_px) * (1 + len(methods))
    with tqdm(total=number, desc="reconstruct", unit="object", disable=None, leave=False) as bar:
        for width in chosen.gap_widths_px:
            mask = objects.cross(intensity.shape, width, chosen.offset_px)
            empty = np.where(mask, 0, intensity)
            gap = one("gap", width, empty)
            rows.append(gap)
            bar.update()
            for method in methods:
                rows.append(one(method, width, objects.fill(empty, mask, method, model, settings), gap))
                bar.update()
    return rows
