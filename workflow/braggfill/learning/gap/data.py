"""Patches in memory, and what each step of training takes of them.

Everything that is random (order, gaps, symmetries) is drawn from the run's seed and the number of the epoch alone, so
that a resumed training sees what one that was never killed would have seen.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from braggfill.errors import BraggfillError
from braggfill.learning.gap.options import Options
from braggfill.patterns import gaps
from braggfill.runs import seeds, storage

STEP = 24.0 / 65535
"""Patches are kept as log(1 + photons) in 16 bits: steps of 3.7e-4, 0 stays 0, up to 2.6e10 photons."""
TRAIN, VALIDATION = 0, 1


@dataclass
class Patches:
    """Patches as 16-bit logarithms, (n, s, s, s): what was counted, and what is to be predicted."""

    counted: Tensor
    wanted: Tensor
    known: Tensor
    """Whether a patch's noise-free expectation is known, (n,): only then can its counts be drawn again."""

    def __len__(self) -> int:
        return len(self.counted)

    @property
    def shape(self) -> tuple[int, int, int]:
        n0, n1, n2 = self.counted.shape[1:]
        return n0, n1, n2

    def checksum(self) -> int:
        """Changes with any patch."""
        found = 0
        for part in (self.counted, self.wanted, self.known):
            found = zlib.crc32(part.contiguous().numpy().data, found)
        return found


def encode(intensity: np.ndarray) -> np.ndarray:
    """Photons to 16-bit logarithms (shifted, because torch counts with signed numbers)."""
    logs = np.log1p(np.asarray(intensity, dtype=np.float32))
    return (np.clip(np.rint(logs / STEP), 0, 65535) - 32768).astype(np.int16)


def decode(code: Tensor) -> Tensor:
    """16-bit logarithms to log(1 + photons)."""
    return (code.float() + 32768.0) * STEP


def load(files: list[Path], options: Options, network: str = "braggfill") -> tuple[Patches, Patches]:
    """Training and validation patches of all the files, in their order.

    Files that a step left out (measured data that could not be had) are passed over.

    Raises
    ------
    BraggfillError : a file is missing, damaged or not made of patches; no training patch is left.
    """
    kept: dict[int, list[tuple[np.ndarray, ...]]] = {TRAIN: [], VALIDATION: []}
    files = [Path(file) for file in files if storage.left_out(file) is None]
    left = options.patches_max or math.inf
    for place, file in enumerate(files):
        wanted = {TRAIN: left if math.isinf(left) else -(-left // (len(files) - place)), VALIDATION: math.inf}
        for split, counts, expectation, known in _patches(file, options):
            most = max(0, int(min(wanted[split], len(counts))))
            kept[split].append((encode(counts[:most]), encode(expectation[:most]), known[:most]))
            wanted[split] -= most
            left -= most if split == TRAIN else 0
    parts = [_join(kept[TRAIN]), _join(kept[VALIDATION])]
    if not len(parts[0]):
        raise BraggfillError(
            "train: there is not one training patch; make more particles, or lower train.photons_min "
            f"({options.photons_min:g})"
        )
    if len(parts[1]) > options.validation_max:
        chosen = np.linspace(0, len(parts[1]) - 1, options.validation_max).round().astype(int)
        parts[1] = _some(parts[1], torch.from_numpy(chosen))
    _check_shape(parts[0].shape, options, network)
    return parts[0], parts[1]


def _check_shape(shape: tuple[int, int, int], options: Options, network: str) -> None:
    if network == "paper" and shape != (32, 32, 32):
        raise BraggfillError(f"train.network: the published network takes patches of 32 voxels, not {shape}")
    if options.symmetries and len(set(shape)) > 1:
        raise BraggfillError(f"train.symmetries: patches of {shape} are no cubes; set it to false, or extract cubes")


def _patches(file: Path, options: Options) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Blocks of patches of one split: counts, what is to be predicted, and whether that is the expectation."""
    with storage.read(file) as source:
        if "counts" not in source or "split" not in source:
            raise BraggfillError(f"{file}: not a file of patches (no counts or split); give what extract made")
        splits = source["split"][...]
        known = options.target == "expectation" and "expectation" in source
        for first in range(0, len(splits), 256):
            part = slice(first, first + 256)
            counts = source["counts"][part].astype(np.float32)
            wanted = source["expectation"][part].astype(np.float32) if known else counts
            expected = np.isfinite(wanted).all(axis=(1, 2, 3)) & known
            wanted = np.where(np.isfinite(wanted), wanted, counts)
            if not np.isfinite(counts).all() or counts.min(initial=0) < 0:
                raise BraggfillError(f"{file}: counts that are negative or not numbers; make it again")
            bright = counts.mean(axis=(1, 2, 3)) >= options.photons_min
            for split in (TRAIN, VALIDATION):
                chosen = (splits[part] == split) & (bright | (split != TRAIN))
                if chosen.any():
                    yield split, counts[chosen], wanted[chosen], expected[chosen]


def _join(blocks: list[tuple[np.ndarray, ...]]) -> Patches:
    if not blocks:
        nothing = torch.empty((0, 32, 32, 32), dtype=torch.int16)
        return Patches(nothing, nothing, torch.empty(0, dtype=torch.bool))
    if len({counted.shape[1:] for counted, *_ in blocks}) > 1:
        raise BraggfillError("train: the files hold patches of different sizes; extract them all anew")
    return Patches(*(torch.from_numpy(np.concatenate(parts)) for parts in zip(*blocks, strict=True)))


def _some(patches: Patches, index: Tensor) -> Patches:
    return Patches(patches.counted[index], patches.wanted[index], patches.known[index])


class Batches(Dataset):
    """One epoch of patches, a batch an item: codes, masks, symmetries (-1: none) and brightness.

    ``brightness`` is the natural logarithm of the factor on a patch's expectation, NaN where its counts stay as they
    are; ``noise`` seeds the counts that are drawn from it.  Of ``ranks`` processes each takes every so manieth patch
    of a batch; ``share`` is how many it has of it, times their number: the weight of its loss.
    """

    def __init__(self, patches: Patches, options: Options, seed: int, epoch: int | None, rank: int = 0, ranks: int = 1):
        """``epoch`` None: validation, always in the same order with the same gaps."""
        self.rank, self.ranks = rank, ranks
        number = len(patches)
        training = epoch is not None
        key = ("train/validation",) if epoch is None else ("train/epoch", epoch)
        rng = seeds.generator(seed, *key)
        self.patches = patches
        self.order = rng.permutation(number) if training else np.arange(number)
        self.gaps = gaps.draw(
            rng,
            number,
            patches.shape,
            style=options.gap.style,
            widths=options.gap.width_px,
            cross_fraction=options.gap.cross_fraction,
            dead_fraction=options.gap.dead_fraction,
        )
        self.size = options.batch_size
        turned = training and options.symmetries
        self.symmetry = rng.integers(0, 48, number) if turned else np.full(number, -1)
        self.clean = rng.random(number) < options.noise_free_fraction if training else np.zeros(number, bool)
        self.brightness = np.full(number, np.nan, np.float32)
        if training and options.brightness_exponent is not None:
            drawn = np.log(10) * rng.uniform(*options.brightness_exponent, number)
            self.brightness = np.where(patches.known.numpy()[self.order], drawn, np.nan).astype(np.float32)
        self.noise = seeds.integer(seed, "train/noise", epoch or 0)

    def __len__(self) -> int:
        return -(-len(self.order) // self.size)

    def __getitem__(self, item: int) -> dict[str, Tensor | int | float]:
        if item >= len(self):
            raise IndexError(item)
        whole = np.arange(item * self.size, min((item + 1) * self.size, len(self.order)))
        part = whole[self.rank :: self.ranks]
        share = len(part) * self.ranks / len(whole)
        part = part if len(part) else whole[:1]  # all take every step, if only with the weight nothing
        index = torch.from_numpy(self.order[part])
        return {
            "counted": self.patches.counted[index],
            "wanted": self.patches.wanted[index],
            "mask": torch.from_numpy(self.gaps.masks(part)),
            "symmetry": torch.from_numpy(self.symmetry[part]),
            "clean": torch.from_numpy(self.clean[part]),
            "brightness": torch.from_numpy(self.brightness[part]),
            "noise": self.noise + item * self.ranks + self.rank,
            "share": share,
        }
