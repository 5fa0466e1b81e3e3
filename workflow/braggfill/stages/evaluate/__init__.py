"""evaluate: sweeps -> tables, one observation a row, with the noise ceiling beside every correlation.

Source: paper sections 2.3 to 2.5 and Table 1, supplement S2.1, S3 to S6, thesis sections 3.3.3 and 3.7.
"""

from __future__ import annotations

from braggfill.stages.evaluate.calibration import CALIBRATION_COLUMNS, calibration_table
from braggfill.stages.evaluate.cases import CASE_COLUMNS, case_table
from braggfill.stages.evaluate.intensity import INTENSITY_COLUMNS
from braggfill.stages.evaluate.join import CLAIM_COLUMNS, COLUMNS, claims_table, join_tables
from braggfill.stages.evaluate.patches import GAP_COLUMNS, gap_table, simulated_table
from braggfill.stages.evaluate.realism import REALISM_COLUMNS, modulus_fwhm, radial_exponent, realism_table
from braggfill.stages.evaluate.scan import GAPS_COLUMNS, SKIP_COLUMNS, gaps_table, skip_table
from braggfill.stages.evaluate.whole import OVERSAMPLING_COLUMNS, POSITION_COLUMNS, oversampling_table, position_table

__all__ = [
    "CALIBRATION_COLUMNS",
    "CASE_COLUMNS",
    "CLAIM_COLUMNS",
    "COLUMNS",
    "GAPS_COLUMNS",
    "GAP_COLUMNS",
    "INTENSITY_COLUMNS",
    "OVERSAMPLING_COLUMNS",
    "POSITION_COLUMNS",
    "REALISM_COLUMNS",
    "SKIP_COLUMNS",
    "calibration_table",
    "case_table",
    "claims_table",
    "gap_table",
    "gaps_table",
    "join_tables",
    "modulus_fwhm",
    "oversampling_table",
    "position_table",
    "radial_exponent",
    "realism_table",
    "simulated_table",
    "skip_table",
]
