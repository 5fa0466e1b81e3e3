"""Objects to noise-free patterns on a device, many at a time: the steps of the stage ``perturb`` up to the counts.

Objects are (B, box, box, box), patterns (B, side, side, side), both with their origin at ``n // 2``.  The numbers that
are drawn are uniform in the ranges of each object's kind (:class:`braggfill.learning.gap.drawn_options.PatternKind`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from braggfill.learning.gap.drawn_options import DrawnOptions

REACH = 4.0
"""Standard deviations at which a Gaussian is cut off, as scipy's filters do."""


def gaussian(side: int, sigma: Tensor) -> Tensor:
    """Matrices (B, side, side) of a Gaussian filter; beyond the border the border's value goes on.

    The weights of ``scipy.ndimage.gaussian_filter`` with mode ``nearest``.
    """
    place = torch.arange(side, device=sigma.device)
    taps = torch.arange(-side, side + 1, device=sigma.device)
    reach = (REACH * sigma + 0.5).floor()[:, None]
    weights = torch.exp(-0.5 * (taps / sigma.clamp(min=1e-3)[:, None]) ** 2) * (taps.abs() <= reach)
    weights = weights / weights.sum(1, keepdim=True)
    at = (place[:, None] + taps).clamp(0, side - 1).flatten()
    rows = weights[:, None].expand(-1, side, -1).reshape(len(sigma), side, -1)
    found = torch.zeros((len(sigma), side, side), device=sigma.device)
    return found.scatter_add_(2, at.view(1, side, -1).expand(len(sigma), -1, -1), rows)


def along(values: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Each of three matrices (B, m, n) applied along its axis of (B, n, n, n)."""
    for matrix in matrices:
        values = (matrix @ values.flatten(2)).unflatten(2, values.shape[2:]).movedim(1, 3)
    return values


def spanning(field: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Fields (B, ...), each shifted and scaled so that it goes from ``low`` to ``high``, (B,)."""
    least, most = (each(field.flatten(1), 1) for each in (torch.amin, torch.amax))
    scale = (high - low) / (most - least).clamp(min=1e-30)
    return _each(low, field) + (field - _each(least, field)) * _each(scale, field)


def smoothed(objects: Tensor, sigma: Tensor, threshold: Tensor) -> Tensor:
    """Moduli smoothed and cut to the support (:func:`braggfill.stages.perturb.smooth`), (B, box, box, box)."""
    matrix = gaussian(objects.shape[-1], sigma)
    modulus = along(objects.abs(), (matrix,) * 3)
    return modulus.masked_fill(modulus < _each(threshold * modulus.flatten(1).amax(1), modulus), 0)


def intensity(objects: Tensor, side: int) -> Tensor:
    """Squared modulus of the unitary transform of objects that are zero outside their box."""
    found = torch.fft.fftn(objects, s=(side,) * 3, dim=(1, 2, 3), norm="ortho")
    return torch.fft.fftshift(found.abs().square(), dim=(1, 2, 3))


def blurred(values: Tensor, sigmas: Tensor) -> Tensor:
    """Patterns blurred by Gaussians of standard deviations (B, 3)."""
    return along(values, [gaussian(values.shape[-1], sigmas[:, axis]) for axis in range(3)])


def blur_sigmas(blur: Tensor, coherence: Tensor, point_spread: Tensor, oversampling: Tensor) -> Tensor:
    """Standard deviation of the whole blur, (B, 3); see :func:`braggfill.stages.perturb.blur_sigmas`.

    Parameters
    ----------
    blur, point_spread : (B,).  coherence : (B, 3) extents, infinite where the beam is coherent.  oversampling : (B, 3).
    """
    found = torch.hypot(blur[:, None], oversampling / (2 * math.pi * coherence))
    pixels = (torch.arange(3, device=blur.device) > 0) * point_spread[:, None]
    return torch.hypot(found, pixels)


def _each(numbers: Tensor, like: Tensor) -> Tensor:
    """Numbers (B,) that broadcast over (B, ...)."""
    return numbers.view(-1, *[1] * (like.ndim - 1))


class Perturber:
    """Draws perturbations and makes patterns of objects; nothing of it waits for the device."""

    def __init__(self, options: DrawnOptions, generator: torch.Generator) -> None:
        self.options, self.generator, self.device = options, generator, generator.device
        names: tuple[str, ...] = (
            "smoothing_sigma_voxels",
            "modulus_noise",
            "modulus_correlation",
            "phase_range_radians",
        )
        names += ("phase_correlation", "blur_sigma_voxels", "coherence_extents", "point_spread_pixels")
        names += ("background_exponent", "background_unevenness", "flat_field", "photons_exponent")
        self.limits = {
            name: torch.tensor([getattr(kind, name) for kind in options.kinds], device=self.device) for name in names
        }
        for name in ("support_threshold", "phase_replaced_share"):
            self.limits[name] = torch.tensor([getattr(kind, name) for kind in options.kinds], device=self.device)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.device)

    def between(self, name: str, kind: Tensor, *more: int) -> Tensor:
        """A number of each kind's range, (B, *more)."""
        low, high = (self.limits[name][kind, end].view(-1, *[1] * len(more)) for end in (0, 1))
        drawn = self.uniform(len(kind), *more)
        return torch.where(low == high, low, low + (high - low) * drawn)  # both may be infinite

    def field(self, sigma: Tensor, *shape: int) -> Tensor:
        """Fields of :func:`braggfill.physics.fields.random_field`, (B, ...), of variance 1; ``sigma`` (B,) voxels."""
        axes = tuple(range(1, 1 + len(shape)))
        spectrum = torch.fft.rfftn(self.normal(len(sigma), *shape), dim=axes)
        power = torch.ones_like(sigma)
        for axis, side in zip(axes, shape, strict=True):
            frequency = torch.fft.fftfreq(side, device=self.device)
            power = power * torch.exp(-4 * (math.pi * sigma[:, None] * frequency) ** 2).mean(1)
            own = torch.fft.rfftfreq(side, device=self.device) if axis == axes[-1] else frequency
            factor = torch.exp(-2 * (math.pi * sigma[:, None] * own) ** 2)
            spectrum = spectrum * factor.view(-1, *[len(own) if a == axis else 1 for a in axes])
        found = torch.fft.irfftn(spectrum, s=shape, dim=axes)
        return found / _each(power.sqrt(), found)

    @torch.no_grad()
    def objects(self, objects: Tensor, kind: Tensor) -> Tensor:
        """Objects with another modulus and, some of them, another phase; steps 1 to 3 of the stage."""
        side, first = self.options.side, self.options.side // 2 - self.options.box // 2
        inside = (slice(None), *[slice(first, first + self.options.box)] * 3)
        sigma = self.between("smoothing_sigma_voxels", kind)
        modulus = smoothed(objects, sigma, self.limits["support_threshold"][kind])
        half, zero = side / 2, torch.zeros(len(kind), device=self.device)
        field = self.field(half * self.between("modulus_correlation", kind), side, side, side)
        modulus = modulus * (1 + spanning(field, zero, self.between("modulus_noise", kind))[inside])
        field = self.field(half * self.between("phase_correlation", kind), side, side, side)
        width = self.between("phase_range_radians", kind) / 2
        phase = spanning(field, -width, width)[inside]
        replaced = self.uniform(len(kind)) < self.limits["phase_replaced_share"][kind]
        return torch.polar(modulus, torch.where(_each(replaced, phase), phase, torch.angle(objects)))

    @torch.no_grad()
    def expectation(self, objects: Tensor, oversampling: Tensor, kind: Tensor) -> Tensor:
        """Photons that are expected of perturbed objects; steps 4 and 5 of the stage."""
        side, number = self.options.side, len(kind)
        blur, spread = (self.between(name, kind) for name in ("blur_sigma_voxels", "point_spread_pixels"))
        sigmas = blur_sigmas(blur, self.between("coherence_extents", kind, 3), spread, oversampling)
        found = blurred(intensity(objects, side), sigmas).clamp(min=0)
        photons = 10 ** self.between("photons_exponent", kind)
        found = found * _each(photons / found.flatten(1).amax(1), found)
        frame = self.field(torch.full((number,), side / 4, device=self.device), side, side).clamp(-4, 4)
        uneven = torch.exp(_each(self.between("background_unevenness", kind), frame) * frame)
        air = _each(10 ** self.between("background_exponent", kind), frame) * uneven
        gains = torch.exp(_each(self.between("flat_field", kind), frame) * self.normal(number, side, side))
        return (found + air[:, None]) * gains[:, None]
