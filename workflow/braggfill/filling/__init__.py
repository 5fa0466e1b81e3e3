"""Fill the missing voxels of a whole pattern, of any size, by a network or by interpolation.

Importing this imports nothing heavy: what is named here is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from braggfill.filling.checking import check
    from braggfill.filling.inpainting import Filled, inpaint

__all__ = ["Filled", "check", "inpaint"]

_HOMES = {
    "Filled": "braggfill.filling.inpainting",
    "check": "braggfill.filling.checking",
    "inpaint": "braggfill.filling.inpainting",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'braggfill.filling' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
