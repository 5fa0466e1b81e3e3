"""Patterns drawn on a device: many exposures at a time of crystals that other processes draw.

The exposures are those of :mod:`braggfill.learning.phase_data` with PyTorch's random numbers.  Crystals come as they
are drawn, so that a training on a device is not repeated to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from braggfill.learning import phase_data
from braggfill.learning.phase_data import EXTENT, NEAR, ExposureOptions
from braggfill.learning.supply import Supply
from braggfill.physics.crystals import MARGIN, CrystalOptions

BOX = 2 * (int(np.ceil(0.62 * EXTENT)) + MARGIN) + 1
"""Voxels a side of the box that a crystal lies in; those that reach further are not used."""
TOGETHER = 32
"""Crystals that a process hands over at once."""
ORDERS = tuple((a, b, 3 - a - b) for a in range(3) for b in range(3) if a != b)
TAPS = 2
"""Voxels to either side that a blur reaches."""


@dataclass(frozen=True)
class DeviceBatch:
    """As :class:`braggfill.learning.phase_data.Batch`, tensors of one device."""

    log_intensity: Tensor
    mask: Tensor
    phase: Tensor
    intensity: Tensor


class Exposer:
    """Exposes crystals, a batch at a time; what is drawn comes from a generator of its own."""

    def __init__(self, options: ExposureOptions, seed: int, device: torch.device | str = "cpu") -> None:
        self.options, self.device = options, torch.device(device)
        self.generator = torch.Generator(self.device).manual_seed(seed)

    def uniform(self, limits: tuple[float, float], *shape: int) -> Tensor:
        low, high = limits
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.device)

    def whole(self, low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers from ``low`` to ``high``, both included."""
        return torch.randint(low, high + 1, shape, generator=self.generator, device=self.device)

    @torch.no_grad()
    def expose(self, objects: Tensor, extents: Tensor) -> DeviceBatch:
        """One pattern of each crystal.

        Parameters
        ----------
        objects : complex64, (B, m, m, m), origin at ``m // 2``.  extents : (B, 3) of the bodies, voxels.
        """
        options, side = self.options, self.options.side
        number = len(objects)
        objects, extents = self._turned(objects, extents)
        found = self._amplitude(objects, extents)
        intensity = found.abs().square()
        photons = 10 ** self.uniform(options.photons_exponent, number)
        expected = intensity * (photons / intensity.flatten(1).amax(1)).view(-1, 1, 1, 1)
        centre = found[:, side // 2, side // 2, side // 2].view(-1, 1, 1, 1)
        phase = torch.angle(found * centre.conj())
        background = self.uniform(options.background, number).view(-1, 1, 1, 1)
        counts = torch.poisson(self._blurred(expected) + background, generator=self.generator)
        mask = self._missing(number)
        return DeviceBatch(torch.log1p(counts).masked_fill(mask, 0), mask, phase, expected)

    def _turned(self, objects: Tensor, extents: Tensor) -> tuple[Tensor, Tensor]:
        """The crystals with their axes in another order; what mirrors them is in the transform."""
        if not self.options.turned:
            return objects, extents
        drawn = self.whole(0, len(ORDERS) - 1, len(objects))
        turned, sizes = objects.clone(), extents.clone()
        for i, order in enumerate(ORDERS[1:], start=1):
            chosen = drawn == i
            turned = torch.where(chosen.view(-1, 1, 1, 1), objects.permute(0, *(1 + a for a in order)), turned)
            sizes = torch.where(chosen[:, None], extents[:, list(order)], sizes)
        return turned, sizes

    def _amplitude(self, objects: Tensor, extents: Tensor) -> Tensor:
        """:func:`braggfill.physics.diffraction.amplitude` of each, of no particular scale, (B, n, n, n)."""
        options, number, side, wide = self.options, len(objects), self.options.side, objects.shape[-1]
        margin = side // 2 + NEAR
        period = torch.ceil(self.uniform(options.oversampling, number) * extents.amax(1))
        period = period.clamp(min=max(wide, 2 * margin + 1)).view(-1, 1, 1)
        zero = torch.zeros((number, 3), dtype=torch.long, device=self.device)
        offset = self.whole(-NEAR, NEAR, number, 3) if options.off_centre else zero
        mirrored = 1 - 2 * self.whole(0, 1, number, 3) if options.turned else 1 + zero
        lines = torch.arange(side, device=self.device) - side // 2
        places = torch.arange(wide, device=self.device) - wide // 2
        found = objects
        for axis in range(3):
            wanted = mirrored[:, axis, None] * (lines + offset[:, axis, None])
            turns = torch.remainder(wanted[:, :, None] * places, period) / period
            waves = torch.polar(torch.ones_like(turns), -2 * torch.pi * turns)
            found = (waves @ found.flatten(2)).unflatten(2, found.shape[2:]).movedim(1, 3)
        return found

    def _blurred(self, expected: Tensor) -> Tensor:
        """Some of the patterns blurred by a Gaussian, each by its own."""
        options, number = self.options, len(expected)
        if options.blurred == 0:
            return expected
        chosen = self.uniform((0, 1), number) < options.blurred
        sigma = self.uniform(options.blur, number)
        reach = (3 * sigma + 0.5).floor().clamp(max=TAPS)
        steps = torch.arange(-TAPS, TAPS + 1, device=self.device)
        weights = torch.exp(-0.5 * (steps / sigma[:, None]) ** 2) * (steps.abs() <= reach[:, None])
        weights = torch.where(chosen[:, None], weights / weights.sum(1, keepdim=True), (steps == 0).float())
        n = expected.shape[-1]
        inner = torch.arange(-TAPS, n + TAPS, device=self.device)
        inner = torch.where(inner < 0, -1 - inner, torch.where(inner >= n, 2 * n - 1 - inner, inner))
        for axis in (1, 2, 3):
            padded = expected.index_select(axis, inner)
            parts = (padded.narrow(axis, t, n) * weights[:, t].view(-1, 1, 1, 1) for t in range(2 * TAPS + 1))
            expected = sum(parts, torch.zeros_like(expected))
        return expected

    def _missing(self, number: int) -> Tensor:
        """Masks as of :func:`braggfill.learning.phase_data.missing`, (B, n, n, n); nowhere for most."""
        options, side = self.options, self.options.side
        lines = torch.arange(side, device=self.device)
        width, place = self.whole(*options.width, number, 2), self.whole(-2, side - 1, number, 2)
        planes = (lines >= place[..., None]) & (lines < (place + width)[..., None])
        both = self.uniform((0, 1), number) < 0.4
        first = self.whole(0, 1, number).bool()
        along = [planes[:, 0] & (first | both)[:, None], planes[:, 1] & (~first | both)[:, None]]
        frame = along[0][:, :, None] | along[1][:, None, :]
        frame = frame | (self.uniform((0, 1), number, side, side) < 0.002)
        frame = frame & (self.uniform((0, 1), number) < options.gaps).view(-1, 1, 1)
        rocking = self.whole(0, 2, number).view(-1, 1, 1, 1)
        whole = [frame.unsqueeze(1 + a).expand(-1, side, side, side) for a in range(3)]
        return torch.where(rocking == 0, whole[0], torch.where(rocking == 1, whole[1], whole[2]))


class Pool:
    """Crystals on a device, of which batches are drawn while processes draw new ones that take the oldest ones' places.

    Parameters
    ----------
    batch : patterns a step; most : crystals that are kept; workers : processes that draw; least : crystals before the
    first batch.
    """

    def __init__(
        self,
        seed: int,
        batch: int,
        *,
        crystals: CrystalOptions = phase_data.TRAINED[0],
        seen: ExposureOptions = phase_data.TRAINED[1],
        device: torch.device | str = "cpu",
        workers: int = 1,
        most: int = 4096,
        least: int = 256,
    ) -> None:
        self.exposer = Exposer(seen, seed, device)
        self.batch, self.least = batch, max(least, 1)
        self.objects = torch.zeros((most, BOX, BOX, BOX), dtype=torch.complex64, device=device)
        self.extents = torch.ones((most, 3), device=device)
        self.drawn = 0
        """Crystals that have come."""
        self._supply = Supply(_Drawn(seed, crystals), workers, "crystals", device)

    def __iter__(self) -> Iterator[DeviceBatch]:
        with self._supply:
            while True:
                while self.drawn < self.least:
                    self._put_all(self._supply.take(wait=True))
                self._put_all(self._supply.take())
                there = min(self.drawn, len(self.objects))
                chosen = self.exposer.whole(0, there - 1, self.batch)
                yield self.exposer.expose(self.objects[chosen], self.extents[chosen])

    def _put_all(self, items: list[tuple[Tensor, Tensor]]) -> None:
        for objects, extents in items:
            self._put(objects, extents)

    def _put(self, objects: Tensor, extents: Tensor) -> None:
        device = self.objects.device
        places = ((torch.arange(len(objects)) + self.drawn) % len(self.objects)).to(device, non_blocking=True)
        self.objects[places] = objects.to(device, non_blocking=True)
        self.extents[places] = extents.to(device, non_blocking=True)
        self.drawn += len(objects)


class _Drawn(IterableDataset):
    """Crystals without an end, some at a time; each process has every n-th."""

    def __init__(self, seed: int, options: CrystalOptions) -> None:
        self.seed, self.options = seed, options

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        info = torch.utils.data.get_worker_info()
        first, stride = (info.id, info.num_workers) if info else (0, 1)
        torch.set_num_threads(1)
        index = first
        while True:
            objects: list[np.ndarray] = []
            extents: list[np.ndarray] = []
            while len(objects) < TOGETHER:
                made = phase_data.crystal(self.seed, index, self.options)
                index += stride
                if max(made.object.shape) <= BOX:
                    objects.append(made.on((BOX,) * 3))
                    extents.append(made.extent)
            yield torch.from_numpy(np.stack(objects)), torch.from_numpy(np.stack(extents).astype(np.float32))
