"""The weights of the phase network: they ship only if they pay as a start, and keep what their card states."""

from __future__ import annotations

import pandas as pd
import pytest
from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.learning.phase_training import TrainingOptions, train
from braggfill.weights import phase

SMALL = {"channels": (4, 6, 8), "blocks": 1, "heads": 2}
TOLERANCE = 0.01


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    train(folder, TrainingOptions(patterns=8, batch=4, pool=4, validation=3, warm_up=1), **SMALL)
    return folder


def table(path, right, objects=10):
    rows = [
        {"study": "particles", "kind": kind, "particle": i, "range_radians": 1.0, "method": method,
         "accuracy": 0.96 if i < number else 0.5, "cpu_seconds": 3.0}
        for kind in ("gaussians", "cosines")
        for method, number in right.items()
        for i in range(objects)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_a_network_that_pays_ships_with_its_card(training, tmp_path):
    good = table(tmp_path / "a.csv", {"network": 0, "network_run": 8, "best_of_6": 7})
    target = phase.ship(training, good, tmp_path / "w")
    shipped = networks.load(target)
    assert shipped.card["patches_seen"] == 8
    assert shipped.card["starts"][0]["network_run right"] == 8
    assert phase.figures(shipped) == pytest.approx(shipped.card["check"], abs=1e-5)
    text = target.with_suffix(".md").read_text()
    assert "| gaussians | 10 |" in text
    assert len(pd.read_csv(target.with_suffix(".csv"))) == len(pd.read_csv(training / "curve.csv"))


def test_a_network_that_does_not_pay_stays(training, tmp_path):
    for right, objects, why in (
        ({"network": 0, "network_run": 6, "best_of_6": 7}, 10, "behind random starts for cosines, gaussians"),
        ({"network": 0, "network_run": 5, "best_of_6": 4}, 5, "fewer than 10 objects"),
        ({"network": 3}, 10, "fewer than 10 objects"),
    ):
        with pytest.raises(BraggfillError, match=why):
            phase.ship(training, table(tmp_path / "a.csv", right, objects), tmp_path / "w")
    assert not (tmp_path / "w").exists()
    with pytest.raises(BraggfillError, match="no such file"):
        phase.ship(training, tmp_path / "none.csv", tmp_path / "w")


@pytest.mark.skipif(
    not networks.is_shipped(phase.NAME), reason="no weights of the phase network come with this version"
)
def test_shipped_weights_keep_what_their_card_states():
    shipped = networks.load(networks.shipped(phase.NAME))
    assert phase.figures(shipped) == pytest.approx(shipped.card["check"], abs=TOLERANCE)
