"""Training patches that are drawn on a device as they are needed, of objects that other processes draw.

Objects come from :class:`braggfill.learning.gap.particles.Objects`, become patterns
(:class:`braggfill.learning.gap.expectations.Perturber`), of which the newest are kept; patches are cut from these,
turned, exposed and given gaps.  Objects come as they are drawn, so that a training is not repeated to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from braggfill.learning import symmetries
from braggfill.learning.gap.data import Patches, encode
from braggfill.learning.gap.drawn_options import BufferOptions, DrawnOptions
from braggfill.learning.gap.expectations import Perturber, along
from braggfill.learning.gap.frames import facing, frames
from braggfill.learning.gap.particles import Objects, Particle
from braggfill.learning.supply import Supply
from braggfill.patterns import gaps
from braggfill.runs import seeds

CELL = 4
"""Voxels between places for patches whose mean intensity is computed; a patch lies anywhere within a cell of these."""
MOST_PHOTONS = 3e9
TOGETHER = 4
"""Patterns made at once, at the most."""


@dataclass(frozen=True)
class DrawnBatch:
    """Patches of one device, log(1 + photons), (B, s, s, s), and their gaps.

    truth : of the expectation.  counted : of the counts.  seen : of what the network is shown, counts or for some the
    expectation.  frame : boolean (B, s, s), the mask of every frame, its axes in the order that the network wants.
    """

    truth: Tensor
    counted: Tensor
    seen: Tensor
    frame: Tensor

    @property
    def mask(self) -> Tensor:
        """True where missing, (B, s, s, s)."""
        return self.frame[:, None].expand_as(self.truth)


class PatchDrawer:
    """Objects and patterns on a device, and batches of patches of them."""

    def __init__(
        self, options: DrawnOptions, held: BufferOptions, seed: int, device: torch.device | str = "cpu", first: int = 0
    ) -> None:
        """``first``: the step that begins, another one for a training that goes on."""
        self.options, self.device = options, torch.device(device)
        self.generator = torch.Generator(self.device).manual_seed(seeds.integer(seed, "gap/drawn", first))
        self.rng = seeds.generator(seed, "gap/drawn/gaps", first)
        self.perturber = Perturber(options, self.generator)
        side, box, size = options.side, options.box, options.size
        self.objects = torch.zeros((held.objects, box, box, box), dtype=torch.complex64, device=device)
        self.oversampling = torch.ones((held.objects, 3), device=device)
        self.kind = torch.zeros(held.objects, dtype=torch.long, device=device)
        self.came = 0
        """Objects that have come."""
        self.places = (side - size) // CELL + 1
        self.patterns = torch.zeros((held.patterns, side, side, side), device=device)
        self.cumulative = torch.zeros((held.patterns, self.places**3), device=device)
        """Running sums of the probability of each place in each pattern."""
        self.made = 0
        """Patterns that have been made."""
        self.turns = symmetries.tables(size).to(device)
        cell = torch.arange(size, device=device)
        self.offsets = ((cell[:, None, None] * side + cell[None, :, None]) * side + cell).reshape(-1)
        place = torch.arange(self.places, device=device) * CELL
        centre = (place + (size - 1) / 2 - side // 2).square()
        self.distance = (centre[:, None, None] + centre[None, :, None] + centre).sqrt().flatten()
        line = torch.arange(side, device=device)
        self.window = ((line >= place[:, None]) & (line < place[:, None] + size)).float() / size

    def put(self, objects: Tensor, oversampling: Tensor, kind: Tensor) -> None:
        """New objects, in the place of the oldest."""
        places = (torch.arange(len(objects), device=self.device) + self.came) % len(self.objects)
        self.objects[places] = objects.to(self.device, non_blocking=True)
        self.oversampling[places] = oversampling.to(self.device, non_blocking=True)
        self.kind[places] = kind.to(self.device, non_blocking=True)
        self.came += len(objects)

    @torch.no_grad()
    def make(self, number: int) -> None:
        """New patterns, in the place of the oldest; one that is not finite is left out."""
        while number > 0:
            some = min(number, TOGETHER)
            self._make(some)
            number -= some

    def _make(self, number: int) -> None:
        which = self._whole(min(self.came, len(self.objects)), number)
        kind = self.kind[which]
        objects = self.perturber.objects(self.objects[which], kind)
        found = self.perturber.expectation(objects, self.oversampling[which], kind)
        probability = self._probability(found)
        good = found.flatten(1).isfinite().all(1) & probability.isfinite().all(1)
        places = (torch.arange(number, device=self.device) + self.made) % len(self.patterns)
        self.patterns[places] = torch.where(good.view(-1, 1, 1, 1), found, self.patterns[places])
        self.cumulative[places] = torch.where(good[:, None], probability.cumsum(1), self.cumulative[places])
        self.made += number

    def _probability(self, patterns: Tensor) -> Tensor:
        """Of each place for a patch, (B, places³): as the stage ``extract`` has it, where it is bright enough."""
        options, number = self.options, len(patterns)
        mean = along(patterns, [self.window.expand(number, -1, -1)] * 3).flatten(1)
        bright, faint = options.least_photons
        least = faint + (bright - faint) * (self.perturber.uniform(number, 1) < options.bright_share)
        there = (mean >= torch.minimum(least, mean.amax(1, keepdim=True))).float()
        far = there * self.distance.clamp(min=0.5)
        far = far / far.sum(1, keepdim=True)
        near = there * (self.distance <= options.near_peak_radius_voxels)
        number_near = near.sum(1, keepdim=True)
        near = torch.where(number_near > 0, near / number_near.clamp(min=1), far)
        return (1 - options.near_peak_share) * far + options.near_peak_share * near

    @torch.no_grad()
    def patches(self, number: int) -> Tensor:
        """Expected photons of patches, each turned by one of the symmetries of the cube, (B, s, s, s)."""
        side, size = self.options.side, self.options.size
        which = self._whole(min(self.made, len(self.patterns)), number)
        sums = self.cumulative[which]
        drawn = self.perturber.uniform(number, 1) * sums[:, -1:] * (1 - 1e-6)
        at = torch.searchsorted(sums, drawn, right=True).clamp(max=self.places**3 - 1)[:, 0]
        cell = torch.stack([at // self.places**2, at // self.places % self.places, at % self.places], 1)
        within = torch.randint(0, CELL, (number, 3), generator=self.generator, device=self.device)
        i, j, k = (CELL * cell + within).clamp(max=side - size).unbind(1)
        first = ((which * side + i) * side + j) * side + k
        turned = self.offsets[self.turns[self._whole(len(self.turns), number)]]
        return self.patterns.view(-1)[first[:, None] + turned].view(number, size, size, size)

    @torch.no_grad()
    def batch(self, number: int) -> DrawnBatch:
        """Patches in new exposures, with gaps."""
        options, gap = self.options, self.options.gap
        low, high = options.brightness_exponent
        brightness = 10 ** (low + (high - low) * self.perturber.uniform(number, 1, 1, 1))
        rate = (self.patches(number) * brightness).clamp(0, MOST_PHOTONS)
        truth, counted = torch.log1p(rate), torch.log1p(torch.poisson(rate, generator=self.generator))
        clean = self.perturber.uniform(number, 1, 1, 1) < options.noise_free_fraction
        drawn = gaps.draw(
            self.rng,
            number,
            (options.size,) * 3,
            style=gap.style,
            widths=gap.width_px,
            cross_fraction=gap.cross_fraction,
            dead_fraction=gap.dead_fraction,
        )
        return DrawnBatch(truth, counted, torch.where(clean, truth, counted), facing(frames(drawn, self.device)))

    def _whole(self, below: int, number: int) -> Tensor:
        return torch.randint(0, below, (number,), generator=self.generator, device=self.device)


def stream(
    particles: Sequence[Particle],
    options: DrawnOptions,
    held: BufferOptions,
    batch: int,
    seed: int,
    *,
    device: torch.device | str = "cpu",
    workers: int = 1,
    first: int = 0,
) -> Iterator[DrawnBatch]:
    """Batches without an end, of ``batch`` patches each.

    Parameters
    ----------
    workers : processes that draw objects; first : the step that begins.

    Raises
    ------
    BraggfillError : a process failed.
    """
    drawer = PatchDrawer(options, held, seed, device, first)
    objects = Objects(particles, options, seeds.integer(seed, "gap/objects", first))
    with Supply(objects, workers, "objects", device) as supply:
        while drawer.came < held.least_objects:
            for one in supply.take(wait=True):
                drawer.put(*one)
        drawer.make(held.least_patterns)
        owed = 0.0
        while True:
            for one in supply.take():
                drawer.put(*one)
            owed += batch / held.patches
            drawer.make(int(owed))
            owed -= int(owed)
            yield drawer.batch(batch)


def fixed(particles: Sequence[Particle], options: DrawnOptions, number: int, seed: int) -> Patches:
    """Patches for validation, always the same, of objects of their own; drawn on the processor."""
    objects = 1 + number // 32
    drawer = PatchDrawer(options, BufferOptions(objects, objects), seed)
    for one in islice(Objects(particles, options, seeds.integer(seed, "gap/validation")), objects):
        drawer.put(*one)
    drawer.make(objects)
    found = [drawer.batch(min(32, number - start)) for start in range(0, number, 32)]
    counted, truth = (
        torch.from_numpy(encode(torch.cat([getattr(one, name) for one in found]).expm1().numpy()))
        for name in ("counted", "truth")
    )
    return Patches(counted, truth, torch.ones(number, dtype=torch.bool))
