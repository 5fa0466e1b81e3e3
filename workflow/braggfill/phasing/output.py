r"""Writing a phased pattern: CXI that PyNX and cdiutils open, HDF5, NPZ; whole or absent.

=========================================  ============================================================================
in ``.cxi .h5 .hdf5 .nxs``, ``entry_1/…``
=========================================  ============================================================================
``image_1/data``                           complex object, axes as the scan's, origin at ``n // 2``; ``data_1/data``
``image_1/support`` (= ``mask``)           1 inside
``image_1/modulus``, ``phase``             of the object; radians, wrapped, 0 outside
``image_1/modulus_std``, ``phase_std``     spread between the runs that the object is made of
``image_1/process_1``                      program, version, date, ``configuration``, ``results`` (verdict, figures)
``image_2/data``                           orthogonal modes (modes, three axes), ``weights``
``image_3/…``                              with a geometry: ``data``, ``support``, ``strain``, ``displacement_pm`` in
                                           the laboratory's frame (axes z, y, x), ``voxel_size_nm``, the geometry
``image_1/strain``                         with a geometry: in the scan's own frame
``runs_1/…``                               a column a figure, a row a run, the best first; ``chosen``
``prtf_1/…``                               ``frequency`` (cycles a voxel), ``prtf``
=========================================  ============================================================================

``image_1/fft_sign`` is -1: the pattern is :math:`|\sum_r O(r)\, e^{-2\pi i\, q \cdot r}|^2 / N`.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.phasing.coherence import Blur
from braggfill.phasing.realspace import RealSpace
from braggfill.phasing.result import Phased, Run
from braggfill.runs import storage
from braggfill.scans.output import HDF5, check_place

FORMATS = (".npz", *HDF5)
FFT = "A(q) = N^(-1/2) sum_r O(r) exp(-2 pi i q r); origin n // 2; phase = -2 pi G u"
COLUMNS = tuple(f.name for f in dataclasses.fields(Run) if f.name not in ("obj", "support"))


def check(path: str | Path, *, force: bool = False) -> None:
    """Find out before the work whether ``path`` can be written.

    Raises
    ------
    BraggfillError : an unknown suffix, the file exists and ``force`` is not given, or the folder cannot be written.
    """
    if Path(path).suffix.lower() not in FORMATS:
        told = Path(path).suffix or "(no suffix)"
        raise BraggfillError(f"{path}: unknown output format {told}; use {', '.join(FORMATS)}")
    check_place(path, force=force)


def write(
    path: str | Path,
    found: Phased,
    real: RealSpace | None = None,
    *,
    provenance: Mapping[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Write a result, whole or not at all.

    Parameters
    ----------
    path : ``.cxi``, ``.h5``, ``.hdf5``, ``.nxs``, or ``.npz`` (the same names without folders, ``verdict`` and
        ``provenance`` as JSON).
    real : displacement and strain, where the geometry is known.
    provenance : what JSON can hold: the scan, its mask, settings.

    Raises
    ------
    BraggfillError : as :func:`check`, or the disk is full.
    """
    path = Path(path)
    check(path, force=force)
    told: dict[str, Any] = {"program": "braggfill", "version": storage.versions().get("braggfill", "unknown")}
    told |= {"date": datetime.now(UTC).isoformat(timespec="seconds"), **(provenance or {})}
    told |= {"seed": found.seed, "versions": storage.versions(), "fft": FFT, "fft_sign": -1}
    content = io.BytesIO()  # in memory first: HDF5 that meets a full disk ends the program
    if path.suffix.lower() == ".npz":
        arrays: dict[str, Any] = {**_arrays(found), **({} if real is None else _real(real))}
        texts = {"verdict": results(found, real), "provenance": told}
        texts |= {} if real is None else {"geometry": dataclasses.asdict(real.geometry)}
        arrays |= {name: np.array(json.dumps(_plain(value))) for name, value in texts.items()}
        np.savez_compressed(content, **arrays)
    else:
        with h5py.File(content, "w") as file:
            _cxi(file, found, real, told)
    try:
        with storage.replacing(path) as temporary:
            temporary.write_bytes(content.getbuffer())
    except OSError as error:
        raise BraggfillError(f"{path}: cannot be written ({error.strerror or error}); choose another folder") from error


def results(found: Phased, real: RealSpace | None = None) -> dict[str, Any]:
    """Verdict and figures."""
    told = {
        "verdict": found.verdict.word,
        "why": found.verdict.why,
        "advice": found.verdict.advice,
        "llk_free": found.llk_free,
        "llk_expected": found.llk_expected,
        "llk_poisson": found.runs[0].llk / 2 if found.runs else float("nan"),  # as PyNX and cdiutils have them
        "free_llk_poisson": found.llk_free / 2,
        "agreement": found.agreement,
        "resolution_voxels": found.resolution,
        "blur": None if found.blur is None else found.blur.kind,
        "blur_voxels": [] if found.blur is None else list(found.blur.widths),
        "cycles": found.cycles,
        "seconds": round(found.seconds, 2),
        "notes": list(found.notes),
    }
    if real is not None:
        told |= {"size_nm": list(real.size_nm), "volume_nm3": real.volume_nm3, "defects": real.defects}
    return told


def _arrays(found: Phased) -> dict[str, np.ndarray]:
    runs = {f"runs_{name}": np.array([_cell(getattr(r, name)) for r in found.runs]) for name in COLUMNS}
    return {
        "data": found.obj,
        "support": found.support,
        "modulus": found.modulus,
        "phase": found.phase,
        "modulus_std": found.modulus_std,
        "phase_std": found.phase_std,
        "modes": found.modes,
        "weights": found.weights,
        "prtf_frequency": found.prtf[0],
        "prtf": found.prtf[1],
        "chosen": np.array(found.chosen, int),
        **runs,
    }


def _real(real: RealSpace) -> dict[str, np.ndarray]:
    return {
        "detector_strain": real.detector_strain,
        "detector_edges_nm": real.edges_nm,
        "laboratory_data": real.obj,
        "laboratory_support": real.support,
        "strain": real.strain,
        "displacement_pm": real.displacement_pm,
        "laboratory_phase_std": real.phase_std,
        "voxel_size_nm": np.array(real.voxel_nm),
        "spacing_angstrom": np.array(real.spacing_angstrom),
        "scattering_vector": real.geometry.scattering_vector,
    }


def _cell(value: Any) -> Any:
    """What a column can hold: blurs as text."""
    return str(value or "none") if value is None or isinstance(value, Blur) else value


def _plain(value: Any) -> Any:
    """What JSON can hold: no NaN, no NumPy."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _cxi(file: h5py.File, found: Phased, real: RealSpace | None, told: Mapping[str, Any]) -> None:
    def group(place: str, kind: str, **attributes: Any) -> h5py.Group:
        made = file.require_group(place)
        made.attrs.update({"NX_class": kind, **attributes})
        return made

    def dataset(place: str, array: np.ndarray, meaning: str, **attributes: Any) -> None:
        array = array.astype(np.int8) if array.dtype == bool else array
        packed = {"chunks": True, "compression": "gzip", "compression_opts": 1, "shuffle": True} if array.size else {}
        file.create_dataset(place, data=array, **packed).attrs.update({"long_name": meaning, **attributes})

    arrays = _arrays(found)
    file.attrs.update({"default": "entry_1", "creator": "braggfill"})
    file["cxi_version"] = 150
    group("entry_1", "NXentry", default="data_1")
    file["entry_last"] = h5py.SoftLink("/entry_1")
    file["entry_1/program_name"] = f"braggfill {told['version']}"
    file["entry_1/start_time"] = told["date"]
    one = "entry_1/image_1"
    group(one, "NXdata", signal="data", interpretation="scaler", verdict=found.verdict.word)
    dataset(f"{one}/data", found.obj, "complex object, origin at n // 2", fft_sign=-1, fft=FFT)
    dataset(f"{one}/mask", found.support, "support, 1 inside")
    file[f"{one}/support"] = h5py.SoftLink(f"/{one}/mask")
    file.update({f"{one}/data_type": "electron density", f"{one}/data_space": "real"})
    file.update({f"{one}/is_fft_shifted": 0, f"{one}/fft_sign": -1, f"{one}/fft": FFT})
    dataset(f"{one}/modulus", arrays["modulus"], "modulus of the object")
    dataset(f"{one}/phase", arrays["phase"], "phase of the object, wrapped, 0 outside", units="rad")
    dataset(f"{one}/modulus_std", found.modulus_std, "standard deviation of the modulus between runs")
    dataset(f"{one}/phase_std", found.phase_std, "standard deviation of the phase between runs", units="rad")
    group("entry_1/data_1", "NXdata", signal="data")["data"] = h5py.SoftLink(f"/{one}/data")
    process = group(f"{one}/process_1", "NXprocess")
    process.update({name: told[name] for name in ("program", "version", "date")})
    _values(group(f"{one}/process_1/configuration", "NXcollection"), told, ("program", "version", "date"))
    _values(group(f"{one}/process_1/results", "NXcollection"), results(found, real))
    file["entry_1/process_1"] = h5py.SoftLink(f"/{one}/process_1")
    group("entry_1/image_2", "NXdata", signal="data")
    dataset("entry_1/image_2/data", found.modes, "orthogonal modes of the chosen runs, the strongest first")
    dataset("entry_1/image_2/weights", found.weights, "shares of the photons in the modes")
    group("entry_1/runs_1", "NXcollection")
    for name in COLUMNS:
        column = arrays[f"runs_{name}"]
        column = column.astype(h5py.string_dtype()) if column.dtype.kind == "U" else column
        file[f"entry_1/runs_1/{name}"] = column
    file["entry_1/runs_1/chosen"] = arrays["chosen"]
    group("entry_1/prtf_1", "NXdata", signal="prtf", axes="frequency")
    dataset("entry_1/prtf_1/frequency", found.prtf[0], "spatial frequency", units="cycles/voxel")
    dataset("entry_1/prtf_1/prtf", found.prtf[1], "phase retrieval transfer function")
    if real is not None:
        _laboratory(file, real, group, dataset)


def _laboratory(file: h5py.File, real: RealSpace, group: Any, dataset: Any) -> None:
    one, three = "entry_1/image_1", "entry_1/image_3"
    meaning = "strain along the scattering vector, positive where the lattice is wider than its mean, NaN outside"
    dataset(f"{one}/strain", real.detector_strain, meaning)
    dataset(f"{one}/voxel_edges_nm", real.edges_nm, "edges of a voxel: rows x, y, z; columns array axes", units="nm")
    group(three, "NXdata", signal="data")
    dataset(f"{three}/data", real.obj, "complex object; axes z along the beam, y up, x left along the beam")
    dataset(f"{three}/mask", real.support, "support, 1 inside")
    file[f"{three}/support"] = h5py.SoftLink(f"/{three}/mask")
    dataset(f"{three}/strain", real.strain, meaning)
    sign = "displacement along the scattering vector, -phase d / 2 pi, mean zero, NaN outside"
    dataset(f"{three}/displacement_pm", real.displacement_pm, sign, units="pm")
    dataset(f"{three}/phase_std", real.phase_std, "standard deviation of the phase between runs", units="rad")
    file[f"{three}/voxel_size_nm"] = real.voxel_nm
    sides = np.array(real.obj.shape) * real.voxel_nm * 1e-9
    file.update({f"{three}/image_size": sides, f"{three}/data_space": "real", f"{three}/is_fft_shifted": 0})
    file[f"{three}/spacing_angstrom"] = real.spacing_angstrom
    file[f"{three}/scattering_vector"] = real.geometry.scattering_vector
    file[f"{three}/scattering_vector"].attrs.update({"units": "cycles/angstrom", "long_name": "x, y, z"})
    kept = group(f"{three}/geometry", "NXcollection")
    _values(kept, dataclasses.asdict(real.geometry))


def _values(place: h5py.Group, told: Mapping[str, Any], left_out: tuple[str, ...] = ()) -> None:
    """Numbers and texts as they are, the rest as JSON; what is not known is left out."""
    for name, value in told.items():
        if name not in left_out and value is not None:
            place[name] = value if isinstance(value, str | int | float | bool) else json.dumps(_plain(value))
