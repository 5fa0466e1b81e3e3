"""Fine-tuning: a gap filled before and after the network has learnt on from the scan (paper, Fig. 9)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style

PANELS = {"counts": "counts", "linear": "linear", "before": "network before", "after": "network after"}
CASES = {"strained": "strained object", "known": "known object", "measured": "measured scan"}
REACH = 26
"""Voxels around the gap that are shown."""


def slices(settings: FiguresSettings, stem: Path, objects: Path) -> list[Path] | None:
    """A line for each scan: the counts, and the gap filled linearly, before and after; through the peak.

    ``objects``: ``finetune.h5`` of ``reconstruct``.  None where it was not done.
    """
    with storage.read(objects) as file:
        found = [
            (name, {panel: storage.array(file[name], panel) for panel in (*PANELS, "missing")}, dict(file[name].attrs))
            for name in CASES
            if name in file
        ]
    if not found:
        return None
    figure = style.new(0.3 + 2.0 * len(found))
    lines = figure.subplots(len(found), len(PANELS), squeeze=False)
    for number, (name, images, attrs) in enumerate(found):
        line = lines[number]
        missing = images.pop("missing").astype(bool)
        view = _around(images["counts"], missing)
        norm = style.intensity_norm(images["counts"][view])
        for axes, (panel, image) in zip(line, images.items(), strict=True):
            drawn = style.show(axes, image[view], norm, settings.intensity_map)
            axes.contour(missing[view].astype(float), levels=[0.5], colors="white", linewidths=0.7, linestyles=":")
            if number == 0:
                axes.set_title(PANELS[panel])
            if panel != "counts":
                refused = panel == "after" and not attrs["kept"]
                axes.set_xlabel(f"PCC {attrs[f'pcc_{panel}']:.3f}" + (" (refused)" if refused else ""))
        line[0].set_ylabel(f"{CASES[name]},\n{int(attrs['gap_px'])} px gap")
        style.bar(figure, drawn, list(line), "photons")
    return style.save(figure, stem, settings)


def _around(image: np.ndarray, missing: np.ndarray) -> tuple[slice, slice]:
    """A square around the brightest row of what lies beside the gap."""
    columns = np.flatnonzero(missing.all(axis=0))
    beside = image[:, [max(columns[0] - 1, 0), min(columns[-1] + 1, image.shape[1] - 1)]].sum(axis=1)
    centre = int(np.argmax(beside)), int(columns[len(columns) // 2])
    high, wide = (slice(max(c - REACH, 0), min(c + REACH, n)) for c, n in zip(centre, image.shape, strict=True))
    return high, wide
