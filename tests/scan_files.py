"""Scan files of every format, for tests."""

from __future__ import annotations

import h5py
import hdf5plugin
import numpy as np
import pytest
import tifffile
from braggfill.errors import BraggfillError
from braggfill.runs.seeds import generator

SHAPE = (5, 8, 9)
COUNTS = generator(1, "test/scans").poisson(20.0, SHAPE).astype(np.uint32)
FRAME = np.zeros(SHAPE[1:], bool)
FRAME[:, 4:6] = True
MASK = np.broadcast_to(FRAME, SHAPE)


def hdf5(path, **datasets):
    """An HDF5 file with datasets at paths, `__` for `/`."""
    with h5py.File(path, "w") as file:
        for name, array in datasets.items():
            file[name.replace("__", "/")] = array
    return path


def tiffs(folder, frames, name="frame_{}.tif"):
    folder.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames):
        tifffile.imwrite(folder / name.format(index), frame)
    return folder


def make(tmp_path, how, array):
    """A file that holds an array, and the spec that names it."""
    if how == "npz, the first":
        np.savez(tmp_path / "a.npz", counts=array, other=np.zeros(3))
        return tmp_path / "a.npz"
    if how == "npz, compressed, data":
        np.savez_compressed(tmp_path / "a.npz", other=np.zeros(3), data=array)
        return tmp_path / "a.npz"
    if how == "npz, named":
        np.savez(tmp_path / "a.npz", data=np.zeros(3), here=array)
        return f"{tmp_path}/a.npz::here"
    if how == "npy":
        np.save(tmp_path / "a.npy", array)
        return tmp_path / "a.npy"
    if how == "npy, Fortran order":
        np.save(tmp_path / "a.npy", np.asfortranarray(array))
        return tmp_path / "a.npy"
    if how == "hdf5, named":
        return f"{hdf5(tmp_path / 'a.h5', x__y=array, big=np.zeros((9, 9, 99)))}::/x/y"
    if how == "hdf5, the only one":
        return hdf5(tmp_path / "a.hdf5", x__y=array, flat=np.zeros((99, 99)), x__mask=array > 0)
    if how == "hdf5, the largest":
        return hdf5(tmp_path / "a.h5", x__y=array, small=np.zeros((3, 3, 3)), amplitude=np.zeros((9, 9, 9), complex))
    if how == "hdf5, one entry more":
        return hdf5(tmp_path / "a.h5", data=array[None])
    if how == "hdf5, in a named group":
        return f"{hdf5(tmp_path / 'a.h5', one__y=array, two__y=array)}::one"
    if how == "cxi":
        return hdf5(tmp_path / "a.cxi", entry_1__data_1__data=array, other=np.zeros((20, 20, 20)))
    if how == "nexus default":
        path = hdf5(tmp_path / "a.nxs", scan__plot__counts=array, other=np.zeros((20, 20, 20)))
        with h5py.File(path, "r+") as file:
            file.attrs["default"] = "scan"
            file["scan"].attrs["default"] = "plot"
            file["scan/plot"].attrs["signal"] = "counts"
        return path
    if how == "hdf5, linked twice":
        path = hdf5(tmp_path / "a.h5", instrument__detector=array)
        with h5py.File(path, "r+") as file:
            file["hard"] = file["instrument/detector"]
            file["soft"] = h5py.SoftLink("/instrument/detector")
            file["loop"] = h5py.SoftLink("/")
            file["broken"] = h5py.SoftLink("/nowhere")
        return path
    if how == "hdf5, in another file":
        hdf5(tmp_path / "frames.h5", entry__data=array)
        with h5py.File(tmp_path / "master.h5", "w") as file:
            file["1.1/measurement/detector"] = h5py.ExternalLink("frames.h5", "/entry/data")
        return f"{tmp_path}/master.h5::/1.1/measurement/detector"
    if how == "hdf5, virtual":
        hdf5(tmp_path / "frames.h5", data=array)
        layout = h5py.VirtualLayout(array.shape, array.dtype)
        layout[:] = h5py.VirtualSource("frames.h5", "data", array.shape)
        with h5py.File(tmp_path / "virtual.h5", "w") as file:
            file.create_virtual_dataset("data", layout)
        return tmp_path / "virtual.h5"
    if how == "hdf5, bitshuffle and LZ4":
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("data", data=array, chunks=(1, *array.shape[1:]), **hdf5plugin.Bitshuffle())
        return tmp_path / "a.h5"
    if how == "tiff, one file":
        tifffile.imwrite(tmp_path / "a.tif", array)
        return tmp_path / "a.tif"
    if how == "tiff, pages":
        with tifffile.TiffWriter(tmp_path / "a.tiff") as file:
            for frame in array:
                file.write(frame, contiguous=False)
        return tmp_path / "a.tiff"
    folder = tiffs(tmp_path / "frames", array)
    (folder / "notes.txt").write_text("not a frame")
    return folder if how == "tiff, folder" else f"{folder}/*.tif"


def told(call, *parts):
    """The one line that a call is refused with."""
    with pytest.raises(BraggfillError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    for part in parts:
        assert part in line, line
    return line
