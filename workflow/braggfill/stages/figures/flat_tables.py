"""The tables on gaps and phases in two dimensions, made ready for reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from braggfill.runs import storage
from braggfill.stages.figures.flat_gaps import LOSSES as GAP_LOSSES
from braggfill.stages.figures.flat_gaps import NETWORKS
from braggfill.stages.figures.flat_phases import LOSSES
from braggfill.stages.figures.table import Table, number, read

TITLES = {"gaps": "gaps in two dimensions", "phases": "phases in two dimensions"}


def gaps(folder: Path) -> list[Table | None]:
    """Of the first chapter."""
    return [_claims(folder, "gaps"), _gap_sizes(folder), _losses(folder), _widths(folder), _full(folder)]


def phases(folder: Path) -> list[Table | None]:
    """Of the second chapter."""
    return [_claims(folder, "phases"), _phase_sizes(folder), _phases(folder), _starts(folder)]


def _claims(folder: Path, chapter: str) -> Table | None:
    table = read(folder / "flat/claims.csv")
    if table is None:
        return None
    part = table[table.chapter == chapter]
    rows = [
        [row.claim, row.source.removeprefix("thesis, "), row.published, row.ours, row.holds]
        for row in part.itertuples()
    ]
    failed = [number for number, held in enumerate(part.holds) if held != "yes"]
    note = (
        "Masto, thesis. Where only a sentence or a figure was published, the trend is compared. Means over all "
        "widths and "
        "both shapes of gap."
        if chapter == "gaps"
        else "Masto, thesis. Accuracy: Eq. 4.5, in per cent; resolved: index of the twin ambiguity of at least 0.5 "
        "(1: object or twin, 0: a mixture that resembles both alike)."
    )
    head = ["statement", "source", "published", "this run", "reproduced"]
    return Table(
        f"Comparison with published results: {TITLES[chapter]}", head, rows, note, "flat/claims.csv", 5, [], failed
    )


def _settings(folder: Path, pattern: str, study: str) -> dict[str, Any]:
    """Of the first file that matches."""
    found = storage.files(folder, pattern)
    if not found:
        return {}
    with storage.read(found[0]) as file:
        return json.loads(file.attrs["settings"])[study]


def _gap_sizes(folder: Path) -> Table | None:
    drawn, trained = (_settings(folder, f"flat/{name}", "gaps") for name in ("patterns-gaps.h5", "gap-*.h5"))
    if not drawn or not trained:
        return None
    rows = [
        ["side of the patterns (px)", "128", str(drawn["side_px"])],
        ["patterns for the training", "12 000", _thousands(drawn["patterns"])],
        ["epochs, batch", "10, 32", f"{trained['epochs']}, {trained['batch']}"],
        ["learning rate", "0.0001, constant", f"{trained['rate']:g}, falling to 0 (half a cosine)"],
        ["channels of the networks", "1", f"{trained['width']:g} times"],
    ]
    return _sizes(rows, "flat/patterns-gaps.h5")


def _phase_sizes(folder: Path) -> Table | None:
    rows = []
    for study, said in (("low", ("8 500", "30 and 60 epochs", "0.0003")), ("high", ("30 000", "50 epochs", "0.001"))):
        drawn = _settings(folder, f"flat/patterns-{study}.h5", study)
        trained = _settings(folder, f"flat/phase-{study}-*.h5", study)
        if drawn and trained:
            numbers = ", ".join(_thousands(n) for n in drawn["patterns"])
            rate = f"{trained['rate']:g}{', falling to 0 (half a cosine)' if trained['decay'] else ''}"
            rows += [
                [f"{study} strain: patterns for the training", said[0], numbers],
                [f"{study} strain: length of a training", said[1], f"{trained['steps']} steps of {trained['batch']}"],
                [f"{study} strain: learning rate", said[2], rate],
            ]
    return _sizes(rows, "flat/patterns-low.h5") if rows else None


def _sizes(rows: list[list[str]], source: str) -> Table:
    note = (
        "What was published, and what this run has. Networks of the full size are only counted and trained a few steps."
    )
    return Table("Sizes of the study", ["", "published", "this run"], rows, note, source)


def _losses(folder: Path) -> Table | None:
    table = read(folder / "flat/gaps.csv")
    if table is None:
        return None
    trained = table[table.loss.notna()]
    means = trained.pivot_table("pcc", "network", "loss")
    columns = [loss for loss in GAP_LOSSES if loss in means]
    rows = []
    for network in (name for name in NETWORKS if name in means.index):
        part = trained[trained.network == network]
        row = [NETWORKS[network].split(",")[0], f"{int(part.parameters.iloc[0]):,}".replace(",", " ")]
        row += [number(means.at[network, loss]) for loss in columns]
        rows.append([*row, number(part.cpu_seconds.mean(), 0)])
    others = {name: table[table.network == name].pcc.mean() for name in ("linear", "ceiling")}
    note = (
        "PCC of log(1 + photons) over the gap, mean over test patterns, widths and shapes; equal numbers of epochs. "
        f"Linear interpolation {number(others['linear'])}; the noise-free expectation, the most that is possible, "
        f"{number(others['ceiling'])}. Time: mean of the trainings, seconds of one core."
    )
    head = ["network", "parameters", *(GAP_LOSSES[loss] for loss in columns), "time (s)"]
    return Table("Losses and networks", head, rows, note, "flat/gaps.csv")


def _widths(folder: Path) -> Table | None:
    table = read(folder / "flat/gaps.csv")
    if table is None:
        return None
    table = table.assign(loss=table.loss.fillna(""))
    chosen = table[table.loss.isin(["mse_ssim_gradients", "likelihood", ""])]
    keys = list(dict.fromkeys(zip(chosen["shape"], chosen.gap_px, strict=True)))
    rows = []
    for (network, loss), part in chosen.groupby(["network", "loss"], sort=False):
        name = "braggfill" if loss == "likelihood" else NETWORKS[network]
        values = part.groupby(["shape", "gap_px"]).pcc.mean()
        rows.append([name, *(number(values.get(key)) for key in keys)])
    head = ["network", *(f"{shape}, {width} px" for shape, width in keys)]
    note = "PCC over the gap by its shape and width, networks trained with the final loss, braggfill with its own, too."
    return Table("Widths and shapes of gaps", head, rows, note, "flat/gaps.csv")


def _full(folder: Path) -> Table | None:
    table = read(folder / "flat/full.csv")
    if table is None:
        return None
    rows = [
        [row.network, f"{row.side_px}²", _thousands(row.parameters), _thousands(row.published),
         f"{row.steps}", number(row.first_loss), number(row.last_loss), number(row.cpu_seconds, 2)]
        for row in table.itertuples()
    ]  # fmt: skip
    head = ["network", "pattern", "parameters", "published", "steps", "first loss", "last loss", "s a pattern and step"]
    note = (
        "The networks at their published size, on one batch: Table 3.1, where the counts follow with kernels of 3 "
        "in the "
        "last layers, and the larger network of Fig. 4.11 (published: 27.5 million). Seconds of one core."
    )
    return Table("Networks at full size", head, rows, note, "flat/full.csv")


def _thousands(value: int) -> str:
    return f"{value:,}".replace(",", " ")


def _phases(folder: Path) -> Table | None:
    table = read(folder / "flat/phases.csv")
    if table is None:
        return None
    rows, marks = [], []
    order = {loss: place for place, loss in enumerate(LOSSES)}
    studies = {"low": 0, "high": 1}
    table = table.assign(place=table.loss.map(order), part=table.study.map(studies))
    table = table.sort_values(["part", "width", "patterns", "place"])
    last = None
    for row in table.itertuples():
        key = (row.study, row.width, row.patterns)
        if last is not None and key != last:
            marks.append(len(rows))
        last = key
        rows.append(
            [f"{row.study} strain", LOSSES[row.loss], f"{row.patterns}", f"{row.parameters / 1e6:.2f} M",
             f"{100 * row.accuracy:.1f} [{100 * row.accuracy_low:.1f}, {100 * row.accuracy_high:.1f}]", number(row.wca),
             number(row.broken, 2), f"{100 * row.resolved:.0f} %", number(row.cpu_seconds, 0)]
        )  # fmt: skip
    head = [
        "study",
        "loss",
        "patterns",
        "parameters",
        "accuracy (%)",
        "WCA",
        "ambiguity broken",
        "resolved",
        "time (s)",
    ]
    note = (
        "Accuracy of test objects (Eq. 4.5) with its bootstrap 95 % interval; WCA of the phases with weights √I (0 is "
        "right); how far the ambiguity of object and twin is broken, mean of 0 (mixture) to 1, and the fraction of the "
        "patterns with at least 0.5. Equal numbers of steps; seconds of one core."
    )
    return Table("Phases by loss, set and network", head, rows, note, "flat/phases.csv", 2, marks)


def _starts(folder: Path) -> Table | None:
    table = read(folder / "flat/starts.csv")
    if table is None:
        return None
    table = table.assign(group=table.start.where(~table.start.str.startswith("random"), "random"))
    rows = []
    for group, part in table.groupby("group", sort=False):
        right = 100 * (part.accuracy >= 0.95).mean()
        name = "random start, each" if group == "random" else LOSSES[group]
        rows.append([name, f"{part.pattern.nunique()}", number(part.alone.mean(), 2), number(part.accuracy.mean(), 2),
                     f"{right:.0f} %", number(part.cpu_seconds.mean(), 2)])  # fmt: skip
        if group == "random":
            best = part.sort_values("residual").drop_duplicates("pattern")
            number_of = part.start.nunique()
            right = 100 * (best.accuracy >= 0.95).mean()
            rows.append([f"random starts, best of {number_of} by residual", f"{len(best)}", "–",
                         number(best.accuracy.mean(), 2), f"{right:.0f} %",
                         number(number_of * part.cpu_seconds.mean(), 2)])  # fmt: skip
    head = ["start", "patterns", "prediction alone", "accuracy", "right (≥ 0.95)", "time (s)"]
    note = (
        "High-strain test patterns with noise, after the iterative engine in two dimensions; seconds of one core a "
        "pattern."
    )
    return Table("Predictions as starts", head, rows, note, "flat/starts.csv")
