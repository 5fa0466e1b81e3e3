"""TIFF files: a stack in one file, or frames in many.  Pixels decide whether a file is sound, not its private tags."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError

PIXELS = {256, 257, 258, 259, 266, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 339}
"""Tags without which pixels would be read wrongly: size, bits, compression, strips, tiles, kind of number."""


class _Complaints(logging.Handler):
    """What tifffile logs of a damaged file, of which it may give fewer frames without an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard = False

    def emit(self, record: logging.LogRecord) -> None:
        self.heard = True


@contextmanager
def _listening() -> Iterator[_Complaints]:
    logger = logging.getLogger("tifffile")
    complaints, propagate = _Complaints(), logger.propagate
    logger.addHandler(complaints)
    logger.propagate = False
    try:
        yield complaints
    finally:
        logger.removeHandler(complaints)
        logger.propagate = propagate


def read(path: Path) -> np.ndarray:
    """The image, or the stack of equal images, of one TIFF file.

    Raises
    ------
    BraggfillError : pixels are missing or cannot be decoded, it is a colour image, or its parts differ.
    """
    import tifffile

    damaged = BraggfillError(f"{path}: not a readable TIFF file (truncated, or another format); copy it again")
    try:
        with _listening() as complaints, tifffile.TiffFile(path) as file:
            images: list[tifffile.TiffPageSeries | tifffile.TiffPage | tifffile.TiffFrame] = list(file.series)
            if complaints.heard:
                if not _whole(file):
                    raise damaged
                images = list(file.pages)
            if len({(image.shape, image.dtype) for image in images}) > 1:
                raise BraggfillError(f"{path}: its {len(images)} parts differ in shape; give frames of one shape")
            if any("S" in image.axes for image in images):
                raise BraggfillError(f"{path}: is a colour image; give the counts, one number a pixel")
            before, complaints.heard = complaints.heard, False
            arrays = [image.asarray() for image in images]
            if complaints.heard and not before and not _whole(file):
                raise damaged
    except (BraggfillError, OSError):
        raise
    except Exception as error:  # damaged bytes lead the reader into errors of every kind
        if "imagecodecs" in str(error):
            line = f"{path}: {' '.join(str(error).split())} to be decompressed; pip install 'braggfill[formats]'"
            raise BraggfillError(line) from error
        if isinstance(error, MemoryError):
            line = f"{path}: claims to hold more than there is memory for; crop it, or copy it again"
            raise BraggfillError(line) from error
        raise damaged from error
    if not arrays:
        raise damaged
    return arrays[0] if len(arrays) == 1 else np.stack(arrays)


def _whole(file: Any) -> bool:
    """Whether every image of a file that the reader complains about has its pixels and the tags that describe them.

    The directories are read once more by hand: the reader leaves out a tag that it cannot read without a word of which.
    """
    handle, kind = file.filehandle, file.tiff
    handle.seek(0)
    head = handle.read(16)
    (offset,) = struct.unpack_from(kind.offsetformat, head, 8 if kind.is_bigtiff else 4)
    seen: set[int] = set()
    pages = list(file.pages)
    while offset:
        if offset in seen or offset >= handle.size or len(seen) >= len(pages):
            return False
        page = pages[len(seen)]
        seen.add(offset)
        handle.seek(offset)
        (number,) = struct.unpack(kind.tagnoformat, handle.read(kind.tagnosize))
        entries = handle.read(number * kind.tagsize)
        after = handle.read(kind.offsetsize)
        if len(entries) < number * kind.tagsize or len(after) < kind.offsetsize:
            return False
        codes = {struct.unpack_from(kind.byteorder + "H", entries, n * kind.tagsize)[0] for n in range(number)}
        if any(code not in page.tags for code in codes & PIXELS) or not _strips(page, handle.size):
            return False
        (offset,) = struct.unpack(kind.offsetformat, after)
    return len(seen) == len(pages) > 0


def _strips(page: Any, size: int) -> bool:
    """Whether the strips or tiles of an image all lie within the file, and are as many and as long as they must be."""
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if not places or any(not 0 < start <= start + length <= size for start, length in places):
        return False
    return page.compression != 1 or sum(length for _, length in places) >= page.nbytes
