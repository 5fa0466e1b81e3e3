"""Frames and masks in the formats that fabio reads: EDF, CBF, Fit2D's masks, plain or compressed by gzip."""

from __future__ import annotations

import gzip
import logging
import zlib
from pathlib import Path
from typing import Any

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


class _Complaints(logging.Handler):
    """What fabio logs as an error of a damaged file, of which it gives padded frames without raising one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


def read(path: Path) -> np.ndarray:
    """The frame, or the stack of frames, of a file.

    Raises
    ------
    BraggfillError : fabio is not installed, or cannot read the file to its end.
    """
    try:
        import importlib

        module, name = CLASSES[suffix_of(path).removesuffix(".gz")]
        kind = getattr(importlib.import_module(f"fabio.{module}"), name)
    except ImportError as error:
        raise BraggfillError(
            f"{path}: fabio is needed to read it; pip install 'braggfill[formats]', or save it as .npy"
        ) from error
    if path.suffix.lower() == ".gz":
        _unpacks(path)
    logger, complaints = logging.getLogger("fabio"), _Complaints()
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(complaints)
    try:
        image = kind()
        image = image.read(str(path)) or image
        count = getattr(image, "nframes", 1) or 1
        frames = [np.asarray(image.get_frame(k).data if count > 1 else image.data) for k in range(count)]
    except Exception as error:  # damaged bytes lead the reader into errors of every kind
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BraggfillError(f"{path}: fabio cannot read it ({told}); check the format, or copy it again") from error
    finally:
        logger.removeHandler(complaints)
    if not complaints.heard and _more(path, image, count):
        complaints.heard.append("a frame is cut off at its end")
    if complaints.heard:
        told = " ".join(complaints.heard[0].split())[:200]
        raise BraggfillError(f"{path}: is not whole ({told}); copy it again")
    if any(frame.ndim != 2 or not frame.size for frame in frames) or len({(f.shape, f.dtype) for f in frames}) > 1:
        raise BraggfillError(f"{path}: holds no frame, or frames of several shapes or types; give frames of one shape")
    return frames[0] if len(frames) == 1 else np.stack(frames)


def _unpacks(path: Path) -> None:
    """Stop at a compressed file that breaks off: fabio gives what is there."""
    try:
        with gzip.open(path, "rb") as file:
            while file.read(1 << 20):
                pass
    except (EOFError, zlib.error) as error:
        told = " ".join(str(error).split())
        raise BraggfillError(f"{path}: is not whole, its compression breaks off ({told}); copy it again") from error
    except gzip.BadGzipFile:  # fabio says what is wrong
        return


def _more(path: Path, image: Any, count: int) -> bool:
    """Whether an EDF file goes on after its last frame: with a header that breaks off, which fabio passes over."""
    last = image.get_frame(count - 1)
    start, length = getattr(last, "start", None), getattr(last, "blobsize", None)
    if start is None or not length:
        return False
    with (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rb") as file:
        file.seek(start + length)
        return bool(file.read(1 << 12).strip(b"\0 \t\r\n"))
