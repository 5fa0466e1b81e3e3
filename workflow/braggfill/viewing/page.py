"""One HTML file with volumes and surfaces to look at: plotly.js, arrays and page in it, nothing fetched."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from importlib.util import find_spec

from braggfill.errors import BraggfillError
from braggfill.viewing import surface, volumes
from braggfill.viewing.surface import Surface
from braggfill.viewing.volumes import Stack

NEEDED = ("matplotlib", "plotly")
"""Packages of the extra ``preview`` that reports are drawn with."""


def check() -> None:
    """Find out before the work whether a report can be drawn.

    Raises
    ------
    BraggfillError : a package that draws is not installed.
    """
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        raise BraggfillError(f"--report: needs {' and '.join(lacking)}; pip install 'braggfill[preview]'")


def html(title: str, *, before: str = "", after: str = "", stacks: Sequence[Stack], surfaces: Sequence[Surface]) -> str:
    """A whole page.

    Parameters
    ----------
    title : text, escaped here.
    before, after : HTML above and below what is looked at, such as a verdict and a table; not escaped.
    stacks, surfaces : each has a place of its own on the page, surfaces first.
    """
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{_file('viewer.css')}</style></head><body><main>"
        f"{before}{embedded(stacks=stacks, surfaces=surfaces)}{after}</main></body></html>\n"
    )


def embedded(*, stacks: Sequence[Stack], surfaces: Sequence[Surface]) -> str:
    """The part of a page that shows volumes: library, arrays and what draws them; needs ``viewer.css``."""
    meshes = [found for one in surfaces if (found := surface.mesh(one)) is not None]
    told = {"stacks": [volumes.stack(one) for one in stacks], "surfaces": meshes}
    data = json.dumps(told, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")
    return (
        "<div id=viewer><p class=wait>Loading …</p></div><noscript><p>JavaScript is off: the volumes cannot be turned."
        "</p></noscript>"
        f"<script type=text/plain id=plotly>{_plotly()}</script>"
        f"<script type=application/json id=volumes>{data}</script>"
        f"<script>{_file('viewer.js')}</script>"
    )


@cache
def _plotly() -> str:
    """plotly.js, compressed, in base 64: 2 MB instead of 5."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()


def _file(name: str) -> str:
    return files("braggfill.viewing").joinpath(name).read_text(encoding="utf-8")
