"""What training is shown: which patches, their gaps, symmetries and targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from braggfill.errors import BraggfillError
from braggfill.learning import symmetries
from braggfill.learning.gap.data import Batches, decode, encode, load
from braggfill.runs import storage
from braggfill.settings.train import TrainSettings
from braggfill.stages.train import train
from patch_files import chosen, write


def test_sixteen_bits_hold_the_logarithm_of_counts():
    counts = np.array([0, 1, 2, 10, 1e3, 1e6, 2.5e8, 1e10], np.float32)
    back = decode(torch.from_numpy(encode(counts))).numpy()
    assert back[0] == 0
    assert np.abs(back - np.log1p(counts)).max() <= 12.01 / 65535


def test_there_are_48_symmetries_and_they_keep_neighbours():
    table = symmetries.tables(3).numpy()
    assert len({tuple(row) for row in table}) == 48
    cube = np.arange(27)
    place = np.stack(np.unravel_index(cube, (3, 3, 3)), -1)
    near = np.abs(place[:, None] - place[None]).sum(-1) == 1
    for row in table:
        assert sorted(row) == cube.tolist()
        turned = place[row]
        assert np.array_equal(np.abs(turned[:, None] - turned[None]).sum(-1) == 1, near)


def test_every_patch_is_seen_once_an_epoch_with_fresh_gaps(tmp_path):
    files = [write(tmp_path / "a.h5", 30, 1, split=0)]
    options = chosen(batch_size=8)
    patches, _ = load(files, options)
    marks = {tuple(code.reshape(-1)[:50].tolist()): i for i, code in enumerate(patches.counted)}
    orders, masks = [], []
    for epoch in (0, 1, 0):
        batches = Batches(patches, options, 1, epoch)
        seen = [batches[i] for i in range(len(batches))]
        orders.append([marks[tuple(c.reshape(-1)[:50].tolist())] for b in seen for c in b["counted"]])
        masks.append(torch.cat([b["mask"] for b in seen]))
        assert sorted(orders[-1]) == list(range(30))
    assert orders[0] == orders[2] != orders[1]
    assert torch.equal(masks[0], masks[2])
    assert not torch.equal(masks[0], masks[1])
    checks = [Batches(patches, options, 1, None)[0]["mask"] for _ in range(2)]
    assert torch.equal(*checks)


def test_counts_are_the_target_where_asked_or_where_nothing_else_is_known(tmp_path):
    known, unknown = write(tmp_path / "a.h5", 8, 1, split=0), tmp_path / "b.h5"
    write(unknown, 8, 1, split=0, expectation=False)
    simulated, _ = load([known], chosen())
    assert not torch.equal(simulated.counted, simulated.wanted)
    for files, options in (([known], chosen(target="counts")), ([unknown], chosen())):
        patches, _ = load(files, options)
        assert torch.equal(patches.counted, patches.wanted)


def test_dark_patches_and_the_test_split_are_left_out(tmp_path):
    path = tmp_path / "a.h5"
    counts = np.ones((6, 16, 16, 16), np.uint32)
    counts[0] = 0
    with storage.create(path) as file:
        file["counts"], file["split"] = counts, np.array([0, 0, 0, 1, 2, 2], np.uint8)
    learning, checking = load([path], chosen(photons_min=0.5))
    assert (len(learning), len(checking)) == (2, 1)
    assert len(load([path, path], chosen(patches_max=4))[0]) == 4
    assert len(load([path, path], chosen(validation_max=1))[1]) == 1


def test_the_most_patches_are_taken_of_all_files_alike(tmp_path):
    files = [write(tmp_path / "a.h5", 4, 1, split=0), *(write(tmp_path / f"{i}.h5", 16, i, split=0) for i in (2, 3))]
    few, _ = load(files, chosen(patches_max=6))
    many, _ = load(files, chosen(patches_max=20))
    assert (len(few), len(many)) == (6, 20)
    parts = [load([file], chosen(patches_max=8))[0].counted for file in files]
    assert torch.equal(few.counted, torch.cat([part[:2] for part in parts]))
    assert torch.equal(many.counted, torch.cat([parts[0], parts[1], parts[2]]))


def test_what_cannot_be_trained_on_is_told(tmp_path):
    options = chosen()
    with pytest.raises(BraggfillError, match="no such file"):
        load([tmp_path / "none.h5"], options)
    with storage.create(tmp_path / "gone.h5", left_out="no data"):
        pass
    with pytest.raises(BraggfillError, match="not one training patch"):
        load([tmp_path / "gone.h5"], options)
    with storage.create(tmp_path / "other.h5") as file:
        file["positions"] = np.zeros(3)
    with pytest.raises(BraggfillError, match="not a file of patches"):
        load([tmp_path / "other.h5"], options)
    with storage.create(tmp_path / "bad.h5") as file:
        file["counts"], file["split"] = np.full((1, 8, 8, 8), -1.0), np.zeros(1, np.uint8)
    with pytest.raises(BraggfillError, match="negative"):
        load([tmp_path / "bad.h5"], options)
    with storage.create(tmp_path / "flat.h5") as file:
        file["counts"], file["split"] = np.ones((1, 8, 8, 4)), np.zeros(1, np.uint8)
    with pytest.raises(BraggfillError, match="symmetries"):
        train(TrainSettings(), 1, [tmp_path / "flat.h5"], tmp_path / "m", tmp_path / "h", tmp_path / "w")
    write(tmp_path / "good.h5", 4, 1)
    with pytest.raises(BraggfillError, match="different sizes"):
        load([tmp_path / "good.h5", tmp_path / "flat.h5"], options)
    with pytest.raises(BraggfillError, match="32"):
        train(TrainSettings(network="paper"), 1, [tmp_path / "good.h5"], tmp_path / "m", tmp_path / "h", tmp_path / "w")
