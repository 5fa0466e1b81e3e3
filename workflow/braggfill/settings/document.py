"""Writes the defaults, the JSON schema and the configuration page from the settings, their one source.

``python -m braggfill.settings.document config`` writes ``default.yaml``, ``schema.json`` and the tables of
``README.md`` in the folder ``config``; with ``--check`` it writes nothing and exits with 1 if one of them is not what
it would write.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from braggfill.errors import BraggfillError
from braggfill.runs.storage import write_text
from braggfill.settings.root import Settings, model_of

BEGIN = "<!-- settings: written by `make schema`, not by hand -->"
END = "<!-- end of settings -->"
NO_BREAK = "\u00a0"
HEAD = """\
# Every setting with its default, and what it does. Written by `make schema` from the settings models; not by hand.
# A run's own file (demo.yaml, paper.yaml, …) names only what it changes.
"""


def default_yaml() -> str:
    """``default.yaml``: every setting with its default, its description and bounds as a comment above it."""
    lines = "\n".join(_yaml(Settings, Settings(), 0)).strip()
    while "\n\n\n" in lines:
        lines = lines.replace("\n\n\n", "\n\n")
    return f"{HEAD}\n{lines}\n"


def schema_json() -> str:
    """``schema.json``: the JSON schema of a configuration; no level takes a name that it does not know."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def readme_md(old: str) -> str:
    """``README.md`` with its tables of settings, between two markers, made anew.

    Raises
    ------
    BraggfillError : the markers are not there.
    """
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BraggfillError(f"README.md: has no '{BEGIN}' and '{END}' around its tables; put them back")
    return f"{before}{BEGIN}\n\n{''.join(_tables(Settings, Settings(), ''))}{END}{after}"


def _yaml(model: type[BaseModel], value: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        inner = getattr(value, name)
        if isinstance(inner, BaseModel):
            yield ""
            yield from _comment(_text(field.description or type(inner).__doc__), indent)
            yield f"{indent}{name}:"
            yield from _yaml(type(inner), inner, depth + 1)
            yield ""
            continue
        allowed = _allowed(properties[name]).replace(" ", NO_BREAK)
        yield from _comment(_text(field.description) + (f" [{allowed}]" if allowed else ""), indent)
        yield f"{indent}{name}: {_plain(_dumped(value, name))}"


def _dumped(value: BaseModel, name: str) -> Any:
    return value.model_dump(mode="json", include={name})[name]


def _plain(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True).removesuffix("...\n").strip()


def _text(description: str | None) -> str:
    return " ".join((description or "").split())


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in textwrap.wrap(text, 118 - len(indent), break_long_words=False, break_on_hyphens=False):
        yield f"{indent}# {line.replace(NO_BREAK, ' ')}"


def _allowed(schema: dict[str, Any]) -> str:
    """Bounds and choices of one setting in words, as far as its schema states them."""
    if "anyOf" in schema:
        return " or ".join(filter(None, (_allowed(one) or one.get("type", "") for one in schema["anyOf"])))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "propertyNames" in schema and (value := _allowed(schema["additionalProperties"])):
        return f"{_allowed(schema['propertyNames'])}: each {value}"
    if schema.get("type") == "array":
        inside = schema.get("items") or {}
        if "prefixItems" in schema:
            return _allowed(schema["prefixItems"][0])
        return f"each {_allowed(inside)}" if isinstance(inside, dict) and _allowed(inside) else ""
    words = []
    for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")):
        if key in schema:
            words.append(f"{sign} {schema[key]:,}" if float(schema[key]).is_integer() else f"{sign} {schema[key]:g}")
    return ", ".join(words)


def _tables(model: type[BaseModel], value: BaseModel | None, prefix: str) -> Iterator[str]:
    """One table a block, first the settings of the block itself, then the blocks inside it."""
    title = prefix.rstrip(".") or "The run"
    yield f"### {f'`{title}`' if prefix else title}\n\n"
    yield f"{_text(model.__doc__)}\n\n| setting | default | allowed | what it does, how to choose it |\n"
    yield "| --- | --- | --- | --- |\n"
    properties = model.model_json_schema()["properties"]
    inside = []
    for name, field in model.model_fields.items():
        inner = model_of(field.annotation)
        if inner is not None:
            whole = field.annotation is inner
            its_value = getattr(value, name) if whole and value else None
            inside.append((inner, its_value, name if whole else f"{name}.<name>"))
            if whole:
                continue
        yield f"| `{name}` | {_default(field, value, name)} | {_cell(_allowed(properties[name]))} | "
        yield f"{_cell(_text(field.description))} |\n"
    yield "\n"
    for inner, its_value, name in inside:
        yield from _tables(inner, its_value, f"{prefix}{name}.")


def _default(field: FieldInfo, value: BaseModel | None, name: str) -> str:
    if value is None and field.is_required():
        return "required"
    default = _dumped(value, name) if value is not None else field.get_default(call_default_factory=True)
    return f"`{_cell(_plain(default))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m braggfill.settings.document", description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder to write to, usually config")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is out of date")
    options = parser.parse_args(arguments)
    readme = options.folder / "README.md"
    try:
        if not readme.is_file():
            raise BraggfillError(f"{readme}: no such file; check the folder")
        old = readme.read_text(encoding="utf-8")
        files = {"default.yaml": default_yaml(), "schema.json": schema_json(), "README.md": readme_md(old)}
        stale = []
        for name, text in files.items():
            path = options.folder / name
            if path.is_file() and path.read_text(encoding="utf-8") == text:
                continue
            stale.append(name)
            if not options.check:
                write_text(path, text)
    except BraggfillError as error:
        print(f"braggfill: error: {error}", file=sys.stderr)
        return 2
    if stale and options.check:
        print(f"{options.folder}: {', '.join(stale)} differ from the settings; run 'make schema'", file=sys.stderr)
        return 1
    print(f"{options.folder}: {'wrote ' + ', '.join(stale) if stale else 'all up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
