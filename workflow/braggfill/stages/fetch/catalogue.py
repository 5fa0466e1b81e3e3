"""The measured data sets that the project knows, and how each is recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from braggfill.stages.fetch.download import Arrays, NotToBeHad, Source, hdf5, npy_files, tiff_folder, wheel


@dataclass(frozen=True)
class DataSet:
    """One data set: what it is called here, in a local file and at its source, and how it is recognised."""

    file: str
    """Name of the local ``.npz``."""
    arrays: Mapping[str, tuple[str, type]]
    """Name here → (name in the local file, type)."""
    sha256: str
    """Digest of the arrays, see :func:`digest`."""
    source: str
    license: str
    download: Source
    """Gets the arrays, named as in the local file, from the public source; raises :class:`NotToBeHad`."""


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 over each array's name, little-endian type, shape and C-ordered bytes, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def canonical(entry: DataSet, given: Mapping[str, np.ndarray]) -> Arrays:
    """The arrays under their names and types here, if their digest is the published one."""
    arrays = {}
    for name, (theirs, kind) in entry.arrays.items():
        if theirs not in given:
            raise NotToBeHad(f"holds no array {theirs!r}")
        array = np.asarray(given[theirs])
        arrays[name] = array != 0 if kind is bool else array.astype(kind, copy=False)
    if digest(arrays) != entry.sha256:
        raise NotToBeHad("the content is not the published one (its sha256 differs)")
    return arrays


DATA_SETS: dict[str, DataSet] = {
    "aps_staff20_s0054": DataSet(
        file="aps34idc_Staff20-1a_S0054.npz",
        arrays={"data": ("data", np.int32)},
        sha256="a48e8f26459778a5d2463a758d9f4aca30430dc66b053d49006cb7cab432b112",
        source="GitHub AdvancedPhotonSource/cohere_examples, example_data/AD34idcTIM2_example/Staff20-1a_S0054",
        license="BSD-2-Clause",
        download=tiff_folder(
            "AdvancedPhotonSource/cohere_examples", "example_data/AD34idcTIM2_example/Staff20-1a_S0054", 201
        ),
    ),
    "id01_s11": DataSet(
        file="id01_S11_object.npz",
        arrays={"obj": ("obj", np.complex64)},
        sha256="14b952062449afa7f49ea13db8cee08e65a8108484b99851d763bbbcbedb319b",
        source="Python package bcdi 0.3.1, bcdi/examples/S11_modes_252_420_392_prebinning_1_1_1.h5",
        license="CeCILL-B",
        download=hdf5(
            wheel("bcdi", "0.3.1", "bcdi/examples/S11_modes_252_420_392_prebinning_1_1_1.h5"),
            {"obj": "entry_1/image_1/data"},
        ),
    ),
    "id01_s978": DataSet(
        file="id01_S978_object.npz",
        arrays={"obj": ("obj", np.complex64), "support": ("support", bool)},
        sha256="330323514a27c300eb2d2203c0635807741a26ef32d4a7d662406169aadfa556",
        source="Python package bcdi 0.0.5, bcdi/data/S978_LLKf000.460_LLK000.508.cxi",
        license="CeCILL-B",
        download=hdf5(
            wheel("bcdi", "0.0.5", "bcdi/data/S978_LLKf000.460_LLK000.508.cxi"),
            {"obj": "entry_1/image_1/data", "support": "entry_1/image_1/mask"},
        ),
    ),
    "detector_masks": DataSet(
        file="detector_masks.npz",
        arrays={
            "maxipix": ("id01_maxipix_mask", bool),
            "merlin": ("nanomax_merlin_mask", bool),
            "pilatus_1w1a": ("1w1a_pilatus_mask", bool),
            "pilatus_id05": ("id05_pilatus_mask", bool),
        },
        sha256="158e99f4e763a18f50d95833fc1f400810e9d3cf40e704eca85f65014fa3ff81",
        source="GitHub RenZhe88/pyCXIM, detector_mask",
        license="Apache-2.0",
        download=npy_files(
            "RenZhe88/pyCXIM",
            {
                "id01_maxipix_mask": (
                    "2f097ed1cae3d0de6e672a5c85fcacb7180bf7ec",
                    "detector_mask/id01_maxipix_mask.npy",
                ),
                "nanomax_merlin_mask": (
                    "15b94d771e4896f6cf2f1999f5e1af52c7ec7ef1",
                    "detector_mask/nanomax_merlin_mask.npy",
                ),
                "1w1a_pilatus_mask": (
                    "2f097ed1cae3d0de6e672a5c85fcacb7180bf7ec",
                    "detector_mask/1w1a_pilatus_mask.npy",
                ),
                "id05_pilatus_mask": (
                    "8246a43ebf751d2fe5fa5ea39de7449fd065cd33",
                    "detector_mask/id05_pilatus_mask.npy",
                ),
            },
        ),
    ),
}
