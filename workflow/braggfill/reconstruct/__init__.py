"""reconstruct: patterns with gap, filled and whole to real-space objects, displacement and strain, and their errors.

Source: paper sections 2.6.1 and 2.6.2, supplement S7 and S8, thesis 3.8.
"""

from __future__ import annotations

from braggfill.reconstruct.exact import TRUE_PHASE_COLUMNS, true_phase
from braggfill.reconstruct.phasing import RETRIEVAL_COLUMNS, retrieve

__all__ = ["RETRIEVAL_COLUMNS", "TRUE_PHASE_COLUMNS", "retrieve", "true_phase"]
