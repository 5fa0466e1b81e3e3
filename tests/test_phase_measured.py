"""Measured scans in the stage ``phase``: cut, phased, kept with all that says how far the object is to be trusted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from braggfill.errors import BraggfillError
from braggfill.phasing import engines
from braggfill.runs import storage
from braggfill.settings.phase import GeometrySettings, MeasuredSettings, PhaseSettings
from braggfill.stages.phase import measured
from phasing_objects import counted, crystal

GEOMETRY = GeometrySettings(energy_ev=9000, distance_m=1, pixel_um=55, rocking_step_deg=0.01, delta_deg=30)
SCANNED = MeasuredSettings(
    scans=("some",), crop_px=32, engine="projections", starts=2, support_threshold=0.25, geometry={"some": GEOMETRY}
)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """A scan whose peak is not in its middle and one voxel of which is dead, phased."""
    place = tmp_path_factory.mktemp("measured")
    data = np.zeros((40, 36, 32), np.int32)
    data[4:36, :32] = counted(crystal())[0]
    data[6, 3, 3] = -1
    with storage.create(place / "some.h5") as file:
        file["data"] = data
    measured.measure(PhaseSettings(measured=SCANNED), 3, "some", place / "some.h5", place / "measured-some.h5")
    return place, data


def test_a_measured_scan_is_cut_around_its_peak_and_phased(scanned):
    place, data = scanned
    with storage.read(place / "measured-some.h5") as file:
        counts, about = file["counts"][()], dict(file.attrs)
        assert file["obj"].shape == file["phase_std"].shape == counts.shape == (32, 32, 32)
        assert counts.max() == data.max()
        assert about["masked_share"] == pytest.approx(1 / 32**3)
        assert about["verdict"] in ("converged", "uncertain", "failed")
        assert len(file["runs/llk_free"]) == about["starts"] >= 2
        assert np.isfinite(file["laboratory/strain"][()]).any()
        assert about["voxel_nm"] > 0
    measured.table([place / "measured-some.h5"], place / "measured.csv")
    table = pd.read_csv(place / "measured.csv")
    assert list(table.columns) == measured.COLUMNS
    assert table.scan.iloc[0] == "some"


def test_the_crop_stays_inside_the_scan():
    data = np.zeros((10, 30, 40))
    data[1, 28, 20] = 5
    found = measured.crop(data, 16)
    assert found.shape == (10, 16, 16)
    assert found.max() == 5
    with pytest.raises(BraggfillError, match="three axes"):
        measured.crop(data[0], 8)


def test_a_scan_that_is_not_there_or_is_none_is_told(tmp_path):
    with storage.create(tmp_path / "gone.h5", left_out="could not be had"):
        pass
    measured.measure(PhaseSettings(), 1, "gone", tmp_path / "gone.h5", tmp_path / "out.h5")
    assert storage.left_out(tmp_path / "out.h5") == "could not be had"
    measured.table([tmp_path / "out.h5"], tmp_path / "out.csv")
    assert not len(pd.read_csv(tmp_path / "out.csv"))
    with storage.create(tmp_path / "obj.h5") as file:
        file["obj"] = np.zeros(3)
    with pytest.raises(BraggfillError, match="holds no counts"):
        measured.measure(PhaseSettings(), 1, "obj", tmp_path / "obj.h5", tmp_path / "out.h5")


def test_the_settings_know_every_engine():
    for name in engines.ENGINES:
        MeasuredSettings(engine=name)
