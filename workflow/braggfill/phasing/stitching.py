"""Phases of patches stitched to the phase of a whole pattern, shell by shell (Masto, thesis, section 4.6.5).

=============== ================================================================================================
``overwrite``   what a patch says of voxels that were not known replaces what patches before it said (published)
``average``     the mean of the phasors of all patches of a shell (published)
``solved``      the same, weighted by √I and towards the middle of a patch, each patch with the sign and the
                constant that suit the others of its shell best
``expected``    the mean of the expected phasors, weighted towards the middle of a patch; networks of another layout,
                which are told phasors (:func:`expected`)
=============== ================================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from braggfill.networks.phase.braggphase import Braggphase
    from braggfill.networks.phase.told import Told

WAYS = ("overwrite", "average", "solved")
SIDE = 32
TOGETHER = 16
ENOUGH = 0.05
"""Share of a patch's weight that must overlap before its sign and constant are solved for."""


def directions(number: int) -> np.ndarray:
    """So many directions evenly over the sphere, (number, 3) (Fibonacci's lattice)."""
    i = np.arange(number) + 0.5
    z = 1 - 2 * i / number
    turn = np.pi * (1 + np.sqrt(5)) * i
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)


def shells(box: int, step: int, number: int, per_shell: int) -> list[np.ndarray]:
    """Voxels at the centres of the patches of each shell, (patches, 3) each, none twice, all within the box."""
    found = []
    for shell in range(1, number + 1):
        places = np.rint(box // 2 + shell * step * directions(per_shell * shell)).astype(int)
        found.append(np.unique(np.clip(places, SIDE // 2, box - SIDE // 2), axis=0))
    return found


def stitch(
    central: Module, outer: Module, photons: np.ndarray, places: Sequence[np.ndarray], way: str = "solved"
) -> tuple[np.ndarray, np.ndarray]:
    """Phase of a pattern, radians, and where it was predicted; both of the pattern's shape, a cube.

    Parameters
    ----------
    central : patches (B, 1, 32, 32, 32) of the logarithm, 0 to 1, to phases.  outer : as
        :class:`braggfill.networks.phase.published.Outer`.
    photons : float32, the peak at ``n // 2``.  places : :func:`shells`.  way : one of :data:`WAYS`.

    Raises
    ------
    ValueError : there is no such way.
    """
    import torch

    if way not in WAYS:
        raise ValueError(f"way: {way!r} is none of {', '.join(WAYS)}")
    field = np.zeros(photons.shape, np.complex64)
    middle = np.array([n // 2 for n in photons.shape])
    with torch.no_grad():
        first = central(_logs([_cut(photons, middle)])[:, None])[0, 0].numpy()
        _cut(field, middle)[...] = np.exp(1j * first)
        for shell in places:
            known = field != 0
            said = []
            for start in range(0, len(shell), TOGETHER):
                some = shell[start : start + TOGETHER]
                told = torch.from_numpy(np.stack([np.angle(_cut(field, c)) for c in some]))
                there = torch.from_numpy(np.stack([_cut(known, c) for c in some]))
                said += list(outer(_logs([_cut(photons, c) for c in some]), told, there).numpy())
            field = np.where(known, field, _joined(photons, shell, said, known, way))
    return np.angle(field).astype(np.float32), field != 0


def expected(central: Braggphase, outer: Told, photons: np.ndarray, places: Sequence[np.ndarray]) -> np.ndarray:
    r"""Expected phasors :math:`\langle e^{i\varphi} \rangle` of a pattern, complex64, 0 where no patch reaches.

    Their length, 0 to 1, says how sure they are: :math:`\sqrt I \langle e^{i\varphi} \rangle` is the amplitude that
    errs least on average.  Parameters as of :func:`stitch`.
    """
    import torch

    from braggfill.networks.phase import told

    def logs(centres: np.ndarray) -> Tensor:
        return torch.log1p(torch.from_numpy(np.stack([_cut(photons, c) for c in centres])))

    field, taper = np.zeros(photons.shape, np.complex64), _taper()
    _cut(field, np.array([n // 2 for n in photons.shape]))[...] = told.of_middle(central, photons)
    for shell in places:
        total, weight = np.zeros_like(field), np.zeros(field.shape, np.float32)
        for start in range(0, len(shell), TOGETHER):
            some = shell[start : start + TOGETHER]
            known = torch.from_numpy(np.stack([_cut(field, c) for c in some]))
            for centre, phasors in zip(some, told.expected(outer, logs(some), known).numpy(), strict=True):
                _cut(total, centre)[...] += taper * phasors
                _cut(weight, centre)[...] += taper
        field = np.where((field == 0) & (weight > 0), total / np.maximum(weight, 1e-12), field)
    return field


def _joined(
    photons: np.ndarray, shell: np.ndarray, said: Sequence[np.ndarray], known: np.ndarray, way: str
) -> np.ndarray:
    """Phasors of the voxels that a shell brings, 0 elsewhere."""
    if way == "overwrite":
        found = np.zeros(photons.shape, np.complex64)
        for centre, phase in zip(shell, said, strict=True):
            _cut(found, centre)[...] = np.exp(1j * phase)
        return np.where(known, 0, found)
    taper = _taper() if way == "solved" else np.ones((SIDE,) * 3, np.float32)
    weights = [np.where(_cut(known, c), 0, taper) for c in shell]
    if way == "solved":
        weights = [w * np.sqrt(_cut(photons, c) + 0.1) for w, c in zip(weights, shell, strict=True)]
    before: np.ndarray | None = None
    for _ in range(3 if way == "solved" else 1):
        total = np.zeros(photons.shape, np.complex64)
        for centre, phase, weight in zip(shell, said, weights, strict=True):
            one = weight * np.exp(1j * phase)
            if way == "solved":
                one = _suited(one, _cut(total if before is None else before, centre), weight)
            _cut(total, centre)[...] += one
        before = total
    size = np.abs(total)
    return np.where(size > 0, total / np.where(size > 0, size, 1), 0).astype(np.complex64)


def _suited(one: np.ndarray, others: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """A patch, or its negative phase, turned by the constant that suits the others; as it is where few overlap."""
    there = np.abs(others) > 0
    if weight[there].sum() < ENOUGH * weight.sum():
        return one
    same, twin = np.vdot(one[there], others[there]), np.vdot(one[there].conj(), others[there])
    best, turned = (one, same) if abs(same) >= abs(twin) else (one.conj(), twin)
    return best * np.exp(1j * np.angle(turned))


def _taper() -> np.ndarray:
    """1 in the middle of a patch, falling towards its faces."""
    line = np.cos(np.pi * (np.arange(SIDE) - SIDE // 2 + 0.5) / (SIDE + 2)).astype(np.float32)
    return line[:, None, None] * line[:, None] * line


def _cut(values: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return values[tuple(slice(c - SIDE // 2, c + SIDE // 2) for c in centre)]


def _logs(photons: Sequence[np.ndarray]) -> Tensor:
    import torch

    values = torch.log1p(torch.from_numpy(np.stack(photons)))
    return values / values.flatten(1).amax(1).clamp(min=1e-12).view(-1, 1, 1, 1)
