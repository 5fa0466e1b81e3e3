"""The weights that ship reach what their card states; only better ones replace them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import braggfill
import numpy as np
import pandas as pd
import pytest
import torch
from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.settings.root import load
from braggfill.stages.evaluate.calibration import CALIBRATION_COLUMNS
from braggfill.stages.evaluate.cases import CASE_COLUMNS
from braggfill.stages.evaluate.patches import GAP_COLUMNS
from braggfill.weights import check, phase, shipping
from safetensors import safe_open

TOLERANCE = 0.005
"""PCC; processors and versions of PyTorch differ in the last bits, and nothing more."""
CARD = {
    "settings": {"epochs": 3},
    "seed": 7,
    "code": "c0de" * 16,
    "versions": {"torch": "1"},
    "patches": {"train": 20, "validation": 5},
    "patches_seen": 60,
}


@pytest.fixture(scope="module")
def shipped():
    torch.set_num_threads(2)
    return networks.load(networks.shipped())


@pytest.fixture(scope="module")
def kept(shipped):
    return check.figures(shipped)


@pytest.mark.parametrize("width", [str(width) for width in check.WIDTHS])
def test_the_figures_of_the_card_are_met(shipped, kept, width):
    stated = shipped.card["check"][width]
    for method in ("network", "linear"):
        assert kept[width][method] == pytest.approx(stated[method], abs=TOLERANCE)


@pytest.mark.parametrize("width", [str(width) for width in check.WIDTHS])
def test_the_network_is_ahead_of_linear_interpolation(kept, width):
    assert kept[width]["network"] > kept[width]["linear"]


def test_what_it_makes_of_counts_that_no_crystal_scatters_is_masked():
    """Rows ten thousand times as bright as their neighbours: some fillings are wild, and none of these is believed."""
    counts = np.random.default_rng(0).poisson(3, (40, 40, 40)).astype(np.float32)
    counts[:, ::2] *= 1e4
    mask = np.zeros(counts.shape, bool)
    mask[:, 18:22] = True
    filled = braggfill.inpaint(counts, mask)
    wild = mask & (filled.data > 10 * counts[~mask].max())
    assert np.isfinite(filled.data).all()
    masked = filled.phasing().masked
    assert masked[mask].mean() > 0.5
    assert not (wild & ~masked).any()


def test_every_shipped_file_is_small_half_precision_and_has_its_card():
    files = sorted(networks.WEIGHTS.glob("*.safetensors"))
    assert files
    for file in files:
        largest = {phase.NAME: phase.LARGEST_BYTES}
        assert file.stat().st_size <= largest.get(file.stem, shipping.LARGEST_BYTES)
        with safe_open(str(file), framework="pt") as weights:
            assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.float16}  # noqa: SIM118
        card = networks.card(file)
        assert card["network"] in networks.NAMES
        assert len(card["code"]) >= 16
        assert {"settings", "seed", "versions", "patches_seen", "check"} <= set(card)
        text = file.with_suffix(".md").read_text()
        assert f"{card['patches_seen']:,}" in text
        assert len(pd.read_csv(file.with_suffix(".csv"))) > 0


def test_it_fills_with_no_network_connection(tmp_path):
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "scan.npz", data=rng.poisson(check.pattern(0)[24:72, 24:72, 24:72]).astype(np.int32))
    mask = np.zeros((48, 48, 48), bool)
    mask[:, :, 20:24] = True
    np.save(tmp_path / "mask.npy", mask)
    script = (
        "import socket, sys\n"
        "def refuse(*arguments, **options): raise OSError('no connection')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from braggfill.cli import main\n"
        "sys.exit(main(['inpaint', 'scan.npz', '--mask', 'mask.npy', '-o', 'out.npz']))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BRAGGFILL")}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as out:
        assert np.isfinite(out["sigma"][mask]).all()
        assert (out["data"][mask] >= 0).all()


def rows(columns: list[str], **values) -> pd.DataFrame:
    return pd.DataFrame([{**dict.fromkeys(columns, 0.5), **values}], columns=columns)


def made_run(folder: Path, *, score: float, old: float | None = None, channels=(4, 8)) -> Path:
    """A run's folder with a network and tables that say how good it is, and the shipped one."""
    networks.save(folder / "train/model.safetensors", networks.build("braggfill", channels=channels), CARD)
    (folder / "train/history.csv").write_text("epoch,val_loss\n1,0.5\n")
    methods = {"network": score, "linear": 0.4} | ({} if old is None else {"braggfill": old})
    named = {"gap_axis": 1, "gap_px": 6, "selection": "ge1", "source": "measured", "against": "counts", "patches": 9}
    (folder / "evaluate").mkdir()
    pd.concat([rows(GAP_COLUMNS, **named, method=m, pcc_mean=s, ceiling=0.9) for m, s in methods.items()]).to_csv(
        folder / "evaluate/measured.csv", index=False
    )
    pd.DataFrame(columns=GAP_COLUMNS).to_csv(folder / "evaluate/simulated.csv", index=False)
    pd.DataFrame(columns=CASE_COLUMNS).to_csv(folder / "evaluate/cases.csv", index=False)
    (folder / "reconstruct").mkdir()
    (folder / "reconstruct/true_phase.csv").write_text("gap_px,method\n")
    return folder


def test_what_is_shipped_is_the_run_s_network_in_half_precision(tmp_path):
    run = made_run(tmp_path / "run", score=0.6)
    target = shipping.ship(run, folder=tmp_path / "weights")
    before, after = networks.load(run / "train/model.safetensors"), networks.load(target)
    for name, value in before.state_dict().items():
        assert torch.equal(value.half().float(), after.state_dict()[name])
    assert after.card["check"] == check.figures(after)
    text = target.with_suffix(".md").read_text()
    assert "| 6 px | 0.600 [" in text
    assert "60 seen" in text


def test_the_card_shows_how_it_learned_and_whether_its_uncertainty_is_right(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "figures", lambda network: {})
    run = made_run(tmp_path / "run", score=0.6)
    history = pd.DataFrame({"epoch": range(1, 41), "train_loss": 0.5, "val_loss": [1 / e for e in range(1, 41)]})
    history.to_csv(run / "train/history.csv", index=False)
    before = shipping.ship(run, folder=tmp_path / "weights").with_suffix(".md").read_text()
    assert "| 1 | 0.5 | 1 | – | – |" in before
    assert "| 40 | 0.5 | 0.025 | – | – |" in before
    assert len([line for line in before.splitlines() if line.endswith("| – | – |")]) <= 12
    assert "stated intervals" not in before
    named = {"source": "simulated", "gap_axis": 2, "gap_px": 6, "selection": "all", "distribution": "counts"}
    told = {"coverage_low": 0.62, "coverage_high": 0.72}
    rows_ = [
        rows(CALIBRATION_COLUMNS, **named, **told, method="network", level=x, coverage=x) for x in (0.5, 0.68, 0.95)
    ]
    pd.concat(rows_).to_csv(run / "evaluate/calibration.csv", index=False)
    after = shipping.ship(run, folder=tmp_path / "weights").with_suffix(".md").read_text()
    assert "| simulated, axis 2 | 6 px | 68.0% [62.0%, 72.0%] | 95.0% [62.0%, 72.0%] |" in after


def test_the_card_tells_what_the_first_weights_had_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "figures", lambda network: {})
    run = made_run(tmp_path / "run", score=0.6)
    networks.save(
        run / "train/model.safetensors",
        networks.build("braggfill", channels=(4, 8)),
        CARD | {"patches": {"train": 20, "validation": 4}, "patches_seen": 100, "metrics": {"epoch": 2}},
    )
    text = shipping.ship(run, folder=tmp_path / "weights").with_suffix(".md").read_text()
    assert "trained on 20 patches, 100 seen, 60 of them by the weights that it began with;" in text


def test_make_trains_the_network_further_that_is_shipped():
    top = Path(__file__).parent.parent
    done = subprocess.run(
        ["make", "-n", "weights", "FURTHER=1", "EPOCHS=2"], cwd=top, capture_output=True, text=True, check=True
    )
    assert "config/paper.yaml config/further.yaml --forcerun train" in done.stdout
    assert """--config 'train={"epochs": 2}'""" in done.stdout
    settings = load(top / "config/paper.yaml", top / "config/further.yaml").train
    assert settings.first_weights == "shipped"
    assert settings.options() == networks.load(networks.shipped()).options


def test_worse_weights_do_not_replace_better_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "figures", lambda network: {})
    run = made_run(tmp_path / "run", score=0.6, old=0.61)
    with pytest.raises(BraggfillError, match="behind the weights that are shipped now"):
        shipping.ship(run, folder=tmp_path / "weights")
    assert not (tmp_path / "weights").exists()
    assert shipping.ship(run, folder=tmp_path / "weights", force=True).is_file()
    assert shipping.ship(made_run(tmp_path / "better", score=0.62, old=0.61), folder=tmp_path / "weights").is_file()


@pytest.mark.parametrize("table", ["true_phase.csv", "particles.csv"])
def test_weights_that_cost_strain_do_not_replace_better_ones(tmp_path, monkeypatch, table):
    monkeypatch.setattr(check, "figures", lambda network: {})
    run = made_run(tmp_path / "run", score=0.62, old=0.61)
    cases = [(k, width) for k in (1, 2) for width in (6, 12)]
    for more, allowed in ((1.01, True), (1.08, False)):
        rows_ = [
            {"particle": k, "oversampling": 4.0, "gap_px": width, "method": name, "strain_rmse": error * k}
            | {"strain_rmse_factor": 2.0, "oversampling_0": 4.0, "oversampling_1": 4.0, "oversampling_2": 4.0}
            for k, width in cases
            for name, error in (("network", more), ("braggfill", 1.0), ("linear", 2.0))
        ]
        pd.DataFrame(rows_).to_csv(run / "reconstruct" / table, index=False)
        if allowed:
            text = shipping.ship(run, folder=tmp_path / "weights").with_suffix(".md").read_text()
            assert "| 12 px | 2.0 | 2.0 |" in text
        else:
            with pytest.raises(BraggfillError, match=r"strain error of .* 8\.0% higher"):
                shipping.ship(run, folder=tmp_path / "weights")


def test_a_run_that_did_not_end_is_told(tmp_path, capsys):
    run = made_run(tmp_path / "run", score=0.6)
    (run / "evaluate/cases.csv").unlink()
    assert shipping.main([str(run)]) == 2
    assert "cases.csv: no such file" in capsys.readouterr().err


def test_weights_that_are_too_large_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "figures", lambda network: {})
    monkeypatch.setattr(shipping, "LARGEST_BYTES", 1000)
    with pytest.raises(BraggfillError, match="fewer channels"):
        shipping.ship(made_run(tmp_path / "run", score=0.6), folder=tmp_path / "weights")
    assert not list((tmp_path / "weights").iterdir())
