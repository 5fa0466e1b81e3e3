r"""The kinematic sum, by three back ends of equal rights.

.. math:: A[n] = \sum_j \exp\left(-2\pi i\,\left[g \cdot r_j + \sum_a s_a n_a (R r_j)_a\right]\right)

with :math:`r_j` the atoms (Å, axes of the cubic cell), :math:`g = hkl / a` the Bragg peak (Å⁻¹, the same axes),
the rows of :math:`R` the directions of the axes of the array, :math:`s_a` the reciprocal step (Å⁻¹) and
:math:`n_a = -\lfloor N_a / 2 \rfloor, \dots` the voxels from the centre: the peak is at index ``N // 2``, as in
``braggfill.physics.fourier``.  Every atom counts 1: the form factor of one element is a constant near one peak.

=========  ==================================================  ===========================================
back end   how                                                 largest error, share of the peak
=========  ==================================================  ===========================================
nufft      non-uniform fast Fourier transform of type 1        below the tolerance; 5e-8 at 1e-6
pynx       PyNX, term by term, single precision                1e-5 to 3e-4 for 134,000 atoms
direct     term by term, double precision (the reference)      1e-13
=========  ==================================================  ===========================================

Source: supplement S2.1; the transform is A. H. Barnett, J. Magland, L. af Klinteberg, SIAM J. Sci. Comput. 41 (2019).
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.runs import device as devices
from braggfill.runs import external

BACKENDS = ("nufft", "pynx", "direct")
_BLOCK = 1 << 22  # phases held at a time in the direct sum


def amplitude(
    positions: np.ndarray,
    peak: Sequence[float] | np.ndarray,
    rotation: np.ndarray,
    step: float | Sequence[float] | np.ndarray,
    shape: Sequence[int],
    *,
    backend: str = "nufft",
    tolerance: float = 1e-6,
    device: str = "auto",
) -> np.ndarray:
    """Complex amplitude around a Bragg peak; the equation is in the module's docstring.

    Parameters
    ----------
    positions : (n, 3) Å, in the axes of the cubic cell.
    peak : (3,) Å⁻¹, hkl over the lattice constant.
    rotation : (3, 3); its rows are the directions of the array's axes, unit vectors, orthogonal or oblique.
    step : Å⁻¹ from voxel to voxel, one number or one for each axis.
    shape : three sizes, even or odd.
    backend : ``nufft``, ``pynx`` or ``direct``.
    tolerance : of ``nufft`` alone, relative.
    device : of ``nufft`` alone: ``cpu``, ``gpu``, or ``auto`` for a GPU where there is one.

    Returns
    -------
    complex128 array of ``shape``, the peak at ``shape // 2``.

    Raises
    ------
    BraggfillError : unknown back end, no atoms, positions that are not finite, or software that is not installed.
    """
    positions = np.asarray(positions, np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3 or len(positions) == 0:
        raise BraggfillError(f"scatter: positions of shape {positions.shape}; give (n, 3), at least one atom")
    if not np.isfinite(positions).all():
        raise BraggfillError("scatter: positions hold NaN or infinite values; make the particle again")
    shape = tuple(int(n) for n in shape)
    steps = np.broadcast_to(np.asarray(step, np.float64), (3,))
    peak = np.asarray(peak, np.float64)
    turned = positions @ np.asarray(rotation, np.float64).T
    if backend == "nufft":
        return _nufft(positions @ peak, turned * steps, shape, tolerance, device)
    if backend == "direct":
        return _direct(positions @ peak, turned * steps, shape)
    if backend == "pynx":
        mesh = np.meshgrid(*(s * (np.arange(n) - n // 2) for s, n in zip(steps, shape, strict=True)), indexing="ij")
        q = peak + np.stack(mesh, -1).reshape(-1, 3) @ np.asarray(rotation, np.float64)
        return pynx_at(positions, q).reshape(shape).astype(np.complex128)
    raise BraggfillError(f"scatter.backend: unknown back end {backend!r}; choose one of {', '.join(BACKENDS)}")


def _nufft(bragg: np.ndarray, cycles: np.ndarray, shape: tuple[int, ...], tolerance: float, device: str) -> np.ndarray:
    """``bragg`` (n,) and ``cycles`` (n, 3): phase at the centre, and phase from voxel to voxel, both in cycles."""
    strengths = np.exp(-2j * np.pi * bragg)
    if np.abs(cycles).max() > 0.5:
        cycles = cycles - np.rint(cycles)
    points = [np.ascontiguousarray(2 * np.pi * cycles[:, axis]) for axis in range(3)]
    if on_gpu(device):
        import cufinufft
        import torch

        there = [torch.as_tensor(array, device="cuda") for array in (*points, strengths)]
        return cufinufft.nufft3d1(*there, shape, eps=tolerance, isign=-1).cpu().numpy()
    try:
        import finufft
    except ImportError as error:
        raise BraggfillError("scatter.backend: nufft needs FINUFFT; install braggfill[simulate]") from error
    return finufft.nufft3d1(*points, strengths, shape, eps=tolerance, isign=-1, nthreads=1)


@cache
def on_gpu(device: str) -> bool:
    """Whether the fast transform runs on a GPU: asked for, or found by ``auto`` (cufinufft, PyTorch and CUDA)."""
    if device == "cpu":
        return False
    found = importlib.util.find_spec("cufinufft") is not None and devices.choose() == "cuda"
    if device == "gpu" and not found:
        raise BraggfillError("scatter.device: 'gpu' needs CUDA and the package cufinufft; install it or choose 'cpu'")
    return found


def _direct(bragg: np.ndarray, cycles: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Every term of every voxel: phase factors tabulated along each axis, multiplied and added by matrix products."""
    result = np.zeros(shape, np.complex128)
    grids = [np.arange(n) - n // 2 for n in shape]
    rows = max(1, _BLOCK // (shape[0] + shape[1] * 2 + shape[2]))
    for start in range(0, len(bragg), rows):
        part = slice(start, start + rows)
        first, second, third = (np.exp(-2j * np.pi * np.outer(n, cycles[part, a])) for a, n in enumerate(grids))
        first *= np.exp(-2j * np.pi * bragg[part])
        for i in range(shape[0]):
            result[i] += (second * first[i]) @ third.T
    return result


def direct_at(positions: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The sum of exp(-2 pi i q . r) at any reciprocal points ``q`` (m, 3) Å⁻¹, term by term, complex128 (m,)."""
    result = np.empty(len(q), np.complex128)
    rows = max(1, _BLOCK // len(positions))
    for start in range(0, len(q), rows):
        cycles = q[start : start + rows] @ positions.T
        angle = -2 * np.pi * (cycles - np.rint(cycles))
        part = result[start : start + rows]
        part.real, part.imag = np.cos(angle).sum(axis=1), np.sin(angle).sum(axis=1)
    return result


def pynx_at(positions: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The same by PyNX's ``Fhkl_thread``, complex64 (m,), on an OpenCL device (a GPU if there is one) or CUDA.

    Raises
    ------
    BraggfillError : PyNX, or a device for it, is not there.
    """
    if not external.have_pynx():
        raise BraggfillError("scatter.backend: pynx needs PyNX, which is not installed; run envs/pynx.sh")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pynx.scattering.fhkl import Fhkl_thread

        h, k, l = (np.ascontiguousarray(c, np.float32) for c in q.T)  # noqa: E741
        x, y, z = (np.ascontiguousarray(c, np.float32) for c in positions.T)
        try:
            return Fhkl_thread(h, k, l, x, y, z, **_pynx_device())[0]
        except (RuntimeError, IndexError) as error:
            reason = (str(error).splitlines() or ["unknown error"])[0]
            raise BraggfillError(f"scatter.backend: PyNX found no device to run on ({reason})") from error


@cache
def _pynx_device() -> dict[str, Any]:
    """Which device PyNX is told to use."""
    if not external.have_opencl():
        return {"language": "CUDA", "gpu_name": ""}
    import pyopencl

    devices = [d for platform in pyopencl.get_platforms() for d in platform.get_devices()]
    devices.sort(key=lambda d: not d.type & pyopencl.device_type.GPU)
    return {"language": "OpenCL", "gpu_name": devices[0].name, "cl_platform": devices[0].platform.name}
