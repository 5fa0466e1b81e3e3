"""From a training of the phase network to the weights that come with the package: only if they pay as a start.

``python -m braggfill.weights.phase TRAINING ASSESS.csv``: the folder of ``braggfill.learning.phase_training``, and the
table of the stage ``phase`` with the methods ``network_run`` and ``best_of_6``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.learning import phase_data, phase_training
from braggfill.phasing.score import RIGHT
from braggfill.runs import storage
from braggfill.runs.fingerprint import code

if TYPE_CHECKING:
    import pandas as pd
    from torch.nn import Module

NAME = "braggphase"
LARGEST_BYTES = 20_000_000
SEED, PATTERNS = 20240901, 12
"""Of the small fixed set that shipped weights have to keep their figures on."""
FEWEST = 10
"""Objects of each kind of phase on which the network has to show that it pays."""


def figures(network: Module) -> dict[str, float]:
    """WCA on a small fixed set, as :func:`braggfill.learning.phase_training.validate` gives it."""
    return phase_training.validate(network, *phase_data.validation(PATTERNS, SEED))


def pays(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a kind of phase: in how many objects one run from the network's start and the best of six random starts
    were right, their mean accuracies, and the processor's seconds that they took."""
    table = table[table.study.isin(["particles", "compared"])]
    rows = []
    for kind, part in table.groupby("kind"):
        scores, spent = (
            part.pivot_table(value, ["study", "particle", "range_radians"], "method")
            for value in ("accuracy", "cpu_seconds")
        )
        if {"network_run", "best_of_6", "network"} <= set(scores.columns):
            told = scores.dropna(subset=["network_run", "best_of_6"])
            row: dict[str, Any] = {"kind": kind, "objects": len(told), "network alone": float(told.network.mean())}
            for method in ("network_run", "best_of_6"):
                row[f"{method} right"] = int((told[method] >= RIGHT).sum())
                row[f"{method} accuracy"] = float(told[method].mean())
                row[f"{method} seconds"] = float(spent[method].mean())
            rows.append(row)
    return rows


def ship(training: Path, assess: Path, folder: Path = networks.WEIGHTS, *, force: bool = False) -> Path:
    """Put a training's averaged network into the package: ``braggphase.safetensors``, ``.md``, ``.csv``.

    Parameters
    ----------
    training : folder of :mod:`braggfill.learning.phase_training`.  assess : table of the stage ``phase``, of this
        network.
    force : also where it does not pay.

    Raises
    ------
    BraggfillError : a file is missing, or one run from the network's start is right less often than the best of six
        random starts, for any kind of phase, or too few objects tell.
    """
    import pandas as pd

    network = networks.load(training / f"{NAME}.safetensors")
    for path in (training / "curve.csv", assess):
        if not path.is_file():
            raise BraggfillError(f"{path}: no such file; train the network and let the stage phase judge it first")
    curve, rows = pd.read_csv(training / "curve.csv"), pays(pd.read_csv(assess))
    behind = [row["kind"] for row in rows if row["network_run right"] < row["best_of_6 right"]]
    few = [row["kind"] for row in rows if row["objects"] < FEWEST]
    if (behind or few or not rows) and not force:
        why = f"behind random starts for {', '.join(behind)}" if behind else f"fewer than {FEWEST} objects a kind tell"
        raise BraggfillError(f"{training}: {why}; train it longer, or judge it on more objects")
    about = network.card["training"]
    for parameter in network.parameters():  # as they will be, not as they are
        parameter.data = parameter.data.half().float()
    card = {
        "settings": about["options"],
        "seed": about["options"]["seed"],
        "code": network.card.get("code") or code("learning.phase_training"),
        "versions": storage.versions(),
        "patches_seen": int(network.card["patterns"]),
        "patterns_before": int(about.get("patterns_before", 0)),
        "device": str(about.get("device", "cpu")),
        "validation": network.card["validation"],
        "starts": rows,
        "check": figures(network),
    }
    target = folder / f"{NAME}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    with storage.replacing(target) as temporary:
        networks.save(temporary, network, card, half=True)
        if (size := temporary.stat().st_size) > LARGEST_BYTES:
            raise BraggfillError(f"{training}: {size / 1e6:.1f} MB in half precision; use fewer channels")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    storage.write_text(folder / f"{NAME}.md", "\n".join(_card(network, card, parameters, curve)) + "\n")
    storage.write_table(folder / f"{NAME}.csv", curve, columns=list(curve.columns))
    return target


def _card(network: Module, card: dict[str, Any], parameters: int, curve: pd.DataFrame) -> Iterator[str]:
    """The lines of the model card."""
    yield f"# {NAME}"
    yield ""
    yield "Predicts the phase of the middle of a 3D Bragg coherent diffraction pattern, and how sure it is, voxel by"
    yield "voxel. `braggfill phase` begins with what it expects; the voxels kept out of the search choose."
    yield ""
    yield f"- {network.options}, {parameters:,} parameters, half precision"
    before = card["patterns_before"]
    hours = float(curve.hours.iloc[-1])
    took = f"{hours:.1f} h" if hours >= 0.5 else f"{3600 * hours:.0f} s"
    where = "a GPU" if card["device"] == "cuda" else "a processor"
    yield f"- {card['patches_seen']:,} patterns seen, each drawn as it was needed; {took} on {where}" + (
        f"; the first {before:,} in trainings that it began with, whose hours are not counted" if before else ""
    )
    yield f"- seed {card['seed']}, code `{card['code'][:16]}`"
    yield "- settings: " + ", ".join(f"`{name}: {value}`" for name, value in card["settings"].items())
    yield ""
    yield "WCA of the validation set (0: right, 1: nothing; phases of 0 to 5 pi):"
    yield ""
    for table in (card["validation"], card["check"]):
        shown = {name: value for name, value in table.items() if name not in ("step", "patterns", "hours", "rate")}
        yield "| " + " | ".join(shown) + " |"
        yield "| --- " * len(shown) + "|"
        yield "| " + " | ".join(f"{value:.3f}" for value in shown.values()) + " |"
        yield ""
    yield f"The second is the small fixed set of the tests, {PATTERNS} patterns."
    if card["starts"]:
        yield ""
        yield f"As a start (right: accuracy of {RIGHT} or more; seconds of one core):"
        yield ""
        yield "| " + " | ".join(card["starts"][0]) + " |"
        yield "| --- " * len(card["starts"][0]) + "|"
        for row in card["starts"]:
            yield "| " + " | ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()) + " |"
    yield ""
    yield "| patterns seen | loss | WCA, √I | WCA, log |"
    yield "| --- | --- | --- | --- |"
    for i in sorted({round(k * (len(curve) - 1) / 9) for k in range(10)}):
        row = curve.iloc[i]
        yield f"| {row.patterns:,.0f} | {row.loss:.3f} | {row.wca:.3f} | {row.wca_log:.3f} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m braggfill.weights.phase", description=__doc__)
    parser.add_argument("training", type=Path, help="folder of the training")
    parser.add_argument("assess", type=Path, help="table of the stage phase, of this network")
    parser.add_argument("--force", action="store_true", help="also if it does not pay as a start")
    given = parser.parse_args(arguments)
    try:
        print(f"wrote {ship(given.training, given.assess, force=given.force)}")
    except BraggfillError as error:
        print(f"braggfill: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
