"""A table of the report, and how numbers are written in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """Rows of text under a head, a sentence about them, and the file that they come from."""

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str
    source: str
    left: int = 1
    """How many of the first columns are text, set to the left."""
    marks: list[int] = field(default_factory=list)
    """Rows before which a thin line is drawn."""
    failed: list[int] = field(default_factory=list)
    """Rows that stand out because they speak against the method."""
    part: str = ""
    """Heading within the chapter under which it stands, as of figures; empty for none."""


SPACE = "\u202f"
"""Between thousands: narrow, and no line is broken there."""


def read(path: Path) -> pd.DataFrame | None:
    """A CSV table; None where it is not there or has no rows."""
    import pandas as pd

    if not path.is_file():
        return None
    table = pd.read_csv(path)
    return table if len(table) else None


def whole(value: float) -> str:
    """A whole number, thousands apart: 3 199."""
    return signed(f"{round(value):,}".replace(",", SPACE))


def signed(text: str) -> str:
    """The same text, its hyphens before digits as minus signs."""
    return re.sub(r"(?<![\w.)])-(?=\d)", "−", text)


def number(value: Any, digits: int = 3) -> str:
    """A number in ``digits`` decimals; a dash for none."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "–"
    return signed(f"{value:.{digits}f}")


def figures(value: Any, count: int = 3) -> str:
    """A number to ``count`` significant figures, with a power of ten where it is small or large."""
    if value is None or not np.isfinite(value):
        return "–"
    if abs(value) < 1e-12:  # rounding noise
        return "0"
    power = int(np.floor(np.log10(abs(value))))
    if -3 <= power < 5:
        return signed(f"{value:,.{max(0, count - 1 - power)}f}".replace(",", SPACE))
    signs = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
    return signed(f"{value / 10.0**power:.{count - 1}f}·10{str(power).translate(signs)}")


def percent(value: float) -> str:
    """A fraction in whole per cent; a dash for none."""
    return signed(f"{100 * value:.0f}{SPACE}%") if np.isfinite(value) else "–"
