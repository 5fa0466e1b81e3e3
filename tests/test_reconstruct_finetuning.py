"""Fine-tuning in the DAG: the gap before and after, nothing of it learnt from, and what is left out says so."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.filling import finetune
from braggfill.runs import storage
from braggfill.settings.figures import FiguresSettings
from braggfill.settings.reconstruct import FinetuneSettings
from braggfill.stages.figures import tuning as figure
from braggfill.stages.figures.realtables import every
from braggfill.stages.reconstruct import finetuning
from braggfill.stages.reconstruct.finetuning import FINETUNE_COLUMNS
from peaks import peaked, untrained
from reconstruct_helpers import SETTINGS, left_out, particle

KEYS = {"oversampling": 3.0, "box_px": 96, "patches": 24, "epochs": 1, "photons_at_peak": 1e7}


def _files(folder):
    with storage.create(folder / "obj.h5") as file:
        file["obj"] = particle()
    with storage.create(folder / "scan.h5") as file:
        file["data"] = peaked((64, 100, 110), peak=1e6)
    networks.save(folder / "net.safetensors", untrained(), {"uncertainty": True})
    return folder / "obj.h5", folder / "scan.h5", folder / "net.safetensors"


def _run(folder, monkeypatch, **changes):
    monkeypatch.setattr(networks, "is_shipped", lambda name="braggfill": False)
    obj, scan, model = _files(folder)
    settings = SETTINGS.model_copy(update={"finetune": FinetuneSettings(**{**KEYS, **changes})})
    out, table = folder / "finetune.h5", folder / "finetune.csv"
    finetuning.finetuned(settings, 3, obj, obj, scan, model, out, table, code="c0de")
    return out, pandas.read_csv(table)


def test_the_gap_is_filled_before_and_after_and_never_learnt_from(tmp_path, monkeypatch):
    given = []
    real = finetune.finetune

    def spy(network, intensity, missing, **options):
        given.append((intensity, missing))
        learner, report = real(network, intensity, missing, **options)
        return learner, report

    monkeypatch.setattr(finetune, "finetune", spy)
    out, table = _run(tmp_path, monkeypatch, cases=("known", "measured"), distance_px=15)
    assert list(table.columns) == FINETUNE_COLUMNS
    assert list(table.method) == ["linear", "before", "after"] * 2
    assert list(table.case) == ["known"] * 3 + ["measured"] * 3
    assert table.pcc.between(-1, 1).all()
    assert (table.pcc <= table.ceiling + 0.1).all()
    assert table.pcc_held.notna().all()
    assert (table.amplitude_error > 0).all()
    after = table[table.method == "after"]
    assert (after.patches == 24).all()
    assert (after.finetune_seconds > 0).all()
    assert after.kept.notna().all()
    known = table[table.case == "known"].iloc[0]
    assert known.oversampling_0 >= 2.9
    with storage.read(out) as file:
        for (intensity, missing), name in zip(given, ("known", "measured"), strict=True):
            assert missing.all(axis=(0, 1)).sum() == missing.any(axis=(0, 1)).sum() == 6
            assert not intensity[missing].any()
            group, hidden = file[name], file[name]["missing"][...]
            middle = int(np.flatnonzero(hidden.any(axis=0)).mean() + 0.5)
            assert middle == np.unravel_index(intensity.argmax(), intensity.shape)[2] + 15
            for method in ("linear", "before", "after"):
                assert np.array_equal(group[method][...][~hidden], group["counts"][...][~hidden])
            if not group.attrs["kept"]:
                assert np.array_equal(group["before"][...], group["after"][...])
    (written,) = figure.slices(FiguresSettings(dpi=50, formats=("png",)), tmp_path / "figure", out)
    assert written.stat().st_size > 5000
    (tmp_path / "reconstruct").mkdir()
    table.to_csv(tmp_path / "reconstruct/finetune.csv", index=False)
    (said,) = (found for found in every(tmp_path) if found is not None)
    assert len(said.rows) == 6
    assert {len(row) for row in said.rows} == {len(said.head)}
    assert said.rows[2][6].endswith(("kept", "refused"))


def test_a_scan_that_cannot_be_learnt_from_says_why(tmp_path, monkeypatch):
    out, table = _run(tmp_path, monkeypatch, cases=("measured",), box_px=40, distance_px=2)
    assert table.problem.str.contains("too little of the scan").all()
    assert table.pcc_held.isna().all()
    assert np.isfinite(table.pcc).all()
    with storage.read(out) as file:
        assert not file["measured"].attrs["kept"]


def test_what_is_left_out_or_not_asked_for_has_no_rows(tmp_path, monkeypatch):
    gone = left_out(tmp_path / "gone.h5", "no network connection")
    monkeypatch.setattr(networks, "is_shipped", lambda name="braggfill": False)
    obj, scan, model = _files(tmp_path)
    settings = SETTINGS.model_copy(update={"finetune": FinetuneSettings(**KEYS, cases=("strained",))})
    out, table = tmp_path / "a.h5", tmp_path / "a.csv"
    finetuning.finetuned(settings, 3, obj, gone, scan, model, out, table)
    assert len(pandas.read_csv(table)) == 0
    with storage.read(out) as file:
        assert file.attrs["without_strained"] == "no network connection"
    assert figure.slices(FiguresSettings(), tmp_path / "figure", out) is None


def test_a_gap_that_does_not_fit_is_told(tmp_path, monkeypatch):
    with pytest.raises(BraggfillError, match="distance_px"):
        _run(tmp_path, monkeypatch, cases=("known",), distance_px=80)
    assert not (tmp_path / "finetune.h5").exists()
