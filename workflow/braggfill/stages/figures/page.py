"""The report: one HTML file that holds everything."""

from __future__ import annotations

import base64
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.stages.figures import record
from braggfill.stages.figures.chapters import CHAPTERS
from braggfill.stages.figures.graph import dag_svg
from braggfill.stages.figures.references import REFERENCES
from braggfill.stages.figures.table import SPACE, Table

KINDS = {".png": "image/png", ".svg": "image/svg+xml"}
FIRST = "realspace"
"""The chapter whose best picture opens the report, if it has one."""


def report(
    settings: FiguresSettings,
    run: Mapping[str, Any],
    folder: Path,
    out: Path,
    rules: Mapping[str, Sequence[str]],
) -> None:
    """Write the report of a run as one HTML file, figures embedded, nothing fetched from anywhere.

    Parameters
    ----------
    run : the run's settings, plain.
    folder : the run's folder; what is there is shown, what was left out is told in one line each.
    rules : rule → rules that it needs, for the picture of the DAG.

    Raises
    ------
    BraggfillError : the report cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    place = files("braggfill.stages.figures")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"clock": record.clock, "prose": prose, "megabytes": megabytes}
    template = environment.from_string(place.joinpath("page.html").read_text(encoding="utf-8"))
    chapters = _chapters(folder, settings.chapters)
    html = template.render(
        css=place.joinpath("page.css").read_text(encoding="utf-8"),
        js=place.joinpath("page.js").read_text(encoding="utf-8"),
        title=settings.title,
        run=str(run.get("run", folder.name)),
        seed=run.get("seed"),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        revision=record.revision(),
        machine=record.machine(),
        chapters=chapters,
        lead=_lead(chapters),
        left_out=record.left_out(folder),
        dag=dag_svg(rules),
        stages=record.stages(folder),
        network=record.network(folder),
        settings=record.as_yaml(run),
        codes=record.codes(folder),
        versions={**storage.versions(), "Python": platform.python_version()},
        data=record.sources(folder),
        references=REFERENCES,
    )
    storage.write_text(out, html)


def prose(text: str) -> Any:
    """A sentence as HTML: escaped, what stands in backticks as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def megabytes(value: float) -> str:
    """Memory as it is read: 512 MB, 1.3 GB."""
    return f"{value / 1000:.1f}{SPACE}GB" if value >= 1000 else f"{value:.0f}{SPACE}MB"


def _chapters(folder: Path, asked: Sequence[str]) -> list[dict[str, Any]]:
    """The chapters that have something to show: title, verdict, and parts of figures and tables."""
    made: dict[str, list[dict[str, Any]]] = {}
    found = []
    for entry in _figures(folder):
        made.setdefault(entry["chapter"], []).append(entry)
    number = 0
    for chapter in (one for one in CHAPTERS if one.subject in asked):
        figures = made.get(chapter.name, [])
        for figure in figures:
            number += 1
            figure["number"] = number
        tables = [table for table in chapter.tables(folder) if table is not None]
        verdict = chapter.verdict(folder)
        if figures or tables or verdict:
            found.append(
                {
                    "name": chapter.name,
                    "title": chapter.title,
                    "about": chapter.about,
                    "verdict": verdict,
                    "best": figures[0] if figures else None,
                    "parts": _parts(figures, tables),
                }
            )
    return found


def _parts(figures: Iterable[dict[str, Any]], tables: Iterable[Table]) -> list[dict[str, Any]]:
    """Figures and tables by the heading under which they stand, in the order in which the headings come up."""
    parts: dict[str, dict[str, Any]] = {}

    def part(title: str) -> dict[str, Any]:
        return parts.setdefault(title, {"title": title, "figures": [], "tables": []})

    for figure in figures:
        part(figure["part"])["figures"].append(figure)
    for table in tables:
        part(table.part)["tables"].append(table)
    return list(parts.values())


def _lead(chapters: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The figure that opens the report."""
    best = {chapter["name"]: chapter["best"] for chapter in chapters if chapter["best"]}
    return best.get(FIRST) or next(iter(best.values()), None)


def _figures(folder: Path) -> list[dict[str, Any]]:
    """The figures that were drawn, each with its picture as a data URI."""
    made: list[dict[str, Any]] = []
    for entry in record.index(folder):
        names = [name for name in entry["files"] if Path(name).suffix in KINDS]
        names.sort(key=lambda name: list(KINDS).index(Path(name).suffix))
        if names:
            content = base64.b64encode((folder / "figures" / names[0]).read_bytes()).decode()
            made.append({**entry, "uri": f"data:{KINDS[Path(names[0]).suffix]};base64,{content}"})
    return made
