"""The tables on automatic differentiation, made ready for reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from braggfill.phasing.score import RIGHT
from braggfill.runs import storage
from braggfill.stages.figures.convex_objects import label
from braggfill.stages.figures.convex_plots import STUDIES, WAYS, named, ordered
from braggfill.stages.figures.table import Table, number, read, signed, whole

SOURCE = "phase/convex.csv"
GAPS = {
    "gap_masked": "gap masked",
    "gap_zeros": "gap taken for zeros",
    "gap_projections": "projections, gap masked",
}


def all_of(folder: Path) -> list[Table | None]:
    """Of the chapter."""
    return [_claims(folder), _methods(folder), _variants(folder), _gaps(folder), _sizes(folder)]


def _claims(folder: Path) -> Table | None:
    table = read(folder / "phase/convex-claims.csv")
    if table is None:
        return None
    rows = [
        [row.claim, row.source.removeprefix("thesis, "), row.published, signed(str(row.ours)), row.holds]
        for row in table.itertuples()
    ]
    failed = [place for place, held in enumerate(table.holds) if held != "yes"]
    note = (
        "Masto, thesis, chapter 5, and the authors' public code. Sections 5.2.2 to 5.4 are headings without text, so "
        "that their results are not published as numbers; a dash marks what is compared beyond the text. Right: "
        f"accuracy (Eq. 4.5) of {RIGHT} or more."
    )
    head = ["statement", "source", "published", "this run", "reproduced"]
    title = "Comparison with published results: automatic differentiation"
    return Table(title, head, rows, note, "phase/convex-claims.csv", 5, [], failed)


def _methods(folder: Path) -> Table | None:
    table = read(folder / SOURCE)
    if table is None:
        return None
    table = table[table.study == "methods"]
    rows: list[list[Any]] = []
    marks: list[int] = []
    failed: list[int] = []
    for case in ordered(table):
        marks.append(len(rows))
        part = table[table.case == case]
        for (variant, stage), (name, *_) in WAYS.items():
            for row in part[(part.variant == variant) & (part.stage == stage)].itertuples():
                if (variant, stage) == ("default", "refined") and row.accuracy < RIGHT:
                    failed.append(len(rows))
                rows.append(
                    [label(case), name, number(row.accuracy), number(row.modulus_pcc), number(row.phase_std_radians, 2),
                     number(row.overlap), number(row.loss), number(row.residual, 4), number(row.llk_free, 1),
                     whole(row.starts), whole(row.steps), number(row.cpu_seconds, 1)]
                )  # fmt: skip
    head = [
        "case", "method", "accuracy", "modulus PCC", "phase std (rad)", "support overlap", "loss", "residual",
        "free LLK", "starts", "steps", "time (s)",
    ]  # fmt: skip
    note = (
        "Against the truth, the scan against a run of another seed. Loss: Σ|I − I'| over ΣI; residual: Σ(√I − √I')² "
        "over ΣI, both of voxels that took part; free LLK: Poisson deviance a voxel of those kept out. Steps: of the "
        "best start (cycles of the projections). Time: seconds of one core, all starts, second stage included."
    )
    return Table("What is recovered", head, rows, note, SOURCE, 2, marks[1:], failed)


def _variants(folder: Path) -> Table | None:
    table = read(folder / SOURCE)
    if table is None or not (table.study == "phase").any():
        return None
    cases = ordered(table[table.study == "phase"])
    chosen = table[table.case.isin(cases)]
    rows: list[list[Any]] = []
    marks: list[int] = []
    for study, said in STUDIES.items():
        part = chosen[(chosen.study == study) & ((study != "methods") | (chosen.variant == "default"))]
        marks.append(len(rows))
        for variant in dict.fromkeys(part.variant):
            row = [said, named(variant)]
            for case in cases:
                own = part[(part.variant == variant) & (part.case == case)].set_index("stage")
                row += [number(own.accuracy.get(stage)) for stage in ("convex", "refined")]
            rows.append([*row, number(part[part.variant == variant].cpu_seconds.mean(), 1)])
    head = [
        "",
        "variant",
        *(f"{label(case)}, {stage}" for case in cases for stage in ("convex", "refined")),
        "time (s)",
    ]
    note = "Accuracy (Eq. 4.5) of the convex object and after the second stage; one seed each."
    return Table("Phase, losses, terms, half-spaces", head, rows, note, SOURCE, 2, marks[1:])


def _gaps(folder: Path) -> Table | None:
    table = read(folder / SOURCE)
    if table is None or not (table.study == "gap").any():
        return None
    rows: list[list[Any]] = []
    marks: list[int] = []
    for case in ordered(table[table.study == "gap"]):
        marks.append(len(rows))
        for variant, name in GAPS.items():
            part = table[(table.case == case) & (table.variant == variant) & (table.stage != "convex")]
            for row in part.itertuples():
                rows.append(
                    [label(case), name, number(row.accuracy), number(row.phase_std_radians, 2), number(row.overlap),
                     number(row.llk_free, 1), number(row.cpu_seconds, 1)]
                )  # fmt: skip
    head = ["case", "method", "accuracy", "phase std (rad)", "support overlap", "free LLK", "time (s)"]
    note = "A cross of missing voxels beside the peak; second stage of automatic differentiation."
    return Table("Missing voxels", head, rows, note, SOURCE, 2, marks[1:])


def _sizes(folder: Path) -> Table | None:
    for path in storage.files(folder, "phase/convex/*.h5"):
        with storage.read(path) as file:
            chosen = json.loads(file.attrs["settings"])["convex"]
        starts, steps = chosen["starts"], " + ".join(str(step[2]) for step in chosen["schedule"])
        rows = [
            ["edge of the patterns (px)", "–", f"{chosen['box_px']}"],
            ["half-spaces", "64", f"{chosen['halfspaces']}"],
            ["random starts", "4 to 32", f"{starts}; published form {chosen['published_starts']}"],
            ["steps", "up to 5000", f"{steps}; published form {chosen['published_steps']}"],
            ["first offsets", "a quarter to a fifth of the grid", "0.8 to 1.4 of the autocorrelation's radius"],
            ["missing voxels", "no mask", "masked"],
        ]
        note = "Public code of the authors, and what this run has."
        return Table("Sizes", ["", "published", "this run"], rows, note, path.relative_to(folder).as_posix())
    return None
