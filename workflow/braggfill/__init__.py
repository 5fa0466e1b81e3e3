"""braggfill: fills the gaps that detectors leave in 3D Bragg coherent diffraction patterns.

``braggfill.inpaint(intensity, mask)`` is all that most need.  Importing the package imports nothing heavy.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["BraggfillError", "__version__", "inpaint"]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "inpaint":
        return importlib.import_module("braggfill.inpaint")
    if name == "BraggfillError":
        return importlib.import_module("braggfill.errors").BraggfillError
    raise AttributeError(f"module 'braggfill' has no attribute {name!r}")
