r"""extract: patterns, simulated and measured -> patches of 32 x 32 x 32 voxels.

The place of a patch is drawn with the probability

.. math:: P(c) = (1 - s) \frac{|c - p|^k}{\sum |c - p|^k} + s \frac{[|c - p| \le R]}{\sum [|c - p| \le R]}

over all places wholly inside the pattern that hold no masked voxel, with c the centre of the patch, p the Bragg peak,
k ``periphery`` (the paper prefers the outer regions, section 2.1; thesis 3.4.1), and s and R ``near_peak_share`` and
``near_peak_radius_voxels``.  Places with fewer than ``min_photons`` photons are drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.patterns.patching import cut, window
from braggfill.runs import packing, seeds, storage
from braggfill.runs.splits import SPLITS, split_of
from braggfill.scans import reading
from braggfill.settings.extract import ExtractSettings, ScanSource

ATTEMPTS = 200
"""Places tried for each patch that is wanted, before a pattern gives fewer."""


@lru_cache(maxsize=2)
def distances(shape: tuple[int, ...], size: tuple[int, ...], peak: tuple[int, ...]) -> np.ndarray:
    """Distance from the peak to the centre of the patch at each origin, voxels, float32 of ``shape - size + 1``."""
    lines = [np.arange(n - s + 1) + (s - 1) / 2 - p for n, s, p in zip(shape, size, peak, strict=True)]
    return np.sqrt(sum(line**2 for line in np.ix_(*lines))).astype(np.float32)


def probabilities(
    settings: ExtractSettings, shape: Sequence[int], peak: Sequence[int], free: np.ndarray | None = None
) -> np.ndarray:
    """Probability of each origin, float64 of ``shape - settings.shape + 1``, adding up to 1.

    Parameters
    ----------
    free : boolean of the same shape, False where a patch may not lie; none by default.

    Raises
    ------
    BraggfillError : a patch does not fit the array, or there is no place left.
    """
    if any(n < s for n, s in zip(shape, settings.shape, strict=True)):
        raise BraggfillError(
            f"extract.shape: patches of {settings.shape} do not fit a pattern of {tuple(shape)}; choose smaller ones"
        )
    distance = distances(tuple(shape), settings.shape, tuple(int(p) for p in peak))
    allowed = np.ones(distance.shape, bool) if free is None else free
    if not allowed.any():
        raise BraggfillError("every place for a patch overlaps masked voxels; use another scan or smaller patches")
    preferred = np.where(allowed, np.maximum(distance, 0.5).astype(np.float64) ** settings.periphery, 0.0)
    preferred /= preferred.sum()
    near = allowed & (distance <= settings.near_peak_radius_voxels)
    if settings.near_peak_share == 0 or not near.any():
        return preferred
    return (1 - settings.near_peak_share) * preferred + settings.near_peak_share * near / near.sum()


@lru_cache(maxsize=2)
def _cumulative(settings_json: str, shape: tuple[int, ...], peak: tuple[int, ...]) -> np.ndarray:
    settings = ExtractSettings.model_validate_json(settings_json)
    return np.cumsum(probabilities(settings, shape, peak))


def draw_origins(
    rng: np.random.Generator, cumulative: np.ndarray, counts: np.ndarray, settings: ExtractSettings, number: int
) -> np.ndarray:
    """Origins of up to ``number`` different patches with enough photons, (n, 3) int32.

    ``cumulative`` is the running sum of :func:`probabilities`; fewer origins come back where 200 attempts for each did
    not find enough of them.
    """
    places = tuple(n - s + 1 for n, s in zip(counts.shape, settings.shape, strict=True))
    chosen: dict[int, None] = {}
    poor: set[int] = set()
    for _ in range(ATTEMPTS * number):
        if len(chosen) == number:
            break
        index = min(int(np.searchsorted(cumulative, rng.random() * cumulative[-1], "right")), cumulative.size - 1)
        if index in chosen or index in poor:
            continue
        origin = np.unravel_index(index, places)
        if counts[window(origin, settings.shape)].sum(dtype=np.float64) >= settings.min_photons:
            chosen[index] = None
        else:
            poor.add(index)
    return np.stack(np.unravel_index(np.fromiter(chosen, np.int64, len(chosen)), places), -1).astype(np.int32)


def extract_chunk(settings: ExtractSettings, seed: int, patterns: Path, out: Path, code: str = "") -> None:
    """Patches of every pattern of a file from ``perturb``.

    ``out`` holds, one entry a patch, ``counts`` (n, 32, 32, 32) uint32, ``expectation`` (n, 32, 32, 32) float32
    photons, ``origin`` (n, 3) int32, ``particle`` (n) int32, ``view`` (n) int16, ``split`` (n) uint8 (0 train,
    1 validation, 2 test), ``oversampling`` (n, 3) float32, and the attribute ``source``, here ``"simulated"``.  The
    split is by particle, see :func:`braggfill.runs.splits.split_of`.

    Raises
    ------
    BraggfillError : the file or a pattern in it is missing or damaged; a patch does not fit.
    """
    reason = storage.left_out(patterns)
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=reason, source="simulated") as target:
        if reason is not None:
            return
        with storage.read(patterns) as source:
            found = [source[particle][view] for particle in sorted(source) for view in sorted(source[particle])]
            patches = _Patches(target, len(found) * settings.patches, settings.shape, np.uint32)
            for pattern in found:
                _extract_pattern(settings, seed, pattern, patches)
            patches.close()


def _extract_pattern(settings: ExtractSettings, seed: int, pattern: h5py.Group, patches: _Patches) -> None:
    counts, expectation = storage.array(pattern, "counts"), storage.array(pattern, "expectation")
    try:
        particle, view = int(pattern.attrs["particle"]), int(pattern.attrs["view"])
        oversampling = pattern.attrs["oversampling"]
    except (KeyError, OSError) as error:
        where = f"{pattern.file.filename}: pattern {pattern.name.strip('/')}"
        raise BraggfillError(f"{where} lacks its description ({error}); delete the file and make it again") from error
    peak = tuple(n // 2 for n in counts.shape)
    cumulative = _cumulative(settings.model_dump_json(), counts.shape, peak)
    rng = seeds.generator(seed, "extract", particle, view)
    origins = draw_origins(rng, cumulative, counts, settings, settings.patches)
    patches.add(
        counts=cut(counts, origins, settings.shape),
        expectation=cut(expectation, origins, settings.shape),
        origin=origins,
        particle=particle,
        view=view,
        split=split_of(settings.fractions, seed, particle),
        oversampling=oversampling,
    )


def extract_scan(
    settings: ExtractSettings, seed: int, scan: Path, name: str, out: Path, code: str = "", *, patches: int = 1000
) -> None:
    """Patches of one measured scan, in the same form as :func:`extract_chunk`.

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
        peak = entry.peak or np.unravel_index(np.argmax(counts), counts.shape)
        try:
            chances = probabilities(settings, counts.shape, peak, free_places(missing, settings.shape))
        except BraggfillError as error:
            raise BraggfillError(f"{scan}: {error}") from error
        rng = seeds.generator(seed, f"extract/{name}")
        origins = draw_origins(rng, np.cumsum(chances), counts, settings, patches)
        collected = _Patches(target, len(origins), settings.shape, counts.dtype)
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


class _Patches:
    """Datasets that patches are appended to, one compressed piece a patch."""

    def __init__(self, file: h5py.File, capacity: int, size: Sequence[int], counted: type | np.dtype):
        kinds = {
            "counts": (tuple(size), counted),
            "expectation": (tuple(size), np.float32),
            "origin": ((3,), np.int32),
            "particle": ((), np.int32),
            "view": ((), np.int16),
            "split": ((), np.uint8),
            "oversampling": ((3,), np.float32),
        }
        self.number = 0
        self.sets = {}
        for name, (shape, kind) in kinds.items():
            large = len(shape) == 3
            chunks = (1, *shape) if large else (1024, *shape)
            filters = packing.FILTERS if large else {}
            self.sets[name] = file.create_dataset(
                name, (capacity, *shape), kind, maxshape=(None, *shape), chunks=chunks, **filters
            )

    def add(self, **values: np.ndarray | float) -> None:
        """Append patches; a single value holds for all of them."""
        after = self.number + len(values["origin"])
        for name, value in values.items():
            data = self.sets[name]
            data[self.number : after] = np.broadcast_to(
                np.asarray(value, data.dtype), (after - self.number, *data.shape[1:])
            )
        self.number = after

    def close(self) -> None:
        """Cut the datasets to what was added."""
        for data in self.sets.values():
            data.resize(self.number, axis=0)
