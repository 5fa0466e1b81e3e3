"""Reading: a spec to an array, with one clear line for everything that can be wrong with a file."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import parse_qs, unquote

import numpy as np

from braggfill.errors import BraggfillError
from braggfill.scans import images, numpy_files, series, tiff

if TYPE_CHECKING:
    from braggfill.scans.experiment import Experiment

HDF5 = (".h5", ".hdf5", ".hdf", ".nxs", ".nx", ".cxi", ".mat")
TIFF = (".tif", ".tiff")
KNOWN = (".npz", ".npy", *HDF5, *TIFF, *images.SUFFIXES)
CXI_HAS_SIGNAL = 0x1000
"""The one bit of a CXI mask that says something good of a pixel."""
MASK_VALUES = 64
"""A mask of numbers holds a few flags; counts hold more values than this."""
SAMPLE = 1_000_000

Role = Literal["scan", "mask"]


class Loaded(NamedTuple):
    """An array and where exactly it came from, e.g. ``scan.h5::/entry/data``."""

    array: np.ndarray
    where: str
    files: tuple[Path, ...] = ()
    """Every file that was read, those that links and virtual data sets lead to included."""
    remarks: tuple[str, ...] = ()
    """What the user is to be told; those that begin with "warning:" in any case."""
    experiment: Experiment | None = None
    """Energy, distance, pixel size and angles, where the file tells them."""


class Spec(NamedTuple):
    """A spec, taken apart."""

    path: Path
    name: str | None
    frames: slice


def read(spec: str | Path, dataset: str | None = None) -> np.ndarray:
    """The scan that ``spec`` names: a 3D array of real numbers in its own type, native byte order.

    Parameters
    ----------
    spec : see :mod:`braggfill.scans`; ``dataset`` is another way to name the array inside the file.

    Raises
    ------
    BraggfillError : one line; the file is missing, damaged, of another format or shape, or does not say which array.
    """
    return load(spec, dataset).array


def load(spec: str | Path, dataset: str | None = None) -> Loaded:
    """As :func:`read`, with where it came from.  Axes of length one in front of three others are dropped."""
    loaded = _load(spec, dataset, "scan")
    array, where = loaded.array, loaded.where
    if array.dtype.kind == "b":
        raise BraggfillError(f"{where}: holds true and false, not counts; name the scan, and pass this as the mask")
    _numbers(array, where)
    array = _three_axes(array)
    if array.ndim != 3:
        one = f"; of several scans name one, {where}[0:1]" if array.ndim == 4 else ""
        raise BraggfillError(
            f"{where}: is {array.ndim}D, shape {_shape(array.shape)}; a scan has 3 axes: rocking, vertical, horizontal"
            f"{one}"
        )
    if not len(array) and (frames := split(spec, dataset).frames) != slice(None):
        cut = ":".join("" if n is None else str(n) for n in (frames.start, frames.stop))
        raise BraggfillError(f"{where}: has no frames [{cut}]; count from 0, and name fewer")
    if not array.size:
        raise BraggfillError(f"{where}: is empty, shape {_shape(array.shape)}; name an array with frames in it")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return loaded._replace(array=array.astype(array.dtype.newbyteorder("="), copy=False))


def load_mask(
    spec: str | Path,
    shape: Sequence[int],
    dataset: str | None = None,
    *,
    invert: bool = False,
    corner: tuple[int, int] | None = None,
    whole: bool = True,
) -> Loaded:
    """A mask of the scan's shape, boolean, True = missing.

    ==========================  =======================================================================================
    what the file holds         what is missing
    ==========================  =======================================================================================
    true and false              true
    whole numbers               what is not zero (so do PyNX, NeXus ``pixel_mask``, pyFAI, silx)
    a CXI mask                  any bit but 0x1000, ``CXI_PIXEL_HAS_SIGNAL``; PyNX writes 1 and reads > 0 as masked
    numbers with fractions      what is not zero, and NaN
    ==========================  =======================================================================================

    ``invert`` is for a file that says it the other way round.  A mask of one frame, be it there
    several times, is taken for all frames.
    ``corner`` says that the file holds the whole detector, of which the scan's pixel (0, 0) is the one at that row and
    column; unless ``whole``, a mask of the scan's own frames is taken as it is.

    Raises
    ------
    BraggfillError : as :func:`read`, or the mask does not fit ``shape``.
    """
    loaded = _load(spec, dataset, "mask", tuple(shape))
    mask = _boolean(loaded, invert)
    if corner is not None and (whole or mask.shape[-2:] != tuple(shape[1:])):
        mask = _cut(mask, tuple(shape), corner, loaded.where)
    return loaded._replace(array=_fit(mask, tuple(shape), loaded.where))


def load_frame(spec: str | Path, shape: Sequence[int], corner: tuple[int, int] | None = None) -> Loaded:
    """Numbers for every pixel, a flat field: one frame of the scan's size, or several; of the whole detector it is cut
    at ``corner``, the row and column of the scan's first pixel.

    Raises
    ------
    BraggfillError : as :func:`read`, or the frame does not fit ``shape``.
    """
    loaded = _load(spec, None, "mask", tuple(shape))
    array = _three_axes(loaded.array)
    if array.shape[-2:] != tuple(shape[1:]) and corner is not None:
        array = _cut(array, tuple(shape), corner, loaded.where)
    if array.ndim not in (2, 3) or array.shape[-2:] != tuple(shape[1:]):
        raise BraggfillError(
            f"{loaded.where}: {_shape(array.shape)} does not fit frames of {_shape(shape[1:])}; give numbers for each "
            "pixel of one frame, or say with --roi where on the detector the scan lies"
        )
    return loaded._replace(array=array)


def own_mask(
    spec: str | Path, shape: Sequence[int], dataset: str | None = None, corner: tuple[int, int] | None = None
) -> Loaded | None:
    """The mask that the scan's own file holds, or None: CXI's, NeXus' ``pixel_mask``, ``mask`` of a ``.npz``.

    One of the whole detector is cut to the scan's frames, of which ``corner`` is the first pixel's row and column.
    """
    path, name, frames = split(spec, dataset)
    loaded: Loaded | None = None
    if path.suffix.lower() == ".npz" and path.is_file():
        if name != "mask" and "mask" in numpy_files.names(path):
            loaded = _npz_array(path, "mask", "mask")
    elif path.suffix.lower() in HDF5 and path.is_file():
        from braggfill.scans import hdf5

        own = hdf5.own_mask(path, name, shape)
        loaded = None if own is None else Loaded(*own)
    if loaded is None or not loaded.where:
        return loaded
    mask = _boolean(loaded, False)
    if mask.ndim > 2 and len(mask) != shape[0] and mask.shape[-2:] == tuple(shape[1:]):
        mask = mask[frames]
    if mask.shape[-2:] != tuple(shape[1:]) and corner is not None:
        mask = _cut(mask, tuple(shape), corner, loaded.where)
    return loaded._replace(array=_fit(mask, tuple(shape), loaded.where))


def split(spec: str | Path, dataset: str | None = None) -> Spec:
    """File, array in it and frames: ``FILE::NAME[FIRST:LAST]``, or silx' ``silx:FILE?path=NAME&slice=FIRST:LAST``."""
    text = str(spec)
    if not text:
        raise BraggfillError("the name of a file is empty; name one")
    frames = slice(None)
    if not Path(text).exists() if len(text) < 4096 else True:
        if text.startswith(("silx:", "fabio:")):
            text, frames = _silx(text)
        hit = re.fullmatch(r"(.*)\[([-\d:]+)\]", text, re.DOTALL)
        if hit and not Path(text).exists() and (":" in hit[2] or "::" in hit[1]):
            cut = re.fullmatch(r"(\d*):(\d*)", hit[2])
            if cut is None:
                raise BraggfillError(f"{spec}: [{hit[2]}] names no frames; write [FIRST:LAST], e.g. [8:40]")
            text, frames = hit[1], slice(*(int(part) if part else None for part in cut.groups()))
    if "::" in text and not Path(text).exists():
        text, _, name = text.rpartition("::")
        if not text or not name:
            raise BraggfillError(f"{spec}: name the file before '::' and the array after it, e.g. scan.h5::/entry/data")
        dataset = dataset or name
    return Spec(Path(text).expanduser(), dataset, frames)


def _silx(text: str) -> tuple[str, slice]:
    """silx' way to name data in a file, as ours."""
    file, _, query = text.partition(":")[2].partition("?")
    if file.startswith("//"):
        file = file[2:]
    asked = parse_qs(query)
    if query and not asked:  # silx:file.h5?/entry/data
        asked = {"path": [unquote(query)]}
    name = asked.get("path", asked.get("data_path", [""]))[0]
    cut = asked.get("slice", asked.get("data_slice", [""]))[0]
    frames = slice(None)
    if hit := re.fullmatch(r"(\d+)(?:,.*)?|(\d*):(\d*)(?:,.*)?", cut):
        one, first, last = hit.groups()
        frames = slice(int(one), int(one) + 1) if one else slice(*(int(p) if p else None for p in (first, last)))
    elif cut:
        raise BraggfillError(f"{text}: slice={cut} is not understood; give whole frames, e.g. slice=0:20")
    return (f"{file}::{name}" if name else file), frames


def _load(spec: str | Path, dataset: str | None, role: Role, shape: tuple[int, ...] | None = None) -> Loaded:
    path, name, frames = split(spec, dataset)
    try:
        loaded = _of(path, name, role, shape, frames)
    except OSError as error:
        raise BraggfillError(
            f"{path}: cannot be read ({error.strerror or error}); check file and permissions"
        ) from error
    return loaded if loaded.files else loaded._replace(files=(path,))


def _of(path: Path, name: str | None, role: Role, shape: tuple[int, ...] | None, frames: slice) -> Loaded:
    if path.is_dir() or (not path.exists() and glob.has_magic(str(path))):
        return _frames(path, name, frames)
    if not path.exists():
        raise BraggfillError(f"{path}: no such file; check the path")
    if not path.is_file():
        raise BraggfillError(f"{path}: is no file (a pipe or a device); name a file")
    suffix = images.suffix_of(path)
    if suffix not in KNOWN:
        raise BraggfillError(f"{path}: unknown format {suffix or '(no suffix)'}; known are {', '.join(KNOWN)}")
    if not path.stat().st_size:
        raise BraggfillError(f"{path}: is an empty file; copy it again")
    if suffix == ".mat" and path.read_bytes()[:10] == b"MATLAB 5.0":
        raise BraggfillError(f"{path}: is a MATLAB file of before version 7.3; save it with -v7.3, or as .npy")
    if suffix in HDF5:
        from braggfill.scans import hdf5

        return Loaded(*hdf5.load(path, name, role, shape, frames))
    if suffix == ".npz":
        loaded = _npz_array(path, name, role)
    elif name:
        raise BraggfillError(f"{path}: a {suffix} file holds one array without a name; drop '::{name}'")
    else:
        loaded = Loaded(_single(path, suffix), str(path))
    return loaded if frames == slice(None) else loaded._replace(array=loaded.array[frames])


def _npz_array(path: Path, name: str | None, role: Role) -> Loaded:
    array, where, remarks = numpy_files.npz(path, name, role)
    return Loaded(array, where, remarks=remarks)


def _single(path: Path, suffix: str) -> np.ndarray:
    if suffix == ".npy":
        return numpy_files.npy(path)
    return tiff.read(path) if suffix in TIFF else images.read(path)


def _numbers(array: np.ndarray, where: str) -> None:
    kind = array.dtype.kind
    if kind == "c":
        raise BraggfillError(f"{where}: holds complex numbers; give intensities, the squared modulus of an amplitude")
    if kind not in "iuf":
        raise BraggfillError(f"{where}: holds {array.dtype}, not numbers; name an array of counts")


def _three_axes(array: np.ndarray) -> np.ndarray:
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    return array


def _boolean(loaded: Loaded, invert: bool) -> np.ndarray:
    array, where = loaded.array, loaded.where
    if array.dtype.kind != "b":
        if array.dtype.kind not in "iuf":
            raise BraggfillError(f"{where}: holds {array.dtype}; a mask holds true and false, or whole numbers")
        if len(np.unique(array.ravel()[:: 1 + array.size // SAMPLE])) > MASK_VALUES:
            raise BraggfillError(f"{where}: holds too many different values for a mask; is it a scan?")
        if array.dtype.kind in "iu" and where.partition("::")[0].lower().endswith(".cxi"):
            array = array & ~array.dtype.type(CXI_HAS_SIGNAL) if array.dtype.itemsize > 1 else array
        if array.size and array.all() and (array != array.flat[0]).any():
            held = " and ".join(f"{value:g}" for value in np.unique(array)[:4])
            raise BraggfillError(
                f"{where}: holds {held} but no zero, and does not say which of them is missing; give a mask that is "
                "zero where measured"
            )
        array = array != 0  # of NaN, too, this is true
    return ~array if invert else array


def _cut(mask: np.ndarray, shape: tuple[int, ...], corner: tuple[int, int], where: str) -> np.ndarray:
    """The scan's frames out of a mask of the whole detector."""
    if mask.ndim < 2 or any(c + n > m for c, n, m in zip(corner, shape[1:], mask.shape[-2:], strict=True)):
        raise BraggfillError(
            f"--roi: frames of {_shape(shape[1:])} from row {corner[0]}, column {corner[1]} reach beyond "
            f"{where}, {_shape(mask.shape)}; give that of the whole detector, or leave --roi out"
        )
    return mask[..., corner[0] : corner[0] + shape[1], corner[1] : corner[1] + shape[2]]


def _fit(mask: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
    mask = _three_axes(mask)
    if mask.shape == shape:
        return mask
    if mask.shape in (shape[1:], (1, *shape[1:])):
        return np.broadcast_to(mask, shape)
    if mask.shape[1:] == shape[1:] and len(mask) and (mask == mask[:1]).all():
        return np.broadcast_to(mask[:1], shape)  # One frame several times, as cameras save it.
    raise BraggfillError(
        f"{where}: the mask's shape {_shape(mask.shape)} does not fit the scan's {_shape(shape)}; "
        f"give a mask of that shape, or of one frame, {_shape(shape[1:])}, or say with --roi where on it the scan lies"
    )


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "()"


# Frames -------------------------------------------------------------------------------------------------------------


def _frames(path: Path, name: str | None, frames: slice) -> Loaded:
    """Frames of a folder or of a pattern of names, each a 2D file; a single file may hold the whole stack."""
    if name:
        raise BraggfillError(f"{path}: frames in files of their own have no names; drop '::{name}'")
    kinds = (*TIFF, *images.SUFFIXES)
    if path.is_dir():
        every = [file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
        files = [file for file in every if file.suffix.lower() in TIFF]
        files = files or [file for file in every if images.suffix_of(file) in images.SUFFIXES]
    else:
        files = [Path(file) for file in glob.glob(str(path))]  # noqa: PTH207 (absolute patterns, too)
        if not files and images.suffix_of(path) not in kinds:
            raise BraggfillError(f"{path}: no such file; check the path")
        other = [file for file in files if images.suffix_of(file) not in kinds]
        if other:
            raise BraggfillError(f"{path}: {other[0].name} is no TIFF file; write a pattern of .tif files")
    if odd := [file for file in files if not file.is_file()]:
        raise BraggfillError(f"{odd[0]}: is no file (a folder, a pipe or a device); write a pattern of files alone")
    if not files:
        raise BraggfillError(f"{path}: no TIFF file there, and no other frames; check the path")
    files.sort(key=lambda file: series.natural(file.name))
    if len(files) == 1:
        return Loaded(_single(files[0], images.suffix_of(files[0]))[frames], str(files[0]), tuple(files))
    if several := series.apart([file.name for file in files]):
        raise BraggfillError(
            f"{path}: holds frames of several names, {several}; name those of one scan by a pattern, "
            f"'{files[0].parent}/{series.stem(files[0].name)}*{images.suffix_of(files[0])}'"
        )
    files = files[frames]
    hole = series.left_out([file.name for file in files])
    remarks = () if hole is None else (f"warning: the frames' numbers leave some out, the first {hole}: all copied?",)
    stack = None
    for index, file in enumerate(files):
        frame = _single(file, images.suffix_of(file))
        if frame.ndim != 2:
            raise BraggfillError(f"{file}: is {frame.ndim}D; several files must hold one frame each")
        if stack is None:
            stack = np.empty((len(files), *frame.shape), frame.dtype)
        if frame.shape != stack.shape[1:] or frame.dtype != stack.dtype:
            raise BraggfillError(
                f"{file}: {_shape(frame.shape)} {frame.dtype} does not continue {files[0].name}, "
                f"{_shape(stack.shape[1:])} {stack.dtype}; name the frames of one scan"
            )
        stack[index] = frame
    if stack is None:
        raise BraggfillError(f"{path}: none of its frames are among those asked for; check the numbers")
    return Loaded(stack, f"{path} ({len(files)} frames)", tuple(files), remarks)
