"""Frames and masks in the formats that fabio reads: EDF, CBF, Fit2D's masks, plain or compressed by gzip."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from braggfill.errors import BraggfillError

CLASSES = {
    ".edf": ("edfimage", "EdfImage"),
    ".cbf": ("cbfimage", "CbfImage"),
    ".msk": ("fit2dmaskimage", "Fit2dMaskImage"),
}
"""Read by the class of the suffix: fabio's own guess looks at the content, which may be anything."""
SUFFIXES = tuple(suffix + packed for suffix in CLASSES for packed in ("", ".gz"))


def suffix_of(path: Path) -> str:
    """The suffix, two of them where the last is ``.gz``, in lower case."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), path.suffix.lower())


def read(path: Path) -> np.ndarray:
    """The frame, or the stack of frames, of a file.

    Raises
    ------
    BraggfillError : fabio is not installed, or cannot read the file.
    """
    try:
        import importlib

        module, name = CLASSES[suffix_of(path).removesuffix(".gz")]
        kind = getattr(importlib.import_module(f"fabio.{module}"), name)
    except ImportError as error:
        raise BraggfillError(
            f"{path}: fabio is needed to read it; pip install 'braggfill[formats]', or save it as .npy"
        ) from error
    logging.getLogger("fabio").setLevel(logging.CRITICAL)
    try:
        image = kind()
        image = image.read(str(path)) or image
        count = getattr(image, "nframes", 1) or 1
        frames = [np.asarray(image.get_frame(k).data if count > 1 else image.data) for k in range(count)]
    except Exception as error:  # damaged bytes lead the reader into errors of every kind
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BraggfillError(f"{path}: fabio cannot read it ({told}); check the format, or copy it again") from error
    if any(frame.ndim != 2 or not frame.size for frame in frames) or len({f.shape for f in frames}) > 1:
        raise BraggfillError(f"{path}: holds no frame, or frames of several shapes; give frames of one shape")
    return frames[0] if len(frames) == 1 else np.stack(frames)
