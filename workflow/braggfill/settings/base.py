"""What every settings model shares."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Field", "StageSettings"]


class StageSettings(BaseModel):
    """A block of settings: frozen, bounded, and closed to names that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True)
