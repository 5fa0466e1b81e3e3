"""What every settings model shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Field", "StageSettings"]


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


def _leave_out(block: BaseModel, given: Mapping[str, Any]) -> None:
    for name in type(block).model_fields:
        if name not in given:
            block.__dict__.pop(name)
        elif isinstance(value := block.__dict__[name], BaseModel):
            _leave_out(value, given[name])
