"""A picture of what was filled: slices before, after, and their uncertainty."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.runs import storage
from braggfill.scans.output import check_place

FORMATS = (".png", ".svg", ".pdf")


def save(path: str | Path, intensity: np.ndarray, data: np.ndarray, mask: np.ndarray, sigma: np.ndarray) -> None:
    """Draw the three slices through the brightest measured voxel, before and after, and relative uncertainty if known.

    Parameters
    ----------
    path : ``.png``, ``.svg`` or ``.pdf``.
    intensity, data, mask, sigma : the scan, the filled scan, True where filled, standard deviation in photons or NaN.

    Raises
    ------
    BraggfillError : matplotlib is not installed, or ``path`` cannot be written.
    """
    check(path)
    from braggfill.filling import drawing

    figure = drawing.slices(intensity, data, mask, sigma)
    with storage.replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def check(path: str | Path, *, force: bool = True) -> None:
    """Find out before the work whether a preview can be drawn; an existing file is overwritten only by ``force``."""
    import importlib.util

    if Path(path).suffix.lower() not in FORMATS:
        raise BraggfillError(f"{path}: a preview is a .png, .svg or .pdf file; give it that suffix")
    check_place(path, force=force)
    if importlib.util.find_spec("matplotlib") is None:
        raise BraggfillError("--preview: needs matplotlib; pip install 'braggfill[preview]'")


def check_report(path: str | Path, *, force: bool = True) -> None:
    """The same of a report in HTML."""
    from braggfill.viewing import page

    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise BraggfillError(f"{path}: a report is a .html file; give it that suffix")
    check_place(path, force=force)
    page.check()
