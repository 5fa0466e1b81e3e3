"""reconstruct: patterns with gap, filled and whole to real-space objects, displacement and strain, and their errors.

Source: paper sections 2.6.1 and 2.6.2, supplement S7 and S8, thesis 3.8.
"""

from __future__ import annotations

from braggfill.reconstruct.exact import MEAN_COLUMNS, PARTICLE_COLUMNS, TRUE_PHASE_COLUMNS, particles, true_phase
from braggfill.reconstruct.mapping import MAP_COLUMNS, chart, chart_cell
from braggfill.reconstruct.phasing import RETRIEVAL_COLUMNS, gather, phase, prepare

__all__ = [
    "MAP_COLUMNS",
    "MEAN_COLUMNS",
    "PARTICLE_COLUMNS",
    "RETRIEVAL_COLUMNS",
    "TRUE_PHASE_COLUMNS",
    "chart",
    "chart_cell",
    "gather",
    "particles",
    "phase",
    "prepare",
    "true_phase",
]
