"""Chapters: gaps and phases in two dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures.chapter import Chapter, Figure, Number, Verdict
from braggfill.stages.figures.table import Table, read

GAP_CELLS = {"cells": "flat/gap-*.h5", "baseline": "flat/baseline.h5"}
LOW = {"patterns": "flat/patterns-low.h5", "cells": "flat/phase-low-*.h5"}
HIGH = {"patterns": "flat/patterns-high.h5", "cells": "flat/phase-high-*.h5"}
ALIGNED = (
    "Predicted phases are shown with the constant and the sign that fit the truth best, which intensities do not tell."
)


def gaps_drawn(settings: FiguresSettings, run: Mapping[str, Any]) -> list[Figure]:
    from braggfill.stages.figures import flat_gaps

    return [
        Figure(
            "flat_losses",
            "",
            "One network, several losses",
            "Crosses in test patterns (dotted), filled by the U-Net trained with each loss for the same number of "
            "epochs, "
            "and PCC of log(1 + photons) over the gap. Compare with the thesis, Fig. 3.4, where MAE fails to "
            "recover the "
            "oscillations.",
            flat_gaps.losses,
            GAP_CELLS,
        ),
        Figure(
            "flat_networks",
            "",
            "One loss, several networks",
            "The same gaps, filled by each network trained with the final loss, MSE + SSIM + gradients; by braggfill's "
            "ideas in two dimensions (an interpolation that is corrected, gates, a stated uncertainty), with its own "
            "loss; and by linear interpolation. Compare with the thesis, Fig. 3.5.",
            flat_gaps.networks,
            GAP_CELLS,
        ),
        Figure(
            "flat_sweeps",
            "",
            "Accuracy against the place of the gap and against the oversampling",
            "(a) PCC over a vertical gap at each of several places, mean over patterns of random objects, band: two "
            "standard errors. (b) One object at several oversamplings, mean over the places of the gap. Dashed: the "
            "noise-free expectation, the most that any prediction can reach against counts. Compare with the thesis, "
            "Figs 3.6 and 3.7.",
            flat_gaps.sweeps,
            {"position": "flat/position.csv", "oversampling": "flat/oversampling.csv"},
        ),
    ]


def phases_drawn(settings: FiguresSettings, run: Mapping[str, Any]) -> list[Figure]:
    from braggfill.stages.figures import flat_phases

    return [
        Figure(
            "flat_example",
            "",
            "A pattern, its phase and its object",
            "(a) Intensity, (b) reciprocal-space phase (RSP), (c, d) modulus and phase of the object. With little "
            "strain "
            "the phase changes by π from fringe to fringe: thesis, Fig. 4.1.",
            flat_phases.example,
            {"patterns": LOW["patterns"]},
        ),
        Figure(
            "flat_curves",
            "",
            "Learning curves, low strain",
            "Training and validation loss: (a) squared error of the object (Eq. 4.2), (b) weighted coherent average "
            "(Eq. "
            "4.4). Compare with the thesis, Figs 4.2 and 4.8.",
            flat_phases.curves,
            {"cells": LOW["cells"]},
        ),
        Figure(
            "flat_phases_low",
            "",
            "Predicted phases, low strain",
            f"Test patterns and the phases learnt with each loss, smallest set and network. {ALIGNED} Compare with the "
            "thesis, Figs 4.3, 4.5 and 4.9.",
            flat_phases.phases,
            LOW,
            {"study": "low"},
        ),
        Figure(
            "flat_objects_low",
            "",
            "Objects, low strain",
            "Modulus and phase of the objects of the same patterns, in the same order. A mixture of object and twin is "
            "symmetric about the centre. Compare with the thesis, Figs 4.4, 4.6 and 4.10.",
            flat_phases.objects,
            LOW,
            {"study": "low"},
        ),
        Figure(
            "flat_fit",
            "",
            "How the weighted coherent average works",
            "A small network fits the phase of one pattern. Above: predicted phase. Below: phasors z = exp(i(φ − "
            "φ')) of "
            "the 80 brightest pixels (blue), how the next step turns them (green, enlarged), and their weighted mean "
            "⟨z⟩ (red), which grows to the unit circle. Compare with the thesis, Fig. 4.7.",
            flat_phases.fit,
            {"fitted": "flat/fit.h5"},
        ),
        Figure(
            "flat_grid",
            "",
            "MSE and WCA with several sizes of set and network",
            "One test pattern: phase, modulus and phase of the object, and the mean accuracy (Eq. 4.5) over all test "
            f"patterns. The number of steps is the same everywhere. {ALIGNED} Compare with the thesis, Fig. 4.11.",
            flat_phases.grid,
            {**LOW, "table": "flat/phases.csv"},
        ),
        Figure(
            "flat_phases_high",
            "",
            "Predicted phases, high strain",
            f"Test patterns with counting noise, phase ranges of several π. {ALIGNED} Compare with the thesis, Figs "
            f"4.12 "
            "and 4.14.",
            flat_phases.phases,
            HIGH,
            {"study": "high"},
        ),
        Figure(
            "flat_objects_high",
            "",
            "Objects, high strain",
            "Modulus and phase of the objects of the same patterns. Compare with the thesis, Figs 4.13 and 4.15.",
            flat_phases.objects,
            HIGH,
            {"study": "high"},
        ),
        Figure(
            "flat_parts",
            "",
            "Accuracy by kind of strain and by its range",
            "Mean accuracy (Eq. 4.5) of the test objects under high strain: correlated random fields, sums of two "
            "Gaussians, sums of two cosines.",
            flat_phases.parts,
            {"table": "flat/parts.csv"},
        ),
        Figure(
            "flat_starts",
            "",
            "Predictions as starts of the iterative engine",
            "Accuracy of each object after HIO, RAAR and ER with a support that follows it: from a random start, "
            "the best "
            "of several by their residual, and one shorter run from each network's prediction, whose mean accuracy "
            "alone "
            "is the black line. Right is 0.95 (dotted) and more; seconds of the processor a pattern.",
            flat_phases.starts,
            {"table": "flat/starts.csv"},
        ),
    ]


def told(study: str, folder: Path) -> list[Table | None]:
    from braggfill.stages.figures import flat_tables

    return flat_tables.gaps(folder) if study == "gaps" else flat_tables.phases(folder)


def verdict(study: str, folder: Path) -> Verdict | None:
    """How many of the published statements are reproduced, and of the other comparisons."""
    table = read(folder / "flat/claims.csv")
    if table is None or not (table.chapter == study).any():
        return None
    table = table[table.chapter == study]
    published = table[table.published != "–"]
    own = table[table.published == "–"]
    numbers = []
    text = ""
    for part, label, words in (
        (
            published,
            "published statements reproduced",
            "statements of the thesis are reproduced at the sizes of this run",
        ),
        (own, "further comparisons that hold", "further comparisons hold"),
    ):
        if len(part):
            held = int((part.holds == "yes").sum())
            numbers.append(Number(f"{held} of {len(part)}", label, "good" if held == len(part) else "bad"))
            text += f" {held} of {len(part)} {words}."
    return Verdict(text.strip(), tuple(numbers))


GAPS = Chapter(
    "flat-gaps",
    "Gaps in two dimensions",
    "The study that chose loss and network (Masto, thesis, section 3.3), at the sizes of this run's settings.",
    gaps_drawn,
    partial(told, "gaps"),
    partial(verdict, "gaps"),
    "flat",
)
PHASES = Chapter(
    "flat-phases",
    "Phases in two dimensions, low and high strain",
    "The phase of a pattern predicted in reciprocal space (Masto, thesis, sections 4.4 and 4.5), at the sizes of this "
    "run's settings.",
    phases_drawn,
    partial(told, "phases"),
    partial(verdict, "phases"),
    "flat",
)
