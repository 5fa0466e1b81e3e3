"""Chapter: what gaps and fillings do to the object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures.chapter import Chapter, Figure, Number, Tone, Verdict
from braggfill.stages.figures.table import Table, figures, read

RETRIEVED = (
    (
        "known",
        "Phase retrieval of a known object",
        "The object, reconstructed from a measurement, keeps its own phase; its pattern is counted with Poisson noise, "
        "and the truth is known.",
    ),
    ("strained", "Phase retrieval of a strongly strained object", "Another measured object, treated likewise."),
    (
        "far",
        "Phase retrieval with a weak gap far from the peak",
        "The first object in a large array, the gap where next to nothing is left: the paper's case.",
    ),
    ("simulated", "Phase retrieval of a simulated pattern", "The pattern is one of this run."),
    (
        "measured",
        "Phase retrieval of a measured scan",
        "An artificial gap in a measured scan; what the whole pattern gives stands in for the truth.",
    ),
)
"""Cases of phase retrieval: name, title, what the caption says about them."""


def drawn(settings: FiguresSettings, run: Mapping[str, Any]) -> list[Figure]:
    from braggfill.stages.figures import realmap, realspace, tuning

    phased = ((run.get("reconstruct") or {}).get("retrieval") or {}).get("cases", [case for case, _, _ in RETRIEVED])
    return [
        Figure(
            "true_phase",
            "",
            "Objects from patterns with gap and filled, with the true phase",
            "A Pt particle reconstructed from a measurement at ESRF ID01, its phase set to zero; its pattern whole, "
            "with an empty cross, and filled; and the objects that follow with the true phase of the amplitude. The "
            "gap puts modulus outside the particle and phase and strain inside, where there is none: paper, Fig. 7; "
            "supplement, Figs S15 and S16.",
            realspace.true_phase,
            {"objects": "reconstruct/true_phase.h5"},
        ),
        Figure(
            "treatments",
            "",
            "Errors after phase retrieval",
            "Phase and strain errors of the best start of each treatment, after removal of shift, twin, offset and "
            "ramp. Near the peak the support determines masked voxels well; far from it, where the signal is weak, "
            "masked voxels take up false intensity: the best treatment depends on the position of the gap.",
            realspace.treatments,
            {"table": "reconstruct/retrieval.csv"},
        ),
        Figure(
            "map",
            "",
            "Fill or mask: the best treatment of a gap",
            "Strain error after phase retrieval of the Pt particle with its own phase and counting noise. Above: the "
            "treatment with the lowest error in each cell, and the ratio to the error of the whole pattern. Below: the "
            "error with what `braggfill inpaint` writes for phase retrieval (filled, low-confidence voxels masked), "
            "divided by the lower one of the two simple treatments, masking the gap and filling it.",
            realmap.collect,
            {"table": "reconstruct/map.csv"},
        ),
        Figure(
            "widths",
            "",
            "Phase and strain for each width of the gap",
            "Of the same object, slices through its middle: the gap left empty, and filled. The truth is zero "
            "everywhere. Compare with the supplement, Fig. S16, and the thesis, Fig. 3.21.",
            realspace.widths,
            {"objects": "reconstruct/true_phase.h5"},
        ),
        Figure(
            "errors",
            "",
            "Errors in phase and strain against the gap's width",
            "Of the same object. (a) Standard deviation of the phase, (b) root mean square error of the strain, (c) "
            "mean strain, bars: its standard deviation. The truth is zero in all three: supplement, Figs S17 and S18; "
            "thesis, Figs 3.22 and 3.23.",
            realspace.errors,
            {"table": "reconstruct/true_phase.csv"},
        ),
        Figure(
            "savings",
            "",
            "Reduction of the strain error by filling",
            "Strain error with the empty gap divided by that with the filled gap, with the true phase. (a) The Pt "
            "particle at several oversamplings: the fewer voxels per fringe, the less of it is measured beside the "
            "gap. (b) Simulated, relaxed particles that the network was not trained on, with their own phase; bars: "
            "standard deviation over the particles.",
            realmap.savings,
            {"table": "reconstruct/true_phase.csv", "means": "reconstruct/particles_mean.csv"},
        ),
        *(
            Figure(
                f"retrieval_{case}",
                "",
                title,
                "Objects reconstructed from the intensities: whole pattern, gap masked, set "
                f"to zero, filled, and filled with low-confidence voxels masked or bounded. {told} The "
                "intensity is that of the retrieved object. Compare with the paper, Fig. 8, and the supplement, "
                "Figs S19 to S21.",
                realspace.retrieval,
                {"objects": "reconstruct/retrieval.h5"},
                {"case": case},
            )
            for case, title, told in RETRIEVED
            if case in phased
        ),
        Figure(
            "finetune",
            "",
            "Fine-tuning of the network on the scan to be filled",
            "Slices through the peak of scans with a vertical gap (dotted): the counts, and the gap filled linearly "
            "and by the network before and after fine-tuning on patches of the scan without a voxel of the gap. Below "
            "them the correlation of log(1 + counts) over the gap. Without a significant improvement on the "
            "validation part the network stays unchanged. Paper, Fig. 9; thesis, Fig. 3.26.",
            tuning.slices,
            {"objects": "reconstruct/finetune.h5"},
        ),
    ]


def told(folder: Path) -> list[Table | None]:
    from braggfill.stages.figures import realtables

    return realtables.every(folder)


def verdict(folder: Path) -> Verdict | None:
    """Where filling beats masking after phase retrieval, over the map; else what filling does with the true phase."""
    table = read(folder / "reconstruct/map.csv")
    return _exact(folder) if table is None else _map(table) or _exact(folder)


def _map(table: Any) -> Verdict | None:
    """Filled against masked, cell by cell, and what the default costs."""
    from braggfill.stages.figures.realmap import DEFAULT
    from braggfill.stages.figures.realtables import CELL, judged

    rows = judged(table)
    wide = rows.pivot_table("strain_rmse", CELL, "treatment") if len(rows) else rows
    filled = next((name for name in ("braggfill", "network", "linear") if name in wide), None)
    if filled is None or "free" not in wide or "whole" not in wide:
        return None
    wide = wide.dropna(subset=["whole", "free", filled])
    if not len(wide):
        return None
    won = wide[filled] < wide["free"]
    mean = {name: float(np.exp(np.log(wide[name] / wide["whole"]).mean())) for name in wide if name != "whole"}
    text = (
        f"After phase retrieval, filling the gap gives a lower strain error than masking it in {int(won.sum())} of "
        f"{len(wide)} cases of the map; masking is better in the other {int((~won).sum())}."
    )
    distance = wide.index.get_level_values("distance_px")
    if won.any() and (~won).any() and len(set(distance)) > 1:
        text += (
            f" Filling wins at {distance[won].to_numpy().mean():.0f} px from the peak on average, masking at "
            f"{distance[~won].to_numpy().mean():.0f} px."
        )
    numbers = [Number(f"{int(won.sum())} of {len(wide)}", "cases in which filling beats masking")]
    said = {
        "free": "masked",
        filled: "filled",
        "sure": "filled where certain, else masked",
        DEFAULT: "filled, as certain as it is (the default)",
    }
    if DEFAULT in mean:
        said.pop("sure")
    numbers += [
        Number(f"{figures(mean[name], 2)} ×", f"strain error over that without a gap: {words}",
               "good" if mean[name] <= 1.2 else "bad" if name != "free" and mean[name] > mean["free"] else "")
        for name, words in said.items() if name in mean
    ]  # fmt: skip
    return Verdict(text, tuple(numbers))


def _exact(folder: Path) -> Verdict | None:
    """With the true phase: how many times lower the strain error is than with the gap left empty."""
    table = read(folder / "reconstruct/true_phase.csv")
    if table is None:
        return None
    rows = table[table.gap_px > 0]
    width = min(set(rows.gap_px), key=lambda value: abs(value - 9)) if len(rows) else 0
    rows = rows[rows.gap_px == width].drop_duplicates("method", keep="last").set_index("method")
    filled = next((name for name in ("braggfill", "network", "linear") if name in rows.index), None)
    if filled is None:
        return None
    factor, phase = float(rows.loc[filled].strain_rmse_factor), float(rows.loc[filled].phase_std_factor)
    text = (
        f"With the true phase, filling a {width} px cross divides the strain error by {factor:.1f}, compared with a "
        "gap left empty. This run has no map of phase retrieval, which alone tells whether filling beats masking."
    )
    tone: Tone = "good" if factor > 1 else "bad"
    return Verdict(
        text,
        (
            Number(f"{factor:.1f} ×", f"lower strain error, {width} px cross, true phase", tone),
            Number(f"{phase:.1f} ×", "lower phase error", "good" if phase > 1 else "bad"),
        ),
    )


CHAPTER = Chapter(
    "realspace",
    "Real space",
    "What gaps and fillings do to the object that is reconstructed, and to its strain.",
    drawn,
    told,
    verdict,
)
