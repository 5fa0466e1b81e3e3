"""From a run's network to the weights that come with the package: half precision, a card, learning curves.

``python -m braggfill.weights.shipping results/paper`` is what ``make weights`` ends with.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.runs import storage
from braggfill.weights import check

if TYPE_CHECKING:
    import pandas as pd

LARGEST_BYTES = 12_000_000
SHOWN_PX = (3, 6, 9, 12)
"""Widths of gap that the card has of many."""
SLACK = 0.002
"""PCC by which new weights may be behind the old ones at one width: less is chance."""
STRAIN_SLACK = 0.03
"""Share by which their mean strain error may be higher: from one particle to the next it differs by several times as
much."""


def ship(run: Path, name: str = "braggfill", folder: Path = networks.WEIGHTS, *, force: bool = False) -> Path:
    """Put a run's network into the package: ``<name>.safetensors``, its card ``<name>.md`` and ``<name>.csv``.

    Parameters
    ----------
    run : folder of a complete run; its ``train`` and its tables are read.
    force : also where the tables show it behind the weights that are shipped now.

    Raises
    ------
    BraggfillError : the run is not complete, the weights are larger than 12 MB, or worse than those shipped now.
    """
    run, folder = Path(run), Path(folder)
    model = run / "train/model.safetensors"
    network = networks.load(model)
    tables = {table: _table(run / f"evaluate/{table}.csv") for table in ("measured", "simulated", "cases")}
    tables["true_phase"] = _table(run / "reconstruct/true_phase.csv")
    tables["learning"] = _table(run / "train/history.csv")
    if (run / "reconstruct/particles.csv").is_file():
        tables["particles"] = _table(run / "reconstruct/particles.csv")
    if (run / "evaluate/calibration.csv").is_file():
        tables["calibration"] = _table(run / "evaluate/calibration.csv")
    behind = list(_behind(tables))
    if behind and not force:
        raise BraggfillError(f"{model}: behind the weights that are shipped now ({'; '.join(behind)}); train it longer")
    card = {key: value for key, value in network.card.items() if key not in ("format", "network", "options")}
    for parameter in network.parameters():  # as they will be, not as they are
        parameter.data = parameter.data.half().float()
    card["check"] = check.figures(network)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.safetensors"
    with storage.replacing(target) as temporary:
        networks.save(temporary, network, card, half=True)
        if (size := temporary.stat().st_size) > LARGEST_BYTES:
            raise BraggfillError(f"{model}: {size / 1e6:.1f} MB in half precision, more than 12; use fewer channels")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    storage.write_text(folder / f"{name}.md", "\n".join(_card(name, network.card, card, parameters, tables)) + "\n")
    shutil.copyfile(run / "train/history.csv", folder / f"{name}.csv")
    return target


def _table(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise BraggfillError(f"{path}: no such file; let the run end first (make run CONFIG=…)")
    return pd.read_csv(path)


def _views(tables: dict[str, pd.DataFrame]) -> Iterator[tuple[str, pd.DataFrame]]:
    """What the networks are judged by: a title, and rows of one number a width and method."""
    for (axis, selection), rows in tables["measured"].groupby(["gap_axis", "selection"]):
        if selection == "ge1":
            yield f"APS 34-ID-C scan, gap across axis {axis}, against counts, patches of ≥ 1 count per voxel", rows
    for (against, selection), rows in tables["simulated"].groupby(["against", "selection"]):
        if selection != "all":
            least = selection.removeprefix("ge")
            yield f"simulated test particles, against {against}, patches of ≥ {least} photons per voxel", rows


def _behind(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    """Where the run's network is behind the shipped one."""
    for title, rows in _views(tables):
        scores = rows.pivot_table("pcc_mean", "gap_px", "method")
        if {"network", "braggfill"} <= set(scores.columns):
            for width, row in scores.iterrows():
                if row.network < row.braggfill - SLACK:
                    yield f"{title}, {width} px: {row.network:.4f}, shipped {row.braggfill:.4f}"
    for table, case, of in (
        ("true_phase", "oversampling", "the reconstructed object"),
        ("particles", "particle", "the simulated particles"),
    ):
        more = _strained(tables[table], case) if table in tables else 1.0
        if more > 1 + STRAIN_SLACK:
            yield f"strain error of {of} with the true phase: {more - 1:.1%} higher than with the shipped weights"


def _strained(rows: pd.DataFrame, case: str) -> float:
    """The network's strain error over that of the shipped one, geometric mean over all cases; 1 if there are none."""
    import numpy as np

    cases = [case, "gap_px"]
    if not {"strain_rmse", *cases} <= set(rows.columns):
        return 1.0
    errors = rows[rows.gap_px > 0].pivot_table("strain_rmse", cases, "method")
    if not {"network", "braggfill"} <= set(errors.columns) or not len(errors):
        return 1.0
    return float(np.exp(np.log(errors.network / errors.braggfill).mean()))


def _card(
    name: str, whole: dict[str, Any], card: dict[str, Any], parameters: int, tables: dict[str, pd.DataFrame]
) -> Iterator[str]:
    """The lines of the model card."""
    settings = card["settings"]
    yield f"# {name}"
    yield ""
    yield "Fills the gaps of 3D Bragg coherent diffraction patterns: expected log(1 + photons) and its variance for"
    yield "every missing voxel. Used by `braggfill inpaint` unless another network is named."
    yield ""
    yield "## What it is"
    yield ""
    yield f"- network `{whole['network']}`, {whole['options']}, {parameters:,} parameters, half precision"
    before = card["patches_seen"] - card["patches"]["train"] * card.get("metrics", {}).get("epoch", float("inf"))
    earlier = f", {before:,} of them by the weights that it began with" if before > 0 else ""
    yield f"- trained on {card['patches']['train']:,} patches, {card['patches_seen']:,} seen{earlier};"
    yield f"  {card['patches']['validation']:,} patches of other particles chose the epoch"
    yield f"- seed {card['seed']}, code `{card['code'][:16]}`, "
    yield "  " + ", ".join(f"{package} {version}" for package, version in card["versions"].items())
    yield "- settings: " + ", ".join(f"`{key}: {value}`" for key, value in settings.items() if value is not None)
    yield ""
    yield "## How good it is"
    yield ""
    yield (
        "PCC of log(1 + photons) over the gap, mean over patches; recovered: fraction of the difference between "
        "linear and ceiling."
    )
    for title, rows in _views(tables):
        yield from _scores(title, rows)
    if len(tables["cases"]):
        yield from _cases(tables["cases"])
    if len(tables["true_phase"]):
        yield from _strain(tables["true_phase"])
    if "particles" in tables and len(tables["particles"]):
        yield from _particles(tables["particles"])
    if "calibration" in tables and len(tables["calibration"]):
        yield from _coverage(tables["calibration"])
    yield from _learning(tables["learning"])
    yield ""
    yield "## Limits"
    yield ""
    yield "- Trained on single FCC crystals of 2 to 20 nm, simulated; the APS scan was never seen."
    yield "- Gaps of 1 to 16 voxels; wider ones are filled on binned copies, and the uncertainty says so."
    yield "- It predicts an expectation: where there is little signal it is smoother than counts are."
    yield "- Near the peak phase retrieval that leaves the gap free is better than any filling."


def _scores(title: str, rows: pd.DataFrame) -> Iterator[str]:
    scores = rows.pivot_table("pcc_mean", "gap_px", "method")
    if len(scores) > len(SHOWN_PX):  # the run's own table has them all
        scores = scores[scores.index.isin(SHOWN_PX)]
    network = rows[rows.method == "network"].set_index("gap_px")
    yield ""
    yield f"### {title}"
    yield ""
    yield "| gap | this network | linear | ceiling | recovered | patches |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for width, row in scores.iterrows():
        top = network.loc[width]
        share = "–" if top.ceiling == 1 else f"{top.recovered_fraction:.0%}"
        yield (
            f"| {width} px | {row.network:.3f} [{top.pcc_low:.3f}, {top.pcc_high:.3f}] | {row.linear:.3f} | "
            f"{top.ceiling:.3f} | {share} | {int(top.patches)} |"
        )


def _cases(cases: pd.DataFrame) -> Iterator[str]:
    yield ""
    yield "### whole gaps of the APS scan"
    yield ""
    yield "| gap | this network | linear | ceiling | counts within 1 σ |"
    yield "| --- | --- | --- | --- | --- |"
    for case, part in cases.groupby("case"):
        by = part.set_index("method")
        own = by.loc["network"]
        yield f"| {case} | {own.pcc:.3f} | {by.loc['linear'].pcc:.3f} | {own.ceiling:.3f} | {own.within_sigma:.0%} |"


def _strain(rows: pd.DataFrame) -> Iterator[str]:
    if "oversampling" in rows:  # of several, the one nearest to 4
        rows = rows[rows.oversampling == min(set(rows.oversampling), key=lambda value: abs(value - 4))]
    first = rows[rows.gap_px > 0].iloc[0]
    sampling = " / ".join(f"{first[f'oversampling_{axis}']:.1f}" for axis in range(3))
    yield ""
    yield f"### strain RMSE, times lower than with the gap (ID01 Pt object, phase zero, oversampling {sampling})"
    yield ""
    yield "| cross gap | this network | linear |"
    yield "| --- | --- | --- |"
    factors = rows[rows.gap_px > 0].pivot_table("strain_rmse_factor", "gap_px", "method")
    for width, row in factors.iterrows():
        yield f"| {width} px | {row.network:.1f} | {row.linear:.1f} |"


def _particles(rows: pd.DataFrame) -> Iterator[str]:
    """The same of simulated particles with a phase of their own."""
    own = rows[rows.gap_px > 0]
    yield ""
    yield f"### the same, mean over {own.particle.nunique()} simulated, relaxed test particles"
    yield ""
    yield "| cross gap | this network | linear |"
    yield "| --- | --- | --- |"
    for width, row in own.pivot_table("strain_rmse_factor", "gap_px", "method").iterrows():
        yield f"| {width} px | {row.network:.1f} | {row.linear:.1f} |"


def _coverage(rows: pd.DataFrame) -> Iterator[str]:
    """Of the intervals that follow from the stated uncertainty (:mod:`braggfill.patterns.distribution`)."""
    own = rows[(rows.distribution == "counts") & (rows.method == "network") & (rows.selection == "all")]
    levels = [level for level in (0.68, 0.95) if level in set(own.level)]
    yield ""
    yield "### share of the counts within the stated intervals"
    yield ""
    yield "| patches, gap across | gap | " + " | ".join(f"{100 * level:g} % interval" for level in levels) + " |"
    yield "| --- | --- |" + " --- |" * len(levels)
    for (source, axis, width), part in own.groupby(["source", "gap_axis", "gap_px"], sort=False):
        by = part.set_index("level")
        told = [f"{r.coverage:.1%} [{r.coverage_low:.1%}, {r.coverage_high:.1%}]" for r in (by.loc[x] for x in levels)]
        yield f"| {source}, axis {axis} | {width} px | " + " | ".join(told) + " |"


def _learning(rows: pd.DataFrame) -> Iterator[str]:
    """The learning curve, some of its epochs; the file beside the card has them all."""
    shown = sorted({*range(min(3, len(rows))), *(round(k * (len(rows) - 1) / 9) for k in range(10))})
    rows = rows.reindex(columns=["epoch", "train_loss", "val_loss", "val_pcc", "linear_pcc"])
    yield ""
    yield "### how it learned"
    yield ""
    yield "| epoch | training loss | validation loss | PCC over the gap, validation | linear interpolation |"
    yield "| --- | --- | --- | --- | --- |"
    for row in rows.iloc[shown].itertuples(index=False):
        cells = ("–" if value != value else f"{value:.4g}" for value in row[1:])
        yield f"| {row.epoch} | " + " | ".join(cells) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m braggfill.weights.shipping", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a complete run, e.g. results/paper")
    parser.add_argument("--name", default="braggfill", choices=networks.NAMES, help="which weights they become")
    parser.add_argument("--force", action="store_true", help="also if they are worse than those shipped now")
    options = parser.parse_args(arguments)
    try:
        print(f"wrote {ship(options.run, options.name, force=options.force)}")
    except BraggfillError as error:
        print(f"braggfill: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
