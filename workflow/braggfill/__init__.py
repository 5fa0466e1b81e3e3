"""braggfill: fills the gaps that detectors leave in 3D Bragg coherent diffraction patterns, and retrieves their phases.

``braggfill.inpaint(intensity, mask)`` and ``braggfill.phase(counts, mask)`` are all that most need.  Importing the
package imports nothing heavy: what is named here is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from braggfill.errors import BraggfillError
    from braggfill.filling.scan import inpaint
    from braggfill.phasing.scan import phase

__version__ = "0.1.0"
__all__ = ["BraggfillError", "__version__", "inpaint", "phase"]

_HOMES = {"BraggfillError": "braggfill.errors", "inpaint": "braggfill.filling.scan", "phase": "braggfill.phasing.scan"}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'braggfill' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
