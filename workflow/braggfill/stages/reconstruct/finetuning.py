r"""Fine-tuning: scans with a vertical gap, filled before and after the network has learnt on from the scan itself.

Patches that hold no voxel of the gap teach, a slab of the scan that none of them touches judges
(:mod:`braggfill.filling.finetune`), and the gap itself, which neither has seen, tells what came of it.

Source: paper section 2.7 and Fig. 9, thesis 3.9 and Fig. 3.26.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.patterns import metrics
from braggfill.physics import support
from braggfill.runs import device as devices
from braggfill.runs import seeds, storage
from braggfill.settings.reconstruct import ReconstructSettings
from braggfill.stages.reconstruct import objects

FINETUNE_COLUMNS = [
    "case",
    "gap_px",
    "distance_px",
    "method",
    "pcc",
    "ceiling",
    "amplitude_error",
    "pcc_held",
    "pcc_held_gain_low",
    "pcc_held_gain_high",
    "kept",
    "patches",
    "epochs",
    "finetune_seconds",
    "photons_at_peak",
    "oversampling_0",
    "oversampling_1",
    "oversampling_2",
    "shape_0",
    "shape_1",
    "shape_2",
    "problem",
]


def finetuned(
    settings: ReconstructSettings,
    seed: int,
    obj: Path,
    strained: Path,
    scan: Path,
    model: Path,
    out: Path,
    table: Path,
    code: str = "",
) -> None:
    r"""Each scan's gap filled linearly, by the network ``before`` and ``after`` it has learnt on.

    Parameters
    ----------
    obj, strained, scan : files from ``fetch``, of the cases ``known``, ``strained`` and ``measured``.
    model : the network of the run; the one that comes with the package is taken where there is one.

    ``table``: a row for each case and method.  ``pcc`` is that of log(1 + counts) over the gap, ``ceiling`` what a
    perfect prediction could reach, ``amplitude_error`` is :math:`\sqrt{\sum (\sqrt I - \sqrt{I_0})^2 / \sum I_0}` there
    against the expectation (a measured scan: its counts).  ``pcc_held`` is the mean over artificial gaps in what was
    set apart, and ``pcc_held_gain_low``, ``_high`` the 95 % interval of its gain.  A network that did not surely gain
    there is not ``kept``: then ``after`` has what ``pcc_held`` it reached, and fills as ``before``.

    ``out``: groups ``<case>`` with ``counts``, ``linear``, ``before``, ``after`` (photons) and ``missing``, the slice
    across axis 0 through the peak.

    Raises
    ------
    BraggfillError : a file is damaged, or the gap does not lie inside the pattern.
    """
    import pandas

    rows: list[dict[str, Any]] = []
    source = {"known": obj, "strained": strained, "measured": scan}
    with storage.create(out, settings=settings, seed=seed, code=code) as file:
        for name in settings.finetune.cases:
            reason = storage.left_out(source[name])
            if reason is not None:
                file.attrs[f"without_{name}"] = reason
                continue
            counts, expectation, about = _pattern(settings, seed, name, source[name])
            rows += [{**about, **row} for row in _case(settings, seed, name, counts, expectation, model, file)]
    storage.write_table(table, pandas.DataFrame(rows), columns=FINETUNE_COLUMNS)


def _pattern(
    settings: ReconstructSettings, seed: int, name: str, path: Path
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Counts, what they were drawn from, and what is known about them."""
    chosen = settings.finetune
    about: dict[str, Any] = {"case": name}
    if name == "measured":
        with storage.read(path) as file:
            counts = storage.array(file, "data").astype(float)
        peak = np.unravel_index(int(np.argmax(counts)), counts.shape)
        near = [objects.span(int(p), min(chosen.box_px, n), n) for p, n in zip(peak, counts.shape, strict=True)]
        counts = expectation = counts[tuple(near)]
        about["photons_at_peak"] = counts.max()
    else:
        threshold = settings.true_phase.support_threshold
        truth, _ = objects.sampled(
            objects.load(path),
            oversampling=chosen.oversampling,
            zoom=chosen.zoom,
            box=chosen.box_px,
            threshold=threshold,
            keep_phase=True,
        )
        expectation = objects.intensity_of(truth)
        expectation *= chosen.photons_at_peak / expectation.max()
        counts = seeds.generator(seed, f"reconstruct/finetune/{name}").poisson(expectation).astype(float)
        sampling = support.oversampling(support.from_modulus(truth, threshold))
        about |= {f"oversampling_{axis}": value for axis, value in enumerate(sampling)}
        about["photons_at_peak"] = chosen.photons_at_peak
    return counts, expectation, about | {f"shape_{axis}": n for axis, n in enumerate(counts.shape)}


def _case(
    settings: ReconstructSettings,
    seed: int,
    name: str,
    counts: np.ndarray,
    expectation: np.ndarray,
    model: Path,
    file: Any,
) -> Iterator[dict[str, Any]]:
    """Rows of one scan; its slices go to ``file``."""
    import torch

    from braggfill import filling
    from braggfill.filling import finetune

    chosen = settings.finetune
    peak = [int(p) for p in np.unravel_index(int(np.argmax(expectation)), expectation.shape)]
    first = peak[2] + chosen.distance_px - chosen.gap_width_px // 2
    if not 1 <= first < first + chosen.gap_width_px < counts.shape[2]:
        raise BraggfillError(
            f"reconstruct.finetune.distance_px: {chosen.distance_px} voxels from the peak a gap of "
            f"{chosen.gap_width_px} does not lie inside the {counts.shape[2]} voxels of the pattern {name}; take less"
        )
    mask = np.zeros(counts.shape, bool)
    mask[:, :, first : first + chosen.gap_width_px] = True
    empty = np.where(mask, 0.0, counts)
    torch.set_num_threads(settings.threads)
    weights = networks.shipped() if networks.is_shipped() else model
    network = networks.load(weights, devices.choose(settings.device, "reconstruct.device"))
    learnt, problem, report = network, "", None
    try:
        learnt, report = finetune.finetune(
            network, empty, mask, epochs=chosen.epochs, patches=chosen.patches, seed=seed, progress=True
        )
    except BraggfillError as error:
        problem = str(error).removeprefix("--finetune: ")
    filled = {
        "linear": filling.inpaint(empty, mask, method="linear").data,
        "before": filling.inpaint(empty, mask, network=network, device=settings.device).data,
        "after": filling.inpaint(empty, mask, network=learnt, device=settings.device).data,
    }
    group = file.create_group(name)
    for key, array in {"counts": counts, "missing": mask, **filled}.items():
        group.create_dataset(key, data=array[peak[0]], compression="gzip", compression_opts=1, shuffle=True)
    ceiling = _ceiling(counts, expectation, mask, seed)
    for method, data in filled.items():
        row = {
            "gap_px": chosen.gap_width_px,
            "distance_px": chosen.distance_px,
            "method": method,
            "pcc": metrics.pcc(np.log1p(counts), np.log1p(data), mask),
            "ceiling": ceiling,
            "amplitude_error": _amplitude_error(expectation[mask], data[mask]),
            "problem": problem,
        }
        if report is not None:
            row["pcc_held"] = getattr(report, method)
            if method == "after":
                row |= {
                    "pcc_held_gain_low": report.gain_low,
                    "pcc_held_gain_high": report.gain_high,
                    "kept": report.kept,
                    "patches": report.patches,
                    "epochs": report.epochs,
                    "finetune_seconds": report.seconds,
                }
        group.attrs[f"pcc_{method}"] = row["pcc"]
        yield row
    group.attrs.update(gap_px=chosen.gap_width_px, epochs=chosen.epochs, kept=bool(report and report.kept))


def _ceiling(counts: np.ndarray, expectation: np.ndarray, mask: np.ndarray, seed: int) -> float:
    """What a perfect prediction could reach: the expectation's own correlation, or what thinned counts say."""
    if expectation is not counts:
        return float(metrics.pcc(np.log1p(counts), np.log1p(expectation), mask))
    return float(metrics.noise_ceiling(counts, mask, seeds.generator(seed, "reconstruct/finetune/ceiling")))


def _amplitude_error(true: np.ndarray, found: np.ndarray) -> float:
    total = float(true.sum())
    return float(np.sqrt(((np.sqrt(found) - np.sqrt(true)) ** 2).sum() / total)) if total else float("nan")
