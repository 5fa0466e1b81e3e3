"""reconstruct: patterns with gap, filled and whole to real-space objects, displacement and strain, and their errors.

Source: paper sections 2.6.1, 2.6.2 and 2.7, supplement S7 and S8, thesis 3.8 and 3.9.
"""

from __future__ import annotations

from braggfill.stages.reconstruct.exact import MEAN_COLUMNS, PARTICLE_COLUMNS, TRUE_PHASE_COLUMNS, particles, true_phase
from braggfill.stages.reconstruct.mapping import MAP_COLUMNS, chart, chart_cell
from braggfill.stages.reconstruct.phasing import RETRIEVAL_COLUMNS, gather, phase, prepare
from braggfill.stages.reconstruct.tuning import FINETUNE_COLUMNS, finetuned

__all__ = [
    "FINETUNE_COLUMNS",
    "MAP_COLUMNS",
    "MEAN_COLUMNS",
    "PARTICLE_COLUMNS",
    "RETRIEVAL_COLUMNS",
    "TRUE_PHASE_COLUMNS",
    "chart",
    "chart_cell",
    "finetuned",
    "gather",
    "particles",
    "phase",
    "prepare",
    "true_phase",
]
