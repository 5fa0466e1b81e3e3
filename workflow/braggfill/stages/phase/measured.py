"""Measured scans, phased as users do it: the object, how far independent starts agree, and the verdict."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.phasing import summary
from braggfill.phasing.realspace import RealSpace, real_space
from braggfill.phasing.scan import phase
from braggfill.physics import geometry, support
from braggfill.runs import storage
from braggfill.settings.phase import GeometrySettings, PhaseSettings

if TYPE_CHECKING:
    from braggfill.phasing.result import Phased

COLUMNS = [
    "scan", "shape", "photons", "masked_share", "verdict", "why", "advice", "starts", "chosen", "agreement", "llk_free",
    "llk_expected", "phase_spread_rad", "disagreement", "resolution_voxels", "oversampling", "strain_rms", "voxel_nm",
    "origin", "cycles", "cpu_seconds",
]  # fmt: skip
RUNS = ("llk_free", "llk", "residual", "threshold", "cycles", "seconds")


def measure(settings: PhaseSettings, seed: int, scan: str, data: Path, out: Path, code: str = "") -> None:
    """Phase one measured scan.

    Parameters
    ----------
    scan : its name.  data : from ``fetch``: ``data``, counts, voxels below zero missing.

    ``out`` : HDF5 with ``counts`` of the cube that was phased, ``obj`` (complex64, origin at ``n // 2``), ``support``,
    ``phase_std`` (radians, between the runs that the object is made of), ``prtf/frequency`` (cycles a voxel) and
    ``prtf/value``, ``runs/…`` (a value a run, the best first, ``chosen`` the places of those in use); with a geometry
    ``laboratory/…``: ``obj``, ``support``, ``strain``, ``displacement_pm``, ``phase_std``; the row of the table as
    attributes.

    Raises
    ------
    BraggfillError : the file is missing or damaged, or holds no counts of three axes.
    """
    import torch

    torch.set_num_threads(1)
    chosen = settings.measured
    reason = storage.left_out(data)
    with storage.create(out, settings=settings, seed=seed, code=code, left_out=reason, scan=scan) as file:
        if reason is not None:
            return
        with storage.read(data) as source:
            if "data" not in source:
                raise BraggfillError(f"phase.measured.scans: {scan} holds no counts; name a scan of the stage fetch")
            counts = crop(storage.array(source, "data"), chosen.crop_px)
        missing = counts < 0
        counts = np.where(missing, 0, counts)
        began = time.process_time()
        found = phase(
            counts, missing if missing.any() else None, engine=chosen.engine, starts=chosen.starts, seed=seed,
            support_threshold=chosen.support_threshold, device="cpu", threads=1,
        )  # fmt: skip
        spent = time.process_time() - began
        named = chosen.geometry.get(scan)
        real = None if named is None else real_space(found, of(named))
        row = told(found, real) | {
            "scan": scan,
            "shape": " × ".join(map(str, counts.shape)),
            "photons": float(counts.sum(dtype=float)),
            "masked_share": float(missing.mean()),
            "cpu_seconds": spent,
        }
        file.attrs.update(row)
        _keep(file, counts, found, real)


def crop(counts: np.ndarray, edge: int) -> np.ndarray:
    """The cube of ``edge`` voxels around the brightest one, moved inside the array, smaller where the array is.

    Raises
    ------
    BraggfillError : not three axes.
    """
    if counts.ndim != 3:
        raise BraggfillError(f"scan: shape {counts.shape}; three axes are phased")
    peak = np.unravel_index(np.argmax(counts), counts.shape)
    first = [min(max(p - edge // 2, 0), max(n - edge, 0)) for p, n in zip(peak, counts.shape, strict=True)]
    return counts[tuple(slice(f, f + edge) for f in first)]


def of(named: GeometrySettings) -> geometry.Geometry:
    """The geometry of the settings."""
    axis = geometry.HORIZONTAL if named.rocking_axis == "horizontal" else geometry.VERTICAL
    pixel = (named.pixel_um * 1e-6,) * 2
    return geometry.Geometry(
        named.energy_ev, named.distance_m, pixel, named.rocking_step_deg, named.delta_deg, named.nu_deg, axis
    )


def told(found: Phased, real: RealSpace | None) -> dict[str, Any]:
    """What the table says of a result."""
    nan = float("nan")
    several = found.support.any() and len(found.chosen) > 1  # one run alone has no spread and no resolution
    bright = summary.core(found.obj, found.support)
    strain = nan
    if real is not None:
        known = real.strain[np.isfinite(real.strain) & summary.core(real.obj, real.support)]
        strain = float(known.std()) if known.size else nan
    return {
        "verdict": found.verdict.word,
        "why": found.verdict.why,
        "advice": found.verdict.advice,
        "starts": len(found.runs),
        "chosen": len(found.chosen),
        "agreement": found.agreement if several else nan,
        "llk_free": found.llk_free,
        "llk_expected": found.llk_expected,
        "phase_spread_rad": float(found.phase_std[bright].mean()) if several else nan,
        "disagreement": summary.disagreement(found),
        "resolution_voxels": found.resolution if several else nan,
        "oversampling": min(support.oversampling(found.support)) if found.support.any() else nan,
        "strain_rms": strain,
        "voxel_nm": nan if real is None else real.voxel_nm,
        "origin": found.runs[0].origin if found.runs else "",
        "cycles": found.cycles,
    }


def _keep(file: h5py.File, counts: np.ndarray, found: Phased, real: RealSpace | None) -> None:
    def put(name: str, values: np.ndarray) -> None:
        packed = {"compression": "gzip", "compression_opts": 4, "shuffle": True} if values.ndim == 3 else {}
        file.create_dataset(name, data=values, **packed)

    put("counts", counts)
    put("obj", found.obj)
    put("support", found.support)
    put("phase_std", found.phase_std.astype(np.float32))
    for name, values in zip(("frequency", "value"), found.prtf, strict=True):
        put(f"prtf/{name}", np.asarray(values))
    for name in RUNS:
        put(f"runs/{name}", np.array([float(getattr(run, name)) for run in found.runs]))
    put("runs/chosen", np.array(found.chosen, int))
    if real is not None:
        for name in ("obj", "support", "strain", "displacement_pm", "phase_std"):
            put(f"laboratory/{name}", getattr(real, name))


def table(files: list[Path], out: Path) -> None:
    """A row a scan that was phased."""
    import pandas as pd

    rows = []
    for path in files:
        with storage.read(path) as file:
            if "left_out" not in file.attrs:
                rows.append({name: file.attrs[name] for name in COLUMNS})
    storage.write_table(out, pd.DataFrame(rows, columns=COLUMNS), columns=COLUMNS)
