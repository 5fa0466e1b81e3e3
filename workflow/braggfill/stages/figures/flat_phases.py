"""Phases in two dimensions: predicted phases, the objects that they give, learning curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from braggfill.physics import fourier
from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import style

LOSSES = {
    "real_space": "MSE of the object",
    "real_space_broken": "MSE, symmetries broken",
    "wca_amplitude": "WCA, √I weights",
    "wca_log": "WCA, log weights",
    "wca_cos_sin": "WCA, cos and sin",
    "wca_consistent": "WCA and support",
}
COLOURS = {
    "real_space": "#b2182b",
    "real_space_broken": "#d6a35c",
    "wca_amplitude": "#0072b2",
    "wca_log": "#56b4e9",
    "wca_cos_sin": "#009e73",
    "wca_consistent": "#7570b3",
}
PHASES = "twilight"
FAINT = 0.15
"""Of the greatest modulus: below it no phase is shown."""


def _cells(paths: list[Path], study: str) -> dict[tuple[str, int, float], Path]:
    """Files of a study by loss, patterns and width, in the order of :data:`LOSSES`."""
    found = {}
    for path in paths:
        which, loss, number, width = path.stem.removeprefix("phase-").split("-")
        if which == study:
            found[loss, int(number), float(width)] = path
    return dict(sorted(found.items(), key=lambda one: (list(LOSSES).index(one[0][0]), *one[0][1:])))


def _first(cells: dict[tuple[str, int, float], Path]) -> dict[str, Path]:
    """Of each loss the smallest set and network."""
    found: dict[str, Path] = {}
    for (loss, _, _), path in cells.items():
        found.setdefault(loss, path)
    return found


def _test(patterns: Path, number: int) -> tuple[np.ndarray, np.ndarray]:
    with storage.read(patterns) as file:
        return file["test/seen"][:number], file["test/phase"][:number]


def _predicted(path: Path) -> np.ndarray:
    with storage.read(path) as file:
        return storage.array(file, "examples/phase")


def laid(predicted: np.ndarray, phase: np.ndarray, intensity: np.ndarray) -> np.ndarray:
    """A predicted phase with the constant and the sign that bring it closest to the truth, in -pi to pi."""
    weights = np.sqrt(intensity)
    tried = [(weights * np.exp(1j * (sign * predicted - phase))).sum() for sign in (1, -1)]
    best = int(np.argmax(np.abs(tried)))
    return np.angle(np.exp(1j * ((1, -1)[best] * predicted - np.angle(tried[best]))))


def _object(intensity: np.ndarray, phase: np.ndarray) -> np.ndarray:
    return fourier.inverse(np.sqrt(intensity) * np.exp(1j * phase))


def window(made: np.ndarray) -> tuple[slice, slice]:
    """A square around the object."""
    modulus = np.abs(made)
    rows, columns = np.nonzero(modulus > FAINT * modulus.max())
    n = made.shape[0] // 2
    half = int(max(np.abs(rows - n).max(), np.abs(columns - n).max())) + 3
    return (slice(max(n - half, 0), n + half + 1),) * 2


def phase_panel(axes: Any, made: np.ndarray) -> Any:
    """The phase of a slice of an object, where that is not faint."""
    modulus = np.abs(made)
    return style.show(axes, np.angle(made), turn(), PHASES, hidden=modulus < FAINT * modulus.max())


def turn() -> Any:
    """The scale of a phase."""
    from matplotlib.colors import Normalize

    return Normalize(-np.pi, np.pi)


def _letters(panels: Any, rows: list[str]) -> None:
    for axes, name in zip(panels[:, 0], rows, strict=True):
        axes.set_ylabel(name, fontsize=8)


def phases(settings: FiguresSettings, stem: Path, patterns: Path, cells: list[Path], study: str) -> list[Path]:
    """Test patterns, the true phase, and what was learnt with each loss (Figs 4.3, 4.5, 4.9; 4.12, 4.14)."""
    files = _first(_cells(cells, study))
    predicted = {loss: _predicted(path) for loss, path in files.items()}
    number = len(next(iter(predicted.values())))
    seen, truth = _test(patterns, number)
    rows = ["pattern", "truth", *(LOSSES[loss] for loss in predicted)]
    figure = style.new(1.62 * len(rows) + 0.2, 7.4)
    panels = figure.subplots(len(rows), number, squeeze=False)
    drawn: Any = None
    for column in range(number):
        style.show(panels[0, column], seen[column], style.intensity_norm(seen[column]), settings.intensity_map)
        drawn = style.show(panels[1, column], truth[column], turn(), PHASES)
        for row, values in enumerate(predicted.values(), 2):
            found = laid(values[column], truth[column], seen[column])
            style.show(panels[row, column], found, turn(), PHASES)
    _letters(panels, rows)
    bar = figure.colorbar(drawn, ax=list(panels.flat), shrink=0.4, pad=0.01, aspect=25, ticks=[-np.pi, 0, np.pi])
    bar.ax.set_yticklabels(["−π", "0", "π"])
    bar.set_label("phase (rad)")
    return style.save(figure, stem, settings)


def objects(settings: FiguresSettings, stem: Path, patterns: Path, cells: list[Path], study: str) -> list[Path]:
    """The objects of the same patterns, modulus and phase (Figs 4.4, 4.6, 4.10; 4.13, 4.15)."""
    files = _first(_cells(cells, study))
    predicted = {loss: _predicted(path) for loss, path in files.items()}
    number = len(next(iter(predicted.values())))
    seen, truth = _test(patterns, number)
    rows = ["truth", *(LOSSES[loss] for loss in predicted)]
    figure = style.new(1.28 * len(rows) + 0.3)
    panels = figure.subplots(len(rows), 2 * number, squeeze=False)
    for column in range(number):
        true = _object(seen[column], truth[column])
        near = window(true)
        for row, values in enumerate((truth, *predicted.values())):
            phase = truth[column] if row == 0 else laid(values[column], truth[column], seen[column])
            made = _object(seen[column], phase)[near]
            # One constant more, so that the objects' phases are alike where they agree.
            made = made * np.exp(-1j * np.angle(np.vdot(true[near], made)))
            style.show(panels[row, 2 * column], np.abs(made), None, "viridis")
            phase_panel(panels[row, 2 * column + 1], made)
    for column in range(number):
        panels[0, 2 * column].set_title("modulus", fontsize=8)
        panels[0, 2 * column + 1].set_title("phase", fontsize=8)
    _letters(panels, rows)
    return style.save(figure, stem, settings)


def example(settings: FiguresSettings, stem: Path, patterns: Path) -> list[Path]:
    """A pattern, its phase, and its object (Fig. 4.1)."""
    seen, truth = _test(patterns, 1)
    made = _object(seen[0], truth[0])
    near = window(made)
    figure = style.new(2.6)
    panels = figure.subplots(1, 4)
    drawn = style.show(panels[0], seen[0], style.intensity_norm(seen[0]), settings.intensity_map)
    style.bar(figure, drawn, panels[0], "photons")
    turned = style.show(panels[1], truth[0], turn(), PHASES)
    style.show(panels[2], np.abs(made[near]), None, "viridis")
    phase_panel(panels[3], made[near])
    bar = figure.colorbar(turned, ax=panels[3], shrink=0.9, pad=0.01, aspect=25, ticks=[-np.pi, 0, np.pi])
    bar.ax.set_yticklabels(["−π", "0", "π"])
    for axes, name in zip(panels, ("intensity", "phase (RSP)", "modulus", "phase of the object"), strict=True):
        axes.set_title(name)
    for axes, letter in zip(panels, "abcd", strict=True):
        style.letter(axes, letter)
    return style.save(figure, stem, settings)


def curves(settings: FiguresSettings, stem: Path, cells: list[Path]) -> list[Path]:
    """Training and validation loss with MSE and with WCA (Figs 4.2 and 4.8), each with the smallest set and network."""
    files = {
        loss: path for loss, path in _first(_cells(cells, "low")).items() if loss in ("real_space", "wca_amplitude")
    }
    figure = style.new(2.9)
    panels = figure.subplots(1, max(2, len(files)))
    for axes, letter, (loss, path) in zip(panels, "ab", files.items(), strict=False):
        with storage.read(path) as file:
            steps, trained, checked = (storage.array(file, f"history/{n}") for n in ("step", "loss", "validation_loss"))
        axes.plot(steps, trained, color="#666666", label="training")
        axes.plot(steps, checked, color=COLOURS[loss], label="validation")
        axes.set_xlabel("step")
        axes.set_ylabel(LOSSES[loss])
        axes.set_ylim(bottom=0)
        axes.legend()
        style.letter(axes, letter)
    return style.save(figure, stem, settings)


def grid(settings: FiguresSettings, stem: Path, patterns: Path, cells: list[Path], table: Path) -> list[Path] | None:
    """One pattern with every size of set and network, MSE above, WCA below (Fig. 4.11)."""
    import pandas as pd

    files = {key: path for key, path in _cells(cells, "low").items() if key[0] in ("real_space", "wca_amplitude")}
    sizes = sorted({key[1:] for key in files}, key=lambda size: size[::-1])
    scores = pd.read_csv(table)
    scores = scores[scores.study == "low"]
    seen, truth = (values[2] for values in _test(patterns, 3)) if files else (None, None)
    if seen is None or truth is None:
        return None
    true = _object(seen, truth)
    near = window(true)
    losses_ = list(dict.fromkeys(key[0] for key in files))
    figure = style.new(9.4, 8.6)
    panels = figure.subplots(3 * len(losses_), len(sizes) + 1, squeeze=False)
    for top, loss in enumerate(losses_):
        for column in range(len(sizes) + 1):
            three = panels[3 * top : 3 * top + 3, column]
            path = files.get((loss, *sizes[column - 1])) if column else None
            if column and path is None:
                for axes in three:
                    axes.axis("off")
                continue
            phase = truth if path is None else laid(_predicted(path)[2], truth, seen)
            made = _object(seen, phase)[near]
            made = made * np.exp(-1j * np.angle(np.vdot(true[near], made)))
            style.show(three[0], phase, turn(), PHASES)
            style.show(three[1], np.abs(made), None, "viridis")
            phase_panel(three[2], made)
            if column:
                n, width = sizes[column - 1]
                row = scores[(scores.loss == loss) & (scores.patterns == n) & (scores.width == width)]
                said = f", {100 * row.accuracy.iloc[0]:.1f} %" if len(row) else ""
                three[0].set_title(f"{n} patterns,\nwidth {width:g}{said}", fontsize=8)
            else:
                three[0].set_title("truth", fontsize=8)
        names = ("phase (RSP)", "modulus", "phase")
        for axes, name in zip(panels[3 * top : 3 * top + 3, 0], names, strict=True):
            axes.set_ylabel(f"{LOSSES[loss]}\n{name}", fontsize=8)
    return style.save(figure, stem, settings)


def fit(settings: FiguresSettings, stem: Path, fitted: Path) -> list[Path]:
    """One pattern fitted with WCA: predicted phase and phasors on the way (Fig. 4.7)."""
    with storage.read(fitted) as file:
        intensity, phase, predicted, updates, steps, coherence, weights = (
            storage.array(file, name)
            for name in ("intensity", "phase", "predicted", "updates", "steps", "coherence", "weights")
        )
    figure = style.new(5.2)
    panels = figure.subplots(2, len(steps) + 1)
    style.show(panels[0, 0], intensity, style.intensity_norm(intensity), settings.intensity_map)
    panels[0, 0].set_title("pattern")
    style.show(panels[1, 0], phase, turn(), PHASES)
    panels[1, 0].set_xlabel("true phase")
    brightest = np.argsort(weights.ravel())[::-1][:80]
    for column, step in enumerate(steps, 1):
        wrapped = np.angle(np.exp(1j * predicted[column - 1]))
        style.show(panels[0, column], wrapped, turn(), PHASES)
        panels[0, column].set_title(f"step {step}")
        axes = panels[1, column]
        difference = (phase - predicted[column - 1]).ravel()
        z, change = np.exp(1j * difference[brightest]), updates[column - 1].ravel()[brightest]
        mean = (weights.ravel() * np.exp(1j * difference)).sum()
        axes.quiver(np.zeros(len(z)), np.zeros(len(z)), z.real, z.imag, angles="xy", scale_units="xy", scale=1,
                    color="#0072b2", alpha=0.35, width=0.006)  # fmt: skip
        step_ = -1j * z * change * 0.35 / max(float(np.abs(change).max()), 1e-9)
        axes.quiver(z.real, z.imag, step_.real, step_.imag, angles="xy", scale_units="xy", scale=1, color="#009e73",
                    width=0.006)  # fmt: skip
        axes.quiver(0, 0, mean.real, mean.imag, angles="xy", scale_units="xy", scale=1, color="#b2182b", width=0.016)
        axes.add_patch(_circle())
        axes.set_xlim(-1.4, 1.4)
        axes.set_ylim(-1.4, 1.4)
        axes.set_aspect("equal")
        style.bare(axes)
        axes.set_xlabel(f"|⟨z⟩| = {coherence[step]:.3f}")
    return style.save(figure, stem, settings)


def _circle() -> Any:
    from matplotlib.patches import Circle

    return Circle((0, 0), 1, fill=False, color="#8c8c8c", linewidth=0.7)


def parts(settings: FiguresSettings, stem: Path, table: Path) -> list[Path] | None:
    """Accuracy under high strain by kind of phase field and by its range."""
    import pandas as pd

    scores = pd.read_csv(table)
    scores = scores[scores.study == "high"]
    if not len(scores):
        return None
    kinds = list(dict.fromkeys(scores.kind))
    figure = style.new(3.0)
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        for loss in LOSSES:
            line = scores[(scores.kind == kind) & (scores.loss == loss)].sort_values("from_radians")
            if len(line):
                middle = (line.from_radians + line.to_radians) / 2 / np.pi
                axes.plot(middle, 100 * line.accuracy, "o-", color=COLOURS[loss], label=LOSSES[loss])
        axes.set_title(kind)
        axes.set_xlabel("range of the phase (π rad)")
    panels[0].set_ylabel("accuracy (%)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return style.save(figure, stem, settings)


def starts(settings: FiguresSettings, stem: Path, table: Path) -> list[Path]:
    """Accuracy of every pattern after the iterative engine, from random starts and from predictions."""
    import pandas as pd

    runs = pd.read_csv(table)
    chance = runs.start.str.startswith("random")
    best = runs[chance].sort_values("residual").drop_duplicates("pattern")
    groups = [("one random start", runs[runs.start == "random-0"], "#8c8c8c", runs[chance].cpu_seconds.mean())]
    number = runs[chance].start.nunique()
    groups.append((f"best of {number}", best, "#444444", number * runs[chance].cpu_seconds.mean()))
    for loss in (loss for loss in LOSSES if (runs.start == loss).any()):
        part = runs[runs.start == loss]
        groups.append((LOSSES[loss], part, COLOURS[loss], part.cpu_seconds.mean()))
    figure = style.new(3.2)
    axes = figure.subplots()
    for place, (_, part, colour, seconds) in enumerate(groups):
        spread = 0.3 * (np.linspace(-1, 1, len(part)) if len(part) > 1 else np.zeros(1))
        axes.plot(place + spread, part.accuracy, "o", color=colour, alpha=0.6, markeredgewidth=0)
        if part.alone.notna().any():
            axes.plot(place, part.alone.mean(), "_", color="black", ms=24)
        right = 100 * (part.accuracy >= 0.95).mean()
        axes.text(place, 1.04, f"{right:.0f} % right\n{seconds:.2f} s", ha="center", va="bottom", fontsize=8)
    axes.axhline(0.95, color="#8c8c8c", linewidth=0.7, linestyle=":")
    axes.set_xticks(range(len(groups)), [name for name, *_ in groups])
    axes.set_ylim(0, 1.2)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_ylabel("accuracy of the object")
    return style.save(figure, stem, settings)
