"""What a chapter of the report is made of: figures, tables, a verdict and four numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures.table import Table

Draw = Callable[..., "list[Path] | None"]
Tone = Literal["", "good", "bad"]
MOST = 4
"""Numbers of a verdict."""


@dataclass(frozen=True)
class Figure:
    """One figure."""

    name: str
    """Also the name of its files, without suffix; unique in the report."""
    part: str
    """Heading within the chapter under which it stands; empty for none."""
    title: str
    caption: str
    draw: Draw
    """Called with the settings, the path without suffix, the inputs and the options; returns the files written, or
    None where there is nothing to show."""
    inputs: Mapping[str, str]
    """Parameter → file in the run's folder; with a ``*``, all files that match, as a list."""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Number:
    """One number of a verdict, ready to print."""

    value: str
    """With its unit."""
    label: str
    """What it is, in a few words."""
    tone: Tone = ""
    """Whether it speaks for the method, against it, or neither."""


@dataclass(frozen=True)
class Verdict:
    """What a chapter comes to: one or two sentences, and up to four numbers."""

    text: str
    numbers: tuple[Number, ...] = ()

    def __post_init__(self) -> None:
        if len(self.numbers) > MOST:
            raise ValueError(f"a verdict has at most {MOST} numbers, this one {len(self.numbers)}")


def no_figures(settings: FiguresSettings, run: Mapping[str, Any]) -> list[Figure]:
    """For a chapter without figures."""
    return []


def no_tables(folder: Path) -> list[Table | None]:
    """For a chapter without tables."""
    return []


def no_verdict(folder: Path) -> Verdict | None:
    """For a chapter without a verdict."""
    return None


@dataclass(frozen=True)
class Chapter:
    """One chapter of the report.  It is shown if one of its figures was drawn, or if it has a table or a verdict."""

    name: str
    """A word, the anchor of its heading."""
    title: str
    about: str
    """A sentence below the title."""
    figures: Callable[[FiguresSettings, Mapping[str, Any]], list[Figure]] = no_figures
    """Settings and the run's settings, plain → its figures, the best one first."""
    tables: Callable[[Path], list[Table | None]] = no_tables
    """The run's folder → its tables; None for one that the run has not got."""
    verdict: Callable[[Path], Verdict | None] = no_verdict
    """The run's folder → what it comes to, or None where the run does not tell."""
    subject: str = "gaps"
    """The word of the setting `figures.chapters` that asks for it."""
