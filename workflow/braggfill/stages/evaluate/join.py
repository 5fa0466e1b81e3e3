"""The parts of each sweep's table, joined, and the comparison with published results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from braggfill.errors import BraggfillError
from braggfill.runs import storage
from braggfill.settings.evaluate import EvaluateSettings
from braggfill.stages.evaluate.claims import CLAIM_COLUMNS, claims
from braggfill.stages.evaluate.intensity import INTENSITY_COLUMNS
from braggfill.stages.evaluate.patches import GAP_COLUMNS
from braggfill.stages.evaluate.scan import GAPS_COLUMNS, SKIP_COLUMNS
from braggfill.stages.evaluate.whole import OVERSAMPLING_COLUMNS, POSITION_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CLAIM_COLUMNS", "COLUMNS", "claims_table", "join_tables"]

COLUMNS = {
    "measured": GAP_COLUMNS,
    "simulated": GAP_COLUMNS,
    "intensity": INTENSITY_COLUMNS,
    "oversampling": OVERSAMPLING_COLUMNS,
    "position": POSITION_COLUMNS,
    "skip": SKIP_COLUMNS,
    "gaps": GAPS_COLUMNS,
}
ORDER = ("gap_axis", "particle", "oversampling", "gap_px")
"""What the rows of a table are sorted by, as far as it has it, so that shards change nothing."""


def join_tables(settings: EvaluateSettings, parts: Mapping[str, list[Path]], out: Mapping[str, Path]) -> None:
    """Write each table of ``out`` from its parts.

    Parameters
    ----------
    parts, out : table, one of :data:`COLUMNS` → the files of its parts, and where it goes; a table without parts has
        its header only.

    Raises
    ------
    BraggfillError : a part has other columns.
    """
    for name, path in out.items():
        table = _joined(parts.get(name, []), COLUMNS[name])
        if name in ("measured", "simulated", "intensity"):
            axes = {axis: place for place, axis in enumerate(settings.gap_axes)}
            order = [column for column in ("gap_axis", "gap_px") if column in table]
            table = table.sort_values(order, kind="stable", key=lambda c: c.map(axes) if c.name == "gap_axis" else c)
        elif name in ("oversampling", "position"):
            table = table.sort_values([column for column in ORDER if column in table], kind="stable")
        storage.write_table(path, table, columns=COLUMNS[name])


def claims_table(tables: Mapping[str, Path], out: Path) -> None:
    """Published statements beside the values of this run: see :func:`braggfill.stages.evaluate.claims.claims`."""
    import pandas as pd

    found = claims({name: pd.read_csv(path) for name, path in tables.items()})
    storage.write_table(out, pd.DataFrame(found), columns=CLAIM_COLUMNS)


def _joined(files: list[Path], columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    found = []
    for path in files:
        part = pd.read_csv(path)
        if list(part.columns) != columns:
            raise BraggfillError(f"{path}: has other columns than this version writes; delete it and make it again")
        if len(part):
            found.append(part)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)
