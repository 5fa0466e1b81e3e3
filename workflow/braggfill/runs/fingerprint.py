"""A fingerprint of the code behind a task, blind to what computes nothing.

Snakemake watches a rule's script but not the modules that it imports.  Every rule therefore carries
``params: code=code("<module>", …)``: the task's own module and those that it finds by name at run time.  A changed line
in one of them, or in any module of this package that they import, reruns the task and what follows it.  Nothing is
rerun by

- a comment, a docstring or a blank line;
- a module that no one imports: of a package its own ``__init__`` counts and what is really imported from it;
- a new entry in a table of modules (a dictionary of names to ``"braggfill.…"``, or to calls that begin with that),
  because a task names the module that it takes from there, and the entry where it says more than the module;
- a new setting or block of settings: the values that a task looks at are its parameters (``settings``), so of the
  settings models their methods count.  The defaults count too of a model that code builds by itself.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = "braggfill"
ROOT = Path(__file__).parents[1]


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
"""What may have a docstring."""


class Import(NamedTuple):
    """One import of a file."""

    level: int
    """Dots before the name."""
    base: str | None
    """The name after ``from``; None for a plain import."""
    names: tuple[str, ...]
    typing: bool
    """Whether it is for the type checker alone and never executed."""


def module_files(name: str, root: Path = ROOT) -> list[Path]:
    """The file of a module by its dotted name, the package's own included; none where there is no such module."""
    place = root.joinpath(*name.split(".")[1:])
    files = [place / "__init__.py"] if place == root else [place.with_suffix(".py"), place / "__init__.py"]
    return [file for file in files if file.is_file()][:1]


def imports(file: Path, root: Path = ROOT, *, typing: bool = True) -> set[str]:
    """Dotted names of the package's modules that a file imports, anywhere in it (inside functions too), those included
    that a package loads when a name is first used (``__getattr__`` and a table of names to modules).

    Parameters
    ----------
    typing : with those that are imported for the type checker alone.
    """
    found: set[str] = set()
    modified = file.stat().st_mtime_ns
    inside = [PACKAGE, *file.relative_to(root).with_suffix("").parts]
    for line in _import_lines(file, modified):
        if line.typing and not typing:
            continue
        if line.base is None:
            found.update(name for name in line.names if name.startswith(f"{PACKAGE}."))
            continue
        base = line.base
        if line.level:
            base = ".".join([*inside[: len(inside) - line.level], *filter(None, [base])])
        if base != PACKAGE and not base.startswith(f"{PACKAGE}."):
            continue
        for name in line.names:
            whole = f"{base}.{name}"
            found.add(whole if module_files(whole, root) else base)
            found.update(filter(None, [_late(base, root).get(name)]))
            late = _late(whole, root)
            found.update(late[used] for used in _attributes(file, modified) & late.keys())
    return {name for name in found if module_files(name, root)}


def reach(*names: str, root: Path = ROOT) -> list[Path]:
    """Every file of the package that is executed for some of its modules, sorted: they, the packages that they lie in,
    and what all these import."""
    seen: set[Path] = set()
    todo = list(names)
    done: set[str] = set()
    while todo:
        module = todo.pop()
        if module in done:
            continue
        done.add(module)
        todo.extend(filter(None, [module.rpartition(".")[0]]))
        for file in module_files(module, root):
            seen.add(file)
            todo.extend(imports(file, root, typing=False))
    return sorted(seen)


def code(*modules: str, root: Path = ROOT) -> str:
    """Sixteen hexadecimal digits that change when, and only when, the code behind some modules changes.

    Parameters
    ----------
    modules : names below the package: ``stages.relax``; files beside its modules: ``stages/figures/page.html``; or
        entries of a table of modules: ``filling/methods.py#linear``.

    Raises
    ------
    ValueError : there is no module, file or entry of a name.
    """
    names = [f"{PACKAGE}.{name.removeprefix(f'{PACKAGE}.')}" for name in modules if "/" not in name]
    data = [root / name for name in modules if "/" in name and "#" not in name]
    entries = [name for name in modules if "#" in name]
    for name, there in [(n, bool(module_files(n, root))) for n in names] + [(str(f), f.is_file()) for f in data]:
        if not there:
            raise ValueError(f"no module {name}")
    digest = hashlib.sha256()
    files = reach(*names, root=root)
    settings = {file: file.relative_to(root).parts[0] == "settings" for file in files}
    built = frozenset().union(*(_called(file, file.stat().st_mtime_ns, settings[file]) for file in files))
    for file in files:
        modified = file.stat().st_mtime_ns
        told = _computes(file, modified, built & _classes(file, modified) if settings[file] else None)
        if told:
            digest.update(file.relative_to(root).as_posix().encode() + told)
    for name in sorted(set(entries)):
        digest.update(name.encode() + _entry(name, root))
    for file in sorted(set(data)):
        digest.update(file.relative_to(root).as_posix().encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


# ``modified`` keys the caches: many tasks share modules, and every job of the workflow asks for many tasks.


@cache
def _parse(file: Path, modified: int) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


@cache
def _nodes(file: Path, modified: int) -> tuple[ast.AST, ...]:
    """Every node that something here asks for; a walk through the whole tree takes longer than all the rest."""
    kinds = (ast.If, ast.Import, ast.ImportFrom, ast.Attribute, ast.Call, *DOCUMENTED)
    return tuple(node for node in ast.walk(_parse(file, modified)) if isinstance(node, kinds))


@cache
def _import_lines(file: Path, modified: int) -> tuple[Import, ...]:
    nodes = _nodes(file, modified)
    guards = [node for node in nodes if isinstance(node, ast.If) and _is_type_checking(node.test)]
    typing = {id(inner) for guard in guards for part in guard.body for inner in ast.walk(part)}
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found.append(Import(0, None, tuple(alias.name for alias in node.names), id(node) in typing))
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            found.append(Import(node.level, node.module or "", names, id(node) in typing))
    return tuple(found)


def _late(name: str, root: Path) -> dict[str, str]:
    """Of a package that loads what is named there when it is first used: its names and their modules."""
    files = module_files(name, root)
    return _late_names(files[0], files[0].stat().st_mtime_ns) if files and files[0].name == "__init__.py" else {}


@cache
def _late_names(file: Path, modified: int) -> dict[str, str]:
    body = _parse(file, modified).body
    if not any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in body):
        return {}
    tables = filter(None, map(_table, body))
    return {name: module for table in tables for name, module in ast.literal_eval(table).items()}


@cache
def _attributes(file: Path, modified: int) -> frozenset[str]:
    return frozenset(node.attr for node in _nodes(file, modified) if isinstance(node, ast.Attribute))


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


@cache
def _called(file: Path, modified: int, settings: bool) -> frozenset[str]:
    """The names that a file calls, those of models that it builds among them; of a file of settings in its functions,
    because a block that is the default of a field is a parameter of the tasks."""
    nodes: Iterable[ast.AST] = _nodes(file, modified)
    if settings:
        whole = ast.walk(_parse(file, modified))
        nodes = (inner for node in whole if isinstance(node, ast.FunctionDef) for inner in ast.walk(node))
    calls = (node.func for node in nodes if isinstance(node, ast.Call))
    return frozenset(call.id if isinstance(call, ast.Name) else getattr(call, "attr", "") for call in calls)


@cache
def _classes(file: Path, modified: int) -> frozenset[str]:
    return frozenset(node.name for node in _parse(file, modified).body if isinstance(node, ast.ClassDef))


@cache
def _computes(file: Path, modified: int, built: frozenset[str] | None) -> bytes:
    """A digest of what a file computes, its syntax tree without docstrings; empty where it computes nothing.

    Parameters
    ----------
    built : of a file of settings, the names of its models that code builds by itself; None for another file.
    """
    if built is None:  # Docstrings are all that the tree loses; nothing else here looks at them.
        tree, nodes = _parse(file, modified), _nodes(file, modified)
    else:
        tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
        nodes = tuple(ast.walk(tree))
    for node in nodes:
        if isinstance(node, DOCUMENTED):
            node.body = [inner for inner in node.body if not _is_text(inner)]
    body = [node for node in tree.body if not _table(node)]
    if built is not None:
        body = _computing(body, built)
    return hashlib.sha256(ast.dump(ast.Module(body, tree.type_ignores)).encode()).digest() if body else b""


def _is_text(node: ast.stmt) -> bool:
    """A docstring, of a module, a class, a function or what stands above it."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _table(node: ast.stmt) -> ast.Dict | None:
    """A dictionary of names to modules of the package, or to calls that begin with one, which are looked up at run
    time."""
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if not isinstance(value, ast.Dict) or not value.values:
        return None
    firsts = ((one.args or [one])[0] if isinstance(one, ast.Call) else one for one in value.values)
    modules = (str(one.value) if isinstance(one, ast.Constant) else "" for one in firsts)
    return value if all(name.startswith(f"{PACKAGE}.") for name in modules) else None


def _entry(name: str, root: Path) -> bytes:
    """What a table says of ``<file>#<key>``."""
    path, _, key = name.partition("#")
    file = root / path
    body = _parse(file, file.stat().st_mtime_ns).body if file.is_file() else []
    for table in filter(None, map(_table, body)):
        for known, value in zip(table.keys, table.values, strict=True):
            if isinstance(known, ast.Constant) and known.value == key:
                return hashlib.sha256(ast.dump(value).encode()).digest()
    raise ValueError(f"no module {name}")


def _computing(body: list[ast.stmt], built: frozenset[str]) -> list[ast.stmt]:
    """Of the statements of a file of settings those that compute: methods, but for checks of what is given; the fields
    of models that code builds; functions, constants, and the imports that all these use."""
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    whole: set[str] = set()  # models that are built, those that they extend and those that are their fields
    more = classes.keys() & built
    while more:
        whole |= more
        more = {name for each in more for name in _names([classes[each]])} & classes.keys() - whole
    kept: list[ast.stmt] = []
    for node in body:
        if isinstance(node, ast.ClassDef):
            node.body = [inner for inner in node.body if _counts(inner, node.name in whole)]
            for field in node.body:
                if isinstance(field, ast.AnnAssign):  # its default counts, not what else is allowed
                    field.annotation = ast.Constant(None)
            if node.body:
                kept.append(node)
        elif not isinstance(node, ast.Import | ast.ImportFrom) and not _is_type(node):
            kept.append(node)
    used = _names(kept)
    lines = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    return [line for line in lines if used & {alias.asname or alias.name for alias in line.names}] + kept


def _counts(node: ast.stmt, fields: bool) -> bool:
    if isinstance(node, ast.FunctionDef):
        return not any("validator" in name for name in _names(node.decorator_list))
    return fields or not isinstance(node, ast.AnnAssign)


def _is_type(node: ast.stmt) -> bool:
    """A name for a type, as in ``Width = Annotated[int, Field(ge=1)]``."""
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript)


def _names(nodes: Iterable[ast.AST]) -> set[str]:
    return {inner.id for node in nodes for inner in ast.walk(node) if isinstance(inner, ast.Name)}
