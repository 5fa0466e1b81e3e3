"""The pages of the site that are no files of ``docs/``: front page, settings, model cards, the API, and equations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

TOP = Path(__file__).resolve().parents[2]
PACKAGE = TOP / "workflow" / "braggfill"
GUIDES = {
    "Your own scan": "beamline.md",
    "Phase retrieval": "phasing.md",
    "Real space": "realspace.md",
    "Networks": "networks.md",
    "In two dimensions": "flat.md",
    "Evaluation": "evaluation.md",
    "On a cluster": "cluster.md",
    "Convex supports": "convex.md",
    "Cost": "scaling.md",
    "Sharing runs": "sharing.md",
    "Conventions": "conventions.md",
}
DEVELOPERS = {"Contributing": "contributing.md", "Architecture": "architecture.md"}
PAGES = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "settings.md": "config/README.md",
    "card.md": "workflow/braggfill/weights/braggfill.md",
}
"""Pages that are files elsewhere in the project."""
LINK = re.compile(r"(!?\[[^\]]*\])\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def modules() -> Iterator[str]:
    """Dotted names of the package's modules, private ones left out."""
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            yield ".".join(parts)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation: guides, settings, and the API by package."""
    rooms: dict[str, list[str]] = {}
    for module in modules():
        rooms.setdefault(module.split(".")[1] if "." in module else "", []).append(module)
    api: list[Any] = [{name: f"api/{name}.md"} for name in rooms.pop("", [])]
    api += [{room: [{name.split(".", 2)[-1]: f"api/{name}.md"} for name in names]} for room, names in rooms.items()]
    guides = {title: page for title, page in GUIDES.items() if _there(page)}
    known = {*GUIDES.values(), *DEVELOPERS.values()}
    others = sorted(file.name for file in (TOP / "docs").glob("*.md") if file.name not in known)
    guides |= {page.removesuffix(".md").capitalize(): page for page in others}
    config.nav = [
        {"braggfill": "index.md"},
        {"Guides": [{title: page} for title, page in guides.items()]},
        {"Settings": "settings.md"},
        {"Model card": "card.md"},
        {"For developers": [{title: page} for title, page in DEVELOPERS.items() if _there(page)]},
        {"API": api},
    ]
    return config


def _there(page: str) -> bool:
    return (TOP / PAGES.get(page, f"docs/{page}")).is_file()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made here."""
    for page, source in PAGES.items():
        if (TOP / source).is_file():
            text = LINK.sub(lambda m, at=(TOP / source).parent: _link(m, at), (TOP / source).read_text())
            files.append(File.generated(config, page, content=text))
    for module in modules():
        content = f"::: {module}\n"
        files.append(File.generated(config, f"api/{module}.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links out of ``docs/`` lead to the pages made of those files, others become plain text."""
    if page.file.src_uri in PAGES or page.file.src_uri.startswith("api/"):
        return markdown
    return LINK.sub(lambda m: _link(m, TOP / "docs" / Path(page.file.src_uri).parent), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Equations as MathML, which browsers draw by themselves: no script, no network."""
    html = re.sub(r'<span class="arithmatex">\\\((.*?)\\\)</span>', lambda m: _mathml(m[1], "inline"), html, flags=re.S)
    return re.sub(
        r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', lambda m: _mathml(m[1], "block"), html, flags=re.S
    )


def _mathml(latex: str, display: str) -> str:
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"), (r"\|", "‖"), (r"\arg", r"\operatorname{arg}")):
        latex = latex.replace(entity, sign)
    drawn = convert(latex.strip(), display=display)
    if "\\" in drawn:
        raise ValueError(f"an equation has a command that the converter does not know: {latex}")
    return drawn


def _link(match: re.Match[str], folder: Path) -> str:
    text, target, anchor = match[1], match[2], match[3] or ""
    place = (folder / target).resolve()
    for page, source in PAGES.items():
        if place == TOP / source:
            return f"{text}({page}{anchor})"
    if place.is_relative_to(TOP / "docs") and place.is_file():
        return f"{text}({place.relative_to(TOP / 'docs')}{anchor})"
    if not place.exists():
        return match[0]  # broken, and told as such
    return text.strip("![]") if text.startswith("!") else f"`{target}`"
