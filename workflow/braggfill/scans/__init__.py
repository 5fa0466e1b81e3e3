"""Scans and masks in the field's file formats: read, checked, and written whole or not at all.

A SCAN or MASK is named by a *spec*:

============================================  =====================================================================
spec                                          what is read
============================================  =====================================================================
``scan.npz``, ``scan.npz::name``              the array of that name; else ``data`` (a mask: ``mask``), else the first
``scan.npy``                                  the array
``scan.h5::/path/to/dataset``                 that dataset (``.h5``, ``.hdf5``, ``.hdf``, ``.nxs``, ``.nx``, ``.cxi``);
                                              compressed files of the ESRF open, links are followed
``scan.cxi``, ``scan.h5``                     CXI's ``/entry_1/data_1/data``, else NeXus' default signal, else the only
                                              or the largest 3D dataset of numbers; several alike are an error
``stack.tif``, ``folder/``, ``"folder/*.tif"``  one file of several pages, or frames in the natural order of their names
============================================  =====================================================================

Conventions: axes are rocking, vertical, horizontal; a mask is boolean and **True means missing**.  What a format says
otherwise is converted here, see :func:`load_mask`; what is missing where no mask is named, see :func:`missing`.
Nothing is ever unpickled.
"""

from __future__ import annotations

from braggfill.scans.checks import check, hot
from braggfill.scans.choosing import Missing, marked, missing
from braggfill.scans.output import HDF5, check_output, check_place, write
from braggfill.scans.reading import Loaded, load, load_mask, own_mask, read

__all__ = [
    "HDF5",
    "Loaded",
    "Missing",
    "check",
    "check_output",
    "check_place",
    "hot",
    "load",
    "load_mask",
    "marked",
    "missing",
    "own_mask",
    "read",
    "write",
]
