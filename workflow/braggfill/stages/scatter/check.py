"""One pattern of the run, checked against direct summation and against PyNX's own scattering."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.runs import external, seeds, storage
from braggfill.settings.scatter import ScatterSettings
from braggfill.stages.scatter.backends import amplitude, direct_at, pynx_at
from braggfill.stages.scatter.particles import read_particle
from braggfill.stages.scatter.views import draw_view

CHECK_COLUMNS = [
    "backend",
    "against",
    "particle",
    "atoms",
    "voxels",
    "max_error_relative",
    "seconds",
    "seconds_voxels",
    "seconds_against",
    "times_faster",
    "left_out",
]


def check_backends(settings: ScatterSettings, seed: int, atoms: Path, out: Path, code: str = "") -> None:
    """Compare the back ends on the first view of the first particle in ``atoms``; writes a table (CSV).

    A row says how far ``backend`` is from ``against``: ``max_error_relative`` is the largest modulus of their
    difference over ``voxels`` voxels, as a share of the largest modulus of the pattern.  ``seconds`` is what
    ``backend`` took for ``seconds_voxels`` voxels, ``seconds_against`` what ``against`` took for its own, and
    ``times_faster`` the ratio of the two for one voxel.  Rows: nufft against direct (``check_voxels`` voxels, half of
    them within the central ``check_side``³ block), nufft against pynx (that block), pynx against direct (those
    voxels).  Where PyNX or the particle cannot be had, ``left_out`` says why and the numbers are empty.
    """
    import pandas as pd

    rows = []
    reason = storage.left_out(atoms)
    if reason is None:
        rows = _compare(settings, seed, atoms)
    else:
        rows = [{"backend": "nufft", "against": "direct", "left_out": reason}]
    storage.write_table(out, pd.DataFrame(rows), columns=CHECK_COLUMNS)


def _compare(settings: ScatterSettings, seed: int, atoms: Path) -> list[dict[str, object]]:
    with storage.read(atoms) as source:
        names = sorted(source)
        if not names:
            raise BraggfillError(f"{atoms}: holds no particle; make it again")
        positions, index, constant, _ = read_particle(source[names[0]])
    view = draw_view(settings, seeds.generator(seed, "scatter", index, 0), positions, constant)
    peak = np.asarray(settings.hkl) / constant
    shape = np.asarray(settings.shape)
    rng = seeds.generator(seed, "scatter/check", index)

    sides = np.minimum(settings.check_side, shape)
    block = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in sides), indexing="ij"), -1).reshape(-1, 3)
    near = rng.choice(len(block), min(settings.check_voxels // 2, len(block)), replace=False)
    far = rng.integers(0, shape, (settings.check_voxels - len(near), 3)) - shape // 2
    few = np.concatenate([block[near], far])

    def q(voxels: np.ndarray) -> np.ndarray:
        return peak + (voxels * view.step_inverse_angstrom) @ view.rotation

    fast, fast_seconds = _timed(
        lambda: amplitude(
            positions,
            peak,
            view.rotation,
            view.step_inverse_angstrom,
            settings.shape,
            tolerance=settings.tolerance,
            device=settings.device,
        )
    )
    maximum = np.abs(fast).max()
    exact, exact_seconds = _timed(lambda: direct_at(positions, q(few)))

    def row(backend: str, against: str, difference: np.ndarray, seconds: float, voxels: int, other: float) -> dict:
        speed = (other / len(difference)) / (seconds / voxels)
        return {
            "backend": backend,
            "against": against,
            "particle": index,
            "atoms": len(positions),
            "voxels": len(difference),
            "max_error_relative": float(np.abs(difference).max() / maximum),
            "seconds": seconds,
            "seconds_voxels": voxels,
            "seconds_against": other,
            "times_faster": speed,
        }

    rows = [row("nufft", "direct", _at(fast, few) - exact, fast_seconds, fast.size, exact_seconds)]
    try:
        if not external.have_pynx():
            raise BraggfillError("PyNX is not installed; run envs/pynx.sh")
        pynx_at(positions[:64], q(block[:64]))  # compiles its kernel
        theirs, their_seconds = _timed(lambda: pynx_at(positions, q(block)))
        theirs_few = pynx_at(positions, q(few))
    except BraggfillError as error:
        return [*rows, {"backend": "nufft", "against": "pynx", "left_out": str(error)}]
    rows.append(row("nufft", "pynx", _at(fast, block) - theirs, fast_seconds, fast.size, their_seconds))
    rows.append(row("pynx", "direct", theirs_few - exact, their_seconds, len(block), exact_seconds))
    return rows


def _at(pattern: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    return pattern[tuple((voxels + np.asarray(pattern.shape) // 2).T)]


def _timed(compute: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    start = time.perf_counter()
    result = compute()
    return result, time.perf_counter() - start
