"""The measured scan's whole gaps: how well each method filled them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.patterns import distribution, metrics
from braggfill.runs import seeds, storage
from braggfill.settings.evaluate import EvaluateSettings

CASE_COLUMNS = [
    "case",
    "kind",
    "gap_px",
    "method",
    "voxels",
    "photons",
    "pcc",
    "ceiling",
    "recovered_fraction",
    "log_rmse",
    "photons_ratio",
    "within_sigma",
    "seconds",
]


def case_table(settings: EvaluateSettings, seed: int, scan: Path, cases: Path, out: Path, code: str = "") -> None:
    """PCC over the whole gap of each case of ``inpaint``, against the counts of the scan.

    A row is one (case, method):

    - ``pcc``, ``log_rmse``: of log(1 + photons) over all the voxels of the gap;
    - ``ceiling``, ``recovered_fraction``: as in :func:`braggfill.stages.evaluate.patches.gap_table`, of the whole gap;
    - ``photons``, ``photons_ratio``: true photons in the gap, and filled over true;
    - ``within_sigma``: share of the voxels whose true log(1 + counts) lies within one stated standard deviation of the
      filled one (0.68 if the uncertainty is right), for a method that states one;
    - ``seconds``: what the filling took.

    Where the scan was left out the table has its header only.

    Raises
    ------
    BraggfillError : a file is missing or damaged, or the cases do not belong to the scan.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    if storage.left_out(scan) is None and storage.left_out(cases) is None:
        with storage.read(scan) as file:
            counts = storage.array(file, "data")
        with storage.read(cases) as file:
            origin, shape = (np.asarray(file.attrs[name]) for name in ("crop_origin", "crop_shape"))
            cube = np.clip(counts[tuple(slice(o, o + n) for o, n in zip(origin, shape, strict=True))], 0, None)
            for index, name in enumerate(sorted(file)):
                mask = storage.array(file[name], "mask")
                if mask.shape != cube.shape:
                    raise BraggfillError(f"{cases}: {name} is of another scan than {scan}; make it again")
                rng = seeds.generator(seed, "evaluate/cases", index)
                rows += _rows(settings, file[name], name, cube[mask], rng)
    storage.write_table(out, pd.DataFrame(rows), columns=CASE_COLUMNS)


def _rows(
    settings: EvaluateSettings, group: h5py.Group, name: str, truth: np.ndarray, rng: np.random.Generator
) -> list[dict[str, Any]]:
    ceiling = metrics.noise_ceiling(truth, None, rng, draws=settings.ceiling_draws)
    logs = np.log1p(truth.astype(np.float64))
    filled = {method: storage.array(group["filled"], method).astype(np.float64) for method in group["filled"]}
    scores = {method: metrics.pcc(logs, np.log1p(found)) for method, found in filled.items()}
    linear = scores.get("linear", np.nan)
    rows = []
    for method, found in filled.items():
        row = {"case": name, "kind": str(group.attrs["kind"]), "gap_px": int(group.attrs["width_px"])}
        row |= {"method": method, "voxels": truth.size, "photons": int(truth.sum()), "pcc": scores[method]}
        row |= {"ceiling": ceiling, "log_rmse": metrics.rmse(logs, np.log1p(found))}
        row |= {"recovered_fraction": metrics.recovered_fraction(scores[method], linear, ceiling)}
        row |= {"photons_ratio": found.sum() / truth.sum() if truth.sum() else np.nan}
        row |= {"seconds": float(group["filled"][method].attrs.get("seconds", np.nan))}
        if "sigma" in group and method in group["sigma"]:
            corrected = bool(group["filled"][method].attrs.get("corrected", False))
            sigma = storage.array(group["sigma"], method)
            expected, spread = distribution.stated(found, sigma, corrected=corrected)
            row["within_sigma"] = float(np.mean(np.abs(logs - expected) <= spread))
        rows.append(row)
    return rows
