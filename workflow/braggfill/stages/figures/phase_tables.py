"""The tables of the chapter on phases, made ready for reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from braggfill.phasing.score import RIGHT
from braggfill.stages.figures.phase_networks import KINDS, METHODS, NETWORKS
from braggfill.stages.figures.phase_patches import GUESSES, WAYS
from braggfill.stages.figures.table import Table, figures, number, percent, read, whole

MEASURED, REFINED, TRAINED = "Measured scans", "Refinement of a network's object", "Networks for whole patterns"
ASSESSED, PATCHES, PUBLISHED = "How right the network is", "Phases of patches", "Comparison with published results"
"""Headings within the chapter."""


def every(folder: Path) -> list[Table | None]:
    """All of them; None where a run has none."""
    return [
        table(folder) for table in (_measured, _refined, _compared, _assessed, _versus, _patches, _claims)
    ]  # fmt: skip


def _measured(folder: Path) -> Table | None:
    table = read(folder / "phase/measured.csv")
    if table is None:
        return None
    rows = []
    for row in table.itertuples():
        rows.append(
            [row.scan, row.verdict, row.shape, figures(row.photons, 2), f"{row.chosen} of {row.starts}",
             number(row.agreement), f"{figures(row.llk_free, 3)} ({figures(row.llk_expected, 2)})",
             number(row.phase_spread_rad, 2), number(row.resolution_voxels, 1), number(row.oversampling, 1),
             figures(row.strain_rms * 1e4, 3), number(row.cpu_seconds, 0)]
        )  # fmt: skip
    head = ["scan", "verdict", "voxels", "photons", "starts in use", "agreement", "free log-likelihood (noise alone)"]
    head += ["phase spread (rad)", "resolution (voxels)", "oversampling", "strain, rms (10⁻⁴)", "CPU time (s)"]
    note = (
        "As `braggfill phase` gives them. Agreement: mean correlation with the best start; free log-likelihood: "
        "Poisson "
        "deviance per voxel of voxels kept out, in brackets what counting noise alone gives; resolution: where the "
        "PRTF "
        "falls below 1/e; strain only where the geometry is known."
    )
    failed = [place for place, word in enumerate(table.verdict) if word == "failed"]
    return Table("Measured scans, phased", head, rows, note, "phase/measured.csv", 2, [], failed, MEASURED)


def _refined(folder: Path) -> Table | None:
    table = read(folder / "phase/refine.csv")
    if table is None:
        return None
    rows: list[list[str]] = []
    marks, failed = [], []
    for row in table.itertuples():
        if rows and rows[-1][0] != row.case:
            marks.append(len(rows))
        if row.accuracy < RIGHT and row.method != "network":
            failed.append(len(rows))
        engine = "" if not isinstance(row.engine, str) else {"pynx": "PyNX"}.get(row.engine, row.engine)
        rows.append(
            [row.case, METHODS[row.method], engine, whole(row.runs), number(row.accuracy), figures(row.mismatch, 3),
             figures(row.llk_free, 3), number(row.seconds, 1), number(row.cpu_seconds, 1)]
        )  # fmt: skip
    head = ["object", "by", "engine", "runs", "accuracy", "mismatch", "free log-likelihood", "time (s)", "CPU time (s)"]
    note = (
        "Thesis, Table 4.2: 227 and 124 s for 60 runs of PyNX on GPUs, 3.0 and 2.2 s for the network, 4.7 and 3.1 s "
        "for "
        "network and one run. Accuracy: Eq. 4.5; right is 0.95, other refined objects stand out. Mismatch: Fig. 4.42. "
        "The time of network and run includes the network's."
    )
    return Table("Network and one run against many runs", head, rows, note, "phase/refine.csv", 3, marks, failed,
                 REFINED)  # fmt: skip


def _compared(folder: Path) -> Table | None:
    table = read(folder / "phase/compared.csv")
    if table is None:
        return None
    rows = []
    for name in (name for name in NETWORKS if (table.network == name).any()):
        part = table[table.network == name]
        curve = read(folder / f"phase/learn/{name}.csv")
        best = "–" if curve is None else number(curve.wca.min())
        rows.append(
            [NETWORKS[name], whole(part.parameters.iloc[0]), best,
             f"{number(part.accuracy.mean())} ± {number(part.accuracy.std(), 3)}",
             percent(float((part.accuracy >= RIGHT).mean())), number(part.cpu_seconds.mean(), 2)]
        )  # fmt: skip
    head = ["network", "parameters", "WCA, validation", "accuracy of objects", "right (≥ 0.95)", "CPU time (s)"]
    note = (
        f"Trained on the same patterns, judged on the same {table.pattern.nunique()} others. WCA: weighted coherent "
        "average of the phase's error, 0 is right. Accuracy: Eq. 4.5, of objects with the predicted phase and the "
        "measured amplitude; ± standard deviation over patterns."
    )
    return Table("Networks compared", head, rows, note, "phase/compared.csv", 1, part=TRAINED)


def _assessed(folder: Path) -> Table | None:
    table = read(folder / "phase/assess.csv")
    if table is None:
        return None
    part = table[table.study == "particles"]
    if not len(part):
        return None
    ranges = sorted(set(part.range_radians))
    ranges = ranges if len(ranges) <= 6 else [ranges[round(i)] for i in np.linspace(0, len(ranges) - 1, 6)]
    rows = []
    for (kind, method), lines in part.groupby(["kind", "method"], sort=False):
        cells = [KINDS.get(kind, kind), METHODS[method]]
        for span in ranges:
            values = lines[lines.range_radians == span].accuracy
            cells.append(f"{number(values.mean(), 2)} ± {number(values.std(), 2)}" if len(values) > 1
                         else number(values.mean(), 2))  # fmt: skip
        rows.append(cells)
    head = ["phase field", "by", *(f"{span / np.pi:.1f}π" for span in ranges)]
    note = (
        f"Accuracy (Eq. 4.5) of the {table.network.iloc[0]} network's objects, mean ± standard deviation over "
        f"{part.particle.nunique()} particles, by the range of the phase: thesis, Fig. 4.46."
    )
    return Table("Accuracy by kind and strength of the phase", head, rows, note, "phase/assess.csv", 2, part=ASSESSED)


def _versus(folder: Path) -> Table | None:
    table = read(folder / "phase/assess.csv")
    if table is None:
        return None
    part = table[table.study == "compared"]
    if not len(part):
        return None
    rows: list[list[str]] = []
    marks = []
    for kind in (kind for kind in KINDS if (part.kind == kind).any()):
        own = part[part.kind == kind]
        best = own.pivot_table("accuracy", "range_radians", "method")
        if rows:
            marks.append(len(rows))
        for method in (name for name in METHODS if name in best):
            line = own[own.method == method]
            first = int((best[method] >= best.max(axis=1)).sum())
            rows.append(
                [KINDS[kind], METHODS[method], number(line.accuracy.mean()),
                 f"{int((line.accuracy >= RIGHT).sum())} of {len(line)}", f"{first} of {len(line)}",
                 number(line.cpu_seconds.mean(), 1)]
            )  # fmt: skip
    head = ["phase field", "by", "accuracy, mean", "right (≥ 0.95)", "the most accurate", "CPU time (s)"]
    note = "One particle under ever stronger phases: thesis, Figs 4.47 to 4.49."
    return Table("Network, random runs, network and run", head, rows, note, "phase/assess.csv", 2, marks, part=ASSESSED)


def _patches(folder: Path) -> Table | None:
    import pandas as pd

    found = [table for strain in ("low", "high") if (table := read(folder / f"phase/patches/{strain}.csv")) is not None]
    if not found:
        return None
    table = pd.concat(found)
    table = table.assign(guess=table.guess.fillna(""))
    rows: list[list[str]] = []
    marks, failed = [], []
    for (strain, guess, way), part in table.groupby(["strain", "guess", "way"], sort=False):
        if rows and rows[-1][0] != strain:
            marks.append(len(rows))
        alone = table[(table.strain == strain) & (table.way == "central")]
        central = alone[alone.guess == (guess if guess == "expected" else "")].accuracy.mean()
        if guess and way != "central" and part.accuracy.mean() <= central:
            failed.append(len(rows))
        told = "braggphase" if (guess, way) == ("expected", "central") else GUESSES.get(guess, "")
        said = {"central": "central patch alone", "truth": "true phase where patches reach"}.get(way) or WAYS[way]
        rows.append(
            [strain, said if guess or way in ("central", "truth") else way, told,
             number(part.accuracy.mean()), number(part.wca.mean()), percent(part.predicted_share.mean()),
             number(part.spike.mean(), 1)]
        )  # fmt: skip
    head = ["strain", "stitched", "outer network", "accuracy", "WCA", "of the voxels", "modulus at centre / median"]
    note = (
        f"Means over {table.pattern.nunique()} patterns that no network has seen. Ways that are not ahead of the "
        "central "
        "patch alone stand out: thesis, sections 4.6.5 and 4.7. The last column: the peak that wrong phases leave "
        "(Fig. 4.24)."
    )
    return Table("Stitched phases", head, rows, note, "phase/patches/", 3, marks, failed, PATCHES)


def _claims(folder: Path) -> Table | None:
    table = read(folder / "phase/summary.csv")
    if table is None:
        return None
    rows: list[list[Any]] = [
        [row.claim, row.source.removeprefix("thesis, "), str(row.published), str(row.ours), row.holds]
        for row in table.itertuples()
    ]
    failed = [place for place, held in enumerate(table.holds) if held != "yes"]
    note = (
        "Masto, thesis. Where only a sentence or a figure was published, the trend is compared. Published “an idea” or "
        "“fails”: a comparison of our own. Times of fewer random runs are scaled to the 60 of Table 4.2."
    )
    head = ["statement", "source", "published", "this run", "holds"]
    return Table("Comparison with published results: phases in three dimensions", head, rows, note,
                 "phase/summary.csv", 5, [], failed, PUBLISHED)  # fmt: skip
