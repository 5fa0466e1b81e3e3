"""Scans and masks in the field's file formats: read, checked, and written whole or not at all.

A SCAN or MASK is named by a *spec*:

============================================  =====================================================================
spec                                          what is read
============================================  =====================================================================
``scan.npz``, ``scan.npz::name``              ``data`` (a mask: ``mask``), else the first that can be one; by name
``scan.npy``                                  the array
``scan.h5::/path/to/dataset``                 that dataset (``.h5 .hdf5 .hdf .nxs .nx .cxi``, MATLAB's ``.mat`` of
                                              version 7.3), compressed, linked, virtual, or in raw files beside it
``scan.cxi``, ``scan.h5``, ``scan.h5::2.1``   CXI's ``/entry_1/data_1/data``, else NeXus' default signal, else a
                                              detector's 3D dataset of numbers, else the one that holds most counts;
                                              several of one size are an error; what was passed over is told
``master.h5``, ``scan.h5::/entry/data/d_*``   numbered blocks (``data_000001`` …) or those of a pattern, joined
``stack.tif``, ``folder/``, ``"folder/*.tif"``  one file of several pages, or frames in the natural order of their names
``frame.edf``, ``.cbf``, ``.msk``, ``… .gz``  by fabio, where it is installed; also as frames of a folder
``scan.h5::/path[8:40]``                      frames 8 to 39 alone; of every format
``silx:scan.h5?path=/path&slice=8:40``        the same, as silx and pyFAI write it
============================================  =====================================================================

Conventions: axes are rocking, vertical, horizontal; a mask is boolean and **True means missing**.  What a format says
otherwise is converted here, see :func:`load_mask`; what is missing where no mask is named, see :func:`missing`; what
values are no counts, :mod:`braggfill.scans.marks`; what they are if not photons, :mod:`braggfill.scans.units`.
What cannot be read is an error: nothing that a file lacks passes for zeros.  Nothing is ever unpickled.
"""

from __future__ import annotations

from braggfill.scans.checks import check, hot, suspicions
from braggfill.scans.choosing import Missing, missing
from braggfill.scans.conversion import Photons, photons
from braggfill.scans.experiment import Experiment
from braggfill.scans.marks import Marked, marked
from braggfill.scans.output import HDF5, check_output, check_place, write
from braggfill.scans.reading import Loaded, load, load_mask, own_mask, read
from braggfill.scans.units import Unit, unit

__all__ = [
    "HDF5",
    "Experiment",
    "Loaded",
    "Marked",
    "Missing",
    "Photons",
    "Unit",
    "check",
    "check_output",
    "check_place",
    "hot",
    "load",
    "load_mask",
    "marked",
    "missing",
    "own_mask",
    "photons",
    "read",
    "suspicions",
    "unit",
    "write",
]
