"""evaluate: sweeps -> tables, one observation a row, with the noise ceiling beside every correlation.

Source: paper sections 2.3 to 2.5 and Table 1, supplement S2.1, S4.
"""

from __future__ import annotations

from braggfill.evaluate.calibration import CALIBRATION_COLUMNS, calibration_table
from braggfill.evaluate.cases import CASE_COLUMNS, case_table
from braggfill.evaluate.portions import GAP_COLUMNS, gap_table, simulated_table
from braggfill.evaluate.realism import REALISM_COLUMNS, modulus_fwhm, radial_exponent, realism_table

__all__ = [
    "CALIBRATION_COLUMNS",
    "CASE_COLUMNS",
    "GAP_COLUMNS",
    "REALISM_COLUMNS",
    "calibration_table",
    "case_table",
    "gap_table",
    "modulus_fwhm",
    "radial_exponent",
    "realism_table",
    "simulated_table",
]
