"""A crystal's complex object on a grid: a convex body, a modulus that is not quite even, and the phase of its strain.

(Masto, thesis, sections 3.3.1 and 4.3.)  The object :math:`O(r) = m(r) e^{i \\varphi(r)}` is centred: the centre of
mass of its modulus lies at the origin ``n // 2``, and its phase has no ramp, so that the intensity is centred, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from braggfill.physics import fields, shapes
from braggfill.physics.polyhedra import FAMILIES, ShapeOptions

BODIES = ("hull", *FAMILIES)
"""Kinds of body: the hull of random points, in two and three dimensions, and families of polyhedra, in three."""
MARGIN = 3
"""Voxels around the body's box, for what smoothing spreads."""
OFF_CENTRE = 0.03
"""Voxels that the centre of mass may lie off the origin before the body is cut anew."""

Drawn = float | tuple[float, float]
"""A number, or the ends of a range that it is drawn from, uniformly."""


@dataclass(frozen=True)
class CrystalOptions:
    """What an object is drawn from; ranges are (lowest, highest).

    bodies : kinds of body of :data:`BODIES`, one of which is drawn; kinds : phase fields of
    :data:`braggfill.physics.fields.KINDS`, likewise.  range : of the phase within the body, peak to valley, radians.
    correlation : of a correlated phase field, standard deviation of its Gaussian in extents of the body.
    smoothing : standard deviation of the Gaussian that smooths the modulus, voxels.  noise : standard deviation of the
    field that the modulus is multiplied with, 1 + field, and noise_correlation : its length, voxels.
    """

    bodies: tuple[str, ...] = ("hull",)
    kinds: tuple[str, ...] = ("correlated", "gaussians", "cosines")
    range: Drawn = (0.0, 5 * np.pi)
    correlation: Drawn = (0.1, 0.4)
    smoothing: Drawn = (0.3, 0.7)
    noise: Drawn = (0.0, 0.1)
    noise_correlation: Drawn = (0.0, 2.0)
    shapes: ShapeOptions = field(default_factory=ShapeOptions)


@dataclass(frozen=True)
class Crystal:
    """One object.

    object : complex64, just large enough for the body, origin at ``n // 2``; zero outside.
    extent : (d,) of the body along each axis, voxels.
    parameters : what was drawn, JSON-able: ``body``, ``kind``, ``range``, ``correlation``, ``smoothing``, ``noise``.
    """

    object: np.ndarray
    extent: np.ndarray
    parameters: dict[str, Any]

    def on(self, shape: Sequence[int]) -> np.ndarray:
        """The object in the middle of an array of zeros of this shape.

        Raises
        ------
        ValueError : it does not fit.
        """
        return embedded(self.object, shape)


def embedded(small: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A small array in the middle of zeros, the origins ``n // 2`` on each other.

    Raises
    ------
    ValueError : it does not fit.
    """
    starts = [n // 2 - m // 2 for n, m in zip(shape, small.shape, strict=True)]
    inner = tuple(slice(max(-s, 0), n - s) for s, n in zip(starts, shape, strict=True))
    kept = small[inner]
    if np.count_nonzero(kept) < np.count_nonzero(small):
        raise ValueError(f"an object of {small.shape} does not fit an array of {tuple(shape)}")
    whole = np.zeros(tuple(shape), small.dtype)
    whole[tuple(slice(max(s, 0), max(s, 0) + m) for s, m in zip(starts, kept.shape, strict=True))] = kept
    return whole


def draw(
    rng: np.random.Generator, extent: Sequence[float] | np.ndarray, options: CrystalOptions | None = None
) -> Crystal:
    """A random object whose body fills a box as far as its proportions allow.

    Parameters
    ----------
    extent : (2,) or (3,) the box, voxels.

    Raises
    ------
    BraggfillError : the options allow no such body.
    """
    options = options or CrystalOptions()
    name = options.bodies[int(rng.integers(len(options.bodies)))]
    kind = options.kinds[int(rng.integers(len(options.kinds)))]
    body = shapes.random_hull(rng, len(extent)) if name == "hull" else shapes.family(rng, name, options.shapes)
    body = body.resized(extent)
    drawn = {
        key: number(rng, getattr(options, key))
        for key in ("range", "correlation", "smoothing", "noise", "noise_correlation")
    }
    half = np.ceil(np.abs(body.corners).max(axis=0)).astype(int) + MARGIN
    box = tuple(int(n) for n in 2 * half + 1)
    uneven = None
    if drawn["noise"] > 0:
        uneven = 1 + np.float32(drawn["noise"]) * fields.random_field(rng, box, drawn["noise_correlation"])
        uneven = np.maximum(uneven, 0)
    field_ = fields.phase_field(rng, kind, box, body.extent, drawn["correlation"])

    def modulus(centre: np.ndarray | float) -> np.ndarray:
        found = shapes.cut(body, box, centre)
        if drawn["smoothing"] > 0:
            found = gaussian_filter(found, drawn["smoothing"], mode="constant", truncate=3.0)
        return found if uneven is None else found * uneven

    centred = modulus(0.0)
    offset = centre_of_mass(centred)
    if np.abs(offset).max() > OFF_CENTRE:
        centred = modulus(-offset)
    phase = fields.scaled(field_, centred > 0.5 * centred.max(), drawn["range"] if kind != "none" else 0.0)
    made = without_ramp(centred * np.exp(1j * phase))
    return Crystal(made.astype(np.complex64), body.extent, {"body": name, "kind": kind, **drawn})


def draw_object(
    rng: np.random.Generator,
    shape: Sequence[int],
    *,
    kind: str | Sequence[str] = ("correlated", "gaussians", "cosines"),
    range: Drawn = (0.0, 5 * np.pi),
    oversampling: Drawn = (2.3, 4.0),
    body: str | Sequence[str] = "hull",
    **options: Any,
) -> np.ndarray:
    """A random centred object on a grid, complex64 of ``shape`` (two or three axes).

    Parameters
    ----------
    kind : phase field, or several of which one is drawn: ``correlated``, ``gaussians``, ``cosines``, ``none``.
    range : of the phase, peak to valley, radians: a number, or (lowest, highest) to draw from.
    oversampling : width of the array over that of the body along the axis where this is least.
    body : of :data:`BODIES`, or several of which one is drawn.
    options : further fields of :class:`CrystalOptions`.

    Raises
    ------
    ValueError : the body does not fit: an oversampling of about 1.
    """
    kinds, bodies = ((x,) if isinstance(x, str) else tuple(x) for x in (kind, body))
    extent = np.asarray(shape) / number(rng, oversampling)
    return draw(rng, extent, CrystalOptions(bodies, kinds, range, **options)).on(shape)


def number(rng: np.random.Generator, value: Drawn) -> float:
    """A number itself, or one drawn from the range (lowest, highest)."""
    return float(rng.uniform(*value)) if isinstance(value, Sequence) else float(value)


def centre_of_mass(modulus: np.ndarray) -> np.ndarray:
    """(d,) centre of mass, voxels from the origin ``n // 2``."""
    total = modulus.sum(dtype=np.float64)
    lines = []
    for axis, n in enumerate(modulus.shape):
        line = modulus.sum(axis=tuple(a for a in range(modulus.ndim) if a != axis), dtype=np.float64)
        lines.append(line @ (np.arange(n) - n // 2) / total)
    return np.array(lines)


def without_ramp(made: np.ndarray) -> np.ndarray:
    r"""The object without its phase ramp: the circular centre of mass of its intensity is at the origin.

    Along each axis the autocorrelation at one voxel, :math:`\sum_r O^*(r) O(r + e) = \sum_q I(q) e^{2\pi i q / n}`,
    is made real and positive.
    """
    for axis, n in enumerate(made.shape):
        moved = made.transpose(axis, *(a for a in range(made.ndim) if a != axis))
        slope = np.angle(np.vdot(moved[:-1], moved[1:]))
        line = np.exp(-1j * slope * (np.arange(n) - n // 2)).astype(np.complex64)
        made = made * line.reshape([-1 if a == axis else 1 for a in range(made.ndim)])
    return made
