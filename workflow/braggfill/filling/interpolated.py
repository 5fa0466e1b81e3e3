"""The methods that interpolate (:func:`braggfill.patterns.interpolate.interpolate`); they state no uncertainty."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from braggfill.patterns.interpolate import interpolate


def _interpolated(name: str, seen: np.ndarray, mask: np.ndarray, network: None, options: Any) -> tuple[Any, None]:
    return interpolate(seen, mask, name)[mask], None


linear = partial(_interpolated, "linear")
cubic = partial(_interpolated, "cubic")
nearest = partial(_interpolated, "nearest")
idw = partial(_interpolated, "idw")
biharmonic = partial(_interpolated, "biharmonic")
