"""Writing what was filled: NPZ, NPY, and HDF5 that opens in PyNX."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.runs import storage
from braggfill.scans.experiment import JOULE, Experiment

HDF5 = (".cxi", ".h5", ".hdf5", ".nxs")
FORMATS = (".npz", ".npy", *HDF5)
DETECTOR = "entry_1/instrument_1/detector_1"
CARRIED = (
    "entry_1/instrument_1/source_1/energy",
    "entry_1/instrument_1/beam_1/incident_energy",
    "entry_1/instrument_1/beam_1/incident_wavelength",
    f"{DETECTOR}/distance",
    f"{DETECTOR}/x_pixel_size",
    f"{DETECTOR}/y_pixel_size",
    "entry_1/instrument_1/name",
    "entry_1/sample_1/name",
    "entry_1/experiment_id",
)
"""What phase retrieval wants to know, carried over from a scan that is CXI itself."""


def check_output(
    path: str | Path, *, force: bool = False, inputs: Sequence[str | Path] = (), any_suffix: bool = False
) -> None:
    """Find out before the work whether ``path`` can be written; with ``any_suffix`` it need not be a scan's format.

    Raises
    ------
    BraggfillError : an unknown suffix; the file exists and ``force`` is not given, or it is one of the ``inputs``; the
        folder cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS and not any_suffix:
        raise BraggfillError(f"{path}: unknown output format {path.suffix or '(no suffix)'}; use {', '.join(FORMATS)}")
    check_place(path, force=force)
    if path.exists():
        for given in inputs:
            file = Path(given if Path(given).exists() else str(given).rpartition("::")[0] or given)
            if file.exists() and file.samefile(path):
                raise BraggfillError(f"{path}: is an input, which is never overwritten; name another output")


def check_place(path: str | Path, *, force: bool = False) -> None:
    """Find out whether a file can be written at ``path``, leaving nothing there; see :func:`check_output`."""
    path = Path(path)
    try:
        if path.is_dir():
            raise BraggfillError(f"{path}: is a folder; name a file")
        if path.exists() and not path.is_file():
            raise BraggfillError(f"{path}: is no file (a pipe or a device); name a file")
        if path.exists() and not force:
            raise BraggfillError(f"{path}: exists already; name another output, or overwrite it with --force")
        folder = (path.resolve() if path.is_symlink() else path.absolute()).parent
        while not folder.exists():
            folder = folder.parent
    except OSError as error:
        raise BraggfillError(f"{path}: cannot be written ({error.strerror}); give another name") from error
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise BraggfillError(f"{path}: {folder} is no folder that can be written; choose another one")
    try:
        with tempfile.TemporaryFile(dir=folder):  # the surest way to know
            longest = os.pathconf(folder, "PC_NAME_MAX")
    except OSError as error:
        raise BraggfillError(f"{path}: {folder} is no folder that can be written; choose another one") from error
    if len(os.fsencode(path.name)) > longest:
        raise BraggfillError(f"{path}: the name is longer than {longest} bytes; give a shorter one")


def write(
    path: str | Path,
    data: np.ndarray,
    mask: np.ndarray,
    sigma: np.ndarray | None = None,
    *,
    free: np.ndarray | None = None,
    expectation: np.ndarray | None = None,
    provenance: Mapping[str, Any] | None = None,
    force: bool = False,
    like: str | Path | None = None,
    experiment: Experiment | None = None,
) -> None:
    """Write a filled scan, whole or not at all.

    =============================  ====================================================================================
    suffix                         what is in the file
    =============================  ====================================================================================
    ``.npz``                       ``data``, ``mask`` (True where filled), ``sigma`` (standard deviation of what was
                                   filled in photons, NaN where there is none), ``free`` (True where phase retrieval
                                   should leave a voxel free), ``provenance`` (JSON text)
    ``.npy``                       the filled data alone
    ``.cxi .h5 .hdf5 .nxs``        CXI and NeXus: ``/entry_1/data_1/data``, ``filled`` (1 where filled), ``sigma``
                                   and, if given, ``expectation``; ``/entry_1/instrument_1/detector_1/mask``, 1 where
                                   phase retrieval should leave a voxel free.  PyNX opens it as it is.
    =============================  ====================================================================================

    Parameters
    ----------
    data, mask, sigma : arrays of one shape; without ``sigma`` it is written as NaN.
    free : True where phase retrieval should leave a voxel free; nowhere by default.
    expectation : expected photons of filled voxels, NaN elsewhere, where ``data`` holds something else; HDF5 only.
    provenance : what was done (scan, method, network …), plain values.  With ``noise`` true the filled voxels are
        random counts, which is then told beside them, too.
    force : overwrite ``path`` if it exists.
        ``photons_per_unit`` says that values are in other units.
    like : the scan's file; if it is CXI, energy, distance and pixel size are carried over.
    experiment : what the scan's file tells of energy, distance, pixels and angles; written as CXI has it, too.

    Raises
    ------
    BraggfillError : see :func:`check_output`; or the disk is full.
    """
    path = Path(path)
    check_output(path, force=force)
    if any(array is not None and array.shape != data.shape for array in (mask, sigma, free, expectation)):
        raise ValueError("data, mask, sigma, free and expectation must have the same shape")
    free = np.zeros(data.shape, bool) if free is None else np.ascontiguousarray(free, dtype=bool)
    mask = np.ascontiguousarray(mask, dtype=bool)
    if sigma is None:
        sigma = np.full(data.shape, np.nan, np.float32)
    told: dict[str, Any] = {"program": "braggfill", "version": importlib.metadata.version("braggfill")}
    told |= {"date": datetime.now(UTC).isoformat(timespec="seconds"), **(provenance or {})}
    if experiment:
        told["experiment"] = experiment.plain()
    try:
        with storage.replacing(path, over=force) as temporary:
            if path.suffix.lower() == ".npz":
                text = np.array(json.dumps(told))
                np.savez_compressed(temporary, data=data, mask=mask, sigma=sigma, free=free, provenance=text)
            elif path.suffix.lower() == ".npy":
                np.save(temporary, data)
            else:
                # In memory first: HDF5 that meets a full disk cannot be closed any more, and ends the program.
                content = io.BytesIO()
                with h5py.File(content, "w") as file:
                    _cxi(file, data, mask, sigma, free, expectation, told)
                    _carry(file, like)
                    if experiment:
                        _geometry(file, experiment)
                temporary.write_bytes(content.getbuffer())
    except OSError as error:
        line = f"{path}: cannot be written ({error.strerror or error}); choose another folder"
        raise BraggfillError(line) from error


def _cxi(
    file: h5py.File,
    data: np.ndarray,
    mask: np.ndarray,
    sigma: np.ndarray,
    free: np.ndarray,
    expectation: np.ndarray | None,
    told: Mapping[str, Any],
) -> None:
    def group(place: str, kind: str) -> h5py.Group:
        made = file.require_group(place)
        made.attrs["NX_class"] = kind
        return made

    def dataset(place: str, array: np.ndarray, meaning: str, **attributes: str) -> None:
        made = file.create_dataset(place, data=array, chunks=True, compression="gzip", compression_opts=1, shuffle=True)
        made.attrs["long_name"] = meaning
        made.attrs.update(attributes)

    file.attrs["default"] = "entry_1"
    file.attrs["creator"] = "braggfill"
    file["cxi_version"] = 150
    group("entry_1", "NXentry").attrs["default"] = "data_1"
    file["entry_1/program_name"] = f"braggfill {told['version']}"
    file["entry_1/start_time"] = told["date"]
    group("entry_1/instrument_1", "NXinstrument")
    group(DETECTOR, "NXdetector")
    kinds = {"amplitude": "filled with the square of the expected amplitude of counts"}
    filled = (
        "filled with random counts, for display only,"
        if told.get("noise")
        else kinds.get(str(told.get("value")), "filled")
    )
    factor = told.get("photons_per_unit", 1)
    unit = "photons" if factor == 1 else f"1/{factor:g} photons"
    dataset(f"{DETECTOR}/data", data, f"intensity in {unit}, {filled} where data_1/filled is 1")
    dataset(f"{DETECTOR}/mask", free.astype(np.int8), "1 where phase retrieval leaves a voxel free (masked)")
    shown = group("entry_1/data_1", "NXdata")
    shown.attrs["signal"] = "data"
    shown["data"] = h5py.SoftLink(f"/{DETECTOR}/data")
    dataset("entry_1/data_1/filled", mask.astype(np.int8), "1 where the detector saw nothing and braggfill filled")
    dataset("entry_1/data_1/sigma", sigma, "standard deviation of what was filled, NaN elsewhere", units=unit)
    if expectation is not None:
        dataset("entry_1/data_1/expectation", expectation, "expected photons, NaN where not filled", units=unit)
    process = group("entry_1/process_1", "NXprocess")
    for name in ("program", "version", "date"):
        process[name] = told[name]
    configuration = group("entry_1/process_1/configuration", "NXcollection")
    for name, value in told.items():
        if name not in process:
            configuration[name] = value if isinstance(value, str | int | float | bool) else json.dumps(value)


def _carry(file: h5py.File, like: str | Path | None) -> None:
    like = None if like is None else Path(str(like).partition("::")[0])
    if like is None or like.suffix.lower() != ".cxi" or not like.is_file():
        return
    with storage.read(like) as scan:
        for place in CARRIED:
            if isinstance(scan.get(place), h5py.Dataset) and place not in file:
                file.require_group(place.rpartition("/")[0])
                scan.copy(place, file, name=place)


def _geometry(file: h5py.File, experiment: Experiment) -> None:
    """Energy (J), distance and pixels (m), where the file has none yet, and the circles (degrees)."""
    pixels = experiment.pixel_m or (None, None)
    energy = None if experiment.energy_ev is None else experiment.energy_ev * JOULE
    for place, value, unit in (
        ("entry_1/instrument_1/source_1/energy", energy, "J"),
        (f"{DETECTOR}/distance", experiment.distance_m, "m"),
        (f"{DETECTOR}/y_pixel_size", pixels[0], "m"),
        (f"{DETECTOR}/x_pixel_size", pixels[1], "m"),
        ("entry_1/sample_1/rocking_step", experiment.rocking_step_deg, "deg"),
        *((f"entry_1/sample_1/positioners/{name}", angle, "deg") for name, angle in experiment.angles.items()),
    ):
        if value is not None and place not in file:
            file[place] = value
            file[place].attrs["units"] = unit
