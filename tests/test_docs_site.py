"""The documentation site: built once, strictly and offline, then looked at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("mkdocs", reason="the extra docs is not installed")
pytestmark = pytest.mark.long  # the site is built as a whole

OFFLINE = """
import socket, sys

def refuse(*arguments, **options):
    raise OSError("the site is built offline")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli()
"""
"""mkdocs without a network."""


class Page(HTMLParser):
    """What a page links to, its anchors, its text outside of code, and what it is made of."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.tags: list[str] = []
        self.text = ""
        self._inside: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.append(tag)
        self.anchors.update(filter(None, [known.get("id"), known.get("name")]))
        if tag == "a" and known.get("href"):
            self.links.append(str(known["href"]))
        # What the browser fetches by itself: no link of the head that only names another page.
        if tag in ("script", "img") and known.get("src"):
            self.loads.append(str(known["src"]))
        if tag == "link" and known.get("rel") in ("stylesheet", "icon"):
            self.loads.append(str(known["href"]))
        if tag in ("code", "pre", "script", "style"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text += data


@pytest.fixture(scope="module")
def site(top, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, "build", "--strict", "--site-dir", str(folder)],
        cwd=top, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[str, Page]:
    return {str(file.relative_to(site)): Page(file) for file in sorted(site.rglob("*.html"))}


def test_every_public_module_has_its_page(top, pages):
    package = top / "workflow" / "braggfill"
    for file in package.rglob("*.py"):
        parts = file.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if not any(part.startswith("_") for part in name.split(".")):
            assert f"api/{name}.html" in pages, f"{name} has no page"
            assert len(pages[f"api/{name}.html"].text) > len(name)


def test_guides_and_front_page_are_there(top, pages):
    wanted = {f"{file.stem}.html" for file in (top / "docs").glob("*.md")}
    assert wanted | {"index.html", "contributing.html", "settings.html", "card.html", "404.html"} <= pages.keys()
    assert "contributing.html" in pages["index.html"].links


def test_equations_are_drawn_and_nothing_of_their_source_is_left(pages):
    drawn = {name for name, page in pages.items() if "math" in page.tags}
    assert {"conventions.html", "api/braggfill.physics.fourier.html", "api/braggfill.physics.strain.html"} <= drawn
    for name, page in pages.items():
        assert "\\" not in page.text, f"{name}: {page.text[max(0, page.text.index(chr(92)) - 60) :][:120]!r}"
        assert "$$" not in page.text, name
        assert not re.search(r":(math|func|mod|class|data|meth|attr):|\.\. math::", page.text), name
        assert "merror" not in page.tags, name


def test_every_reference_is_a_link(pages):
    for name, page in pages.items():
        assert "][" not in page.text, f"{name}: {page.text[max(0, page.text.index('][') - 60) :][:120]!r}"


def test_parameters_are_lists(pages):
    text = pages["api/braggfill.physics.strain.html"]
    assert "li" in text.tags
    for name, page in pages.items():
        assert not re.search(r"^-{5,}$", page.text, re.M), f"{name}: a section of a docstring is not understood"


def test_every_link_within_the_site_leads_somewhere(pages, site):
    broken = []
    for name, page in pages.items():
        if name == "404.html":  # its links are those of the server's root
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            target = target.resolve() if target.suffix else target.resolve() / "index.html"
            key = str(target.relative_to(site.resolve())) if target.is_relative_to(site.resolve()) else ""
            if not target.is_file():
                broken.append(f"{name}: {link}")
            elif parts.fragment and key in pages and unquote(parts.fragment) not in pages[key].anchors:
                broken.append(f"{name}: {link}, no such place")
    assert not broken, "\n".join(broken)


def test_the_site_needs_no_network(pages):
    fetched = [f"{name}: {load}" for name, page in pages.items() for load in page.loads if urlsplit(load).netloc]
    assert not fetched, fetched


def test_it_can_be_searched(site):
    assert "autocorrelation" in (site / "search" / "search_index.json").read_text(encoding="utf-8")


def test_a_network_would_have_been_refused():
    code = OFFLINE.split("from mkdocs")[0] + "socket.create_connection(('127.0.0.1', 9))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode
    assert "the site is built offline" in done.stderr
