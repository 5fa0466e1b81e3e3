r"""The object of the convex engine and its intensities, for several starts at once.

The object lives on a grid of half the pattern's size along each axis and is padded with zeros:

.. math::
    O(x) = a\, S(x)\, e^{i \varphi(x)}, \qquad I'(q) = |\mathcal{F} O|^2, \qquad
    a^2 = \frac{\sum_q w I}{\sum_q w\, |\mathcal{F}\, S e^{i \varphi}|^2}

The amplitude is no parameter: the modelled photons are as many as the measured ones.  Where nothing is missing this is
Parseval's theorem, :math:`a^2 = \sum I / \sum S^2` with the unitary transform.  The phase is interpolated linearly from
a coarser grid of values; they are radians, or a displacement in Å along the scattering vector,
:math:`\varphi = -|Q| u`, or two numbers (c, s) with :math:`e^{i\varphi} = (c + i s) / \sqrt{c^2 + s^2}`.

Coordinates are voxels of the pattern's Fourier space, :math:`x_k = j_k \bar{n} / n_k` with the geometric mean
:math:`\bar{n}` of the size of the array, from the origin; at a lower resolution they are the same places.

Source: Masto, thesis, sections 5.2.1 and 5.2.2, and the authors' public code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from braggfill.phasing import convex_losses, convex_shape

KINDS = ("values", "phasor", "displacement")


@dataclass
class Parameters:
    """What is fitted, a row a start."""

    normals: torch.Tensor
    """(starts, half-spaces, 3), unit vectors."""
    offsets: torch.Tensor
    """(starts, half-spaces), voxels of the whole pattern's object."""
    phase: torch.Tensor
    """(starts, components, p0, p1, p2): radians, Å, or (c, s)."""

    def taken(self, chosen: list[int]) -> Parameters:
        """Some of the starts, without history."""
        return Parameters(*(t.detach()[chosen].clone() for t in (self.normals, self.offsets, self.phase)))


class Level:
    """One resolution: the central part of the pattern, and what is computed on it.

    Parameters
    ----------
    counts, weight : photons and 0 to 1, one shape (n0, n1, n2), peak at ``n // 2``; photons are 0 where the weight is.
    whole : shape of the whole pattern.
    edge : geometric mean of the size of the part that is used; of ``whole`` or more for all of it.
    softness : of the support's surface, in voxels of this resolution.
    kind : "values", "phasor" or "displacement".
    modulus : |Q| in radians an Å, for a displacement.
    """

    def __init__(
        self,
        counts: np.ndarray,
        weight: np.ndarray,
        edge: float,
        softness: float,
        kind: str,
        modulus: float,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        whole = counts.shape
        self.mean = mean = float(np.prod(whole)) ** (1 / 3)
        self.device = torch.device(device)
        edge = min(edge, 2 * max(whole))
        self.shape = tuple(min(n, max(8, round(n * edge / mean))) for n in whole)
        part = tuple(slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(whole, self.shape, strict=True))
        self.observed, self.weight = (
            torch.as_tensor(np.fft.ifftshift(a[part]), dtype=dtype, device=device).contiguous()
            for a in (counts, weight)
        )
        self.photons = (self.weight * self.observed).sum()
        self.half = tuple(m // 2 for m in self.shape)
        # A voxel here is n / m voxels of the whole pattern's object.
        self.axes = [(np.arange(h) - h // 2) * (mean / m) for h, m in zip(self.half, self.shape, strict=True)]
        grid = np.stack(np.meshgrid(*self.axes, indexing="ij"), -1).reshape(-1, 3)
        self.places = torch.as_tensor(grid, dtype=dtype, device=device)
        self.voxel = mean / float(np.prod(self.shape)) ** (1 / 3)
        self.eps = softness * self.voxel
        self.kind, self.modulus = kind, modulus

    def support(self, parameters: Parameters) -> torch.Tensor:
        """S, (starts, h0, h1, h2)."""
        flat = convex_shape.HalfSpaces.apply(parameters.normals, parameters.offsets, self.places, self.eps)
        return flat.reshape(-1, *self.half)

    def phasor(self, phase: torch.Tensor) -> torch.Tensor:
        """exp(i phase) on the object's grid, complex (starts, h0, h1, h2)."""
        fine = resample(phase, self.half)
        if self.kind == "phasor":
            norm = (fine**2).sum(1).clamp_min(1e-12).sqrt()
            return torch.complex(fine[:, 0] / norm, fine[:, 1] / norm)
        angle = fine[:, 0] if self.kind == "values" else -self.modulus * fine[:, 0]
        return torch.complex(angle.cos(), angle.sin())

    def intensity(self, support: torch.Tensor, phasor: torch.Tensor) -> torch.Tensor:
        """Photons of each start, (starts, n0, n1, n2), origin at index 0, scaled to those measured."""
        bare = power(support * phasor, self.shape)
        return bare * (self.photons / (self.weight * bare).flatten(1).sum(1))[:, None, None, None]

    def amplitude(self, support: torch.Tensor, phasor: torch.Tensor) -> torch.Tensor:
        """a of each start, (starts,)."""
        bare = power(support * phasor, self.shape)
        return (self.photons / (self.weight * bare).flatten(1).sum(1)).sqrt()

    def residual(self, parameters: Parameters) -> torch.Tensor:
        """What starts are compared by, whatever they minimise: :func:`convex_losses.amplitude`, (starts,)."""
        with torch.no_grad():
            model = self.intensity(self.support(parameters), self.phasor(parameters.phase))
            return convex_losses.amplitude(self.observed, model, self.weight)


def power(small: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    r"""Squared modulus of the unitary transform of objects padded to ``shape``; the object's place does not matter.

    Each axis is padded as it is transformed, so that zeros are not.
    """
    wave = small
    for axis in (3, 2, 1):
        wave = torch.fft.fft(wave, n=shape[axis - 1], dim=axis, norm="ortho")
    return wave.real**2 + wave.imag**2


def resample(values: torch.Tensor, shape: tuple[int, ...], shift: Sequence[float] = (0, 0, 0)) -> torch.Tensor:
    """Values on a grid, interpolated linearly to another one over the same extent, corner to corner.

    By matrices, axis after axis, so that the gradient is summed in a fixed order on every device.

    Parameters
    ----------
    values : (..., p0, p1, p2).
    shift : where the values are taken, in shares of the extent from where they go; the outermost go on outside.
    """
    for axis, (size, moved) in enumerate(zip(shape, shift, strict=True), start=values.ndim - 3):
        given = values.shape[axis]
        if given == size and not moved:
            continue
        place = np.clip((np.linspace(0, 1, size) + moved) * (given - 1), 0, given - 1)[:, None]
        hat = torch.as_tensor(np.clip(1 - np.abs(place - np.arange(given)), 0, None), dtype=values.dtype)
        values = torch.movedim(torch.movedim(values, axis, -1) @ hat.T.to(values.device), -1, axis)
    return values


def recentred(level: Level, parameters: Parameters) -> Parameters:
    """The same objects, their centres of volume at the origin: intensities do not tell the place, so that it drifts."""
    with torch.no_grad():
        flat = level.support(parameters).flatten(1)
        centres = (flat @ level.places / flat.sum(1, keepdim=True).clamp_min(1e-12)).double().cpu().numpy()
        extents = [max(a[-1] - a[0], 1e-12) for a in level.axes]
        place = torch.as_tensor(centres, dtype=level.places.dtype, device=level.device)[:, None]
        offsets = parameters.offsets - (parameters.normals * place).sum(-1)
        phases = [
            resample(p, tuple(p.shape[1:]), tuple(c / e for c, e in zip(centre, extents, strict=True)))
            for p, centre in zip(parameters.phase, centres, strict=True)
        ]
    return Parameters(parameters.normals, offsets, torch.stack(phases))
