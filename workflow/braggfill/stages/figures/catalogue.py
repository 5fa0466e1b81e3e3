"""Every figure of the report: gathered from the chapters, and drawn."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures.chapter import Figure
from braggfill.stages.figures.chapters import CHAPTERS


def catalogue(settings: FiguresSettings, run: Mapping[str, Any]) -> list[tuple[str, Figure]]:
    """The figures of the chapters that are asked for, in the order of the report, each with its chapter's name.

    Parameters
    ----------
    run : the run's settings, plain; chapters look at what the parameter ``run`` of the rule names.
    """
    asked = [chapter for chapter in CHAPTERS if chapter.subject in settings.chapters]
    return [(chapter.name, figure) for chapter in asked for figure in chapter.figures(settings, run)]


def draw(settings: FiguresSettings, seed: int, run: Mapping[str, Any], folder: Path, out: Path, code: str = "") -> None:
    """Draw every figure of a run.

    Parameters
    ----------
    run : the run's settings, plain.
    folder : the run's folder, ``results/<run>``.
    out : JSON list of the figures, written last; the figures lie beside it.  An entry has ``name``, ``chapter``,
        ``part``, ``title``, ``caption``, ``files`` (names beside ``out``) and ``left_out``, why there is none, or null.

    A figure whose data were left out, or are not there, is left out too; nothing else fails for it.
    """
    from tqdm import tqdm

    entries = []
    chosen = catalogue(settings, {**run, "seed": seed})
    for chapter, figure in tqdm(chosen, desc="figures", unit="figure", disable=None):
        files, reason = draw_one(settings, figure, folder, out.parent)
        if reason is not None:
            print(f"braggfill: left out: figure {figure.name}: {reason}", file=sys.stderr)
        about = {"name": figure.name, "chapter": chapter, "part": figure.part, "title": figure.title}
        about |= {"caption": figure.caption}
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
