"""Files laid out as facilities write them, made here: read without options, with what they tell of the experiment."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pytest
import tifffile
from braggfill import scans
from braggfill.scans.experiment import JOULE
from scan_files import COUNTS, FRAME, SHAPE, tiffs

N = SHAPE[0]
ROCK = 11.2 + 0.01 * np.arange(N)


def put(file, path, value, unit=None, **attributes):
    file[path] = value
    if unit:
        file[path].attrs["units"] = unit
    file[path].attrs.update(attributes)


def classes(file, **kinds):
    for path, kind in kinds.items():
        file.require_group(path.replace("__", "/")).attrs["NX_class"] = kind


def id01(folder):
    """BLISS: a master file that links to Lima's, motors in instrument/positioners and in measurement."""
    with h5py.File(folder / "mpx_0000.h5", "w") as f:
        put(f, "entry_0000/measurement/data", COUNTS)
    with h5py.File(folder / "sample_0001.h5", "w") as f:
        layout = h5py.VirtualLayout(SHAPE, COUNTS.dtype)
        layout[:] = h5py.VirtualSource("mpx_0000.h5", "entry_0000/measurement/data", SHAPE)
        f.create_group("1.1/instrument/mpx1x4")
        f.create_virtual_dataset("1.1/instrument/mpx1x4/data", layout)
        classes(f, **{"1.1": "NXentry", "1.1__instrument__mpx1x4": "NXdetector"})
        f["1.1/measurement/mpx1x4"] = h5py.SoftLink("/1.1/instrument/mpx1x4/data")
        put(f, "1.1/title", "ascan eta 11.2 11.24 5 1")
        put(f, "1.1/measurement/eta", ROCK, "deg")
        for name, value in (("eta", 11.2), ("delta", 33.1), ("nu", 0.5), ("phi", 2.0)):
            put(f, f"1.1/instrument/positioners/{name}", value, "deg")
        put(f, "1.1/instrument/positioners/mononrj", 9.0, "keV")
        put(f, "1.1/instrument/mpx1x4/distance", 0.87, "m")
        put(f, "1.1/instrument/mpx1x4/x_pixel_size", 5.5e-5, "m")
        put(f, "1.1/instrument/mpx1x4/y_pixel_size", 5.5e-5, "m")
    told = {"energy": 9000, "distance": 0.87, "pixel": 5.5e-5, "step": 0.01, "motor": "eta", "delta": 33.1}
    return folder / "sample_0001.h5", told


def p10(folder):
    """P10 and others: an Eiger's master file and blocks; energy as a wavelength."""
    with h5py.File(folder / "s_master.h5", "w") as f:
        classes(f, entry="NXentry", entry__data="NXdata", entry__instrument__detector="NXdetector")
        for k, part in enumerate((COUNTS[:3], COUNTS[3:]), 1):
            with h5py.File(folder / f"s_data_{k:06d}.h5", "w") as other:
                other["entry/data/data"] = part
            f[f"entry/data/data_{k:06d}"] = h5py.ExternalLink(f"s_data_{k:06d}.h5", "/entry/data/data")
        det = "entry/instrument/detector"
        put(f, f"{det}/detectorSpecific/pixel_mask", FRAME.astype("u4"))
        put(f, f"{det}/detectorSpecific/photon_energy", 8500.0, "eV")
        put(f, f"{det}/detector_distance", 1.83, "m")
        put(f, f"{det}/x_pixel_size", 7.5e-5, "m")
        put(f, f"{det}/y_pixel_size", 7.5e-5, "m")
        put(f, "entry/instrument/beam/incident_wavelength", 12398.41984 / 8500, "angstrom")
        put(f, "entry/sample/goniometer/omega", ROCK, "degree")
    told = {"energy": 8500, "distance": 1.83, "pixel": 7.5e-5, "step": 0.01, "motor": "omega", "mask": True}
    return folder / "s_master.h5", told


def sixs(folder):
    """SIXS and CRISTAL of SOLEIL: everything in com/scan_data, devices beside."""
    with h5py.File(folder / "align.nxs", "w") as f:
        classes(f, com="NXentry", com__scan_data="NXdata")
        put(f, "com/scan_data/merlin_image", COUNTS.astype("u2"))
        put(f, "com/scan_data/mu", ROCK)
        put(f, "com/SIXS/Monochromator/energy", 8.5, "keV")
        put(f, "com/SIXS/i14-c-cx1-ex-diff-uhv/gamma", 20.5)
    return folder / "align.nxs", {"energy": 8500, "step": 0.01, "motor": "mu", "gamma": 20.5}


def nanomax(folder):
    """NanoMAX: Merlin's frames and a fluorescence detector in entry/measurement."""
    with h5py.File(folder / "000123.h5", "w") as f:
        put(f, "entry/measurement/merlin/frames", COUNTS)
        put(f, "entry/measurement/xspress3/data", np.ones((N, 4, 4096), "u4"))
        put(f, "entry/measurement/gontheta", ROCK)
        put(f, "entry/snapshots/pre_scan/energy", np.array([9500.0]))
        put(f, "entry/snapshots/pre_scan/delta", np.array([24.0]))
    told = {"energy": 9500, "step": 0.01, "motor": "gontheta", "delta": 24.0}
    return folder / "000123.h5", told


def nxmx(folder):
    """Diamond's NXmx: data in entry/data, the rest at the detector; distance in millimetres."""
    with h5py.File(folder / "scan.nxs", "w") as f:
        classes(f, entry="NXentry", entry__data="NXdata", entry__instrument__detector="NXdetector")
        put(f, "entry/data/data", COUNTS)
        f["entry/data"].attrs["signal"], f["entry"].attrs["default"], f.attrs["default"] = "data", "data", "entry"
        det = "entry/instrument/detector"
        put(f, f"{det}/pixel_mask", FRAME.astype("u4"))
        put(f, f"{det}/detector_distance", 1200.0, "mm")
        put(f, f"{det}/x_pixel_size", 0.055, "mm")
        put(f, f"{det}/y_pixel_size", 0.055, "mm")
        put(f, "entry/instrument/beam/incident_energy", 9.0, "keV")
        put(f, "entry/sample/transformations/kphi", np.zeros(N), "deg")
        put(f, "entry/sample/transformations/theta", ROCK[::-1], "deg")
    told = {"energy": 9000, "distance": 1.2, "pixel": 5.5e-5, "step": -0.01, "motor": "theta", "mask": True}
    return folder / "scan.nxs", told


def cxi(folder):
    with h5py.File(folder / "S1.cxi", "w") as f:
        put(f, "entry_1/instrument_1/detector_1/data", COUNTS)
        put(f, "entry_1/instrument_1/detector_1/mask", FRAME.astype("i1"))
        f["entry_1/data_1"] = h5py.SoftLink("/entry_1/instrument_1/detector_1")
        put(f, "entry_1/instrument_1/source_1/energy", 9000 * JOULE)
        put(f, "entry_1/instrument_1/detector_1/distance", 0.695)
        put(f, "entry_1/instrument_1/detector_1/x_pixel_size", 55e-6)
        put(f, "entry_1/instrument_1/detector_1/y_pixel_size", 55e-6)
    told = {"energy": 9000, "distance": 0.695, "pixel": 5.5e-5, "mask": True}
    return folder / "S1.cxi", told


def aps(folder):
    """34-ID-C: a folder of TIFF frames."""
    tiffs(folder / "S0054", COUNTS, "Staff20-1_S0054_{:05d}.tif")
    return folder / "S0054", {}


@pytest.mark.parametrize("facility", [id01, p10, sixs, nanomax, nxmx, cxi, aps])
def test_a_file_of_the_facility_is_read_without_options(tmp_path, facility):
    path, told = facility(tmp_path)
    loaded = scans.load(path)
    np.testing.assert_array_equal(loaded.array, COUNTS)
    missing = scans.missing(path, COUNTS)
    assert (missing is not None) == bool(told.pop("mask", False))
    if missing is not None:
        np.testing.assert_array_equal(missing.array[0], FRAME)
    found = loaded.experiment
    if not told:
        assert not found
        return
    assert found.energy_ev == pytest.approx(told.pop("energy"))
    assert found.distance_m == (None if "distance" not in told else pytest.approx(told.pop("distance")))
    assert found.pixel_m == (None if "pixel" not in told else pytest.approx((told["pixel"], told.pop("pixel"))))
    assert found.rocking_motor == told.pop("motor", None)
    assert found.rocking_step_deg == (None if "step" not in told else pytest.approx(told.pop("step")))
    for name, value in told.items():
        assert found.angles[name] == pytest.approx(value)
    assert all(place.startswith("/") for place in found.sources.values())


@pytest.mark.parametrize("suffix", [".cxi", ".npz"])
def test_the_experiment_goes_on_into_what_is_written(tmp_path, suffix):
    path, _ = id01(tmp_path)
    loaded = scans.load(path)
    scans.write(tmp_path / f"out{suffix}", COUNTS, COUNTS < 0, experiment=loaded.experiment)
    if suffix == ".cxi":
        assert scans.load(tmp_path / "out.cxi").experiment == loaded.experiment
        with h5py.File(tmp_path / "out.cxi") as file:
            assert file["entry_1/instrument_1/source_1/energy"][()] == pytest.approx(9000 * JOULE)
            assert file["entry_1/instrument_1/detector_1/distance"][()] == 0.87
    else:
        with np.load(tmp_path / "out.npz") as file:
            assert '"rocking_motor": "eta"' in str(file["provenance"])


def test_damaged_metadata_do_not_stop_a_sound_scan(tmp_path):
    path, _ = nxmx(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["entry/instrument/beam/incident_energy"]
        file["entry/instrument/beam/incident_energy"] = h5py.SoftLink("/nowhere")
        put(file, "entry/sample/energy", "nonsense")
        file["entry/sample/loop"] = h5py.SoftLink("/entry/sample")
    loaded = scans.load(path)
    np.testing.assert_array_equal(loaded.array, COUNTS)
    assert loaded.experiment.energy_ev is None


def test_frames_whose_numbers_leave_some_out_are_told(tmp_path):
    folder = tiffs(tmp_path / "f", COUNTS)
    (folder / "frame_2.tif").unlink()
    assert "leave some out, the first 2" in scans.load(folder).remarks[0]


def test_private_tags_of_a_tiff_do_not_matter_and_its_pixels_do(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COUNTS[0], metadata=None, extratags=[(65000, "d", 1, 1.5, True)])
    raw = (tmp_path / "a.tif").read_bytes()
    at = raw.index((65000).to_bytes(2, "little"))
    for change in (
        (12).to_bytes(2, "little") + (1).to_bytes(4, "little") + (10**7).to_bytes(4, "little"),
        (99).to_bytes(2, "little") + (1).to_bytes(4, "little") + (0).to_bytes(4, "little"),
        (2).to_bytes(2, "little") + (2**31).to_bytes(4, "little") + (8).to_bytes(4, "little"),
    ):
        (tmp_path / "b").mkdir(exist_ok=True)
        for k in range(3):
            (tmp_path / "b" / f"f{k}.tif").write_bytes(raw[: at + 2] + change + raw[at + 12 :])
        np.testing.assert_array_equal(scans.read(tmp_path / "b")[1], COUNTS[0])
        for code in (258, 273):  # but not the number of bits, or where they lie
            tag = raw.index(code.to_bytes(2, "little"))
            broken = raw[: at + 2] + change + raw[at + 12 :]
            broken = broken[: tag + 2] + (99).to_bytes(2, "little") + broken[tag + 4 :]
            (tmp_path / "c.tif").write_bytes(broken)
            with pytest.raises(scans.reading.BraggfillError, match="TIFF"):
                scans.read(tmp_path / "c.tif")


def test_a_codec_that_is_absent_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COUNTS[0], metadata=None)
    raw = bytearray((tmp_path / "a.tif").read_bytes())
    at = raw.index((259).to_bytes(2, "little") + (3).to_bytes(2, "little"))
    raw[at + 8] = 5  # LZW
    (tmp_path / "a.tif").write_bytes(raw)
    script = "import sys; sys.modules['imagecodecs'] = None; from braggfill import scans; scans.read(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.tif")], capture_output=True, text=True)
    assert "LZW" in done.stderr
    assert "pip install 'braggfill[formats]'" in done.stderr
