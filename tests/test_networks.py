"""The networks are what they are said to be, look at nothing in the gap, and survive the disk."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from braggfill import networks
from braggfill.errors import BraggfillError
from braggfill.networks.folding import fold, unfold
from braggfill.networks.gap import blocks
from braggfill.networks.gap.bridge import averaged, bridge
from braggfill.networks.gap.orient import orders
from braggfill.networks.gap.unet import joined
from braggfill.patterns import gaps
from safetensors.torch import load as unpack
from safetensors.torch import save as pack
from torch.utils.flop_counter import FlopCounterMode

SMALL = {"channels": [4, 8]}


def _patch(seed: int = 0, shape: tuple[int, ...] = (32, 32, 32), width: int = 6):
    """Smooth log counts and a gap, a batch of one."""
    rng = np.random.default_rng(seed)
    grids = np.meshgrid(*(np.arange(n) / 7 for n in shape), indexing="ij")
    logs = 4 + sum(np.sin(g + p) for g, p in zip(grids, rng.uniform(0, 6, 3), strict=True))
    mask = gaps.plane(shape, width)
    return torch.from_numpy(logs).float()[None], torch.from_numpy(mask)[None]


def _flops(name: str, **options: object) -> float:
    network = networks.build(name, **options)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.predict(*_patch())
    return counter.get_total_flops() / 1e9


def test_the_published_network_has_its_parameters_and_its_cost():
    assert sum(p.numel() for p in networks.build("paper").parameters()) == 2_771_309
    assert _flops("paper") == pytest.approx(4.77, abs=0.01)


def test_the_default_network_costs_less_than_three_fifths_of_it():
    assert _flops("braggfill") <= 2.7 < 0.6 * _flops("paper")


def test_the_published_network_has_the_published_sizes():
    network = networks.build("paper").eval()
    shapes = []
    for module in (*network.dilated, *network.down, network.bottom, *network.up, *network.head, network.last):
        module.register_forward_hook(lambda _m, _i, output: shapes.append(tuple(output.shape[1:])))
    with torch.no_grad():
        out = network(torch.rand(1, 1, 32, 32, 32))
    # Blocks are seen after their pooling, plain convolutions before their pooling or upsampling.
    assert shapes == [
        *[(33, 16, 16, 16), (97, 8, 8, 8), (128, 8, 8, 8), (256, 4, 4, 4), (478, 2, 2, 2)],
        *[(222, 4, 4, 4), (96, 8, 8, 8), (32, 16, 16, 16)],
        *[(24, 32, 32, 32), (12, 32, 32, 32), (6, 32, 32, 32), (1, 32, 32, 32)],
    ]
    assert out.shape == (1, 1, 32, 32, 32)
    assert out.min() >= 0
    assert out.max() <= 1


def test_its_output_is_the_steep_sigmoid():
    network = networks.build("paper").eval()
    with torch.no_grad():
        network.last.weight.zero_()
        network.last.bias.fill_(0.7)
        out = network(torch.rand(1, 1, 32, 32, 32))
    assert torch.allclose(out, torch.tensor(1 / (1 + np.exp(-1.5 * 0.7)), dtype=torch.float32))


@pytest.mark.parametrize(("name", "options"), [("paper", {}), ("braggfill", SMALL)])
def test_nothing_in_the_gap_is_looked_at(name, options):
    network = networks.build(name, **options).eval()
    logs, mask = _patch()
    with torch.no_grad():
        one, one_spread = network.predict(logs, mask)
        for value in (0.0, 30.0, float("nan")):
            other, other_spread = network.predict(logs.masked_fill(mask, value), mask)
            assert torch.equal(one, other)
            if network.uncertain:
                assert torch.equal(one_spread, other_spread)
    assert torch.isfinite(one).all()


def test_what_is_measured_is_looked_at():
    network = networks.build("braggfill", **SMALL).eval()
    logs, mask = _patch()
    changed = logs.clone()
    changed[0, 16, 16, 12] += 1
    with torch.no_grad():
        assert not torch.equal(network.predict(logs, mask)[0][mask], network.predict(changed, mask)[0][mask])


@pytest.mark.parametrize("shape", [(32, 32, 32), (5, 7, 9), (33, 20, 46), (2, 3, 40)])
def test_the_default_network_takes_any_size(shape):
    network = networks.build("braggfill", **SMALL).eval()
    logs, mask = _patch(shape=shape, width=2)
    with torch.no_grad():
        mean, log_variance = network.predict(logs, mask)
    assert mean.shape == log_variance.shape == (1, *shape)
    assert torch.isfinite(mean).all()


def test_moving_the_pattern_moves_the_prediction():
    """Fully convolutional: far from the border a shift by the coarsest voxel shifts the result, to rounding."""
    network = networks.build("braggfill", **SMALL).eval()
    step = network.multiple
    assert step == 4
    rng = np.random.default_rng(0)
    logs = torch.from_numpy(rng.random((1, 64, 64, 64 + step))).float() * 5
    mask = torch.zeros(logs.shape, dtype=torch.bool)
    mask[..., 30:36] = True
    with torch.no_grad():
        one = network.predict(logs[..., :-step], mask[..., :-step])[0]
        other = network.predict(logs[..., step:], mask[..., step:])[0]
    inner = slice(24, 40)
    assert torch.allclose(one[:, inner, inner, 28:36], other[:, inner, inner, 28 - step : 36 - step], atol=1e-5)
    assert not torch.allclose(one[:, inner, inner, 28:36], other[:, inner, inner, 28:36], atol=1e-2)


@pytest.mark.parametrize(("name", "options"), [("paper", {}), ("braggfill", SMALL)])
def test_gaps_across_every_axis_are_filled_alike(name, options):
    network = networks.build(name, **options).eval()
    logs, mask = _patch()
    logs = logs + torch.rand(logs.shape)
    mask = mask | torch.from_numpy(gaps.plane((32, 32, 32), 3, axis=1))
    with torch.no_grad():
        one = network.predict(logs, mask)[0]
        for order in ((0, 2, 1), (1, 0, 2), (2, 0, 1), (2, 1, 0)):
            axes = (0, *(axis + 1 for axis in order))
            turned = network.predict(logs.permute(axes), mask.permute(axes))[0]
            assert torch.allclose(turned, one.permute(axes), atol=1e-5)
        both = network.predict(torch.cat([logs, logs.transpose(1, 3)]), torch.cat([mask, mask.transpose(1, 3)]))[0]
    assert torch.allclose(both[0], one[0], atol=1e-5)
    assert torch.allclose(both[1].transpose(0, 2), one[0], atol=1e-5)


def test_axes_are_ordered_by_their_missing_planes():
    shape = (8, 9, 10)
    masks = [
        gaps.plane(shape, 3, axis=2),
        gaps.plane(shape, 3, axis=1),
        gaps.plane(shape, 3, axis=0),
        gaps.cross(shape, (4, 2)),
        gaps.cross(shape, (2, 2), (3, 0)),
        np.zeros(shape, bool),
    ]
    found = orders(torch.from_numpy(np.stack(masks))).tolist()
    assert found == [[0, 1, 2], [0, 2, 1], [1, 2, 0], [0, 2, 1], [0, 2, 1], [0, 1, 2]]


def test_an_untrained_network_starts_near_what_is_measured_around():
    torch.manual_seed(0)
    network = networks.build("braggfill").eval()
    logs, mask = _patch()
    with torch.no_grad():
        linear = bridge(logs, mask)
        start = joined(linear, averaged(linear, mask), mask)
        assert (network.predict(logs, mask)[0] - start).abs().max() < 1


def test_half_precision_keeps_the_fringes():
    """Differences of a thousandth on a level of 14 are beyond bfloat16, and still reach the convolutions."""
    torch.manual_seed(0)
    network = networks.build("braggfill", **SMALL).eval()
    logs, mask = _patch()
    seen = []
    network.trunk.enter.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        whole = network.predict(12 + 1e-3 * logs, mask)[0]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = network.predict(12 + 1e-3 * logs, mask)[0]
    assert torch.allclose(seen[0][:, 1:8], seen[1][:, 1:8].float(), rtol=0.02, atol=1e-6)
    assert seen[0][:, 1:8].abs().max() > 1e-4
    assert half.dtype == whole.dtype
    assert torch.allclose(half, whole, atol=0.05)


def test_folding_is_undone_by_unfolding():
    x = torch.rand(2, 3, 4, 6, 8)
    assert fold(x).shape == (2, 24, 2, 3, 4)
    assert torch.equal(unfold(fold(x)), x)
    corner = fold(x)[0, :8, 0, 0, 0]
    assert sorted(corner.tolist()) == sorted(x[0, 0, :2, :2, :2].reshape(-1).tolist())


@pytest.mark.parametrize(("name", "options"), [("paper", {}), ("braggfill", SMALL)])
def test_a_saved_network_comes_back(tmp_path, name, options):
    network = networks.build(name, **options).eval()
    path = tmp_path / "net.safetensors"
    networks.save(path, network, {"seed": 5})
    again = networks.load(path)
    assert again.card["network"] == name
    assert again.card["seed"] == 5
    assert networks.card(path) == again.card
    logs, mask = _patch()
    with torch.no_grad():
        assert torch.equal(network.predict(logs, mask)[0], again.predict(logs, mask)[0])


def test_half_precision_halves_the_file_and_hardly_changes_the_prediction(tmp_path):
    network = networks.build("braggfill", **SMALL).eval()
    networks.save(tmp_path / "whole.safetensors", network)
    networks.save(tmp_path / "half.safetensors", network, half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * (tmp_path / "whole.safetensors").stat().st_size
    logs, mask = _patch()
    with torch.no_grad():
        half = networks.load(tmp_path / "half.safetensors").predict(logs, mask)[0]
        assert torch.allclose(network.predict(logs, mask)[0], half, atol=0.01)


def _tamper(path, change):
    """Rewrite a network file with changed weights or metadata."""
    from safetensors import safe_open

    weights = unpack(path.read_bytes())
    with safe_open(str(path), framework="numpy") as file:
        card = json.loads(file.metadata()["braggfill"])
    weights, card = change(weights, card)
    path.write_bytes(pack(weights, metadata={"braggfill": json.dumps(card)}))


def _without_one(weights, card):
    weights.pop("trunk.leave.weight")
    return weights, card


def _reshaped(weights, card):
    weights["trunk.leave.weight"] = weights["trunk.leave.weight"].reshape(-1)
    return weights, card


def _infinite(weights, card):
    weights["trunk.leave.weight"] = weights["trunk.leave.weight"] * float("inf")
    return weights, card


def _nudged(weights, card):
    weights["trunk.leave.weight"] = weights["trunk.leave.weight"] * 1.01
    return weights, card


def _deep(levels):
    return [_deep(levels - 1)] if levels else []


TAMPERED = {
    "a weight is another": _nudged,
    "a weight is missing": _without_one,
    "a weight has another shape": _reshaped,
    "a weight is not finite": _infinite,
    "another network": lambda weights, card: (weights, {**card, "network": "paper", "options": {}}),
    "an unknown network": lambda weights, card: (weights, {**card, "network": "other"}),
    "options of no network": lambda weights, card: (weights, {**card, "options": {"colour": 3}}),
    "impossible channels": lambda weights, card: (weights, {**card, "options": {"channels": [-4, 0]}}),
    "no channels": lambda weights, card: (weights, {**card, "options": {"channels": []}}),
    "channels that are no integers": lambda weights, card: (weights, {**card, "options": {"channels": [4.5, 8]}}),
    "channels nested deep": lambda weights, card: (weights, {**card, "options": {"channels": _deep(100)}}),
    "channels for all the memory": lambda weights, card: (weights, {**card, "options": {"channels": [4096] * 8}}),
    "channels that are true": lambda weights, card: (weights, {**card, "options": {"channels": [True, True]}}),
    "channels that are one number": lambda weights, card: (weights, {**card, "options": {"channels": 10**30}}),
    "a design that is a list": lambda weights, card: (weights, {**card, "options": {"design": ["gated"]}}),
    "options nested deep": lambda weights, card: (weights, {**card, "options": {"design": _deep(100)}}),
    "another version": lambda weights, card: (weights, {**card, "format": 99}),
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED.keys())
def test_a_file_that_was_tampered_with_is_told(tmp_path, change):
    path = tmp_path / "net.safetensors"
    networks.save(path, networks.build("braggfill", **SMALL))
    _tamper(path, change)
    with pytest.raises(BraggfillError, match=r"damaged|options|version"):
        networks.load(path)


@pytest.mark.parametrize(
    "card", ["[" * 100_000, '{"format": ' + "[" * 100_000, "[]", "null", '{"format": 1}', '"x"', "1e999"]
)
def test_a_card_that_is_none_is_told(tmp_path, card):
    path = tmp_path / "net.safetensors"
    path.write_bytes(pack({"a": torch.zeros(2)}, metadata={"braggfill": card}))
    with pytest.raises(BraggfillError, match=r"net\.safetensors: (damaged|not the weights)"):
        networks.card(path)


@pytest.mark.parametrize("keep", [0, 4, 100, 2000, -1])
def test_a_truncated_file_is_told(tmp_path, keep):
    path = tmp_path / "net.safetensors"
    networks.save(path, networks.build("braggfill", **SMALL))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BraggfillError, match=r"net\.safetensors"):
        networks.load(path)


def test_what_is_no_network_is_told(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(BraggfillError, match="no such file"):
        networks.load(path)
    path.write_bytes(pack({"a": torch.zeros(2)}))
    with pytest.raises(BraggfillError, match="not the weights"):
        networks.load(path)
    path.write_bytes(b"\x80\x04}q\x00." * 20)  # a pickle
    with pytest.raises(BraggfillError, match="damaged"):
        networks.load(path)
    with pytest.raises(BraggfillError, match="unknown"):
        networks.build("resnet")
    with pytest.raises(BraggfillError, match="options"):
        networks.build("braggfill", depth=3)


@pytest.mark.parametrize("design", blocks.DESIGNS)
@pytest.mark.parametrize("start", ["averaged", "interpolation", "nothing"])
def test_every_design_is_a_network_of_its_own(design, start, tmp_path):
    """Built, saved and loaded under its name; within the cost of the default; nothing in the gap is looked at."""
    torch.manual_seed(6)
    network = networks.build("braggfill", channels=[4, 8, 12], design=design, start=start).eval()
    path = tmp_path / "model.safetensors"
    networks.save(path, network)
    again = networks.load(path)
    assert again.options == {"channels": [4, 8, 12], "design": design, "start": start}
    logs, mask = _patch(shape=(12, 20, 17), width=3)
    with torch.no_grad():
        one = network.predict(logs, mask)[0]
        assert torch.equal(one, again.predict(logs.masked_fill(mask, 7.0), mask)[0])
    # From nothing, what is said of the gap rests on no interpolation: zeros and a small output.
    linear = bridge(logs, mask)
    base = {
        "nothing": torch.zeros_like(linear),
        "interpolation": linear,
        "averaged": joined(linear, averaged(linear, mask), mask),
    }
    assert (one - base[start])[mask].abs().max() < 1


def test_the_designs_cost_about_the_same():
    costs = {design: _flops("braggfill", design=design, channels=[32, 64, 96]) for design in blocks.DESIGNS}
    assert max(costs.values()) <= 2.4
    assert max(costs.values()) <= 1.5 * min(costs.values())


@pytest.mark.parametrize("options", [{"design": "wavelets"}, {"start": "zeros"}])
def test_an_unknown_design_is_told(options):
    with pytest.raises(BraggfillError, match="unknown"):
        networks.build("braggfill", **options)
