"""A report of one phased pattern: one HTML file that needs nothing else, the verdict first."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from braggfill.phasing import drawing, summary, viewing
from braggfill.phasing.realspace import RealSpace
from braggfill.phasing.result import Phased
from braggfill.runs import storage
from braggfill.viewing import page

COLOURS = {"converged": "#1a7f37", "uncertain": "#9a6700", "failed": "#b42318"}
MEANS = {
    "converged": "Independent starts agree, and the voxels that were kept out fit: the object can be used.",
    "uncertain": "The object is a candidate. Do not publish it without another look: see below where it is doubtful.",
    "failed": "Nothing was reconstructed that could be trusted.",
}


def write(
    path: str | Path, found: Phased, real: RealSpace | None = None, *, title: str, provenance: Mapping[str, Any]
) -> None:
    """Write the report, whole or not at all."""
    storage.write_text(path, html(found, real, title=title, provenance=provenance))


def html(found: Phased, real: RealSpace | None = None, *, title: str, provenance: Mapping[str, Any]) -> str:
    """The report's text.

    Parameters
    ----------
    title : what was phased; provenance : settings and inputs, listed at the end.
    """
    word = found.verdict.word
    parts = [
        f"<h1>Phase retrieval of {escape(title)}</h1>",
        f"<div class=verdict style='--tone: {COLOURS.get(word, '#59636e')}'><strong>{escape(word)}</strong><br>"
        f"{escape(MEANS.get(word, ''))}<br><span class=note>{escape(_because(found))}</span></div>",
    ]
    notes = [*found.notes, *filter(None, [summary.disagreement(found)])]
    if notes:
        parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>")
    parts.append("<h2>In numbers</h2>" + table(summary.facts(found, real)))
    head, parts = "".join(parts), []
    if found.support.any():
        parts.append(
            "<h2>Slices through the middle of the object</h2>" + _picture(drawing.slices(found, real), "slices")
        )
        parts.append(f"<p class=note>{escape(_caption(real))}</p>")
    if len(found.prtf[0]) and len(found.chosen) > 1:
        parts.append("<h2>Resolution</h2>" + _picture(drawing.transfer(found), "phase retrieval transfer function"))
        parts.append("<p class=note>The phase retrieval transfer function: 1 where all runs agree on the phase.</p>")
    if found.runs:
        parts.append("<h2>Runs</h2>" + _runs(found))
    told = json.dumps(dict(provenance), indent=2, default=str, ensure_ascii=False)
    parts.append(f"<details><summary>Settings and provenance</summary><pre>{escape(told)}</pre></details>")
    stacks, surfaces = viewing.views(found, real)
    return page.html(f"{word}: {title}", before=head, after="".join(parts), stacks=stacks, surfaces=surfaces)


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Rows of (what, value)."""
    return "<table>" + "".join(f"<tr><td class=note>{escape(a)}<td>{escape(b)}" for a, b in rows) + "</table>"


def inline(found: Phased) -> str:
    """What a notebook shows: verdict, numbers and slices."""
    colour = COLOURS.get(found.verdict.word, "#59636e")
    text = f"<p><b style='color:{colour}'>{escape(found.verdict.word)}</b>: {escape(_because(found))}</p>"
    text += table(summary.facts(found))
    if not found.support.any():
        return text
    try:
        return text + _picture(drawing.slices(found), "slices", dpi=60)
    except ImportError:  # matplotlib is an extra
        return text


def _because(found: Phased) -> str:
    return found.verdict.why + (f"; {found.verdict.advice}" if found.verdict.advice else "")


def _caption(real: RealSpace | None) -> str:
    if real is None:
        return (
            "In the detector's own frame: voxels are neither cubes nor orthogonal. Give the energy, the distance, the "
            "pixel, the rocking step and an angle to have nanometres and strain."
        )
    direction = ", ".join(f"{c:+.2f}" for c in real.direction)
    return (
        "In the laboratory's frame: z along the beam, y up, x left along the beam. Strain is positive where the "
        f"lattice is wider than its mean, along Q = ({direction}) (x, y, z)."
    )


def _picture(figure: Any, alt: str, dpi: int = 100) -> str:
    data = base64.b64encode(drawing.png(figure, dpi)).decode()
    return f"<img alt='{escape(alt)}' src='data:image/png;base64,{data}'>"


def _runs(found: Phased) -> str:
    rows = []
    for number, run in enumerate(found.runs):
        kind = " class=chosen" if number in found.chosen else ""
        threshold = f"{run.threshold:.2f}" if math.isfinite(run.threshold) else ""
        cells = [
            f"{run.llk_free:.4g}", f"{run.llk:.4g}", f"{run.residual:.4f}", threshold, str(int(run.support.sum())),
            str(run.cycles), f"{run.seconds:.1f}",
        ]  # fmt: skip
        words = [run.origin, "yes" if number in found.chosen else "", run.problem]
        rows.append(
            f"<tr{kind}><td>{number + 1}<td class=word>{escape(words[0])}"
            + "".join(f"<td>{cell}" for cell in cells)
            + "".join(f"<td class=word>{escape(w)}" for w in words[1:])
        )
    head = (
        "<th><th class=word>start<th>free log-likelihood<th>log-likelihood<th>residual<th>threshold<th>support (voxels)"
        "<th>cycles<th>seconds<th class=word>used<th class=word>"
    )
    return (
        f"<div class=scroll><table class=runs><thead><tr>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"
        "<p class=note>Log-likelihoods are Poisson deviances a voxel, about 1 where nothing but counting noise is left;"
        " the free one is that of voxels which took no part. Seconds are those of one core.</p>"
    )
