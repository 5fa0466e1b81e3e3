"""Scores of all cells, joined."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from braggfill.patterns.metrics import bootstrap
from braggfill.physics.fields import KINDS
from braggfill.runs import seeds, storage

GAP_COLUMNS = [
    *("network", "loss", "trained_px", "gap_px", "shape", "patterns", "pcc", "pcc_low", "pcc_high"),
    *("parameters", "epochs", "cpu_seconds"),
]
PHASE_COLUMNS = [
    *("study", "loss", "patterns", "width", "parameters", "steps", "cpu_seconds", "accuracy", "accuracy_low"),
    *("accuracy_high", "wca", "broken", "resolved", "symmetry_rank"),
]
PART_COLUMNS = ["study", "loss", "patterns", "width", "kind", "from_radians", "to_radians", "number", "accuracy"]
BROKEN = 0.5
"""From this value of ``broken`` on the ambiguity counts as resolved: no mixture of object and twin."""
RANGES = 3
"""Parts into which the ranges of phase are divided."""


def gap_table(cells: list[Path], baseline: Path, seed: int, out: Path) -> None:
    """PCC over the gap by network, loss, widths trained on, width and shape: columns :data:`GAP_COLUMNS`."""
    rows: list[dict[str, Any]] = []
    for path in cells:
        network, loss, widths = path.stem.removeprefix("gap-").split("-")
        with storage.read(path) as file:
            about: dict[str, Any] = {"network": network, "loss": loss, "trained_px": widths.replace("_", " ")}
            about |= {"parameters": int(file.attrs["parameters"]), "epochs": len(file["history/epoch"])}
            rows += _gap_rows(file, seed, about | {"cpu_seconds": float(file["history/cpu_seconds"][-1])})
    with storage.read(baseline) as file:
        for name in ("linear", "ceiling"):
            rows += _gap_rows(file[name], seed, {"network": name, "loss": "", "trained_px": ""})
    storage.write_table(out, pd.DataFrame(rows), columns=GAP_COLUMNS)


def _gap_rows(group: h5py.Group, seed: int, about: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for width in sorted(group["scores"], key=int):
        for shape, values in group["scores"][width].items():
            found = values[...]
            low, high = bootstrap(found, seeds.generator(seed, "flat/bootstrap"))
            rows.append({**about, "gap_px": int(width), "shape": shape, "patterns": int(np.isfinite(found).sum()),
                         "pcc": float(np.nanmean(found)), "pcc_low": low, "pcc_high": high})  # fmt: skip
    return rows


def phase_table(cells: list[Path], seed: int, out: Path, parts: Path) -> None:
    """Accuracy (Eq. 4.5), WCA and how far the twin ambiguity is broken, by study, loss and size.

    ``out`` has the columns :data:`PHASE_COLUMNS`: ``resolved`` is the fraction of the patterns whose ``broken`` is at
    least :data:`BROKEN`, ``symmetry_rank`` the rank correlation of the accuracy with how symmetric the true object is.
    ``parts`` has :data:`PART_COLUMNS`, by kind of phase field and by its range.
    """
    rows, pieces = [], []
    for path in cells:
        study, loss, number, width = path.stem.removeprefix("phase-").split("-")
        with storage.read(path) as file:
            scores = {name: values[...] for name, values in file["scores"].items()}
            accuracy = scores["accuracy"]
            about = {"study": study, "loss": loss, "patterns": int(number), "width": float(width)}
            low, high = bootstrap(accuracy, seeds.generator(seed, "flat/bootstrap"))
            rank = pd.Series(accuracy).corr(pd.Series(scores["symmetry"]), method="spearman")
            rows.append({
                **about, "parameters": int(file.attrs["parameters"]), "steps": int(file["history/step"][-1]),
                "cpu_seconds": float(file["history/cpu_seconds"][-1]), "accuracy": accuracy.mean(),
                "accuracy_low": low, "accuracy_high": high, "wca": scores["wca"].mean(),
                "broken": scores["broken"].mean(), "resolved": (scores["broken"] >= BROKEN).mean(),
                "symmetry_rank": rank,
            })  # fmt: skip
        edges = np.linspace(scores["range"].min(), scores["range"].max(), RANGES + 1)
        for kind in sorted(set(scores["kind"])):
            for a, b in pairwise(edges):
                upper = scores["range"] <= b if b == edges[-1] else scores["range"] < b
                some = (scores["kind"] == kind) & (scores["range"] >= a) & upper
                if some.any():
                    pieces.append({**about, "kind": KINDS[kind], "from_radians": a, "to_radians": b,
                                   "number": int(some.sum()), "accuracy": accuracy[some].mean()})  # fmt: skip
    storage.write_table(out, pd.DataFrame(rows), columns=PHASE_COLUMNS)
    storage.write_table(parts, pd.DataFrame(pieces), columns=PART_COLUMNS)
