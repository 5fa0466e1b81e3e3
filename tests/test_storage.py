"""Files are whole or absent."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from braggfill.errors import BraggfillError
from braggfill.runs import seeds, storage


def test_what_is_written_is_read_back_with_its_provenance(tmp_path):
    path = tmp_path / "new" / "file.h5"
    with storage.create(path, settings={"radius_nm": 3.0}, seed=7, code="abc", extra="yes") as file:
        file["data"] = np.arange(5)
        assert not path.exists(), "the file must not stand under its name before it is whole"
    with storage.read(path) as file:
        assert file["data"][:].tolist() == [0, 1, 2, 3, 4]
        assert json.loads(file.attrs["settings"]) == {"radius_nm": 3.0}
        assert (file.attrs["seed"], file.attrs["code"], file.attrs["extra"]) == (7, "abc", "yes")
        assert json.loads(file.attrs["versions"])["numpy"] == np.__version__
    assert storage.left_out(path) is None
    assert [item.name for item in path.parent.iterdir()] == ["file.h5"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.h5"
    with storage.create(path) as file:
        file["data"] = 1

    def stop_half_way():
        with storage.create(path) as file:
            file["data"] = 2
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        stop_half_way()
    with storage.read(path) as file:
        assert file["data"][()] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["file.h5"]


def test_left_out_carries_its_reason(tmp_path):
    with storage.create(tmp_path / "none.h5", left_out="no such scan at hand"):
        pass
    assert storage.left_out(tmp_path / "none.h5") == "no such scan at hand"


def test_missing_and_truncated_files_are_one_clear_line(tmp_path):
    whole = tmp_path / "whole.h5"
    with storage.create(whole) as file:
        file["data"] = np.random.default_rng(0).random(10_000)
    cut = tmp_path / "cut.h5"
    cut.write_bytes(whole.read_bytes()[:20_000])
    for path, word in ((tmp_path / "no.h5", "no such file"), (cut, "truncated")):
        with pytest.raises(BraggfillError, match=word) as caught, storage.read(path):
            pass
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_unwritable_place_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BraggfillError, match="choose another folder"), storage.create(tmp_path / "file" / "x.h5"):
        pass


def test_what_a_killed_job_left_is_no_file_of_the_run(tmp_path):
    with storage.create(tmp_path / "fetch/whole.h5"):
        pass
    (tmp_path / "fetch/.whole.0123abcd.part.h5").write_bytes(b"half")
    assert storage.files(tmp_path, "**/*.h5") == storage.files(tmp_path, "fetch/*.h5") == [tmp_path / "fetch/whole.h5"]


def test_an_empty_table_keeps_its_header(tmp_path):
    storage.write_table(tmp_path / "t.csv", pd.DataFrame(), columns=["gap_px", "pcc"])
    assert (tmp_path / "t.csv").read_text() == "gap_px,pcc\n"


def test_seeds_depend_on_what_is_drawn_and_nothing_else():
    def draw(*key):
        return seeds.generator(*key).random(4).tolist()

    assert draw(1, "particle", 5) == draw(1, "particle", 5)
    others = [(2, "particle", 5), (1, "relax", 5), (1, "particle", 6), (1, "particle", 5, 0), (1, "particle")]
    assert all(draw(*key) != draw(1, "particle", 5) for key in others)
    assert 0 <= seeds.integer(1, "train") < 2**31
    with pytest.raises(ValueError, match="negative"):
        seeds.generator(1, "particle", -1)
