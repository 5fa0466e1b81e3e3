"""Chapter: gaps filled, and how accurately."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures.chapter import Chapter, Figure, Number, Tone, Verdict
from braggfill.stages.figures.table import Table, number, percent, read


def drawn(settings: FiguresSettings, run: Mapping[str, Any]) -> list[Figure]:
    from braggfill.stages.figures import accuracy, calibration, learning, residuals, slices, sweeps

    scan = f"fetch/{_get(run, 'inpaint', 'scan', 'aps_staff20_s0054')}.h5"
    evaluated = f"fetch/{_get(run, 'evaluate', 'scan', 'aps_staff20_s0054')}.h5"
    tables = {"measured": "evaluate/measured.csv", "simulated": "evaluate/simulated.csv"}
    cases = {"scan": scan, "cases": "inpaint/cases.h5"}
    return [
        *(
            Figure(
                f"slices-{width:02d}",
                "Filled patterns",
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
        *(
            Figure(
                f"residuals-{width:02d}",
                "Filled patterns",
                f"Residuals in the {width} px cross, over the stated uncertainty",
                "The filled value minus the measured counts, in standard deviations σ that the network states, in "
                "the detector's plane through the peak, in the plane inside the vertical gap, and over all voxels of "
                "the gap; the line is a normal distribution, which counts do not follow where few are expected. "
                "Structure in the maps is what the network misses. The .html file has the whole scan to look through.",
                residuals.maps,
                cases,
                {"width": width},
            )
            for width in settings.slice_gap_widths_px[:1]
        ),
        Figure(
            "detector",
            "Filled patterns",
            "The scan with the gaps of a real detector",
            "The measured scan under the mask of a real detector, its central cross and its dead pixels, laid so that "
            "the cross passes close to the peak; filled by the network; and as measured. (a) Detector plane through "
            "the peak. (b) The plane inside the vertical gap, all of it missing.",
            slices.detector,
            cases,
        ),
        Figure(
            "patches",
            "Filled patterns",
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
        Figure(
            "accuracy",
            "Accuracy",
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
            "Accuracy",
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
            "Accuracy",
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
            "Accuracy",
            "Patterns predicted gap by gap",
            "Central slices of one test particle: true, and put together from what was predicted in gaps of each width "
            "that were shifted over the whole pattern, at several oversamplings of the same region. Wide gaps and low "
            "oversampling are the hardest: supplement, Fig. S14. The PCC is that of the slice.",
            sweeps.oversampling_images,
            {"images": "evaluate/oversampling-*.h5"},
        ),
        Figure(
            "position",
            "Accuracy",
            "PCC over the gap against its distance from the peak",
            "A gap across the whole of a simulated three-dimensional pattern, at each of several places. Lines: mean "
            "over the patterns of test particles; bands: its 95 % interval. The thesis (Fig. 3.6) has this in two "
            "dimensions: best at the peak. (last panel) Against the noise-free expectation, where the fall that is due "
            "to noise in the truth is gone.",
            sweeps.against_position,
            {"table": "evaluate/position.csv"},
        ),
        Figure(
            "gaps",
            "Accuracy",
            "Unequal crosses, the wide gaps of Eiger detectors, and the time of every method",
            "Gaps in the measured scan whose arms differ in width, and the wide gaps of Eiger detectors. (a) "
            "PCC over the whole gap; dashed: noise ceiling. (b) Time against the voxels filled, same colours.",
            sweeps.unequal,
            {"table": "evaluate/gaps.csv"},
        ),
        Figure(
            "calibration",
            "Accuracy",
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
            "skip",
            "Accuracy",
            "Time and error against the pixels skipped between patches",
            "A cross in the measured scan, filled by sliding a network in steps. (a) Time; stars: published, on a GPU "
            "and for 128³ voxels (supplement, S5 and Fig. S10). (b) Mean absolute error of the logarithm (Fig. S12). "
            "(c) PCC over the gap. (d) The plane inside the vertical gap (Fig. S11).",
            sweeps.skipped,
            {"table": "evaluate/skip.csv", "images": "evaluate/skip.h5"},
        ),
        Figure(
            "training",
            "Training",
            "Loss and accuracy during training",
            "(a) Loss of the training and of the validation patches; the ring marks the "
            "epoch whose weights were kept. (b) PCC over the gap of the validation patches, beside linear "
            "interpolation on the same patches. (c) Learning rate.",
            learning.losses,
            {"history": "train/history.csv"},
        ),
    ]


def _get(run: Mapping[str, Any], block: str, name: str, default: str) -> str:
    found = run.get(block) or {}
    return str(found.get(name, default))


def told(folder: Path) -> list[Table | None]:
    from braggfill.stages.figures import tables

    return tables.gaps(folder)


def verdict(folder: Path) -> Verdict | None:
    """PCC of the network at 6 px (or the nearest width) beside linear interpolation and the noise ceiling."""
    from braggfill.stages.figures.style import NAMES
    from braggfill.stages.figures.sweep_tables import stated

    table, where = read(folder / "evaluate/measured.csv"), "patches of the measured scan"
    if table is None:
        table, where = read(folder / "evaluate/simulated.csv"), "test patches of simulated patterns"
    if table is None:
        return None
    rows = table[table.selection == ("ge1" if (table.selection == "ge1").any() else table.selection.iloc[0])]
    width = min(set(rows.gap_px), key=lambda value: abs(value - 6))
    rows = rows[rows.gap_px == width].drop_duplicates("method", keep="last").set_index("method")
    method = next((name for name in ("braggfill", "network") if name in rows.index), None)
    if method is None or "linear" not in rows.index:
        return None
    ours, linear = rows.loc[method], rows.loc["linear"]
    won = ours.pcc_mean > linear.pcc_mean
    share = (ours.pcc_mean - linear.pcc_mean) / (ours.ceiling - linear.pcc_mean)
    text = (
        f"In {where} with a {width} px gap, the {NAMES[method]} reaches a PCC of {number(ours.pcc_mean)} over the gap, "
        f"linear interpolation {number(linear.pcc_mean)}; counting noise allows {number(ours.ceiling)} at most. "
    )
    text += (
        f"It recovers {percent(share)} of what linear interpolation leaves." if won else "It is NO better than linear."
    )
    numbers = [
        Number(
            number(ours.pcc_mean), f"PCC, {width} px gap (linear {number(linear.pcc_mean)})", "good" if won else "bad"
        ),
        Number(percent(share), "fraction of the linear-to-ceiling difference recovered", "good" if won else "bad"),
    ]
    coverage = read(folder / "evaluate/calibration.csv")
    if coverage is not None:
        found = coverage[(coverage.distribution == "counts") & (coverage.level == 0.68) & (coverage.selection == "ge1")]
        found = found[found.method == method]
        if len(found):
            value = float(found.coverage.mean())
            tone: Tone = "good" if abs(value - 0.68) <= 0.05 else "bad"
            numbers.append(Number(percent(value), "of the counts lie in the stated 68 % intervals", tone))
    published = stated(folder)
    if published is not None:
        held, total = published
        numbers.append(Number(f"{held} of {total}", "published statements reproduced", "good" if held == total else ""))
    return Verdict(text, tuple(numbers))


CHAPTER = Chapter(
    "gaps",
    "Gaps",
    "What the network and the interpolations put into gaps, beside the truth, and how far they could agree with it.",
    drawn,
    told,
    verdict,
)
