"""The package's docstrings as the site shows them: roles and equations of reStructuredText become Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

PACKAGE = "braggfill"
SECTIONS = ("Parameters", "Returns", "Raises", "Yields", "Attributes")
ROLE = re.compile(r":(?:func|mod|class|data|meth|attr):`~?([^`]+)`")
MATH = re.compile(r":math:`([^`]+)`", re.S)
ENTRY = re.compile(r"([*\w., `]*?[\w`]) ?: (.*)$")
BLOCK = re.compile(r"^([ \t]*)\.\. math::[ \t]*(.*)\n((?:(?:\1[ \t]+.*)?\n)*)", re.M)


class RestructuredText(griffe.Extension):
    """Rewrites every docstring, once the whole package is read."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        done: set[str] = set()
        for obj in _objects(pkg, done):
            if obj.docstring is not None:
                obj.docstring.value = markdown(obj.docstring.value, obj)


def _objects(obj: griffe.Object, done: set[str]) -> Iterator[griffe.Object]:
    if obj.path not in done:
        done.add(obj.path)
        yield obj
        for member in obj.members.values():
            if not member.is_alias:
                yield from _objects(member, done)


def markdown(text: str, home: griffe.Object) -> str:
    """The docstring of an object as Markdown."""
    text = BLOCK.sub(_block, text + "\n")
    text = MATH.sub(lambda m: f"${' '.join(m[1].split())}$", text)
    text = ROLE.sub(lambda m: _reference(m[1], home), text)
    return _sections(text.replace("``", "`"))


def _block(match: re.Match[str]) -> str:
    indent, first, rest = match.groups()
    lines = [line.strip() for line in [first, *rest.split("\n")] if line.strip()]
    body = " ".join(lines)
    return f"\n{indent}$$\n{indent}{body}\n{indent}$$\n\n"


def _reference(target: str, home: griffe.Object) -> str:
    """A link to what the site shows; the name of what it does not (private, without a docstring, of another package).

    A target of this package that does not exist stays a link, and the strict build fails on it.
    """
    name = target.rsplit(".", 1)[-1]
    try:
        path = target if target.startswith(f"{PACKAGE}.") else home.resolve(target)
    except griffe.NameResolutionError:
        foreign = "." in target and not target[0].isupper()
        return f"`{target}`" if foreign else f"[`{name}`][{target}]"
    if not path.startswith(f"{PACKAGE}."):
        return f"`{target}`"
    try:
        found: Any = home.package[path.removeprefix(f"{PACKAGE}.")]
        found = found.final_target if found.is_alias else found
    except (KeyError, griffe.AliasResolutionError):
        return f"[`{name}`][{path}]"
    shown = found.docstring is not None and not any(part.startswith("_") for part in found.path.split("."))
    return f"[`{name}`][{found.path}]" if shown else f"`{name}`"


def _sections(text: str) -> str:
    """Sections as numpydoc wants them, from the short form ``name : what it is``: the description on a line of its own,
    lines that continue it indented.  What is returned has no name where the section is prose; a paragraph after the
    last entry comes before the section."""
    lines = text.split("\n")
    found: list[str] = []
    number = 0
    while number < len(lines):
        if not _is_head(lines, number):
            found.append(lines[number])
            number += 1
            continue
        indent = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
        title, number = lines[number].strip(), number + 2
        body: list[str] = []
        while number < len(lines) and not _is_head(lines, number):
            body.append(lines[number].removeprefix(indent))
            number += 1
        entries, rest = _entries(body)
        found += [f"{indent}{line}" for line in rest] + [""]
        found += [f"{indent}{line}" for line in (title, "-" * len(title), *entries)] + [""]
    return "\n".join(found)


def _is_head(lines: list[str], number: int) -> bool:
    under = lines[number + 1].strip() if number + 1 < len(lines) else ""
    return lines[number].strip() in SECTIONS and len(under) > 2 and set(under) == {"-"}


def _entries(body: list[str]) -> tuple[list[str], list[str]]:
    """The entries of a section, and the paragraphs after the last."""
    if not any(ENTRY.match(line) for line in body):
        return ["result", *(f"    {line}" for line in body)], []
    entries: list[str] = []
    for number, line in enumerate(body):
        match = ENTRY.match(line)
        if match:
            entries += [match[1].replace("`", ""), f"    {match[2]}"]
        elif line.strip() and not line.startswith(" ") and number and not body[number - 1].strip():
            return entries, body[number:]  # a paragraph of its own
        else:
            entries.append(f"    {line.strip()}" if line.strip() else "")
    return entries, []
