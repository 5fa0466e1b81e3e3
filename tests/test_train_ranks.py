"""Training in several processes is the same training."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.learning import ranks
from braggfill.learning.gap.data import Batches, load
from braggfill.learning.task import Plan
from braggfill.runs import storage
from braggfill.settings.train import TrainSettings
from braggfill.stages.train import train
from patch_files import chosen

OPTIONS = {"channels": (4, 8), "batch_size": 6, "epochs": 2, "threads": 1, "device": "cpu", "clip_norm": 0.1}


def write(path: Path, number: int) -> Path:
    rng = np.random.default_rng(1)
    expectation = rng.gamma(2.0, 10.0, (number, 16, 16, 16)).astype(np.float32)
    with storage.create(path) as file:
        file["counts"], file["expectation"] = rng.poisson(expectation).astype(np.uint32), expectation
        file["split"] = (np.arange(number) % 5 == 4).astype(np.uint8)
    return path


def plan(**known) -> Plan:
    return Plan(**{"epochs": 1, "learning_rate": 1e-3, **known})


def run(folder: Path, patches: Path, **change):
    folder.mkdir(exist_ok=True)
    names = folder / "model.safetensors", folder / "history.csv"
    card = train(TrainSettings(**{**OPTIONS, **change}), 1, [patches], *names, folder / "work", code="c0de")
    with open(names[1], newline="") as file:
        return card, networks.load(names[0]).state_dict(), list(csv.DictReader(file))


@pytest.mark.parametrize("several", [2, 3, 8])
def test_processes_divide_every_batch_among_them(tmp_path, several):
    patches, checking = load([write(tmp_path / "a.h5", 24)], chosen(**OPTIONS))
    for part, epoch in ((patches, 0), (checking, None)):
        whole = Batches(part, chosen(**OPTIONS), 1, epoch)
        own = [Batches(part, chosen(**OPTIONS), 1, epoch, rank, several) for rank in range(several)]
        for item, batch in enumerate(whole):
            shares = [one[item] for one in own]
            assert sum(s["share"] for s in shares) == pytest.approx(several)
            for name in ("counted", "mask"):
                parts = [s[name] for s in shares if s["share"]]
                assert sum(map(len, parts)) == len(batch[name])
                for rank, found in enumerate(parts):
                    assert torch.equal(found, batch[name][rank::several])
            assert all(len(s["counted"]) for s in shares)
            assert len({s["noise"] for s in shares}) == several


def test_two_processes_train_as_one_does(tmp_path):
    """Two epochs, the last batch uneven; gradients, clipping, losses, PCC and the best epoch agree up to rounding."""
    patches = write(tmp_path / "a.h5", 23)  # 19 to train on, in batches of 6, 6, 6 and 1
    one, two = run(tmp_path / "one", patches), run(tmp_path / "two", patches, devices=2)
    for name, value in one[1].items():
        torch.testing.assert_close(two[1][name], value, rtol=1e-3, atol=1e-5)
    for mine, other in zip(one[2], two[2], strict=True):
        for name in set(mine) - {"seconds"}:
            assert float(other[name]) == pytest.approx(float(mine[name]), rel=1e-4)
    assert one[0]["metrics"]["epoch"] == two[0]["metrics"]["epoch"]
    assert [path.suffix for path in (tmp_path / "two/work").iterdir()] == [".ckpt"]
    # One process takes up what two have left: the checkpoint is the same thing.
    (checkpoint,) = (tmp_path / "two/work").iterdir()
    state = torch.load(checkpoint, weights_only=True)["callbacks"]["Progress"]
    assert [row["epoch"] for row in state["rows"]] == [1, 2]
    again = run(tmp_path / "two", patches)
    assert again[2] == two[2]


def test_a_process_that_fails_ends_the_others_and_is_told(tmp_path, monkeypatch):
    patches = write(tmp_path / "a.h5", 12)
    original = ranks._start

    def broken(folder, rank, several, port):
        if rank == 1:  # its patches are gone: nothing that it could train on
            return subprocess.Popen([sys.executable, "-c", "raise SystemExit('no memory')"], stderr=subprocess.DEVNULL)
        return original(folder, rank, several, port)

    monkeypatch.setattr(ranks, "_start", broken)
    monkeypatch.setattr(ranks, "PATIENCE_S", 0.5)
    with pytest.raises(BraggfillError, match="process 2 of 2 failed"):
        run(tmp_path / "out", patches, devices=2)
    assert not list((tmp_path / "out").glob("*.safetensors"))
    assert not list((tmp_path / "out/work").glob("*.ranks"))


@pytest.mark.long
def test_processes_die_with_the_one_that_started_them(tmp_path):
    write(tmp_path / "a.h5", 12)
    script = (
        "import sys; from pathlib import Path; from braggfill.stages.train import train;"
        "from braggfill.settings.train import TrainSettings; p = Path(sys.argv[1]);"
        "train(TrainSettings.model_validate_json(sys.argv[2]), 1, [p / 'a.h5'], p / 'm', p / 'h', p / 'work')"
    )
    options = TrainSettings(**{**OPTIONS, "epochs": 5000, "devices": 2}).model_dump_json()
    command = [sys.executable, "-c", script, str(tmp_path), options]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        deadline = time.monotonic() + 300
        while not list((tmp_path / "work").glob("*.ckpt")) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        children = _children(process.pid)
        process.send_signal(signal.SIGKILL)
    assert len(children) == 2
    deadline = time.monotonic() + 10
    while any(map(_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_alive, children))


def _children(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(folder.name))
            except (OSError, IndexError):
                continue
    return found


def _alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_how_many_train(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert ranks.number(plan()) == 1
    assert ranks.number(plan(device="cpu", devices=3)) == 3
    assert ranks.number(plan(device="cpu", devices=3, batch_size=2)) == 2
    with pytest.raises(BraggfillError, match="no GPU"):
        ranks.number(plan(device="gpu"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert ranks.number(plan(batch_size=256)) == 4
    assert ranks.number(plan(batch_size=16)) == 2
    assert ranks.number(plan(device="gpu", devices=1)) == 1
    assert ranks.number(plan(device="cpu")) == 1
    with pytest.raises(BraggfillError, match="8 GPUs are asked for, 4 are there"):
        ranks.number(plan(device="gpu", devices=8))


def test_tensorboard_gets_the_learning_curve_and_its_absence_is_told(tmp_path, monkeypatch):
    patches = write(tmp_path / "a.h5", 12)
    _, _, rows = run(tmp_path / "out", patches, tensorboard=True)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = (tmp_path / "out" / "work" / "tensorboard").rglob("events.out.tfevents.*")
    told = EventAccumulator(str(events)).Reload()
    for name in ("train_loss", "val_loss", "linear_pcc"):
        shown = {scalar.step: scalar.value for scalar in told.Scalars(name)}
        assert shown == pytest.approx({int(row["epoch"]): float(row[name]) for row in rows}, rel=1e-4)
    from lightning.fabric.loggers import tensorboard as module

    monkeypatch.setattr(module, "_TENSORBOARD_AVAILABLE", False)
    monkeypatch.setattr(module, "_TENSORBOARDX_AVAILABLE", False)
    with pytest.raises(BraggfillError, match="TensorBoard is not installed"):
        run(tmp_path / "none", patches, tensorboard=True)


def test_half_precision_is_left_to_gpus_unless_asked_for(tmp_path):
    patches = write(tmp_path / "a.h5", 12)
    plain, own, half = (run(tmp_path / name, patches, precision=name)[1] for name in ("32", "auto", "bf16"))
    assert all(torch.equal(own[name], value) for name, value in plain.items())
    assert all(torch.isfinite(value).all() for value in half.values())
    assert any(not torch.equal(half[name], value) for name, value in plain.items())
