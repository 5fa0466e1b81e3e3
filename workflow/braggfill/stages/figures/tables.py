"""The tables of a run's folder, made ready for reading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.runs import storage
from braggfill.stages.figures import style, sweep_tables
from braggfill.stages.figures.style import NAMES
from braggfill.stages.figures.table import Table, figures, number, percent, read, whole

PUBLISHED_PX = (3, 6, 9, 12)
"""Widths that a long table is cut down to."""


def simulation(folder: Path) -> list[Table | None]:
    """Tables of the simulation; None where a run has none."""
    return [_particles(folder), _scatter(folder), _realism(folder)]


def gaps(folder: Path) -> list[Table | None]:
    """Tables of the accuracy in gaps; None where a run has none."""
    found = [
        _accuracy(folder, "measured", "Patches of the measured scan"),
        _accuracy(folder, "simulated", "Test patches of simulated patterns"),
        sweep_tables.oversampling(folder),
        sweep_tables.position(folder),
        _cases(folder),
        sweep_tables.gaps(folder),
        sweep_tables.skip(folder),
        _calibration(folder),
    ]
    return [*(table and replace(table, part="Accuracy") for table in found), *sweep_tables.claims(folder)]


def _accuracy(folder: Path, name: str, title: str) -> Table | None:
    table = read(folder / f"evaluate/{name}.csv")
    if table is None:
        return None
    measured = name == "measured"
    if table.gap_px.nunique() > 6:
        table = table[table.gap_px.isin(PUBLISHED_PX)]
    first = "gap_axis" if measured else "against"
    methods = style.methods(table)
    head = ["gap across" if measured else "against", "patches", "gap", "number"]
    head += [f"{NAMES[m]}" for m in methods] + ["ceiling", "recovered"]
    head += ["mean of bins", "published"] if measured else []
    rows, marks, last = [], [], None
    order = {name: i for i, name in enumerate(dict.fromkeys([*table[first], *table.selection]))}
    parts = list(table.groupby([first, "selection", "gap_px"], sort=False))
    for (group, selection, width), part in sorted(parts, key=lambda p: (order[p[0][0]], order[p[0][1]], p[0][2])):
        by = {row.method: row for row in part.itertuples()}
        top = by.get("network", next(iter(by.values())))
        if last is not None and (group, selection) != last:
            marks.append(len(rows))
        last = (group, selection)
        said = "all" if selection == "all" else f"≥ {selection.removeprefix('ge')} / voxel"
        row = [f"axis {group}" if measured else str(group), said, f"{width} px", f"{top.patches}"]
        row += [_with_interval(by[m]) if m == "network" else number(by[m].pcc_mean) for m in methods]
        row += [number(top.ceiling), percent(top.recovered_fraction)]
        row += [number(top.pcc_binned), number(top.published)] if measured else []
        rows.append(row)
    note = (
        "PCC of log(1 + photons) over the gap, mean over the patches, for the network with its bootstrap 95 % "
        "interval. Ceiling: what a perfect prediction could reach against these counts. Recovered: fraction of "
        "the difference between linear interpolation and ceiling that the network recovers."
    )
    note += " Widths from 1 to 16 are in the figure and in the file." if measured else ""
    if measured:
        note += (
            " Mean of bins: the network's, averaged as the published figures were (paper, Table 1), which belong to "
            "other data. A vertical gap, as in the paper, is one across axis 2."
        )
    return Table(title, head, rows, note, f"evaluate/{name}.csv", 2, marks)


def _with_interval(row: Any) -> str:
    return f"{number(row.pcc_mean)} [{number(row.pcc_low)}, {number(row.pcc_high)}]"


def _cases(folder: Path) -> Table | None:
    table = read(folder / "evaluate/cases.csv")
    if table is None:
        return None
    methods = style.methods(table)
    order = {name: i for i, name in enumerate(dict.fromkeys(table.case))}
    rows = []
    for case, part in sorted(table.groupby("case", sort=False), key=lambda pair: order[pair[0]]):
        by = {row.method: row for row in part.itertuples()}
        top = by.get("network", next(iter(by.values())))
        row = [str(case), whole(top.voxels)]
        row += [number(by[m].pcc) if m in by else "–" for m in methods]
        row += [number(top.ceiling), percent(top.recovered_fraction), number(top.log_rmse, 2)]
        row += [number(top.photons_ratio, 2), percent(top.within_sigma), number(top.seconds, 1)]
        rows.append(row)
    head = ["gap", "voxels", *(NAMES[m] for m in methods), "ceiling", "recovered"]
    head += ["RMSE of log", "photons, filled / true", "within 1 σ", "seconds"]
    note = (
        "PCC over the whole gap in the measured scan, which holds dark and bright places at once. The last columns are "
        "the network's; within 1 σ: share of the voxels whose true counts lie within the standard deviation that it "
        "states (68 % if that is right)."
    )
    return Table("Whole gaps in the measured scan", head, rows, note, "evaluate/cases.csv")


def _calibration(folder: Path) -> Table | None:
    table = read(folder / "evaluate/calibration.csv")
    if table is None:
        return None
    levels = [level for level in (0.68, 0.95) if level in set(table.level)]
    rows, marks, last = [], [], None
    table = table[table.distribution == "counts"]
    for key, part in table.groupby(["source", "gap_axis", "method", "gap_px"], sort=False):
        source, axis, method, width = key
        if last is not None and (source, axis, method) != last:
            marks.append(len(rows))
        last = (source, axis, method)
        row = [f"{source}, axis {axis}", NAMES[method], f"{width} px"]
        for selection in ("all", "ge1"):
            for level in levels:
                found = part[(part.selection == selection) & (part.level == level)]
                row.append(_coverage(found.iloc[0]) if len(found) else "–")
        rows.append(row)
    head = ["patches, gap across", "network", "gap"]
    head += [f"{said}, {100 * level:g} %" for said in ("all voxels", "≥ 1 photon predicted") for level in levels]
    note = (
        "Share of the counts, in percent, within the intervals that follow from the stated uncertainty, and its "
        "bootstrap 95 % interval over the patches; right is the level in the head."
    )
    return Table("Coverage of the intervals", head, rows, note, "evaluate/calibration.csv", 2, marks)


def _coverage(row: Any) -> str:
    return f"{100 * row.coverage:.1f} [{100 * row.coverage_low:.1f}, {100 * row.coverage_high:.1f}]"


def _realism(folder: Path) -> Table | None:
    table = read(folder / "evaluate/realism.csv")
    if table is None:
        return None
    said = {
        "modulus_fwhm": "width (FWHM) of the histogram of the modulus",
        "empty_share": "share of the voxels with no photon",
        "radial_exponent": "exponent α of the decay, intensity ∝ q^−α",
    }
    rows = [
        [
            said.get(row.quantity, row.quantity),
            str(row.source),
            f"{row.patterns}",
            number(row.mean),
            f"{number(row.lowest)} … {number(row.highest)}",
            number(row.published),
        ]
        for row in table.itertuples()
    ]
    note = "Published values: supplement, S2.1 and Fig. S3, of other objects."
    head = ["quantity", "source", "number", "mean", "range", "published"]
    return Table("Simulated against measured", head, rows, note, "evaluate/realism.csv", 2)


def _scatter(folder: Path) -> Table | None:
    table = read(folder / "scatter/check.csv")
    if table is None:
        return None
    rows = []
    for row in table.itertuples():
        if not np.isfinite(row.max_error_relative):
            continue
        cells = [row.backend, row.against, whole(row.atoms), whole(row.voxels)]
        cells += [figures(row.max_error_relative, 2), figures(row.seconds, 2), figures(row.times_faster, 2)]
        rows.append([str(cell) for cell in cells])
    if not rows:
        return None
    note = (
        "One pattern of the run, by the non-uniform FFT, by PyNX's own scattering and by summing term by term. Error: "
        "largest modulus of the difference over the voxels compared, as a share of the pattern's largest modulus."
    )
    head = ["back end", "against", "atoms", "voxels compared", "largest error", "seconds", "times faster, a voxel"]
    return Table("Scattering checked by other means", head, rows, note, "scatter/check.csv", 2)


def relaxed(folder: Path) -> list[dict[str, Any]]:
    """Attributes of every relaxed particle."""
    found = []
    for path in storage.files(folder, "relax/chunk-[0-9]*.h5"):
        if storage.left_out(path) is None:
            with storage.read(path) as file:
                found += [dict(file[name].attrs) for name in sorted(file)]
    return found


def _particles(folder: Path) -> Table | None:
    groups: dict[str, list[dict[str, Any]]] = {}
    for attributes in relaxed(folder):
        groups.setdefault(str(attributes["shape"]), []).append(attributes)
    rows = []
    for shape, found in groups.items():
        atoms, steps, force = (
            [a.get(key, np.nan) for a in found] for key in ("n_atoms", "steps", "force_max_ev_per_angstrom")
        )
        elements = ", ".join(dict.fromkeys(str(a["element"]) for a in found))
        row = [shape, elements, f"{len(found)}", _range(atoms), _range(steps), figures(float(np.max(force)), 2)]
        rows.append(row)
    head = ["shape", "elements", "particles", "atoms", "steps", "largest force (eV/Å)"]
    note = "Steps and largest force left of the energy minimisation (LAMMPS, EAM potentials)."
    return Table("Particles", head, rows, note, "relax/", 2) if rows else None


def _range(values: Iterable[float]) -> str:
    low, high = min(values), max(values)
    return whole(low) if low == high else f"{whole(low)} … {whole(high)}"
