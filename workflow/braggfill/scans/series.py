"""Names that count on: frames in files of their own, blocks of one scan."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np


def natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts frame_2 before frame_10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def stem(name: str) -> str:
    """What precedes the last number in a name."""
    return re.split(r"\d+(?=\D*$)", name)[0]


def _varying(names: Sequence[str]) -> list[list[int]]:
    """The numbers in names that differ by nothing else, of each place at which they vary."""
    found = [[int(number) for number in re.findall(r"\d+", name)] for name in names]
    return [list(place) for place in zip(*found, strict=True) if len(set(place)) > 1]


def apart(names: Sequence[str]) -> str:
    """Which series the names belong to, if to several; empty for one.

    Of one series names differ by their numbers alone, and one of these is another for each.
    """
    texts = Counter(re.sub(r"\d+", "#", name) for name in names)
    if len(texts) > 1:
        return _told(texts)
    varying = _varying(names)
    if not varying or any(len(set(place)) == len(names) for place in varying):
        return ""
    return _told(Counter(f"{stem(name)}#{re.split(r'[0-9]+', name)[-1]}" for name in names))


def _told(series: Counter[str]) -> str:
    told = [f"{name} ({number})" for name, number in series.most_common(4)]
    return ", ".join(told) + (f" and {len(series) - 4} more" if len(series) > 4 else "")


def left_out(names: Sequence[str]) -> int | None:
    """The first number that is left out among names that count on; None for none, and for names that do not."""
    if len(names) < 2 or len({re.sub(r"\d+", "#", name) for name in names}) > 1:
        return None
    varying = _varying(names)
    if len(varying) != 1:
        return None
    steps = np.diff(varying[0])
    usual = int(np.median(steps))
    return next((n + usual for n, step in zip(varying[0], steps, strict=False) if step != usual), None)
