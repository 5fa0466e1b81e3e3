r"""perturb: amplitude -> what a detector would have counted, with the noise-free expectation beside it.

In real space, with the object :math:`O = \mathrm{FT}^{-1}[A]` (supplement S2.2, figures S4 and S5):

1. :math:`m = G_{\sigma} * |O|`, and :math:`m = 0` where it is under a tenth of its maximum;
2. :math:`m \leftarrow m (1 + f)`, f a correlated Gaussian random field that spans 0 to ``modulus_noise``;
3. the phase stays that of the relaxed atoms, or becomes such a field that spans ``phase_range``.

In reciprocal space (S2.3, figure S6):

4. :math:`I = |\mathrm{FT}[m e^{i \varphi}]|^2`, blurred by a Gaussian (and, if asked for, by the beam's coherence and
   the detector's point spread);
5. :math:`\lambda = I \, p / \max I + b`, with p the photons in the brightest voxel and b a background, uniform or,
   as air leaves it, :math:`b_0 e^{u f}` with f a random field over the detector, the same in each frame; then times
   the pixels' gains;
6. counts: Poisson numbers of mean :math:`\lambda`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.fft
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from braggfill.errors import BraggfillError
from braggfill.physics import fourier
from braggfill.physics.boxes import bounding_box
from braggfill.physics.fields import random_field, spanning
from braggfill.runs import packing, seeds, storage
from braggfill.settings.perturb import PerturbSettings

CARRIED = (
    "particle",
    "view",
    "hkl",
    "element",
    "shape",
    "lattice_constant_angstrom",
    "rotation",
    "step_inverse_angstrom",
    "oversampling",
)


BAND = 64
"""Rows of a banded matrix that are multiplied at a time."""


@dataclass(frozen=True)
class Parameters:
    """What is drawn for one pattern; the units are in the names, correlations are shares of half the array's width."""

    smoothing_sigma_voxels: float
    support_threshold: float
    modulus_noise: float
    modulus_correlation: float
    phase_replaced: bool
    phase_range_radians: float
    phase_correlation: float
    blur_sigma_voxels: float
    photons: float
    background_photons: float
    coherence_extents: tuple[float, float, float] | None
    air_photons: float = 0.0
    air_unevenness: float = 0.0
    point_spread_pixels: float = 0.0
    flat_field: float = 0.0


@dataclass(frozen=True)
class Steps:
    """One pattern after each step; all arrays have the pattern's shape.

    ideal : complex64 object, the inverse transform of the amplitude (S4 b, S5 a and b).
    smoothed : complex64 object after smoothing and the support cut (S4 c).
    perturbed : complex64 object with modulus noise and its final phase (S4 d, S5 c and d).
    intensity : float32, of the perturbed object, the same scale as ``expectation`` (S6 c and d).
    expectation : float32 photons, noise-free (S6 e and f before counting).
    counts : uint32 photons (S6 e and f).
    """

    ideal: np.ndarray
    smoothed: np.ndarray
    perturbed: np.ndarray
    intensity: np.ndarray
    expectation: np.ndarray
    counts: np.ndarray


def draw(settings: PerturbSettings, rng: np.random.Generator) -> Parameters:
    """The parameters of one pattern, uniform in their ranges (photons: uniform in the power of ten)."""
    # A stream of its own that leaves those of the fields and the counts as they are.
    seed = rng.bit_generator.seed_seq
    assert isinstance(seed, np.random.SeedSequence)
    detector = np.random.default_rng(np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, 2**31)))
    values: dict[str, Any] = {
        "smoothing_sigma_voxels": rng.uniform(*settings.smoothing_sigma_voxels),
        "support_threshold": settings.support_threshold,
        "modulus_noise": rng.uniform(*settings.modulus_noise),
        "modulus_correlation": rng.uniform(*settings.modulus_correlation),
        "phase_replaced": bool(rng.random() < settings.phase_replaced_share),
        "phase_range_radians": rng.uniform(*settings.phase_range_radians),
        "phase_correlation": rng.uniform(*settings.phase_correlation),
        "blur_sigma_voxels": rng.uniform(*settings.blur_sigma_voxels),
        "photons": 10 ** rng.uniform(*settings.photons_exponent),
        "background_photons": rng.uniform(*settings.background_photons),
    }
    lengths = tuple(rng.uniform(*settings.coherence_extents, 3).tolist())
    values["point_spread_pixels"] = detector.uniform(*settings.point_spread_pixels)
    values["flat_field"] = detector.uniform(*settings.flat_field)
    if settings.background_exponent is not None:
        values["air_photons"] = 10 ** detector.uniform(*settings.background_exponent)
        values["air_unevenness"] = detector.uniform(*settings.background_unevenness)
    return Parameters(**values, coherence_extents=None if settings.coherence else lengths)


def smooth(ideal: np.ndarray, sigma_voxels: float, threshold: float) -> np.ndarray:
    """Step 1: the object with its modulus smoothed and cut to the support, its phase unchanged.

    What the threshold leaves lies within the Gaussian's reach r (4 sigma) of a voxel whose own modulus is above the
    threshold, so only the box around those voxels is smoothed, with a margin of 2 r.
    """
    modulus = np.abs(ideal)
    reach = int(4 * sigma_voxels + 0.5)
    peak = np.unravel_index(np.argmax(modulus), modulus.shape)
    near = np.ix_(
        *((np.arange(p - 2 * reach, p + 2 * reach + 1)) % n for p, n in zip(peak, modulus.shape, strict=True))
    )
    lowest = gaussian_filter(modulus[near], sigma_voxels)[(2 * reach,) * modulus.ndim]
    lines, modes = [], []
    for n, box in zip(modulus.shape, bounding_box(modulus >= threshold * lowest), strict=True):
        whole = box.stop - box.start + 4 * reach >= n
        lines.append(np.arange(n) if whole else np.arange(box.start - 2 * reach, box.stop + 2 * reach) % n)
        modes.append("wrap" if whole else "nearest")
    place = np.ix_(*lines)
    inside = modulus[place]
    smoothed = gaussian_filter(inside, sigma_voxels, mode=modes)
    smoothed[smoothed < threshold * smoothed.max()] = 0
    there = ideal[place]
    phase = np.ones_like(there)
    np.divide(there, inside, out=phase, where=inside > 1e-12 * inside.max())
    result = np.zeros_like(ideal)
    result[place] = smoothed * phase
    return result


def intensity_of(inside: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    r"""Squared modulus of the unitary transform of an object that is zero outside a box, the peak at ``shape // 2``.

    Where the box lies only turns phases, which the intensity does not see.  Each axis is filled up with zeros just
    before it is transformed, so that the transform of a box of half the array's width costs little more than half.
    """
    transformed = np.asarray(inside, np.complex64)
    for axis, n in enumerate(shape):
        transformed = scipy.fft.fft(transformed, n=n, axis=axis, norm="ortho", overwrite_x=axis > 0)
    return scipy.fft.fftshift(transformed.real**2 + transformed.imag**2)


def blur(intensity: np.ndarray, sigmas: Sequence[float] | np.ndarray) -> np.ndarray:
    """Gaussian blur with a standard deviation for each axis, voxels; beyond the border the border's value goes on.

    The weights of ``scipy.ndimage.gaussian_filter``, applied as products with banded matrices in single precision.
    """
    result = np.asarray(intensity, np.float32)
    for axis, sigma in enumerate(sigmas):
        n, reach = result.shape[axis], int(4 * sigma + 0.5)
        if reach == 0:
            continue
        weights = gaussian_filter1d(np.eye(n), sigma, axis=0, mode="nearest").astype(np.float32)
        blurred = np.empty_like(result)
        for start in range(0, n, BAND):
            rows, columns = slice(start, start + BAND), slice(max(0, start - reach), start + BAND + reach)
            band = weights[rows, columns]
            if axis == 0:
                flat = result[columns].reshape(-1, result[0].size)
                np.matmul(band, flat, out=blurred[rows].reshape(-1, result[0].size))
            elif axis == 1:
                np.matmul(band, result[:, columns], out=blurred[:, rows])
            else:
                np.matmul(result[..., columns], band.T, out=blurred[..., rows])
        result = blurred
    return result


def blur_sigmas(parameters: Parameters, oversampling: Sequence[float]) -> np.ndarray:
    r"""Standard deviation of the whole reciprocal blur along each axis (3,), voxels.

    The coherence length c, in extents of the crystal, multiplies the autocorrelation by
    :math:`\exp(-\Delta^2 / 2 c^2)`, which is a blur of oversampling / (2 pi c) voxels.
    """
    sigmas = np.full(3, parameters.blur_sigma_voxels)
    if parameters.coherence_extents is not None:
        sigmas = np.hypot(sigmas, np.asarray(oversampling) / (2 * np.pi * np.asarray(parameters.coherence_extents)))
    return np.hypot(sigmas, np.array([0, 1, 1]) * parameters.point_spread_pixels)


def air(parameters: Parameters, rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray | np.float32:
    """The background that air leaves, photons per voxel, (1, n1, n2) float32: a detector frame for all."""
    if parameters.air_photons == 0:
        return np.float32(0)
    field = random_field(rng, shape[1:], np.asarray(shape[1:]) / 4)
    return np.float32(parameters.air_photons) * np.exp(np.float32(parameters.air_unevenness) * field.clip(-4, 4))[None]


def steps(
    amplitude: np.ndarray, parameters: Parameters, rng: np.random.Generator, oversampling: Sequence[float] = (3, 3, 3)
) -> Steps:
    """Every step from an amplitude to counts.

    Parameters
    ----------
    amplitude : complex, any 3D shape, the peak at ``shape // 2``.
    parameters : from :func:`draw`.
    rng : source of the fields, the gains and the counts, each from a stream of its own.
    oversampling : (3,), used by partial coherence alone.

    Raises
    ------
    BraggfillError : the amplitude is zero everywhere or not finite.
    """
    noise, phases, photons, background, pixels = rng.spawn(5)
    shape = amplitude.shape
    half = np.asarray(shape) / 2
    ideal = fourier.inverse(np.asarray(amplitude, np.complex64))
    peak = np.abs(ideal).max()
    if not np.isfinite(peak) or peak == 0:
        raise BraggfillError("the amplitude is zero everywhere or not finite; make it again")
    smoothed = smooth(ideal, parameters.smoothing_sigma_voxels, parameters.support_threshold)

    # Everything outside the support is zero and stays so: work in the box around it, an eighth of the array or less.
    box = bounding_box(smoothed)
    inside = smoothed[box]
    if parameters.modulus_noise > 0:
        field = spanning(random_field(noise, shape, parameters.modulus_correlation * half), 0, parameters.modulus_noise)
        inside = inside * (1 + field[box])
    if parameters.phase_replaced:
        width = parameters.phase_range_radians / 2
        field = spanning(random_field(phases, shape, parameters.phase_correlation * half), -width, width)
        inside = np.abs(inside) * np.exp(1j * field[box])
    perturbed = np.zeros_like(smoothed)
    perturbed[box] = inside

    intensity = intensity_of(inside, shape)
    blurred = blur(intensity, blur_sigmas(parameters, oversampling))
    scale = np.float32(parameters.photons / blurred.max())
    expectation = blurred * scale + np.float32(parameters.background_photons) + air(parameters, background, shape)
    if parameters.flat_field > 0:
        expectation *= np.exp(np.float32(parameters.flat_field) * pixels.standard_normal(shape[1:], np.float32))
    expectation = packing.round_digits(expectation)
    counts = photons.poisson(expectation).astype(np.uint32)
    return Steps(ideal, smoothed, perturbed, intensity * scale, expectation, counts)


def perturb_chunk(settings: PerturbSettings, seed: int, patterns: Path, out: Path, code: str = "") -> None:
    """Perturb every pattern of a file from ``scatter``.

    ``out`` holds, under the same group names ``{particle:06d}/{view:02d}``, ``counts`` (uint32) and ``expectation``
    (float32, photons, the mean that the counts were drawn from), the attributes of the pattern, each drawn parameter,
    and ``parameters``, all of them as JSON.

    Raises
    ------
    BraggfillError : the file or a pattern in it is missing or damaged.
    """
    reason = storage.left_out(patterns)
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=reason) as target:
        if reason is not None:
            return
        with storage.read(patterns) as source:
            for particle in sorted(source):
                for view in sorted(source[particle]):
                    _perturb_pattern(settings, seed, source[particle][view], target)


def perturb_steps(settings: PerturbSettings, seed: int, patterns: Path, out: Path, code: str = "") -> None:
    """Each step of the first view of every particle of a file from ``scatter``, as :func:`perturb_chunk` takes it.

    ``out`` holds, under the same group names and with the same attributes, for the figures S4 to S6 of the supplement:

    - ``ideal``, ``smoothed``, ``perturbed``: complex64 objects, cut to the box around the support and a margin;
    - ``intensity_ideal``, ``intensity``, ``expectation``, ``counts``: float32 (2, n1, n2), the sum over axis 0 and the
      slice through the peak, photons; the first is scaled to the maximum of ``intensity``.

    Raises
    ------
    BraggfillError : the file or a pattern in it is missing or damaged.
    """
    reason = storage.left_out(patterns)
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=reason) as target:
        if reason is not None:
            return
        with storage.read(patterns) as source:
            for particle in sorted(source):
                view = min(source[particle])
                pattern = source[particle][view]
                done, attributes = _perturbed(settings, seed, pattern)
                group = target.create_group(pattern.name)
                group.attrs.update(attributes)
                box = tuple(slice(max(s.start - 3, 0), s.stop + 3) for s in bounding_box(done.smoothed))
                for name in ("ideal", "smoothed", "perturbed"):
                    packing.write(group, name, getattr(done, name)[box])
                ideal = np.abs(storage.array(pattern, "amplitude")) ** 2
                ideal *= done.intensity.max() / ideal.max()
                for name in ("intensity_ideal", "intensity", "expectation", "counts"):
                    field = ideal if name == "intensity_ideal" else getattr(done, name)
                    both = np.stack([field.sum(axis=0, dtype=np.float64), field[len(field) // 2]])
                    packing.write(group, name, both.astype(np.float32))


def _perturb_pattern(settings: PerturbSettings, seed: int, pattern: h5py.Group, target: h5py.File) -> None:
    done, attributes = _perturbed(settings, seed, pattern)
    group = target.create_group(pattern.name)
    packing.write(group, "counts", done.counts)
    packing.write(group, "expectation", done.expectation)
    group.attrs.update(attributes)


def _perturbed(settings: PerturbSettings, seed: int, pattern: h5py.Group) -> tuple[Steps, dict[str, Any]]:
    """One pattern's steps, and its attributes: those carried over and every drawn parameter."""
    amplitude = storage.array(pattern, "amplitude")
    where = f"{pattern.file.filename}: pattern {pattern.name.strip('/')}"
    try:
        carried = {name: pattern.attrs[name] for name in CARRIED}
    except (KeyError, OSError) as error:
        raise BraggfillError(f"{where} lacks its description ({error}); delete the file and make it again") from error
    rng = seeds.generator(seed, "perturb", int(carried["particle"]), int(carried["view"]))
    parameters = draw(settings, rng)
    try:
        done = steps(amplitude, parameters, rng, carried["oversampling"])
    except BraggfillError as error:
        raise BraggfillError(f"{where}: {error}") from error
    drawn = asdict(parameters)
    known = {name: value for name, value in drawn.items() if value is not None}
    return done, {**carried, "parameters": json.dumps(drawn), **known}
