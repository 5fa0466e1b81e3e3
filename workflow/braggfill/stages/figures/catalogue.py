"""Every figure of the report: what it is drawn from, what it shows, and the published figure that it corresponds to."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings

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

Draw = Callable[..., "list[Path] | None"]


@dataclass(frozen=True)
class Figure:
    """One figure."""

    name: str
    section: str
    title: str
    caption: str
    draw: Draw
    """Called with the settings, the path without suffix, the inputs and the options."""
    inputs: Mapping[str, str]
    """Parameter → file in the run's folder; with a ``*``, all files that match, as a list."""
    options: Mapping[str, Any] = field(default_factory=dict)


def catalogue(settings: FiguresSettings, run: Mapping[str, Any]) -> list[Figure]:
    """The figures of a run's chapters in the order of the report.

    Parameters
    ----------
    run : the run's settings, plain (blocks ``seed``, ``inpaint``, ``evaluate`` are looked at).
    """
    from braggfill.stages.figures import flat_catalogue

    found = _gaps(settings, run) if "gaps" in settings.chapters else []
    return found + (flat_catalogue.figures() if "flat" in settings.chapters else [])


def _gaps(settings: FiguresSettings, run: Mapping[str, Any]) -> list[Figure]:
    """On gaps in three dimensions."""
    from braggfill.stages.figures import (
        accuracy,
        calibration,
        learning,
        particles,
        perturbation,
        realmap,
        realspace,
        slices,
        sweeps,
        tuning,
    )

    scan = f"fetch/{_get(run, 'inpaint', 'scan', 'aps_staff20_s0054')}.h5"
    evaluated = f"fetch/{_get(run, 'evaluate', 'scan', 'aps_staff20_s0054')}.h5"
    phased = ((run.get("reconstruct") or {}).get("retrieval") or {}).get("cases", [case for case, _, _ in RETRIEVED])
    tables = {"measured": "evaluate/measured.csv", "simulated": "evaluate/simulated.csv"}
    cases = {"scan": scan, "cases": "inpaint/cases.h5"}
    return [
        Figure(
            "particles",
            "simulation",
            "Particles and their displacement fields",
            "Above: particles as built, one sphere per atom, all on one scale. Below: a slice through the middle of "
            "each after energy minimisation, coloured by how far its atoms moved; white arrows give the direction "
            "within the slice. Corners and edges relax most; the atoms at the foot of a Winterbottom particle are "
            "held at the misfit of its substrate. Compare with the thesis, Fig. 3.8.",
            particles.gallery,
            {"relax": "relax/chunk-[0-9]*.h5"},
        ),
        Figure(
            "perturbation",
            "simulation",
            "From a scattered amplitude to what a detector counts",
            "One pattern of the run. (a–c) Modulus of the object behind the amplitude, after smoothing and the cut to "
            "the support, and after correlated noise: supplement, Figs S3a and S4. (d, e) Its phase from the relaxed "
            "atoms, and the one that it is given: Fig. S5. (f, g) Projection along the rocking angle and central "
            "slice of the intensity as scattered, from the changed object, blurred, and counted with Poisson noise: "
            "Fig. S6. Far from the peak most voxels end up empty, as in a measurement.",
            perturbation.steps,
            {"steps": "perturb/steps.h5"},
        ),
        Figure(
            "training",
            "training",
            "Loss and accuracy during training",
            "(a) Loss of the training and of the validation patches; the ring marks the "
            "epoch whose weights were kept. (b) PCC over the gap of the validation patches, beside linear "
            "interpolation on the same patches. (c) Learning rate.",
            learning.losses,
            {"history": "train/history.csv"},
        ),
        Figure(
            "patches",
            "patterns",
            "Test patches, not used in training",
            "Central slices of patches of 32³ voxels with a 6 px gap, from dark to bright: simulated ones of test "
            "particles, measured ones of the scan. ⟨I⟩ is their mean count per voxel; dotted lines mark the gap. "
            "The last row is the noise-free expectation behind the simulated counts: the truth is "
            "noisy, the prediction is smooth, because only the expectation can be predicted, not the noise. "
            "Compare with the supplement, Figs S7 and S8.",
            learning.examples,
            {"patches": "extract/chunk-[0-9]*.h5", "scan": evaluated, "model": "train/model.safetensors"},
            {"seed": int(run.get("seed", 0))},
        ),
        *(
            Figure(
                f"slices-{width:02d}",
                "patterns",
                f"Measured scan, {width} px cross: the gap filled by each method",
                "(a) Detector plane through the peak with its gap. (b) The same plane around the crossing, true and "
                "filled; PCC over the whole three-dimensional gap. (c) Photons along the dashed line of a. (d) The "
                "plane inside the vertical gap (dashed in a), none of which was measured; PCC over this plane. "
                "Interpolation connects the edges by straight lines, whereas fringes are curved: "
                + ("paper, Fig. 3; supplement, Fig. S9." if width <= 6 else "paper, Fig. 4; thesis, Fig. 3.15."),
                slices.gap_slices,
                cases,
                {"width": width},
            )
            for width in settings.slice_gap_widths_px
        ),
        Figure(
            "detector",
            "patterns",
            "The scan with the gaps of a real detector",
            "The measured scan under the mask of a real detector, its central cross and its dead pixels, laid so that "
            "the cross passes close to the peak; filled by the network; and as measured. (a) Detector plane through "
            "the peak. (b) The plane inside the vertical gap, all of it missing.",
            slices.detector,
            cases,
        ),
        Figure(
            "accuracy",
            "accuracy",
            "PCC over the gap against its width",
            "Correlation of log(1 + photons) over the gap, mean over random patches with a gap in the middle; bands: "
            "bootstrap 95 % intervals. The dashed line is the noise ceiling: the PCC of a perfect prediction of "
            "the expected intensity with these noisy counts. Stars are the published values (paper, "
            "Table 1), which are means over 20 bins of intensity, on other data and with patches normalised by "
            "their whole range, gap included.",
            accuracy.against_gap,
            tables,
        ),
        Figure(
            "intensity",
            "accuracy",
            "PCC over the gap against the intensity of the patch",
            "The same patches in equal bins of the logarithm of their mean photons per voxel; bands: bootstrap 95 % "
            "intervals of the bin's mean. Above: the network at each width of the gap; the published figure (paper, "
            "Fig. 5; thesis, Fig. 3.16) shows a rise with the intensity and a fall with the width. Below: every "
            "method at one width, with the noise ceiling, which is what makes the curves rise: where there are "
            "few photons the truth is noise. The dotted line marks 1 photon per voxel.",
            sweeps.against_intensity,
            {"table": "evaluate/intensity.csv"},
        ),
        Figure(
            "oversampling",
            "accuracy",
            "PCC over whole predicted patterns against the oversampling",
            "Test particles, each simulated at several oversamplings over the same extent of reciprocal space, so that "
            "there are more voxels at a higher one. A gap is shifted until every voxel has been predicted, and "
            "the PCC is taken over the whole pattern. Lines: mean over the particles; bands: its 95 % interval. The "
            "published curves (paper, Fig. 6c; thesis, Fig. 3.17) rise with the oversampling and fall with the gap.",
            sweeps.against_oversampling,
            {"table": "evaluate/oversampling.csv"},
        ),
        Figure(
            "oversampling_images",
            "accuracy",
            "Patterns predicted gap by gap",
            "Central slices of one test particle: true, and put together from what was predicted in gaps of each width "
            "that were shifted over the whole pattern, at several oversamplings of the same region. Wide gaps and low "
            "oversampling are the hardest: supplement, Fig. S14. The PCC is that of the slice.",
            sweeps.oversampling_images,
            {"images": "evaluate/oversampling-*.h5"},
        ),
        Figure(
            "position",
            "accuracy",
            "PCC over the gap against its distance from the peak",
            "A gap across the whole of a simulated three-dimensional pattern, at each of several places. Lines: mean "
            "over the patterns of test particles; bands: its 95 % interval. The thesis (Fig. 3.6) has this in two "
            "dimensions: best at the peak. (last panel) Against the noise-free expectation, where the fall that is due "
            "to noise in the truth is gone.",
            sweeps.against_position,
            {"table": "evaluate/position.csv"},
        ),
        Figure(
            "skip",
            "accuracy",
            "Time and error against the pixels skipped between patches",
            "A cross in the measured scan, filled by sliding a network in steps. (a) Time; stars: published, on a GPU "
            "and for 128³ voxels (supplement, S5 and Fig. S10). (b) Mean absolute error of the logarithm (Fig. S12). "
            "(c) PCC over the gap. (d) The plane inside the vertical gap (Fig. S11).",
            sweeps.skipped,
            {"table": "evaluate/skip.csv", "images": "evaluate/skip.h5"},
        ),
        Figure(
            "gaps",
            "accuracy",
            "Unequal crosses, the wide gaps of Eiger detectors, and the time of every method",
            "Gaps in the measured scan whose arms differ in width, and the 12 and 38 pixels of Eiger detectors. (a) "
            "PCC over the whole gap; dashed: noise ceiling. (b) Time against the voxels filled, same colours.",
            sweeps.unequal,
            {"table": "evaluate/gaps.csv"},
        ),
        Figure(
            "calibration",
            "accuracy",
            "Calibration of the stated uncertainty",
            "Share of the counts that lie within the intervals that follow from what the network states (negative "
            "binomial distributions of counts, judged by the probability integral transform). (a) Against the level of "
            "the interval; dotted: log(1 + counts) taken for Gaussian, which cannot be right where few counts are "
            "expected. (b, c) The 68 % and 95 % intervals against the width of the gap and against the photons that "
            "are predicted; grey: within 5 and 3 % of what is stated. (d–f) The same on the measured scan. Bars: "
            "bootstrap 95 % intervals over the patches.",
            calibration.reliability,
            {"table": "evaluate/calibration.csv"},
        ),
        Figure(
            "true_phase",
            "real space",
            "Objects from patterns with gap and filled, with the true phase",
            "A Pt particle reconstructed from a measurement at ESRF ID01, its phase set to zero; its pattern whole, "
            "with an empty cross, and filled; and the objects that follow with the true phase of the amplitude. The "
            "gap puts modulus outside the particle and phase and strain inside, where there is none: paper, Fig. 7; "
            "supplement, Figs S15 and S16.",
            realspace.true_phase,
            {"objects": "reconstruct/true_phase.h5"},
        ),
        Figure(
            "widths",
            "real space",
            "Phase and strain for each width of the gap",
            "Of the same object, slices through its middle: the gap left empty, and filled. The truth is zero "
            "everywhere. Compare with the supplement, Fig. S16, and the thesis, Fig. 3.21.",
            realspace.widths,
            {"objects": "reconstruct/true_phase.h5"},
        ),
        Figure(
            "errors",
            "real space",
            "Errors in phase and strain against the gap's width",
            "Of the same object. (a) Standard deviation of the phase, (b) root mean square error of the strain, (c) "
            "mean strain, bars: its standard deviation. The truth is zero in all three: supplement, Figs S17 and S18; "
            "thesis, Figs 3.22 and 3.23.",
            realspace.errors,
            {"table": "reconstruct/true_phase.csv"},
        ),
        Figure(
            "savings",
            "real space",
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
                "real space",
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
            "treatments",
            "real space",
            "Errors after phase retrieval",
            "Phase and strain errors of the best start of each treatment, after removal of shift, twin, offset and "
            "ramp. Near the peak the support determines masked voxels well; far from it, where the signal is weak, "
            "masked voxels take up false intensity: the best treatment depends on the position of the gap.",
            realspace.treatments,
            {"table": "reconstruct/retrieval.csv"},
        ),
        Figure(
            "map",
            "real space",
            "Fill or mask: the best treatment of a gap",
            "Strain error after phase retrieval of the Pt particle with its own phase and counting noise. Above: the "
            "treatment with the lowest error in each cell, and the ratio to the error of the whole pattern. Below: the "
            "error with what `braggfill inpaint` writes for phase retrieval (filled, low-confidence voxels masked), "
            "divided by the lower one of the two simple treatments, masking the gap and filling it.",
            realmap.collect,
            {"table": "reconstruct/map.csv"},
        ),
        Figure(
            "finetune",
            "real space",
            "Fine-tuning of the network on the scan to be filled",
            "Slices through the peak of scans with a vertical gap (dotted): the counts, and the gap filled linearly "
            "and by the network before and after fine-tuning on patches of the scan without a voxel of the gap. Below "
            "them the correlation of log(1 + counts) over the gap. Without a significant improvement on the "
            "validation part the network stays unchanged. Paper, Fig. 9; thesis, Fig. 3.26.",
            tuning.slices,
            {"objects": "reconstruct/finetune.h5"},
        ),
    ]


def draw(settings: FiguresSettings, seed: int, run: Mapping[str, Any], folder: Path, out: Path, code: str = "") -> None:
    """Draw every figure of a run.

    Parameters
    ----------
    run : the run's settings, plain.
    folder : the run's folder, ``results/<run>``.
    out : JSON list of the figures, written last; the figures lie beside it.  An entry has ``name``, ``section``,
        ``title``, ``caption``, ``files`` (names beside ``out``) and ``left_out``, why there is none, or null.

    A figure whose data were left out, or are not there, is left out too; nothing else fails for it.
    """
    from tqdm import tqdm

    entries = []
    for figure in tqdm(catalogue(settings, {**run, "seed": seed}), desc="figures", unit="figure", disable=None):
        files, reason = draw_one(settings, figure, folder, out.parent)
        if reason is not None:
            print(f"braggfill: left out: figure {figure.name}: {reason}", file=sys.stderr)
        about = {"name": figure.name, "section": figure.section, "title": figure.title, "caption": figure.caption}
        entries.append({**about, "files": [path.name for path in files], "left_out": reason})
    storage.write_text(out, json.dumps(entries, indent=1, ensure_ascii=False) + "\n")


def draw_one(settings: FiguresSettings, figure: Figure, folder: Path, place: Path) -> tuple[list[Path], str | None]:
    """One figure into ``place``: its files, or none and the reason."""
    inputs: dict[str, Path | list[Path]] = {}
    for name, pattern in figure.inputs.items():
        files = storage.files(folder, pattern)
        if not files:
            return [], f"{pattern} is not there"
        reasons = [storage.left_out(file) for file in files if file.suffix == ".h5"]
        # Of a figure's inputs only the ones that it cannot do without stop it: `patches` also shows simulated ones.
        if reasons and all(reasons) and (figure.name, name) != ("patches", "scan"):
            return [], reasons[0]
        inputs[name] = files if "*" in pattern else files[0]
    place.mkdir(parents=True, exist_ok=True)
    written = figure.draw(settings, place / figure.name, **inputs, **figure.options)
    return (written, None) if written else ([], "there is nothing to show in this run")


def _get(run: Mapping[str, Any], block: str, name: str, default: str) -> str:
    found = run.get(block) or {}
    return str(found.get(name, default))
