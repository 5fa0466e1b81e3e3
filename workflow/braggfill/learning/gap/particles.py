r"""Objects of relaxed particles, without an end: what worker processes draw for :mod:`braggfill.learning.gap.drawn`.

A particle of the stage ``relax``, its relaxation weakened or enlarged, seen from a random side around a Bragg peak, as
the stage ``scatter`` sees it; its object is the inverse transform of the amplitude,

.. math:: O(r) = \mathrm{FT}^{-1}\Bigl[w(q) \sum_j e^{-2\pi i (g + q) \cdot r_j}\Bigr],

with w the factor of :func:`braggfill.physics.views.fade`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from braggfill.errors import BraggfillError
from braggfill.learning.gap.drawn_options import PEAKS, DrawnOptions, PatternKind
from braggfill.physics import fourier, views
from braggfill.runs import seeds, splits, storage

MOST_ATOMS = 10_000_000
MARGIN = 4
"""Voxels between an object and the border of its box, at the least."""
TOLERANCE = 1e-4
"""Of the fast transform, relative: its error is 2e-5 of the peak."""


@dataclass(frozen=True)
class Particle:
    """Where a relaxed particle is; each process reads it when it draws it, and none keeps it."""

    path: Path
    name: str
    split: int

    @property
    def called(self) -> str:
        return f"{self.path}: particle {self.name}"


@dataclass(frozen=True)
class Atoms:
    """positions : (n, 3) Å, relaxed.  displacement : (n, 3) Å, of the relaxation."""

    positions: np.ndarray
    displacement: np.ndarray
    lattice_constant_angstrom: float

    def relaxed(self, strength: float) -> np.ndarray:
        """Positions about their mean with the relaxation multiplied by a number, (n, 3) Å."""
        found = self.positions + (strength - 1) * self.displacement
        return found - found.mean(axis=0)


def find(paths: Sequence[str | Path], fractions: Sequence[float] = (0.935, 0.04, 0.025)) -> list[Particle]:
    """All particles of files of the stage ``relax``, each with the split that the stage ``extract`` gives it.

    Parameters
    ----------
    fractions : shares of training, validation and test (:func:`braggfill.runs.splits.split_of`).

    Raises
    ------
    BraggfillError : a file is missing or damaged or another file, or a particle in it; there is no particle.
    """
    found = []
    for path in map(Path, paths):
        if storage.left_out(path) is not None:
            continue
        with storage.read(path) as file:
            for name in sorted(file):
                one = Particle(path, name, 0)
                _atoms(file, one)
                index = _number(file[name].attrs, "index", one)
                seed = _number(file.attrs, "seed", one)
                found.append(Particle(path, name, splits.split_of(fractions, seed, index)))
    if not found:
        raise BraggfillError(f"--particles: no particle in {', '.join(map(str, paths))}; give files of the stage relax")
    return found


def read(particle: Particle) -> Atoms:
    """A particle's atoms.

    Raises
    ------
    BraggfillError : naming file and particle, if it is missing, damaged or something else.
    """
    with storage.read(particle.path) as file:
        return _atoms(file, particle)


def _atoms(file: h5py.File, particle: Particle) -> Atoms:
    foreign = BraggfillError(f"{particle.called} is not what the stage relax writes; give another file")
    try:
        group = file[particle.name]
        sets = [group[name] for name in ("positions", "displacement")]
        constant = float(group.attrs["lattice_constant_angstrom"])
        shapes = {data.shape for data in sets}
    except (KeyError, ValueError, TypeError, AttributeError, OSError, RuntimeError) as error:
        raise foreign from error
    if len(shapes) > 1 or not 0 < constant < 100 or any(data.dtype.kind != "f" for data in sets):
        raise foreign
    (shape,) = shapes
    if len(shape) != 2 or shape[1] != 3 or not 1 <= shape[0] <= MOST_ATOMS:
        raise foreign
    try:
        positions, displacement = (np.asarray(data[...], np.float64) for data in sets)
    except (OSError, RuntimeError) as error:
        raise BraggfillError(f"{particle.called} is damaged; delete the file and make it again") from error
    if not (np.isfinite(positions).all() and np.isfinite(displacement).all()):
        raise BraggfillError(f"{particle.called} has positions that are not numbers; delete the file and make it again")
    return Atoms(positions, displacement, constant)


def _number(attributes: h5py.AttributeManager, name: str, particle: Particle) -> int:
    try:
        value = int(attributes[name])
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise BraggfillError(f"{particle.called} lacks its {name}; give files of the stage relax") from error
    if value < 0:
        raise BraggfillError(f"{particle.called} has the {name} {value}; give files of the stage relax")
    return value


def draw_object(
    rng: np.random.Generator, atoms: Atoms, kind: PatternKind, side: int, box: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """One object, complex64 (box, box, box) of largest modulus 1, origin at ``box // 2``, and its oversampling (3,).

    None where it does not fit the box.
    """
    strained = rng.random() < kind.strained_share
    strength = 10 ** rng.uniform(*kind.strain_exponent) if strained else 1.0
    hkl = PEAKS[rng.integers(len(PEAKS))] if rng.random() < kind.other_peak_share else kind.hkl
    constant, positions = atoms.lattice_constant_angstrom, atoms.relaxed(strength)
    rotation = views.tilt(rng, kind.tilt_degrees) @ views.random_rotation(rng)
    size = views.extents(positions, rotation, constant)
    step = views.draw_step(rng, size, (side,) * 3, constant, kind.oversampling, equal=kind.equal_steps)
    oversampling = 1 / (step * size)
    if (side / oversampling).max() > box - 2 * MARGIN:
        return None
    amplitude = _amplitude(positions, np.asarray(hkl) / constant, rotation, step, side)
    first = side // 2 - box // 2
    inside = (slice(first, first + box),) * 3
    found = fourier.inverse(amplitude * views.fade((side,) * 3, step, constant))[inside]
    return (found / np.abs(found).max()).astype(np.complex64), oversampling


def _amplitude(
    positions: np.ndarray, peak: np.ndarray, rotation: np.ndarray, step: np.ndarray, side: int
) -> np.ndarray:
    """The kinematic sum around a Bragg peak in single precision, (side, side, side)."""
    try:
        import finufft
    except ImportError as error:
        raise BraggfillError("drawing objects of particles needs FINUFFT; install braggfill[simulate]") from error
    strengths = np.exp(-2j * np.pi * (positions @ peak)).astype(np.complex64)
    turned = (2 * np.pi * step * (positions @ rotation.T)).astype(np.float32)
    points = [np.ascontiguousarray(column) for column in turned.T]
    return finufft.nufft3d1(*points, strengths, (side,) * 3, eps=TOLERANCE, isign=-1, nthreads=1)


class Objects(IterableDataset):
    """Objects without an end, one at a time: complex64 (1, box, box, box), oversampling (1, 3), its kind's number (1,).

    Each of several processes draws every n-th.
    """

    def __init__(self, particles: Sequence[Particle], options: DrawnOptions, seed: int) -> None:
        self.particles, self.options, self.seed = list(particles), options, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        info = torch.utils.data.get_worker_info()
        first, stride = (info.id, info.num_workers) if info else (0, 1)
        if info:
            torch.set_num_threads(1)
        options, index = self.options, first
        while True:
            rng = seeds.generator(self.seed, "gap/object", index)
            index += stride
            number = int(rng.choice(len(options.kinds), p=options.shares))
            atoms = read(self.particles[rng.integers(len(self.particles))])
            made = draw_object(rng, atoms, options.kinds[number], options.side, options.box)
            if made is not None:
                object, oversampling = made
                yield (
                    torch.from_numpy(object)[None],
                    torch.from_numpy(oversampling.astype(np.float32))[None],
                    torch.tensor([number]),
                )
