r"""The experiment as the scan's file tells it: energy, distance, pixel size, angles and the step of the rocking curve.

Units: electronvolts, metres, degrees.  With wavelength :math:`\lambda = hc / E`, distance D, pixels p and the step
:math:`\Delta\theta` of N frames they give the size of a voxel in reciprocal and real space.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import h5py
import numpy as np

from braggfill.errors import BraggfillError
from braggfill.scans import contents
from braggfill.scans.contents import Chosen
from braggfill.scans.store import Place, Store, key

OWN = "entry_1/process_1/configuration/experiment"
"""Where a file that braggfill wrote keeps it, as JSON."""
HC = 12398.41984
"""Planck's constant times the speed of light, eV Å."""
JOULE = 1.602176634e-19
LENGTHS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "micron": 1e-6, "nm": 1e-9, "å": 1e-10}
LENGTHS |= {"angstrom": 1e-10, "a": 1e-10, "metre": 1.0, "meter": 1.0, "meters": 1.0, "microns": 1e-6}
ENERGIES = {"ev": 1.0, "kev": 1e3, "mev": 1e6, "j": 1 / JOULE, "joule": 1 / JOULE}
ANGLES = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "°": 1.0, "rad": 180 / np.pi, "radian": 180 / np.pi}
ROCKING = ("eta", "phi", "th", "theta", "omega", "om", "mu", "gonphi", "gontheta", "chi", "samth", "sampleth")
ARMS = ("nu", "delta", "gamma", "del", "gam", "tth", "twotheta", "two_theta", "detrot")
MOTORS = (*ROCKING, *ARMS)
"""Names of a diffractometer's circles at ID01, P10, NanoMAX, SIXS, CRISTAL, 34-ID-C, I13 and I16."""


@dataclass(frozen=True)
class Experiment:
    """What a scan's file tells of its experiment; None, or left out, where it tells nothing."""

    energy_ev: float | None = None
    distance_m: float | None = None
    """From the sample to the detector."""
    pixel_m: tuple[float, float] | None = None
    """Pitch of the pixels, vertical and horizontal."""
    rocking_motor: str | None = None
    """The circle that turns from frame to frame."""
    rocking_step_deg: float | None = None
    """Mean step between frames, with its sign."""
    angles: dict[str, float] = field(default_factory=dict)
    """Circles by name, degrees; of the rocking circle the middle."""
    beamline: str | None = None
    title: str | None = None
    sources: dict[str, str] = field(default_factory=dict)
    """Where each was read, ``{"energy_ev": "/entry/instrument/beam/incident_energy"}``."""

    def __bool__(self) -> bool:
        return any((self.energy_ev, self.distance_m, self.pixel_m, self.rocking_step_deg, self.angles))

    def plain(self) -> dict[str, Any]:
        """Values that JSON can hold, those that are not known left out."""
        return {name: value for name, value in asdict(self).items() if value not in (None, {}, "")}

    def json(self) -> str:
        """As text, for a file."""
        return json.dumps(self.plain())

    def lines(self) -> list[tuple[str, str]]:
        """(what, value) in words."""
        told = []
        if self.energy_ev:
            told.append(("energy", f"{self.energy_ev / 1e3:.5g} keV, {HC / self.energy_ev:.5g} Å"))
        if self.distance_m:
            told.append(("distance", f"{self.distance_m:.5g} m"))
        if self.pixel_m:
            told.append(("pixel", f"{self.pixel_m[0] * 1e6:.5g} × {self.pixel_m[1] * 1e6:.5g} µm"))
        if self.rocking_step_deg:
            told.append(("rocking", f"{self.rocking_motor or 'angle'}, {self.rocking_step_deg:.6g}° a frame"))
        if self.angles:
            told.append(("angles", ", ".join(f"{name} {value:.6g}°" for name, value in sorted(self.angles.items()))))
        return told


def of_file(store: Store, file: h5py.File, chosen: Chosen) -> Experiment | None:
    """What an HDF5 file tells of the experiment in which ``chosen`` was recorded; None if nothing.

    Looked at are the detector that holds the data, then the data's entry: NeXus names (NXbeam, NXmonochromator,
    NXdetector, NXmx), Dectris' ``detectorSpecific``, BLISS' ``instrument/positioners`` and ``measurement``, CXI's
    source and detector, SIXS' and CRISTAL's groups.  What cannot be read is passed over: the scan itself is sound.
    """
    try:
        return _of_file(store, file, chosen)
    except (BraggfillError, OSError, RuntimeError, ValueError, KeyError, TypeError):
        return None


def _of_file(store: Store, file: h5py.File, chosen: Chosen) -> Experiment | None:
    start = Place(file["/"], "/", ())
    own = contents.reach(store, start, OWN)
    if own is not None and isinstance(own.node, h5py.Dataset):
        kept = json.loads(contents.text(own.node[()]) or "{}")
        pixels = kept.get("pixel_m")
        return Experiment(**{**kept, "pixel_m": tuple(pixels) if pixels else None})
    entry = contents.reach(store, start, chosen.name.strip("/").partition("/")[0])
    top = entry if entry is not None and isinstance(entry.node, h5py.Group) else start
    values = list(_values(store, top))
    home = chosen.places[0].homes[-1][0].name if chosen.places[0].homes else ""
    values.sort(key=lambda one: not (home and one[0].startswith(f"{home.rstrip('/')}/")))
    found: dict[str, Any] = {}
    told: dict[str, str] = {}

    def take(what: str, value: Any, path: str) -> None:
        if value is not None and what not in found:
            found[what], told[what] = value, path

    for path, name, dataset in values:
        if name in ("incident_energy", "energy", "photon_energy", "beam_energy", "mononrj", "gonio_energy"):
            take("energy_ev", _energy(dataset), path)
        elif name in ("incident_wavelength", "wavelength", "beam_wavelength", "lambda"):
            length = _length(dataset, 1e-10)
            take("energy_ev", HC * 1e-10 / length if length and 1e-12 < length < 1e-7 else None, path)
        elif name in ("detector_distance", "distance", "sample_detector_distance") and "source" not in path:
            take("distance_m", _distance(dataset), path)
    pixels = [_pixel(values, names) for names in (("y_pixel_size", "y_pixelsize"), ("x_pixel_size", "x_pixelsize"))]
    if all(pixels):
        take("pixel_m", (pixels[0][0], pixels[1][0]), pixels[0][1])
    frames = chosen.shape[-3] if len(chosen.shape) > 2 else 1
    _angles(values, frames, found, told)
    title = contents.title_of(store, chosen) or None
    beamline = _words(values, ("beamline", "instrument_name", "name"), "instrument")
    made = Experiment(**found, beamline=beamline, title=title, sources=told)
    return made if made else None


def _values(store: Store, top: Place, depth: int = 6) -> Iterator[tuple[str, str, h5py.Dataset]]:
    """(path, name in lower case, dataset) of every small dataset of numbers or text below a group, once each."""
    seen: set[tuple[int, int]] = set()
    todo = [(top, depth)]
    while todo:
        place, left = todo.pop(0)
        if key(place.node) in seen:
            continue
        seen.add(key(place.node))
        for name in place.node:
            try:
                member = store.member(place.node, name, place.path)
            except BraggfillError:
                continue
            if isinstance(member.node, h5py.Group):
                if left:
                    todo.append((member, left - 1))
            elif member.node.shape is not None and len(member.node.shape) <= 2 and member.node.size <= 100_000:
                yield member.path, name.lower(), member.node


def _numbers(dataset: h5py.Dataset) -> np.ndarray | None:
    if dataset.dtype.kind not in "iuf" or not dataset.size:
        return None
    try:
        array = np.asarray(dataset[()], float).ravel()
    except (OSError, RuntimeError, ValueError):
        return None
    return array if np.isfinite(array).all() else None


def _scaled(dataset: h5py.Dataset, units: dict[str, float], usual: float | None) -> float | None:
    """One number in the unit that its attribute states; the mean of several that are alike."""
    array = _numbers(dataset)
    if array is None or np.ptp(array) > 1e-2 * abs(array.mean()):
        return None
    unit = contents.text(dataset.attrs.get("units", dataset.attrs.get("unit")))
    factor = usual if not unit else units.get(unit.strip().lower())
    return None if factor is None else float(array.mean()) * factor


def _energy(dataset: h5py.Dataset) -> float | None:
    """Electronvolts; without a unit by its size: a hard X-ray is 1e-16 to 1e-14 J, 1 to 200 keV."""
    value = _scaled(dataset, ENERGIES, 1.0)
    if value is None or value <= 0:
        return None
    if value < 1e-12:
        value /= JOULE
    elif value < 500 and not contents.text(dataset.attrs.get("units", b"")):
        value *= 1e3
    return value if 500 < value < 5e5 else None


def _length(dataset: h5py.Dataset, usual: float) -> float | None:
    return _scaled(dataset, LENGTHS, usual)


def _distance(dataset: h5py.Dataset) -> float | None:
    """Metres; without a unit by its size: over 50 it is millimetres."""
    value = _length(dataset, 1.0)
    if value is not None and not contents.text(dataset.attrs.get("units", b"")) and value > 50:
        value *= 1e-3
    return value if value is not None and 0.01 < value < 50 else None


def _pixel(values: list[tuple[str, str, h5py.Dataset]], names: tuple[str, ...]) -> tuple[float, str] | None:
    for path, name, dataset in values:
        if name in names:
            value = _length(dataset, 1.0)
            if value is not None and value > 1e-3:  # without a unit, or with a wrong one: micrometres
                value *= 1e-6
            if value is not None and 1e-6 < value < 1e-3:
                return value, path
    return None


def _angles(
    values: list[tuple[str, str, h5py.Dataset]], frames: int, found: dict[str, Any], told: dict[str, str]
) -> None:
    """Circles, and which of them turns from frame to frame: the one with a value a frame that rises or falls evenly."""
    circles: dict[str, float] = {}
    best = 0.0
    for path, name, dataset in values:
        circle = name.removesuffix("_position").removesuffix("_value").replace("-", "_")
        if circle not in MOTORS:
            continue
        array = _numbers(dataset)
        if array is None:
            continue
        unit = contents.text(dataset.attrs.get("units", b""))
        factor = ANGLES.get(unit.strip().lower(), 0.0) if unit else 1.0
        if not factor:
            continue
        array = array * factor
        if circle not in circles or len(array) > 1:
            circles[circle] = float(array[len(array) // 2])
            told[f"angles.{circle}"] = path
        if circle in ROCKING and frames > 2 and len(array) in (frames, frames + 1):
            steps = np.diff(array[:frames])
            even = abs(steps.mean()) > 1e-7 and steps.std() < 0.5 * abs(steps.mean())
            if even and abs(steps.mean()) > best:
                best = abs(float(steps.mean()))
                found["rocking_motor"], found["rocking_step_deg"] = circle, float(steps.mean())
                told["rocking_step_deg"] = path
    if circles:
        found["angles"] = circles


def _words(values: list[tuple[str, str, h5py.Dataset]], names: tuple[str, ...], parent: str) -> str | None:
    for path, name, dataset in values:
        holder = path.rpartition("/")[0].rpartition("/")[2].lower()
        if name in names and holder.startswith(parent) and dataset.dtype.kind in "OSU" and dataset.size == 1:
            try:
                value = dataset[()]
            except (OSError, RuntimeError):
                continue
            value = value.flat[0] if isinstance(value, np.ndarray) else value
            return " ".join((contents.text(value) or "").split())[:60] or None
    return None
