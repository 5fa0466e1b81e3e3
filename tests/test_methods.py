"""Registries: a name is known in one place, and whoever asks gets the same."""

from __future__ import annotations

import sys
from typing import Annotated

import numpy as np
import pytest
from braggfill import networks
from braggfill.cli import _parser
from braggfill.errors import BraggfillError
from braggfill.filling import inpaint, methods, trust
from braggfill.patterns import gaps
from braggfill.patterns import interpolate as interpolation
from braggfill.runs import device
from braggfill.settings.base import OneOf, StageSettings
from braggfill.settings.evaluate import EvaluateSettings
from braggfill.settings.train import TrainSettings
from pydantic import ValidationError


def test_the_interpolations_are_those_of_the_library():
    here = [name for name in methods.NAMES if methods.module_of(name) == "braggfill.filling.interpolated"]
    assert tuple(here) == interpolation.METHODS
    assert set(here) <= set(methods.INTERPOLATIONS)


def test_a_method_is_one_file_and_one_line_of_the_registry(tmp_path, monkeypatch):
    """It fills, in Python and for whoever else asks the registry, with nothing else changed."""
    (tmp_path / "sevens.py").write_text(
        "import numpy\n\n\ndef fill(seen, mask, network, options):\n    return numpy.full(int(mask.sum()), 7.0), None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(methods.METHODS, "seven", methods.Method("sevens:fill"))
    assert methods.module_of("seven") == "sevens"
    counts, mask = np.ones((6, 8, 10)), gaps.plane((6, 8, 10), 2)
    filled = inpaint(counts, mask, method="seven")
    assert set(filled.data[mask]) == {7}
    assert np.isnan(filled.sigma).all()
    assert methods.available(["seven", "network", "free"]) == ["seven", "network", "free"]


def test_the_command_line_offers_the_registry_and_the_words_of_trust():
    words = {}
    commands = next(action for action in _parser()._actions if action.dest == "command").choices
    for action in commands["inpaint"]._actions:
        words[action.dest] = action
    assert tuple(words["method"].choices) == methods.NAMES
    assert words["masked"].metavar.split("|") == list(trust.MASKED)
    assert words["value"].metavar.split("|") == list(trust.VALUES)


def test_a_network_is_one_file_and_one_line(tmp_path, monkeypatch):
    (tmp_path / "tiny_network.py").write_text(
        "import torch\nclass Tiny(torch.nn.Module):\n    name, options, uncertain = 'tiny', {}, False\n"
        "    def __init__(self):\n        super().__init__()\n        self.one = torch.nn.Linear(1, 1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(networks.REGISTRY, "tiny", "tiny_network:Tiny")
    assert networks.module_of("tiny") == "tiny_network"
    network = networks.build("tiny")
    networks.save(tmp_path / "tiny.safetensors", network)
    assert networks.load(tmp_path / "tiny.safetensors").name == "tiny"
    with pytest.raises(BraggfillError, match=r"options .* do not fit"):
        networks.build("tiny", wings=2)
    sys.modules.pop("tiny_network")


def test_every_network_of_the_registry_is_there():
    for name in networks.NAMES:
        assert networks.build(name).name == name
    with pytest.raises(BraggfillError, match="network: 'willy' is unknown; use one of braggfill, paper"):
        networks.module_of("willy")


def test_settings_take_the_names_of_the_registry():
    class Model(StageSettings):
        method: Annotated[str, OneOf("braggfill.filling.methods:NAMES", without=("paper",), more=("free",))] = "free"

    assert Model.model_json_schema()["properties"]["method"]["enum"] == [
        "free",
        *(name for name in methods.NAMES if name != "paper"),
    ]
    with pytest.raises(ValidationError, match="'free', 'network', 'braggfill', 'finite', 'linear'"):
        Model(method="paper")
    assert EvaluateSettings(methods=("idw",)).methods == ("idw",)
    with pytest.raises(ValidationError, match="'braggfill' or 'paper'"):
        TrainSettings(network="willy")


@pytest.mark.parametrize("name", ["meta", "banana", "cuda:", "cpu ", "", "cuda:1:2", 3])
def test_a_device_that_is_none_is_told(name):
    for ask in (device.check, device.choose):
        with pytest.raises(BraggfillError, match=r"--device: .* is unknown; use auto, cpu, cuda"):
            ask(name, "--device")


def test_a_device_is_chosen_and_one_that_is_not_here_is_told(monkeypatch):
    import torch

    assert device.choose("cpu") == "cpu"
    assert device.check("cuda:1") == "cuda:1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.choose() == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose() == "cpu"
    with pytest.raises(BraggfillError, match="device: 'xpu:7' cannot be used here; use auto or cpu"):
        device.choose("xpu:7")
