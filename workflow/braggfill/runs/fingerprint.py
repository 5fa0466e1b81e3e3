"""A fingerprint of the code behind a stage, blind to comments and docstrings.

Snakemake watches a rule's script but not the modules that it imports.  Every rule therefore carries
``params: code=code("<stage>")``: a changed line in the stage's module, or in any module of this package that it
imports, directly or not, reruns the stage and what follows it; a comment, a docstring or a blank line reruns nothing.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = "braggfill"
ROOT = Path(__file__).parents[1]


def module_files(name: str, root: Path = ROOT) -> list[Path]:
    """The files of a module by its dotted name inside the package: one file, or every file of a folder."""
    parts = name.split(".")[1:]
    place = root.joinpath(*parts)
    if parts and place.with_suffix(".py").is_file():
        return [place.with_suffix(".py")]
    if parts and (place / "__init__.py").is_file():
        return sorted(place.rglob("*.py"))
    return []


def imports(file: Path, root: Path = ROOT) -> set[str]:
    """Dotted names of the package's modules that a file imports, anywhere in it (inside functions too)."""
    found = set()
    inside = [PACKAGE, *file.relative_to(root).with_suffix("").parts]
    for level, base, names in _import_lines(file, file.stat().st_mtime_ns):
        if base is None:
            found.update(name for name in names if name.startswith(f"{PACKAGE}."))
            continue
        if level:
            base = ".".join([*inside[: len(inside) - level], *filter(None, [base])])
        if base != PACKAGE and not base.startswith(f"{PACKAGE}."):
            continue
        for name in names:
            whole = f"{base}.{name}"
            found.add(whole if module_files(whole, root) else base)
    return {name for name in found if module_files(name, root)}


def reach(name: str, root: Path = ROOT) -> list[Path]:
    """Every file that a module of the package depends on, itself included, sorted."""
    seen: set[Path] = set()
    todo = [name]
    done: set[str] = set()
    while todo:
        module = todo.pop()
        if module in done:
            continue
        done.add(module)
        for file in module_files(module, root):
            if file not in seen:
                seen.add(file)
                todo.extend(imports(file, root))
    return sorted(seen)


def code(stage: str, root: Path = ROOT) -> str:
    """Sixteen hexadecimal digits that change when, and only when, the code behind a stage changes.

    Raises
    ------
    ValueError : there is no module of that name.
    """
    files = reach(f"{PACKAGE}.{stage}", root)
    if not files:
        raise ValueError(f"no module {PACKAGE}.{stage}")
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(root)).encode())
        digest.update(_tree(file, file.stat().st_mtime_ns).encode())
    return digest.hexdigest()[:16]


@cache
def _parse(file: Path, modified: int) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


@cache
def _import_lines(file: Path, modified: int) -> tuple[tuple[int, str | None, tuple[str, ...]], ...]:
    """Every import of a file: dots before the name, the name after ``from`` (None: a plain import), what is imported.

    ``modified`` keys the cache: many stages share modules, and every job of the workflow asks for every stage.
    """
    found = []
    for node in ast.walk(_parse(file, modified)):
        if isinstance(node, ast.Import):
            found.append((0, None, tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return tuple(found)


@cache
def _tree(file: Path, modified: int) -> str:
    """The syntax tree without docstrings, as text; ``modified`` keys the cache."""
    tree = _parse(file, modified)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
