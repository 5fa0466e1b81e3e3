"""A report of one filled pattern: one HTML file with its volumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.filling import drawing, trust
from braggfill.filling.inpainting import Filled
from braggfill.runs import storage
from braggfill.viewing import page
from braggfill.viewing.volumes import Layer, Stack


def write(path: str | Path, filled: Filled, *, title: str, provenance: Mapping[str, Any]) -> None:
    """Write the report, whole or not at all: numbers, and the pattern before and after as slices to move through."""
    storage.write_text(path, html(filled, title=title, provenance=provenance))


def html(filled: Filled, *, title: str, provenance: Mapping[str, Any]) -> str:
    """The report's text.

    Parameters
    ----------
    title : what was filled; provenance : settings and inputs, listed at the end.
    """
    told = json.dumps(dict(provenance), indent=2, default=str, ensure_ascii=False)
    return page.html(
        f"filled: {title}",
        before=f"<h1>{escape(title)}, filled</h1>{table(filled)}",
        after=f"<details><summary>Settings and provenance</summary><pre>{escape(told)}</pre></details>",
        stacks=[stack(filled)],
        surfaces=[],
    )


def stack(filled: Filled) -> Stack:
    """The pattern after and before, its uncertainty, and what phase retrieval should mask."""
    data, mask = np.asarray(filled.data, float), filled.mask
    known = mask & np.isfinite(filled.sigma)
    layers = [
        Layer("after: filled", data, "photons", "counts"),
        Layer("before: as measured", data, "photons", "counts", hide_masked=True),
    ]
    relative = None
    if known.any():
        relative = np.where(known, filled.sigma / np.maximum(data, 1.0), np.nan)
        layers.append(Layer("standard deviation", np.where(known, filled.sigma, np.nan), "photons", "counts"))
        masked = np.where(mask, filled.mask_for_phasing().astype(float), np.nan)
        layers.append(Layer("to be masked in phase retrieval (1)", masked, "", top=1.0))
    return Stack("Slices", layers, mask=mask, sigma=relative, start=drawing.brightest(data, mask))


def facts(filled: Filled) -> list[tuple[str, str]]:
    """(what, value) of a filling."""
    data, mask = np.asarray(filled.data, float), filled.mask
    number, photons = int(mask.sum()), float(data[mask].sum())
    lines = [
        ("pattern", f"{' × '.join(map(str, data.shape))} voxels (rocking angle, vertical, horizontal)"),
        ("filled", f"{number} voxels, {mask.mean():.2%}; {photons:.4g} of {float(data.sum()):.4g} photons"),
    ]
    known = mask & np.isfinite(filled.sigma)
    if known.any():
        middle = float(np.median(filled.sigma[known] / np.maximum(data[known], 1.0)))
        lines += [
            ("uncertainty", f"σ / max(value, 1): median {middle:.2f}"),
            ("", trust.summary(data, filled.sigma, mask)),
        ]
    elif number:
        lines.append(("uncertainty", "the method states none"))
    if filled.finite is not None:
        lines.append(
            ("finite crystal", "corrected" if filled.corrected else "not corrected: no significant improvement")
        )
    return lines


def table(filled: Filled) -> str:
    """The facts as an HTML table."""
    rows = "".join(f"<tr><td class=note>{escape(a)}<td>{escape(b)}" for a, b in facts(filled))
    return f"<table>{rows}</table>"
