r"""Phase retrieval by iterated projections, in PyTorch: the same on a processor and on a GPU, several starts at a time.

A cycle takes an object :math:`O` to the amplitude :math:`A = F O`, gives each voxel its measured modulus,

.. math:: A' = A \left(1 - w + w \frac{\sqrt{I}}{|A|}\right), \qquad P = F^{-1} A'

and updates the object by what lies inside the support S and outside of it:

======  =================  ===========================================
name    inside             outside
======  =================  ===========================================
HIO     :math:`P`          :math:`O - \beta P`
RAAR    :math:`P`          :math:`(1 - 2 \beta) P + \beta O`
ER      :math:`P`          0
======  =================  ===========================================

The weight :math:`w` is 1 where a voxel was counted, 0 where it is missing or kept out, and between the two where it was
filled with some uncertainty.  Randomised over-relaxation replaces :math:`w` by :math:`\lambda w` with one
:math:`\lambda` a cycle, uniform in :math:`1 \pm \nu`.  For a partially coherent beam the modulus is compared after a
blur, :math:`|A|^2 \to |A|^2 * K` (:mod:`braggfill.phasing.coherence`).

All arrays here are in the layout of the Fourier transform, origin at index 0; :func:`to_layout` and :func:`from_layout`
translate.  Transforms are unitary.

Source: Fienup, Appl. Opt. 21, 2758 (1982); Luke, Inverse Problems 21, 37 (2005); the formulas are those of PyNX
(Favre-Nicolin et al., J. Appl. Cryst. 53, 1404, 2020); Köhl, Minkevich & Baumbach, Opt. Express 20, 17093 (2012);
Clark et al., Nat. Commun. 3, 993 (2012) for partial coherence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from braggfill.errors import BraggfillError
from braggfill.phasing import coherence

AXES = (1, 2, 3)
TINY = 1e-24
"""Smallest squared modulus that is divided by."""
ROUNDING = 1e-6
"""Error of a blur in single precision, as a share of the largest intensity."""


def to_layout(array: np.ndarray, device: str | torch.device = "cpu") -> torch.Tensor:
    """An array with its origin at ``n // 2`` as a tensor with its origin at index 0."""
    return torch.from_numpy(np.ascontiguousarray(np.fft.ifftshift(array))).to(device)


def from_layout(tensor: torch.Tensor) -> np.ndarray:
    """The last three axes of a tensor with its origin at index 0 as an array with its origin at ``n // 2``."""
    return np.fft.fftshift(tensor.cpu().numpy(), axes=(-3, -2, -1))


def gaussian(shape: Sequence[int], widths: float | Sequence[float], device: str | torch.device = "cpu") -> torch.Tensor:
    """Transform of a Gaussian (:mod:`braggfill.phasing.coherence`) as ``torch.fft.rfftn`` has it: multiply the
    transform by it to blur an array.

    Parameters
    ----------
    widths : standard deviations in voxels, one or one for each axis.
    """
    each = tuple(map(float, np.broadcast_to(np.asarray(widths, float), (len(shape),))))
    return torch.from_numpy(coherence.transform(shape, coherence.Blur(each))).to(device)[None]


def blur(values: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Real arrays (starts, three axes) convolved with a kernel of :func:`gaussian`, periodically."""
    return torch.fft.irfftn(torch.fft.rfftn(values, dim=AXES) * kernel, s=values.shape[1:], dim=AXES)


class Measured:
    """What was measured, and how strongly each voxel pulls.

    Parameters
    ----------
    intensity : photons, three axes, origin at ``n // 2``; values where the weight is 0 do not matter.
    weight : 0 to 1, same shape; boolean for 0 or 1; None for 1 everywhere.
    blur : the kernel that blurred the pattern; None for a fully coherent beam.
    """

    def __init__(
        self,
        intensity: np.ndarray,
        weight: np.ndarray | None = None,
        *,
        blur: coherence.Blur | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if intensity.ndim != 3:
            raise BraggfillError(f"pattern: {intensity.ndim} axes; phase retrieval takes three")
        weight = np.ones(intensity.shape) if weight is None else np.asarray(weight, float)
        if weight.shape != intensity.shape:
            raise BraggfillError(
                f"weight: shape {weight.shape} against the pattern's {intensity.shape}; use equal ones"
            )
        amplitude = np.sqrt(np.where(weight > 0, intensity, 0))
        self.shape = intensity.shape
        self.device = torch.device(device)
        self.pull = to_layout((weight * amplitude).astype(np.float32), device)[None]
        """Weight times amplitude."""
        self.slack = to_layout((1 - weight).astype(np.float32), device)[None]
        """1 - weight."""
        self.norm = float((weight * amplitude**2).sum())
        """Photons, weighted."""
        self.rounding = ROUNDING * float(amplitude.max(initial=0) ** 2)
        """Photons below which a blurred intensity is rounding error."""
        self.blur_by(blur)

    def blur_by(self, blur: coherence.Blur | None) -> None:
        """Take the pattern to be blurred by a kernel; None for no blur."""
        self.kernel = None
        if blur is not None and any(blur.widths):
            self.kernel = torch.from_numpy(coherence.transform(self.shape, blur)).to(self.device)[None]


class Projections:
    """Objects, their supports, and the cycles that act on them.

    obj : complex64 (starts, three axes); support : boolean, same shape; both in the layout of the Fourier transform.
    They are worked on in place.
    """

    def __init__(self, measured: Measured, obj: torch.Tensor, support: torch.Tensor) -> None:
        if obj.shape != support.shape or obj.shape[1:] != measured.shape:
            raise BraggfillError(
                f"object: shape {tuple(obj.shape)}, support {tuple(support.shape)}, pattern {measured.shape}; they must"
                " agree"
            )
        self.measured = measured
        self.obj = obj.to(torch.complex64).contiguous()
        self._wave = torch.empty_like(self.obj)
        self._projected = torch.empty_like(self.obj)
        self._squares = torch.empty(self.obj.numel() * 2, dtype=torch.float32, device=obj.device)
        self._modulus = torch.empty(self.obj.shape, dtype=torch.float32, device=obj.device)
        self.cycle = 0
        self.support = support

    @property
    def support(self) -> torch.Tensor:
        return self._support

    @support.setter
    def support(self, support: torch.Tensor) -> None:
        self._support = support.bool()
        self._inside = self._support.reshape(-1).nonzero().view(-1)

    def run(
        self,
        algorithm: str,
        cycles: int,
        *,
        beta: float = 0.9,
        relaxations: Iterable[float | torch.Tensor] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        """Cycles of one algorithm.

        Parameters
        ----------
        algorithm : HIO, RAAR or ER.
        relaxations : for each cycle a factor of the weights, or one for each start (randomised over-relaxation); None
            for 1.
        should_stop : asked before each cycle.
        """
        update = UPDATES[algorithm]
        factors = iter(relaxations) if relaxations is not None else None
        for _ in range(cycles):
            if should_stop is not None and should_stop():
                return
            torch.fft.fftn(self.obj, dim=AXES, norm="ortho", out=self._wave)
            self.fit(self._wave, None if factors is None else next(factors))
            torch.fft.ifftn(self._wave, dim=AXES, norm="ortho", out=self._projected)
            update(self.obj, self._projected, beta)
            inside = self._projected.view(-1).index_select(0, self._inside)
            self.obj.view(-1).index_copy_(0, self._inside, inside)
            self.cycle += 1

    def fit(self, wave: torch.Tensor, relaxation: float | torch.Tensor | None = None) -> None:
        """Give amplitudes their measured moduli, in place, as far as the weights say."""
        least = TINY if self.measured.kernel is None else max(TINY, self.measured.rounding)
        modulus = self._intensity(wave).clamp_(min=least).sqrt_()
        torch.addcdiv(self.measured.slack, self.measured.pull, modulus, out=modulus)
        if relaxation is not None:
            factor = torch.as_tensor(relaxation, dtype=torch.float32, device=wave.device).view(-1, 1, 1, 1)
            modulus.mul_(factor).add_(1 - factor)
        wave.mul_(modulus)

    def intensity(self) -> torch.Tensor:
        """Photons that the objects, zero outside their supports, predict at the detector: blurred where the beam is."""
        torch.fft.fftn(self.obj * self._support, dim=AXES, norm="ortho", out=self._wave)
        return self._intensity(self._wave).clone()

    def _intensity(self, wave: torch.Tensor) -> torch.Tensor:
        parts = torch.view_as_real(wave).view(-1)
        torch.mul(parts, parts, out=self._squares)
        torch.add(self._squares[0::2], self._squares[1::2], out=self._modulus.view(-1))
        if self.measured.kernel is not None:
            self._modulus.copy_(blur(self._modulus, self.measured.kernel))
        return self._modulus

    def residual(self) -> torch.Tensor:
        r""":math:`\sum w (|A| - \sqrt{I})^2 / \sum w I` of each start, its object zero outside the support."""
        amplitude = self.intensity().clamp_(min=0).sqrt_()
        weight = 1 - self.measured.slack
        gap = torch.where(weight > 0, weight * amplitude - self.measured.pull, 0) ** 2 / weight.clamp(min=1e-6)
        return gap.sum(dim=AXES, dtype=torch.float64) / max(self.measured.norm, 1e-30)

    def rescale(self) -> None:
        """Multiply each object by the number that brings its amplitudes closest to those measured."""
        amplitude = self.intensity().clamp_(min=0).sqrt_()
        weight = 1 - self.measured.slack
        above = (amplitude * self.measured.pull).sum(dim=AXES, keepdim=True)
        below = (weight * amplitude**2).sum(dim=AXES, keepdim=True)
        self.obj.mul_(above / below.clamp(min=1e-30))


def _hio(obj: torch.Tensor, projected: torch.Tensor, beta: float) -> None:
    _parts(obj).sub_(_parts(projected), alpha=beta)


def _raar(obj: torch.Tensor, projected: torch.Tensor, beta: float) -> None:
    _parts(obj).mul_(beta).add_(_parts(projected), alpha=1 - 2 * beta)


def _er(obj: torch.Tensor, projected: torch.Tensor, beta: float) -> None:
    obj.zero_()


def _parts(values: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(values)


UPDATES: dict[str, Callable[[torch.Tensor, torch.Tensor, float], None]] = {"HIO": _hio, "RAAR": _raar, "ER": _er}
"""What each algorithm makes of the object outside the support, in place: (object, projected, beta)."""
