"""Software that pip alone cannot vouch for: LAMMPS with its MPI library, PyNX, OpenCL."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from braggfill.errors import BraggfillError

MPI_LIBRARY = "libmpi.so.12"
LAUNCHER_VARIABLES = ("PMI_", "PMIX_", "PMI2_", "PALS_")


@cache
def load_lammps() -> Any:
    """The module ``lammps``, with the MPI library that its wheel needs loaded and started.

    The wheel links against ``libmpi.so.12``.  The package ``mpich`` puts that file in the environment's ``lib/``, where
    the loader does not look, so it is loaded from there first; where it is absent, the system's is used.  A launcher
    such as Slurm's ``srun`` leaves variables that make MPICH look for a parallel job and end the process when it finds
    none; they are hidden from it while it starts.

    Raises
    ------
    BraggfillError : LAMMPS is not installed, or no MPI library was found for it.
    """
    _load_mpi()
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(LAUNCHER_VARIABLES)}
    try:
        module = importlib.import_module("lammps")
        module.lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"]).close()
    except ImportError as error:
        raise BraggfillError("relax: LAMMPS is not installed; install braggfill[simulate]") from error
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise BraggfillError(f"relax: LAMMPS cannot be loaded ({reason}); install braggfill[simulate]") from error
    finally:
        os.environ.update(hidden)
    return module


def potentials(module: Any) -> Path:
    """The folder of potential files that comes with the module ``lammps``.

    Raises
    ------
    BraggfillError : this LAMMPS has none.
    """
    places = [Path(module.__file__).parent / "share/lammps/potentials"]
    if "LAMMPS_POTENTIALS" in os.environ:
        places.append(Path(os.environ["LAMMPS_POTENTIALS"]))
    for place in places:
        if place.is_dir():
            return place
    raise BraggfillError(f"{places[0]}: no such folder; install LAMMPS from its wheel or set LAMMPS_POTENTIALS")


def _load_mpi() -> None:
    for place in (Path(sys.prefix) / "lib" / MPI_LIBRARY, Path(MPI_LIBRARY)):
        if place.is_absolute() and not place.exists():
            continue
        try:
            ctypes.CDLL(str(place), ctypes.RTLD_GLOBAL)
            return
        except OSError:
            continue


@cache
def have_pynx() -> bool:
    """Whether PyNX (the ESRF's coherent imaging library) can be imported.

    The package called ``pynx`` on PyPI manages a web server and is not it: what counts is ``pynx.cdi`` and
    ``pynx.scattering``.
    """
    try:
        return all(importlib.util.find_spec(name) is not None for name in ("pynx", "pynx.cdi", "pynx.scattering"))
    except (ImportError, ValueError):
        return False


@cache
def pynx_version() -> str | None:
    """The version of PyNX, or None where there is none."""
    if not have_pynx():
        return None
    try:
        return str(importlib.import_module("pynx.version").__version__)
    except (ImportError, AttributeError):
        return "unknown"


@cache
def have_opencl() -> bool:
    """Whether PyOpenCL finds a platform with a device, be it the processor (PoCL)."""
    try:
        opencl = importlib.import_module("pyopencl")
        return any(platform.get_devices() for platform in opencl.get_platforms())
    except Exception:  # the loader, the platform or a driver: each has its own way of failing
        return False
