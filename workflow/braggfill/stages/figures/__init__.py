"""figures: tables and arrays -> figures as PNG and SVG, and the report."""

from __future__ import annotations

from braggfill.runs import storage
from braggfill.stages.figures.catalogue import Figure, catalogue, draw, draw_one
from braggfill.stages.figures.graph import dag_svg
from braggfill.stages.figures.page import left_out, report, stages, summary

__all__ = [
    "Figure",
    "catalogue",
    "dag_svg",
    "draw",
    "draw_one",
    "left_out",
    "report",
    "stages",
    "storage",
    "summary",
]
