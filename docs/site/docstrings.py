"""The package's docstrings as the site shows them: roles and equations of reStructuredText become Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

PACKAGE = "braggfill"
SECTIONS = ("Parameters", "Returns", "Raises", "Yields", "Attributes")
ROLE = re.compile(r":(?:func|mod|class|data|meth|attr):`~?([^`]+)`")
MATH = re.compile(r":math:`([^`]+)`", re.S)
BLOCK = re.compile(r"^([ \t]*)\.\. math::[ \t]*(.*)\n((?:(?:\1[ \t]+.*)?\n)*)", re.M)


class RestructuredText(griffe.Extension):
    """Rewrites every docstring as it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            home = obj if obj.is_module else obj.module
            obj.docstring.value = markdown(obj.docstring.value, home.path)


def markdown(text: str, module: str) -> str:
    """A docstring of a module as Markdown."""
    text = BLOCK.sub(_block, text + "\n")
    text = MATH.sub(lambda m: f"${' '.join(m[1].split())}$", text)
    text = ROLE.sub(lambda m: _reference(m[1], module), text)
    return _sections(text.replace("``", "`"))


def _block(match: re.Match[str]) -> str:
    indent, first, rest = match.groups()
    lines = [line.strip() for line in [first, *rest.split("\n")] if line.strip()]
    body = " ".join(lines)
    return f"\n{indent}$$\n{indent}{body}\n{indent}$$\n\n"


def _reference(target: str, module: str) -> str:
    name = target.rsplit(".", 1)[-1]
    if target.startswith(f"{PACKAGE}."):
        return f"[`{name}`][{target}]"
    if "." in target and not target[0].isupper():  # another package's
        return f"`{target}`"
    return f"[`{name}`][{module}.{target}]"


def _sections(text: str) -> str:
    """``name : what it is`` of a section on two lines, as numpydoc wants a description."""
    lines = text.split("\n")
    found: list[str] = []
    inside, indent = False, ""
    for number, line in enumerate(lines):
        under = lines[number + 1].strip() if number + 1 < len(lines) else ""
        if line.strip() in SECTIONS and under and set(under) == {"-"}:
            inside, indent = True, line[: len(line) - len(line.lstrip())]
        elif inside and under and set(under) == {"-"} and line.strip():
            inside = False
        entry = re.match(r"([*\w., `]+?) : (.*)$", line[len(indent) :]) if inside else None
        if entry and line.startswith(indent) and not line[len(indent) :].startswith(" "):
            found += [f"{indent}{entry[1]}", f"{indent}    {entry[2]}"]
        else:
            found.append(line)
    return "\n".join(found)
