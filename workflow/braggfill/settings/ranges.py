"""A range of numbers to draw from, as the settings write it: ``[lowest, highest]``."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import AfterValidator

Range = tuple[float, float]
"""A setting that is a range ``[low, high]``."""


def _within(lowest: float, highest: float) -> Callable[[tuple[float, float]], tuple[float, float]]:
    def check(ends: tuple[float, float]) -> tuple[float, float]:
        low, high = ends
        if not low <= high:
            raise ValueError(f"the range [{low:g}, {high:g}] must not go down")
        if low < lowest or high > highest:
            raise ValueError(f"the range [{low:g}, {high:g}] must lie within [{lowest:g}, {highest:g}]")
        return ends

    return check


def within(lowest: float, highest: float) -> AfterValidator:
    """Says of a :data:`Range` that ``lowest <= low <= high <= highest``."""
    return AfterValidator(_within(lowest, highest))
