"""The gaps that the stage `inpaint` lays into the measured scan."""

from __future__ import annotations

import numpy as np
import pytest
from braggfill import filling, networks
from braggfill.errors import BraggfillError
from braggfill.filling import methods as registry
from braggfill.runs import storage
from braggfill.settings.inpaint import InpaintSettings
from braggfill.stages import inpaint
from peaks import peaked, untrained


@pytest.fixture(scope="module")
def network():
    return untrained()


@pytest.fixture
def scan(tmp_path):
    """A scan and a detector's masks as fetch writes them."""
    counts = peaked((50, 60, 70), peak=1e5)
    detector = np.zeros((200, 200), bool)
    detector[98:102] = detector[:, 98:102] = True
    with storage.create(tmp_path / "scan.h5") as file:
        file["data"] = counts
    with storage.create(tmp_path / "masks.h5") as file:
        file["maxipix"] = detector
    return counts, tmp_path / "scan.h5", tmp_path / "masks.h5"


def test_the_cases_hold_what_they_say(tmp_path, scan, network):
    counts, scan_file, masks_file = scan
    networks.save(tmp_path / "net.safetensors", network, {"uncertainty": True})
    settings = InpaintSettings(
        crop_px=48, gap_widths_px=(3, 6), offset_px=(-7, 8), detector_offset_px=(5, -6), threads=1
    )
    inpaint.fill_cases(
        settings, 1, scan_file, masks_file, tmp_path / "net.safetensors", tmp_path / "out.h5", code="abc"
    )
    peak = np.array(np.unravel_index(counts.argmax(), counts.shape))
    with storage.read(tmp_path / "out.h5") as file:
        assert set(file) == {"plane-03", "plane-06", "cross-03", "cross-06", "detector-maxipix"}
        assert file.attrs["code"] == "abc"
        origin, shape = file.attrs["crop_origin"], file.attrs["crop_shape"]
        assert np.array_equal(file.attrs["peak"], peak)
        assert np.array_equal(shape, (48, 48, 48))
        cube = counts[tuple(slice(o, o + n) for o, n in zip(origin, shape, strict=True))]
        for name, case in file.items():
            mask = case["mask"][...]
            assert mask.shape == cube.shape
            assert np.array_equal(case["truth"][...], cube[mask])
            for axis in range(3):
                assert np.array_equal(case[f"central/axis{axis}"][...], cube.take(peak[axis] - origin[axis], axis))
            rows, columns = (np.flatnonzero(mask.all(axis=a)) for a in ((0, 2), (0, 1)))
            wanted = (5, -6) if name.startswith("detector") else (-7, 8)
            assert columns.mean() == pytest.approx(peak[2] - origin[2] + wanted[1], abs=1)
            assert len(columns) == case.attrs["width_px"]
            assert len(rows) == (0 if name.startswith("plane") else case.attrs["width_px"])
            if len(rows):
                assert rows.mean() == pytest.approx(peak[1] - origin[1] + wanted[0], abs=1)
            methods = registry.available(settings.methods)
            assert set(case["filled"]) == set(methods)
            for method in methods:
                model = network if method == "network" else None
                expected = filling.inpaint(np.where(mask, 0, cube), mask, method=method, network=model)
                assert np.allclose(case[f"filled/{method}"], expected.data[mask], rtol=1e-4, atol=1e-4)
            assert set(case["sigma"]) == {"network", "braggfill"} & set(methods)


def test_what_was_left_out_leaves_the_cases_out(tmp_path, scan, network):
    _, scan_file, masks_file = scan
    networks.save(tmp_path / "net.safetensors", network)
    settings = InpaintSettings(crop_px=32, gap_widths_px=(3,), kinds=("plane",), offset_px=(0, 4), methods=("linear",))
    for name in ("gone.h5", "nomasks.h5"):
        with storage.create(tmp_path / name, left_out="no network connection"):
            pass
    inpaint.fill_cases(settings, 1, tmp_path / "gone.h5", masks_file, tmp_path / "net.safetensors", tmp_path / "a.h5")
    assert storage.left_out(tmp_path / "a.h5") == "no network connection"
    inpaint.fill_cases(settings, 1, scan_file, tmp_path / "nomasks.h5", tmp_path / "net.safetensors", tmp_path / "b.h5")
    with storage.read(tmp_path / "b.h5") as file:
        assert set(file) == {"plane-03"}
        assert file.attrs["without_detector"] == "no network connection"


def test_gaps_and_detectors_that_do_not_fit_are_told_and_nothing_is_written(tmp_path, scan):
    _, scan_file, masks_file = scan
    for change in ({"offset_px": (0, 40)}, {"detector": "eiger"}, {"detector_offset_px": (300, 0)}):
        settings = InpaintSettings(
            **{"crop_px": 32, "gap_widths_px": (3,), "offset_px": (0, 4), "methods": ("linear",), **change}
        )
        with pytest.raises(BraggfillError):
            inpaint.fill_cases(settings, 1, scan_file, masks_file, tmp_path / "net", tmp_path / "out.h5")
        assert not (tmp_path / "out.h5").exists()
