"""The tables of real space: with the true phase, after phase retrieval, and the map of treatments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from braggfill.stages.figures.style import NAMES
from braggfill.stages.figures.table import Table, figures, number, percent, read

CELL = ["oversampling", "photons_at_peak", "gap_px", "distance_px"]
"""What tells a cell of the map."""
TUNED = {"linear": "linear", "before": "the network", "after": "the network, fine-tuned"}


def judged(table: Any) -> Any:
    """The rows of those cells of ``map.csv`` in which a start converged without a gap."""
    return table[table.groupby(CELL).to_best.transform(lambda values: values.notna().any()).astype(bool)]


def every(folder: Path) -> list[Table | None]:
    """All of them, in the order of the report; None where a run has none."""
    drawn = (_true_phase, _particles, _retrieval, _verdict, _map, _finetune)
    return [table(folder) for table in drawn]


def said(name: Any) -> str:
    """A method or a treatment in words."""
    return NAMES.get(str(name), str(name))


def _true_phase(folder: Path) -> Table | None:
    table = read(folder / "reconstruct/true_phase.csv")
    if table is None:
        return None
    rows: list[list[str]] = []
    marks = []
    last = None
    for row in table.itertuples():
        sampling = " × ".join(number(getattr(row, f"oversampling_{axis}"), 1) for axis in range(3))
        if rows and (sampling, row.gap_px) != last and row.gap_px:
            marks.append(len(rows))
        last = (sampling, row.gap_px)
        rows.append(
            [
                sampling,
                f"{row.gap_px} px" if row.gap_px else "none",
                said(row.method),
                figures(row.phase_std_rad, 2),
                _times(row.phase_std_factor),
                figures(row.strain_rmse * 1e4, 3),
                _times(row.strain_rmse_factor),
                f"{figures(row.mean_strain * 1e4, 2)} ± {figures(row.strain_std * 1e4, 2)}",
                figures(row.displacement_rms_pm, 2),
                percent(row.outside_share),
            ]
        )
    head = ["oversampling", "cross", "filled by", "phase std (rad)", "lower by", "strain RMSE (10⁻⁴)", "lower by"]
    head += ["mean strain (10⁻⁴)", "displacement (pm)", "outside the particle"]
    note = (
        "Pt particle of a measurement, phase zero, true phase of the amplitude; oversampling along each axis. "
        "“Lower by” compares with the gap left empty; published: phase 5 times lower "
        "at 9 px (paper, section 2.6.1). Displacement: root mean square along the scattering vector."
    )
    return Table("Real space with the true phase", head, rows, note, "reconstruct/true_phase.csv", 3, marks)


def _particles(folder: Path) -> Table | None:
    table = read(folder / "reconstruct/particles_mean.csv")
    if table is None:
        return None
    rows: list[list[str]] = []
    marks = []
    for row in table[table.gap_px > 0].itertuples():
        if rows and rows[-1][0] != f"{row.gap_px} px":
            marks.append(len(rows))
        cells = [f"{row.gap_px} px", said(row.method)]
        for name, factor, digits in (("phase_std_rad", 1.0, 2), ("strain_rmse", 1e4, 3)):
            cells.append(_mean_std(row, name, factor, digits))
            cells.append(_mean_std(row, f"{name.removesuffix('_rad')}_factor", 1.0, 2))
        cells += [_mean_std(row, "mean_strain", 1e4, 2), _mean_std(row, "displacement_rms_pm", 1.0, 2)]
        rows.append(cells)
    head = ["cross", "filled by", "phase error (rad)", "lower by", "strain RMSE (10⁻⁴)", "lower by"]
    head += ["mean strain (10⁻⁴)", "displacement (pm)"]
    number_of = int(table.particles.max())
    note = (
        f"{number_of} simulated, relaxed particles that the network was not trained on, each with the true phase of "
        "its own amplitude and compared with its own object; mean ± standard deviation over the particles. The mean "
        "strain is that of the particle against the perfect lattice."
    )
    return Table("Relaxed particles with the true phase", head, rows, note, "reconstruct/particles_mean.csv", 2, marks)


def _mean_std(row: Any, name: str, factor: float, digits: int) -> str:
    mean, std = getattr(row, f"{name}_mean") * factor, getattr(row, f"{name}_std") * factor
    return f"{figures(mean, digits)} ± {figures(std, digits)}" if np.isfinite(mean) else "–"


def _times(value: float) -> str:
    return f"{value:.1f} ×" if np.isfinite(value) else "–"


def _retrieval(folder: Path) -> Table | None:
    table = read(folder / "reconstruct/retrieval.csv")
    if table is None:
        return None
    rows: list[list[str]] = []
    marks = []
    for row in table.itertuples():
        sampling = " × ".join(number(getattr(row, f"oversampling_{axis}"), 1) for axis in range(3))
        about = f"{row.case}, {int(row.gap_px)} px, oversampling {sampling}"
        if rows and rows[-1][0] != about:
            marks.append(len(rows))
        against = "truth" if row.reference == "truth" else "the whole pattern's"
        cells = [about, said(row.treatment), against, f"{row.starts_converged} of {row.starts}"]
        if str(row.converged) == "True":
            cells += [figures(row.phase_rmse_rad, 2), figures(row.start_std_rad, 2)]
            cells += [figures(row.strain_rmse * 1e4, 3), number(row.inhomogeneity, 3)]
            cells += [number(row.gap_intensity_ratio, 2), figures(row.llk_free, 3), number(row.seconds, 0)]
        else:
            cells += [str(row.problem), *["–"] * 5, number(row.seconds, 0)]
        rows.append(cells)
    head = ["case", "gap", "against", "converged", "phase error (rad)", "between starts", "strain error (10⁻⁴)"]
    head += ["modulus, standard deviation / mean", "intensity in gap / true", "free −log likelihood", "seconds"]
    note = (
        "Of the starts of each treatment the best by the likelihood of voxels kept out of the phasing. Between "
        "starts: how far the phases of the two best starts differ; smaller differences between treatments mean little. "
        "A start has not converged if its support diverged or its likelihood is far from the best one's."
    )
    return Table("Phase retrieval", head, rows, note, "reconstruct/retrieval.csv", 3, marks)


def _verdict(folder: Path) -> Table | None:
    """What the map says about each treatment, over all cells."""
    table = read(folder / "reconstruct/map.csv")
    if table is None:
        return None
    cells = len(table[CELL].drop_duplicates())
    table = judged(table)
    number_of = len(table[CELL].drop_duplicates())
    rows = []
    for name, part in table[table.treatment != "whole"].groupby("treatment", sort=False):
        good = part[part.strain_rmse.notna()]
        rows.append(
            [
                said(name),
                f"{int(good.best.astype(str).eq('True').sum())} of {number_of}",
                number(float(np.exp(np.log(good.to_best).mean())), 2),
                number(good.to_best.max(), 2),
                number(float(np.exp(np.log(good.to_whole).mean())), 2),
                f"{int((good.to_whole <= 1.2).sum())} of {number_of}",
                f"{int(good.starts_converged.sum())} of {int(good.starts.sum())}",
            ]
        )
    head = ["gap", "lowest strain error", "to the better of free and filled", "at the worst", "to no gap"]
    head += ["within 20 % of no gap", "starts converged"]
    note = (
        "Strain errors after phase retrieval, as ratios: geometric means over the cells of the map (gap width × "
        "distance from the peak × photons × oversampling)."
    )
    if number_of < cells:
        note += f" {cells - number_of} of {cells} cells are not judged: there no start converged even without a gap."
    return Table("Fill or free: the treatments over the map", head, rows, note, "reconstruct/map.csv", 1)


def _map(folder: Path) -> Table | None:
    table = read(folder / "reconstruct/map.csv")
    if table is None:
        return None
    treatments = [name for name in dict.fromkeys(table.treatment) if name != "whole"]
    rows = []
    for (sampling, photons, width, distance), part in table.groupby(CELL, sort=False):
        error = dict(zip(part.treatment, part.strain_rmse, strict=True))
        best = min((n for n in treatments if np.isfinite(error.get(n, np.nan))), key=error.__getitem__, default="")
        row = [number(sampling, 1), figures(photons, 1), f"{width} px", f"{distance} px"]
        row += [figures(error.get("whole", np.nan) * 1e4, 3)]
        row += [figures(error.get(name, np.nan) * 1e4, 3) for name in treatments]
        lowest = said(best) if best and part.to_best.notna().any() else "not judged" if best else "–"
        rows.append([*row, lowest])
    head = ["oversampling", "photons at peak", "cross", "from the peak", "no gap", *map(said, treatments), "lowest"]
    note = "Strain error (10⁻⁴) of the reconstructed object with its own phase, after phase retrieval, in each cell."
    return Table("Fill or free: every cell of the map", head, rows, note, "reconstruct/map.csv", 0)


def _finetune(folder: Path) -> Table | None:
    table = read(folder / "reconstruct/finetune.csv")
    if table is None:
        return None
    rows: list[list[str]] = []
    marks = []
    for row in table.itertuples():
        about = f"{row.case}, {int(row.gap_px)} px, {int(row.distance_px)} px from the peak"
        if rows and rows[-1][0] != about:
            marks.append(len(rows))
        cells = [about, TUNED[row.method], number(row.pcc, 3), number(row.ceiling, 3), number(row.amplitude_error, 3)]
        cells.append(number(row.pcc_held, 3))
        if row.method == "after" and np.isfinite(row.finetune_seconds):
            kept = "kept" if str(row.kept) == "True" else "refused"
            cells += [f"{row.pcc_held_gain_low:+.3f} to {row.pcc_held_gain_high:+.3f}, {kept}"]
            cells += [f"{int(row.patches)} × {int(row.epochs)}", number(row.finetune_seconds, 0)]
        else:
            cells += [row.problem if isinstance(row.problem, str) and row.method == "after" else "", "", ""]
        rows.append(cells)
    head = ["scan, gap", "filled by", "PCC in the gap", "ceiling", "amplitude error", "PCC, set apart"]
    head += ["gain, 95 % interval", "patches × epochs", "seconds"]
    note = (
        "PCC of log(1 + counts). Set apart: artificial gaps in a slab of the scan from which no patch is taken; a "
        "network that does not surely gain there is refused. Published: 2 to 5 epochs of 6,400 patches in 1 to 2 min "
        "on a GPU (paper, section 2.7)."
    )
    return Table("Fine-tuning on the scan itself", head, rows, note, "reconstruct/finetune.csv", 2, marks)
