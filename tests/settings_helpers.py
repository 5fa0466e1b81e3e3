"""Settings changed for a test, those inside blocks too."""

from __future__ import annotations

from typing import Any

from braggfill.settings.base import StageSettings
from braggfill.settings.root import merge


def changed(settings: StageSettings, **changes: Any) -> StageSettings:
    """The same settings but for these."""
    return type(settings).model_validate(merge(settings.model_dump(), changes))
