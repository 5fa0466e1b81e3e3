"""What every settings model shares."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import CoreSchema, core_schema

__all__ = ["Field", "OneOf", "StageSettings"]


class StageSettings(BaseModel):
    """A block of settings: frozen, bounded, and closed to names that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True)


class OneOf:
    """Says of a setting, ``Annotated[str, OneOf("package.module:NAMES")]``, that it is a name of a registry.

    Settings stand below the registries (of filling methods, of networks) and import none: a registry is asked for its
    names when the model is made, so that a new entry needs no line in the settings.

    Parameters
    ----------
    registry : module and attribute with the names in their order.
    without : names that this setting does not take.
    more : names that it takes besides, before those of the registry.
    """

    def __init__(self, registry: str, *, without: Collection[str] = (), more: Collection[str] = ()):
        self.registry, self.without, self.more = registry, frozenset(without), tuple(more)

    def names(self) -> list[str]:
        """What the setting takes."""
        module, _, attribute = self.registry.partition(":")
        return [*self.more, *(n for n in getattr(import_module(module), attribute) if n not in self.without)]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.literal_schema(self.names())
