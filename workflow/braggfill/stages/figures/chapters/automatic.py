"""Chapter: phases by automatic differentiation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from braggfill.phasing.score import RIGHT
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures.chapter import Chapter, Figure, Number, Tone, Verdict
from braggfill.stages.figures.table import Table, read

CASES = {"cases": "phase/convex/*.h5"}
TABLE = {"table": "phase/convex.csv"}
LAID = (
    "Central slices, laid over the reference (shift, twin, phase ramp and offset, which intensities do not tell); "
    "the number is the accuracy (Eq. 4.5)."
)


def drawn(settings: FiguresSettings, run: Mapping[str, Any]) -> list[Figure]:
    from braggfill.stages.figures import convex_objects, convex_plots

    return [
        Figure(
            "automatic_simulated",
            "",
            "Recovered objects: low and high strain",
            "Modulus and phase of the true object, of the convex one, of the same after its second stage, and of the "
            f"best of as many runs of HIO, RAAR and ER as take the same time. {LAID}",
            convex_objects.objects,
            CASES,
            {"strains": ("low", "high", "higher")},
        ),
        Figure(
            "automatic_measured",
            "",
            "Recovered objects: experimental data",
            "The same for objects that were reconstructed from measurements at ESRF ID01, with counting noise, and for "
            "the middle of a measured scan of APS 34-ID-C. The object behind the scan is not known: its numbers "
            f"compare runs of two seeds by the same method. {LAID}",
            convex_objects.objects,
            CASES,
            {"strains": ("reconstructed", "scan")},
        ),
        Figure(
            "automatic_shapes",
            "",
            "Recovered shapes",
            "Modulus of the true object in three slices, and the outlines of the convex support (orange) and of the "
            "support after the second stage (blue); the number is the overlap of each with the true support (twice the "
            "common voxels over the sum of both).",
            convex_objects.shapes,
            CASES,
        ),
        Figure(
            "automatic_accuracy",
            "",
            "Accuracy of every method",
            "Eq. 4.5 against the truth; for the scan between runs of two seeds. Dotted: 0.95, from where on an object "
            "counts as right. Projections have the time of one run of automatic differentiation; published form and "
            "voxels have the steps and starts that the settings say.",
            convex_plots.accuracy,
            TABLE,
        ),
        Figure(
            "automatic_losses",
            "",
            "Loss against the step",
            "Of the best start by voxels kept out: from coarse to fine (vertical lines where the resolution changes, "
            "each with its own part of the pattern), in the published form (one resolution, a random phase a voxel) "
            "and for an object whose voxels are fitted one by one. Losses are those that each start minimises.",
            convex_plots.losses,
            CASES,
        ),
        Figure(
            "automatic_variants",
            "",
            "Parameters of the phase, losses, further terms, numbers of half-spaces",
            "Accuracy of one object per colour: open, the convex object; filled, after the second stage. One seed "
            "each: differences of a few hundredths are within its scatter.",
            convex_plots.variants,
            TABLE,
        ),
        Figure(
            "automatic_gap",
            "",
            "Missing voxels",
            "A cross of missing voxels beside the peak: masked, so that the loss does not look at it, taken for zeros "
            f"as counted, and masked in the projections. {LAID}",
            convex_objects.gap,
            CASES,
        ),
    ]


def told(folder: Path) -> list[Table | None]:
    from braggfill.stages.figures import convex_tables

    return convex_tables.all_of(folder)


def verdict(folder: Path) -> Verdict | None:
    """How many objects are right beside the projections', and how many statements are reproduced."""
    table, claims = (read(folder / f"phase/{name}.csv") for name in ("convex", "convex-claims"))
    if table is None or claims is None:
        return None
    numbers = []
    text = ""
    known = table[(table.study == "methods") & (table.against == "truth")]
    ours = known[(known.variant == "default") & (known.stage == "refined")]
    theirs = known[known.variant == "projections"]
    if len(ours) and len(theirs):
        right, other = int((ours.accuracy >= RIGHT).sum()), int((theirs.accuracy >= RIGHT).sum())
        word = "more than" if right > other else "fewer than" if right < other else "as many as"
        text = f"{right} of {len(ours)} objects are recovered, {word} by projections in the same time ({other})."
        tone: Tone = "good" if right == len(ours) and right >= other else "bad"
        numbers += [
            Number(f"{right} of {len(ours)}", "objects right, automatic differentiation", tone),
            Number(f"{other} of {len(theirs)}", "objects right, projections"),
        ]
    for part, words, label in (
        (claims[claims.published != "–"], "statements of the thesis and its code are reproduced",
         "published statements reproduced"),
        (claims[claims.published == "–"], "further comparisons hold", "further comparisons that hold"),
    ):  # fmt: skip
        if len(part):
            held = int((part.holds == "yes").sum())
            text += f" {held} of {len(part)} {words}."
            numbers.append(Number(f"{held} of {len(part)}", label, "good" if held == len(part) else "bad"))
    return Verdict(text.strip(), tuple(numbers))


CHAPTER = Chapter(
    "automatic",
    "Phases by automatic differentiation",
    "Objects with a convex support, fitted by gradient descent (Masto, thesis, chapter 5), at the sizes of this run's "
    "settings.",
    drawn,
    told,
    verdict,
    "convex",
)
