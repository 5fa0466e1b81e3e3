"""Reading: a spec to an array, with one clear line for everything that can be wrong with a file."""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from braggfill.errors import BraggfillError

HDF5 = (".h5", ".hdf5", ".hdf", ".nxs", ".nx", ".cxi")
TIFF = (".tif", ".tiff")
KNOWN = (".npz", ".npy", *HDF5, *TIFF)
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
    array, where = _load(spec, dataset, "scan")
    if array.dtype.kind == "b":
        raise BraggfillError(f"{where}: holds true and false, not counts; name the scan, and pass this as the mask")
    _numbers(array, where)
    array = _three_axes(array)
    if array.ndim != 3:
        raise BraggfillError(
            f"{where}: is {array.ndim}D, shape {_shape(array.shape)}; a scan has 3 axes: rocking, vertical, horizontal"
        )
    if not array.size:
        raise BraggfillError(f"{where}: is empty, shape {_shape(array.shape)}; name an array with frames in it")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return Loaded(array.astype(array.dtype.newbyteorder("="), copy=False), where)


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

    ``invert`` is for a file that says it the other way round.  A mask of one frame is taken for all frames.
    ``corner`` says that the file holds the whole detector, of which the scan's pixel (0, 0) is the one at that row and
    column; unless ``whole``, a mask of the scan's own frames is taken as it is.

    Raises
    ------
    BraggfillError : as :func:`read`, or the mask does not fit ``shape``.
    """
    loaded = _load(spec, dataset, "mask")
    mask = _boolean(loaded, invert)
    if corner is not None and (whole or mask.shape[-2:] != tuple(shape[1:])):
        mask = _cut(mask, tuple(shape), corner, loaded.where)
    return Loaded(_fit(mask, tuple(shape), loaded.where), loaded.where)


def own_mask(spec: str | Path, shape: Sequence[int], dataset: str | None = None) -> Loaded | None:
    """The mask that the scan's own file holds, or None: CXI's, NeXus' ``pixel_mask``, ``mask`` of a ``.npz``."""
    path, name = _split(spec, dataset)
    loaded = None
    if path.suffix.lower() == ".npz" and path.is_file():
        with _npz(path) as file:
            if "mask" in file.files and name != "mask":
                loaded = _load(path, "mask", "mask")
    elif path.suffix.lower() in HDF5 and path.is_file():
        from braggfill.scans import hdf5

        inner = hdf5.own_mask(path, name)
        if inner is not None:
            loaded = _load(path, inner, "mask")
    if loaded is None:
        return None
    return Loaded(_fit(_boolean(loaded, False), tuple(shape), loaded.where), loaded.where)


def _split(spec: str | Path, dataset: str | None) -> tuple[Path, str | None]:
    text = str(spec)
    if not text:
        raise BraggfillError("the name of a file is empty; name one")
    if "::" in text and not Path(text).exists():
        text, _, name = text.rpartition("::")
        if not text or not name:
            raise BraggfillError(f"{spec}: name the file before '::' and the array after it, e.g. scan.h5::/entry/data")
        dataset = dataset or name
    return Path(text).expanduser(), dataset


def _load(spec: str | Path, dataset: str | None, role: Role) -> Loaded:
    path, name = _split(spec, dataset)
    try:
        if path.is_dir() or (not path.exists() and glob.has_magic(str(path))):
            return _tiff_frames(path, name)
        if not path.exists():
            raise BraggfillError(f"{path}: no such file; check the path")
        suffix = path.suffix.lower()
        if suffix not in KNOWN:
            raise BraggfillError(f"{path}: unknown format {suffix or '(no suffix)'}; known are {', '.join(KNOWN)}")
        if not path.stat().st_size:
            raise BraggfillError(f"{path}: is an empty file; copy it again")
        if suffix == ".npz":
            return _npz_array(path, name, role)
        if suffix in HDF5:
            from braggfill.scans import hdf5

            return Loaded(*hdf5.load(path, name, role))
        if name:
            raise BraggfillError(f"{path}: a {suffix} file holds one array without a name; drop '::{name}'")
        return Loaded(_npy(path) if suffix == ".npy" else _tiff(path), str(path))
    except OSError as error:
        raise BraggfillError(
            f"{path}: cannot be read ({error.strerror or error}); check file and permissions"
        ) from error


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
    array, where = loaded
    if array.dtype.kind != "b":
        if array.dtype.kind not in "iuf":
            raise BraggfillError(f"{where}: holds {array.dtype}; a mask holds true and false, or whole numbers")
        if len(np.unique(array.ravel()[:: 1 + array.size // SAMPLE])) > MASK_VALUES:
            raise BraggfillError(f"{where}: holds too many different values for a mask; is it a scan?")
        if array.dtype.kind in "iu" and where.partition("::")[0].lower().endswith(".cxi"):
            array = array & ~array.dtype.type(CXI_HAS_SIGNAL) if array.dtype.itemsize > 1 else array
        array = array != 0  # of NaN, too, this is true
    return ~array if invert else array


def _cut(mask: np.ndarray, shape: tuple[int, ...], corner: tuple[int, int], where: str) -> np.ndarray:
    """The scan's frames out of a mask of the whole detector."""
    if mask.ndim < 2 or any(c + n > m for c, n, m in zip(corner, shape[1:], mask.shape[-2:], strict=True)):
        raise BraggfillError(
            f"--roi: frames of {_shape(shape[1:])} from row {corner[0]}, column {corner[1]} reach beyond the mask "
            f"{where}, {_shape(mask.shape)}; give the mask of the whole detector, or leave --roi out"
        )
    return mask[..., corner[0] : corner[0] + shape[1], corner[1] : corner[1] + shape[2]]


def _fit(mask: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
    mask = _three_axes(mask)
    if mask.shape == shape:
        return mask
    if mask.shape in (shape[1:], (1, *shape[1:])):
        return np.broadcast_to(mask, shape)
    raise BraggfillError(
        f"{where}: the mask's shape {_shape(mask.shape)} does not fit the scan's {_shape(shape)}; "
        f"give a mask of that shape, or of one frame, {_shape(shape[1:])}, or say with --roi where on it the scan lies"
    )


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) or "()"


# NumPy --------------------------------------------------------------------------------------------------------------


def _not_numpy(path: Path, error: Exception) -> BraggfillError:
    """What to say of any error while NumPy reads: damaged bytes lead it into errors of every kind."""
    if isinstance(error, MemoryError):
        return BraggfillError(f"{path}: claims to hold more than there is memory for; crop it, or copy it again")
    if "allow_pickle" in str(error):
        return BraggfillError(f"{path}: holds pickled objects, which are never opened; save plain numbers instead")
    return BraggfillError(f"{path}: not a readable {path.suffix} file (truncated, or another format); copy it again")


def _npy(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:
        raise _not_numpy(path, error) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise BraggfillError(f"{path}: is an archive of arrays; give it the suffix .npz")
    return array


def _npz(path: Path) -> np.lib.npyio.NpzFile:
    try:
        file = np.load(path, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:
        raise _not_numpy(path, error) from error
    if isinstance(file, np.ndarray):
        raise BraggfillError(f"{path}: is a single array; give it the suffix .npy")
    return file


def _npz_array(path: Path, name: str | None, role: Role) -> Loaded:
    with _npz(path) as file:
        if not file.files:
            raise BraggfillError(f"{path}: holds no array; name another file")
        usual = "data" if role == "scan" else "mask"
        chosen = name or (usual if usual in file.files else file.files[0])
        if chosen not in file.files:
            raise BraggfillError(f"{path}: holds no array {chosen!r}; it holds {', '.join(file.files)}")
        try:
            return Loaded(file[chosen], f"{path}::{chosen}")
        except OSError:
            raise
        except Exception as error:
            raise _not_numpy(path, error) from error


# TIFF ---------------------------------------------------------------------------------------------------------------


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sorts frame_2 before frame_10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name)]


class _Complaints(logging.Handler):
    """What tifffile logs of a damaged file, of which it may give fewer frames without an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard = False

    def emit(self, record: logging.LogRecord) -> None:
        self.heard = True


@contextmanager
def _listening() -> Iterator[_Complaints]:
    logger = logging.getLogger("tifffile")
    complaints, propagate = _Complaints(), logger.propagate
    logger.addHandler(complaints)
    logger.propagate = False
    try:
        yield complaints
    finally:
        logger.removeHandler(complaints)
        logger.propagate = propagate


def _tiff(path: Path) -> np.ndarray:
    """The image, or the stack of equal images, of one TIFF file."""
    import tifffile

    damaged = BraggfillError(f"{path}: not a readable TIFF file (truncated, or another format); copy it again")
    try:
        with _listening() as complaints, tifffile.TiffFile(path) as file:
            images = list(file.series)
            kinds = {(image.shape, image.dtype) for image in images}
            if len(kinds) > 1 and not complaints.heard:
                raise BraggfillError(f"{path}: its {len(images)} parts differ in shape; give frames of one shape")
            if any("S" in image.axes for image in images) and not complaints.heard:
                raise BraggfillError(f"{path}: is a colour image; give the counts, one number a pixel")
            arrays = [image.asarray() for image in images]
    except (BraggfillError, OSError):
        raise
    except Exception as error:  # damaged bytes lead the reader into errors of every kind
        raise damaged from error
    if complaints.heard or not arrays:
        raise damaged
    return arrays[0] if len(arrays) == 1 else np.stack(arrays)


def _tiff_frames(path: Path, name: str | None) -> Loaded:
    """Frames of a folder or of a pattern of names, each a 2D TIFF file; a single file may hold the whole stack."""
    if name:
        raise BraggfillError(f"{path}: TIFF files hold arrays without names; drop '::{name}'")
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in TIFF]
    else:
        files = [Path(file) for file in glob.glob(str(path))]  # noqa: PTH207 (absolute patterns, too)
        other = [file for file in files if file.suffix.lower() not in TIFF]
        if other:
            raise BraggfillError(f"{path}: {other[0].name} is no TIFF file; write a pattern of .tif files")
    if not files:
        raise BraggfillError(f"{path}: no TIFF file there; check the path")
    files.sort(key=_natural)
    if len(files) == 1:
        return Loaded(_tiff(files[0]), str(files[0]))
    stack = None
    for index, file in enumerate(files):
        frame = _tiff(file)
        if frame.ndim != 2:
            raise BraggfillError(f"{file}: is {frame.ndim}D; several TIFF files must hold one frame each")
        if stack is None:
            stack = np.empty((len(files), *frame.shape), frame.dtype)
        if frame.shape != stack.shape[1:] or frame.dtype != stack.dtype:
            raise BraggfillError(
                f"{file}: {_shape(frame.shape)} {frame.dtype} does not continue {files[0].name}, "
                f"{_shape(stack.shape[1:])} {stack.dtype}; name the frames of one scan"
            )
        stack[index] = frame
    assert stack is not None
    return Loaded(stack, f"{path} ({len(files)} frames)")
