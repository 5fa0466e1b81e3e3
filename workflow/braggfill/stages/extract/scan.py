"""Patches of a measured scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.patterns.patching import cut
from braggfill.runs import seeds, storage
from braggfill.runs.splits import SPLITS
from braggfill.scans import reading
from braggfill.settings.extract import ExtractSettings, ScanSource
from braggfill.stages.extract.places import Patches, draw_origins, probabilities


def extract_scan(
    settings: ExtractSettings, seed: int, scan: Path, name: str, out: Path, code: str = "", *, patches: int = 1000
) -> None:
    """Patches of one measured scan, in the same form as :func:`braggfill.stages.extract.chunk.extract_chunk`.

    ``counts`` is uint32 for a scan of whole numbers and float32 for another; ``expectation`` is NaN, because nobody
    knows it; ``particle`` and ``view`` are -1, ``oversampling`` is NaN; ``source`` says where the scan comes from.

    Parameters
    ----------
    scan : any file that :mod:`braggfill.scans` reads, or one from ``fetch``.
    name : of the scan in ``settings.scans``, which has its data set, mask, split and peak.  All patches of a scan go
        into one split: that of its entry, or the test where the settings do not list the scan.
    patches : how many are wanted; see ``ExtractSettings.patches_per_scan``.

    Patches that hold a masked voxel are not used.  Negative values, NaN, infinities and the largest integer of the
    type (the mark of a gap in Eiger files) count as masked.

    Raises
    ------
    BraggfillError : scan or mask is missing, damaged or of the wrong shape, or leaves no place for a patch.
    """
    entry = settings.scans.get(name) or ScanSource(path=str(scan), split="test", source=name)
    reason = storage.left_out(scan) if Path(scan).suffix == ".h5" else None
    with storage.create(
        out, settings=settings, seed=seed, code=code, left_out=reason, source=entry.source or name, scan=name
    ) as target:
        if reason is not None:
            return
        counts, missing = read_scan(scan, entry)
        if entry.peak is not None and not all(0 <= p < n for p, n in zip(entry.peak, counts.shape, strict=True)):
            raise BraggfillError(f"extract.scans.{name}.peak: {entry.peak} lies outside the scan, {counts.shape}")
        peak = entry.peak or tuple(int(i) for i in np.unravel_index(np.argmax(counts), counts.shape))
        try:
            chances = probabilities(settings, counts.shape, peak, free_places(missing, settings.shape))
        except BraggfillError as error:
            raise BraggfillError(f"{scan}: {error}") from error
        rng = seeds.generator(seed, f"extract/{name}")
        origins = draw_origins(rng, np.cumsum(chances), counts, settings, patches)
        collected = Patches(target, len(origins), settings.shape, counts.dtype)
        for first in range(0, len(origins), 256):
            some = origins[first : first + 256]
            collected.add(
                counts=cut(counts, some, settings.shape),
                expectation=np.nan,
                origin=some,
                particle=-1,
                view=-1,
                split=SPLITS.index(entry.split),
                oversampling=np.nan,
            )
        collected.close()


def read_scan(scan: Path, entry: ScanSource) -> tuple[np.ndarray, np.ndarray]:
    """A measured scan as uint32 or float32, zero where nothing was measured, and its mask, True where that is."""
    raw = reading.read(scan, entry.dataset)
    if entry.mask is not None:
        missing = reading.load_mask(entry.mask, raw.shape, entry.mask_dataset).array.copy()
    else:
        beside = reading.own_mask(scan, raw.shape, entry.dataset)
        missing = np.zeros(raw.shape, bool) if beside is None else beside.array.copy()
    if raw.dtype.kind == "f":
        missing |= ~np.isfinite(raw)
    elif raw.dtype.itemsize >= 4:
        missing |= raw == np.iinfo(raw.dtype).max
    with np.errstate(invalid="ignore"):
        missing |= raw < 0
    counts = np.where(missing, 0, raw)
    return counts.astype(np.uint32 if raw.dtype.kind in "iu" else np.float32), missing


def free_places(missing: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Where a patch may begin so that it holds no missing voxel, boolean of ``shape - size + 1``."""
    free = ~missing
    for axis, width in enumerate(size):
        if free.shape[axis] < width:
            break
        # A run of `width` free voxels along this axis: differences of the running sum.
        total = np.cumsum(np.moveaxis(free, axis, 0), axis=0, dtype=np.int32)
        run = total[width - 1 :]
        run[1:] = run[1:] - total[:-width]
        free = np.moveaxis(run == width, 0, axis)
    return free
