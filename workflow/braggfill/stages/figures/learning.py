"""How the network was trained, and what it makes of patches that it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from braggfill import filling
from braggfill.patterns import gaps, metrics
from braggfill.runs import seeds, storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style

GAP_PX = 6
"""Width of the gap of the example patches, as in the supplement's figures S7 and S8."""
LEAST = 0.3
"""Mean counts per voxel of the darkest example patch."""


def losses(settings: FiguresSettings, stem: Path, history: Path) -> list[Path]:
    """Training and validation loss, validation PCC beside linear interpolation's, and the learning rate.

    ``history``: table of ``train``, one row an epoch.
    """
    import pandas as pd

    table = pd.read_csv(history)
    figure = style.new(2.9)
    loss, score, rate = figure.subplots(1, 3, width_ratios=(1, 1, 0.8))
    points = "o" if len(table) < 30 else ""
    loss.plot(table.epoch, table.train_loss, marker=points, color="#666666", label="training")
    loss.plot(table.epoch, table.val_loss, marker=points, color=style.COLOURS["network"], label="validation")
    best = table.val_loss.idxmin() if table.val_loss.notna().any() else None
    if best is not None:
        loss.plot(table.epoch[best], table.val_loss[best], "o", mfc="none", mec="black", ms=9, label="kept")
    values = table[["train_loss", "val_loss"]].to_numpy(float)
    if np.nanmin(values) > 0 and np.nanmax(values) > 8 * np.nanmin(values):
        loss.set_yscale("log")
    loss.set_ylabel("loss")
    score.plot(table.epoch, table.val_pcc, marker=points, color=style.COLOURS["network"], label="network")
    score.plot(table.epoch, table.linear_pcc, color=style.COLOURS["linear"], label="linear interpolation")
    score.set_ylabel("PCC over the gap, validation")
    rate.plot(table.epoch, table.learning_rate * 1e3, marker=points, color="black")
    rate.set_ylabel("learning rate (10⁻³)")
    for axes, name in zip((loss, score, rate), "abc", strict=True):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        style.letter(axes, name)
    loss.legend()
    score.legend()
    return style.save(figure, stem, settings)


def examples(
    settings: FiguresSettings, stem: Path, patches: list[Path], scan: Path, model: Path, seed: int = 0
) -> list[Path]:
    """Patches masked, true and predicted, and the expectation behind simulated ones (central slices).

    ``patches``: files of ``extract``; only those set apart for the test are shown. ``scan``: the measured scan.
    Patches are picked from dark to bright; every third gap is a cross.
    """
    from braggfill import networks

    found = _simulated(patches, settings.patch_examples)
    if storage.left_out(scan) is None:
        found += _measured(scan, settings.patch_examples, seed)
    network = networks.load(model)
    figure = style.new(0.75 + 3.75 * style.WIDTH / max(len(found), 5))
    rows = ("masked", "true", "predicted", "expectation")
    figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.02, hspace=0.02)
    panels = figure.subplots(len(rows), len(found), squeeze=False)
    drawn: Any = None
    for column, (kind, counts, expectation) in enumerate(found):
        mask = _gap(counts.shape, column)
        filled = filling.inpaint(counts, mask, network=network, most_missing=True).data
        middle = len(counts) // 2
        # Each patch has its own scale, as the network's eye has: dark ones would be black beside bright ones.
        norm = style.intensity_norm(counts[middle])
        for row, image in enumerate((counts, counts, filled, expectation)):
            axes = panels[row, column]
            if image is None:
                axes.axis("off")
                continue
            hidden = mask[middle] if row == 0 else None
            drawn = style.show(axes, image[middle], norm, settings.intensity_map, hidden=hidden)
            if row == 2:
                _outline(axes, mask[middle])
        score = metrics.pcc(np.log1p(counts), np.log1p(filled), mask)
        panels[0, column].set_title(f"{kind}\n⟨I⟩ = {style.compact(counts.mean())}", fontsize=8)
        panels[2, column].set_xlabel(f"PCC {score:.2f}", fontsize=8)
    for axes, label in zip(panels[:, 0], rows, strict=True):
        axes.set_ylabel(label)
        axes.axison = True
    if drawn is not None:
        bar = figure.colorbar(drawn, ax=list(panels.flat), shrink=0.4, pad=0.01, aspect=25)
        bar.set_ticks(drawn.norm.inverse([0, 0.5, 1]), labels=["0.5", "", "maximum"])
        bar.ax.minorticks_off()
        bar.set_label(f"photons, log: {style.FAINTEST} to the patch's maximum")
    return style.save(figure, stem, settings)


def _gap(shape: tuple[int, ...], number: int) -> np.ndarray:
    if number % 3 == 2:
        return gaps.cross(shape, GAP_PX, (max(0, min(shape[1] - GAP_PX, shape[1] // 4)), None))
    return gaps.plane(shape, GAP_PX)


def _outline(axes: Any, mask: np.ndarray) -> None:
    """The edge of the gap, thin."""
    axes.contour(mask.astype(float), levels=[0.5], colors="white", linewidths=0.6, linestyles=":")


def _simulated(files: list[Path], number: int) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    """Test patches spread over the brightnesses that occur, dark ones left out."""
    places: list[tuple[float, Path, int]] = []
    for path in files:
        if storage.left_out(path) is not None:
            continue
        with storage.read(path) as file:
            counts, split = storage.array(file, "counts"), storage.array(file, "split")
        mean = counts.reshape(len(counts), -1).mean(axis=1, dtype=float)
        places += [(float(mean[i]), path, int(i)) for i in np.flatnonzero((split == 2) & (mean >= LEAST))]
    places.sort(key=lambda place: place[0])
    found: list[tuple[str, np.ndarray, np.ndarray | None]] = []
    for index in _spread([mean for mean, _, _ in places], number):
        _, path, i = places[index]
        with storage.read(path) as file:
            found.append(("simulated", storage.array(file, "counts")[i], storage.array(file, "expectation")[i]))
    return found


def _measured(scan: Path, number: int, seed: int) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    """Patches of a measured scan at random places, spread over the brightnesses that occur."""
    from braggfill.patterns import patching

    with storage.read(scan) as file:
        counts = np.clip(storage.array(file, "data"), 0, None)
    size = tuple(min(32, n) for n in counts.shape)
    origins = patching.random_origins(seeds.generator(seed, "figures/examples"), counts.shape, 400, size)
    mean = np.array([counts[patching.window(origin, size)].mean() for origin in origins])
    order = np.argsort(mean)
    order = order[mean[order] >= LEAST]
    return [("measured", counts[patching.window(origins[order[i]], size)], None) for i in _spread(mean[order], number)]


def _spread(means: Sequence[float] | np.ndarray, number: int) -> list[int]:
    """Indices of ``number`` of the ascending means, as even in their logarithm as may be."""
    if len(means) == 0:
        return []
    logs = np.log(means)
    wanted = np.linspace(logs[0], logs[-1], number)
    chosen: list[int] = []
    for target in wanted:
        distance = np.abs(logs - target)
        distance[chosen] = np.inf
        if np.isfinite(distance).any():
            chosen.append(int(np.argmin(distance)))
    return sorted(chosen)
