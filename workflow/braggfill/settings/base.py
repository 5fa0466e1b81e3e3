"""What every settings model shares."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import CoreSchema, core_schema

__all__ = ["Field", "OneOf", "StageSettings"]


class StageSettings(BaseModel):
    """A block of settings: frozen, bounded, and closed to names that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True)

    moved: ClassVar[Mapping[str, str]] = {}
    """Former name → where the setting is now, below the same block: what an error says of the former name."""

    def only(self, *names: str) -> dict[str, Any]:
        """The plain values of some settings, those inside a block by ``block.name``: the ``settings`` of a rule, which
        names what its task looks at.

        Raises
        ------
        ValueError : there is no setting of a name.
        """
        found: dict[str, Any] = {}
        for name in names:
            first, _, rest = name.partition(".")
            if first not in type(self).model_fields:
                raise ValueError(f"{type(self).__name__} has no setting {first}")
            if rest:
                found[first] = found.get(first, {}) | getattr(self, first).only(rest)
            else:
                found |= self.model_dump(mode="json", include={first})
        return found

    @classmethod
    def part(cls, given: Mapping[str, Any]) -> Self:
        """These settings, of :meth:`only`, and no others: to look at another is an error, never its default."""
        found = cls.model_validate(given)
        _leave_out(found, given)
        return found


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


def _leave_out(block: BaseModel, given: Mapping[str, Any]) -> None:
    for name in type(block).model_fields:
        if name not in given:
            block.__dict__.pop(name)
        elif isinstance(value := block.__dict__[name], BaseModel):
            _leave_out(value, given[name])
