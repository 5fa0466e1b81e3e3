"""What design and loss are worth: networks trained on the same patches, as many each, and judged alike.

Trains every design of the default network, and the published one once for each gap width with its own loss, on the
patches of a run (``results/paper`` after ``make run CONFIG=config/paper.yaml``), then fills gaps of 3, 6, 9 and 12
voxels in test patches of particles that were never trained on (against their noise-free expectation) and in the
measured scan (against its counts), patches of at least one count a voxel.  One CSV, a row a network, gap and source.
A network that is already in the folder is not trained again.

About four minutes a design and ten a published network on two cores for 4,800 patches.

Usage: compare_networks.py results/paper OUT [--patches 4800] [--threads 2] [--only gated paper …]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from braggfill import networks
from braggfill.learning.gap.options import options
from braggfill.patterns import gaps, metrics, patching
from braggfill.runs import storage
from braggfill.settings.train import TrainSettings
from braggfill.stages.evaluate.cut import crop_around_peak, set_apart
from braggfill.stages.evaluate.fills import interpolation_fill, network_fill
from braggfill.stages.train import train

WIDTHS = (3, 6, 9, 12)
SHARED = {
    "brightness_exponent": [-0.5, 2.0],
    "noise_free_fraction": 0.1,
    "batch_size": 16,
    "epochs": 1,
    "schedule": "cosine",
}
DESIGNS = {
    "averaged": {"design": "gated"},
    "gated": {"design": "gated", "start": "interpolation"},
    "fourier": {"design": "fourier", "start": "interpolation"},
    "residual": {"design": "residual", "start": "interpolation"},
    "concatenated": {"design": "concatenated", "start": "interpolation"},
    "from nothing": {"design": "concatenated", "start": "nothing"},
}


def designs(patches: int, threads: int) -> dict[str, TrainSettings]:
    """Settings of every network."""
    shared = SHARED | {"patches_max": patches, "threads": threads}
    found = {name: TrainSettings.model_validate(shared | options) for name, options in DESIGNS.items()}
    for width in WIDTHS:
        gap = {"style": "paper", "width_px": [width, width], "dead_fraction": 0}
        paper = {"network": "paper", "gap": gap, "learning_rate": 5e-4}  # as published, 1e-3, 3 px diverged
        found[f"paper {width} px"] = TrainSettings.model_validate(shared | paper)
    return found


def judged(run: Path, most: int) -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    """Counts, what they are compared with, and the axis that the gap interrupts, of each source."""
    counts, expectation = set_apart(sorted((run / "extract").glob("chunk-*.h5")), most, 1)
    good = counts.reshape(len(counts), -1).mean(axis=1) >= 1
    found = {"simulated, against the expectation": (counts[good], expectation[good], 2)}
    scan = next((run / "fetch").glob("aps*.h5"), None)
    if scan is not None and storage.left_out(scan) is None:
        with storage.read(scan) as file:
            cube = np.clip(crop_around_peak(storage.array(file, "data"), 128), 0, None)
        origins = patching.random_origins(np.random.default_rng(0), cube.shape, most, 32)
        patches = patching.cut(cube, origins, 32)
        good = patches.reshape(len(patches), -1).mean(axis=1) >= 1
        for axis in (1, 2):
            found[f"measured, gap across axis {axis}"] = (patches[good], patches[good], axis)
    return found


def rows(name: str, widths: tuple[int, ...], fill: object, sources: dict) -> list[dict]:
    """PCC over the gap, mean over the patches."""
    found = []
    for source, (counts, truth, axis) in sources.items():
        for width in widths:
            mask = gaps.plane(counts.shape[1:], width, axis=axis)
            logs = np.log1p(truth[:, mask].astype(np.float64))
            scores = metrics.pcc(logs, np.log1p(fill(counts, mask)), np.ones(logs.shape[1], bool))
            row = {"network": name, "source": source, "gap_px": width, "pcc": np.nanmean(scores)}
            found.append(row | {"patches": int(np.isfinite(scores).sum())})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with its patches")
    parser.add_argument("out", type=Path, help="folder of the trained networks and of comparison.csv")
    parser.add_argument("--patches", type=int, default=4800, help="patches that each network sees")
    parser.add_argument("--judged", type=int, default=600, help="most patches of each source that it is judged by")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[], help="networks whose name begins so; all by default")
    wanted = parser.parse_args()
    files = sorted((wanted.run / "extract").glob("chunk-*.h5"))
    sources = judged(wanted.run, wanted.judged)
    table = rows("linear", WIDTHS, interpolation_fill("linear", 64), sources)
    table += rows("braggfill", WIDTHS, network_fill(networks.shipped(), 64), sources) if networks.is_shipped() else []
    for name, settings in designs(wanted.patches, wanted.threads).items():
        if wanted.only and not name.startswith(tuple(wanted.only)):
            continue
        folder = wanted.out / name.replace(" ", "-")
        model = folder / "model.safetensors"
        if not model.is_file():
            train(settings, 1, files, model, folder / "history.csv", folder / "work")
        widths = (
            options(settings.network, settings.model_dump()).gap.width_px[:1] if settings.network == "paper" else WIDTHS
        )
        table += rows(name, widths, network_fill(model, 64), sources)
        storage.write_table(wanted.out / "comparison.csv", pd.DataFrame(table))
    print(pd.DataFrame(table).pivot_table(index="network", columns=["source", "gap_px"], values="pcc").round(4).T)


if __name__ == "__main__":
    main()
