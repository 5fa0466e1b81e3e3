"""figures: tables and arrays -> figures as PNG and SVG, and the report."""

from __future__ import annotations

from braggfill import storage
from braggfill.figures.catalogue import Figure, catalogue, draw, draw_one
from braggfill.figures.graph import dag_svg
from braggfill.figures.page import left_out, report, stages, summary

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
