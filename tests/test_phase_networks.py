"""The networks of phase retrieval and of the studies in two dimensions: exact sizes, shapes, and what they look at."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from braggfill.errors import BraggfillError
from braggfill.learning import phase_data
from braggfill.networks import build, card, load, planar, save
from braggfill.networks.phase import published
from braggfill.networks.phase.braggphase import Braggphase, Gated, Global
from braggfill.networks.phase.complex import ComplexConv
from braggfill.networks.unets import Layout, UNet, parameters, scaled, widths

SMALL = {"channels": (4, 6, 8), "blocks": 1, "heads": 2}


# Published ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number", "side"),
    [
        ("unet", 31_827_673, 128),
        ("msd", 322_458, 128),
        ("unet_mod", 32_652_337, 128),
        ("phase", 6_874_799, 64),
        ("phase_large", 27_494_361, 64),
    ],
)
def test_planar_networks_have_their_published_size(name, number, side):
    network = planar.build(name)
    assert parameters(network) == number
    with torch.no_grad():
        found = network(torch.rand(1, 1, side, side))
    assert found.shape == (1, 1, side, side)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize(
    ("name", "number"),
    [("central", 3_500_000), ("outer", 3_500_000), ("complex", 36_000_000), ("autophasenn", 6_975_362)],
)
def test_published_networks_have_their_size(name, number):
    network = published.build(name)
    exact = name == "autophasenn"
    assert parameters(network) == (number if exact else pytest.approx(number, rel=0.03))
    x = torch.rand(2, 32, 32, 32)
    with torch.no_grad():
        if name == "outer":
            known = torch.zeros(x.shape, dtype=torch.bool)
            known[:, :10] = True
            found = network(x, 3 * x, known)
            torch.testing.assert_close(found[known], 3 * x[known])
            torch.testing.assert_close(network(x, torch.where(known, 3 * x, x), known), found)
            assert (found[~known] != 3 * x[~known]).all()
        else:
            found = network(x[:, None])
            found = found[:, 0] if name == "central" else found
    assert found.shape == x.shape
    assert found.is_complex() == (name in ("complex", "autophasenn"))


def test_the_rsp_network_has_its_published_size():
    with torch.device("meta"):
        assert parameters(published.build("rsp")) == 143_759_937


def test_the_rsp_network_runs_and_learns_narrowed():
    network = UNet(scaled(published.RSP, 0.1))
    x = torch.rand(1, 1, 64, 64, 64)
    found = network(x)
    assert found.shape == x.shape
    found.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_the_objects_of_autophasenn_lie_in_the_middle():
    found = published.build("autophasenn").eval()(torch.rand(1, 1, 32, 32, 32))
    outside = found.clone()
    outside[:, 8:24, 8:24, 8:24] = 0
    assert outside.abs().max() == 0
    assert found.abs().max() <= 1


def test_a_complex_convolution_is_one():
    layer = ComplexConv(2, 3)
    x = torch.randn(1, 2, 5, 5, 5, dtype=torch.complex64)
    a, b = layer.weight
    expected = torch.nn.functional.conv3d(x, torch.complex(a, b), padding=1)
    found = layer(torch.cat([x.real, x.imag], dim=1))
    torch.testing.assert_close(torch.complex(*found.chunk(2, dim=1)), expected, atol=1e-4, rtol=1e-4)


def test_unknown_networks_are_told():
    for make in (planar.build, published.build):
        with pytest.raises(BraggfillError, match="'nothing' is unknown"):
            make("nothing")


@pytest.mark.parametrize("first_skip", [False, True])
def test_every_layer_of_a_layout_is_used(first_skip):
    network = UNet(Layout(2, widths(3, 4), widths(5)[0], widths(4, 3), widths(2, 1), first_skip=first_skip))
    network(torch.rand(1, 1, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


# The default --------------------------------------------------------------------------------------------------------


def test_braggphase_keeps_to_its_limits():
    from torch.utils.flop_counter import FlopCounterMode

    network = build("braggphase")
    assert parameters(network) <= 10_000_000
    x = torch.rand(1, 32, 32, 32)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        direction, log_concentration = network(x, x > 2)
    assert counter.get_total_flops() <= 3.0e9
    assert direction.shape == (1, 2, 32, 32, 32)
    assert 0.99 < float(direction.norm(dim=1).max()) < 1 + 1e-5
    assert log_concentration.shape == x.shape


def test_braggphase_does_not_look_at_missing_voxels():
    network = Braggphase(**SMALL)
    x = 5 * torch.rand(2, 32, 32, 32)
    mask = torch.rand(x.shape) < 0.2
    phase, concentration = network.predict(x, mask)
    again, same = network.predict(torch.where(mask, torch.full_like(x, 9.0), x), mask)
    torch.testing.assert_close(phase, again)
    torch.testing.assert_close(concentration, same)
    assert (phase[:, 16, 16, 16] == 0).all()
    assert phase.abs().max() <= np.pi + 1e-5
    assert (concentration > 0).all()


def test_new_blocks_are_the_identity():
    x = torch.randn(1, 8, 4, 4, 4)
    torch.testing.assert_close(Gated(8)(x), x)
    tokens = torch.randn(1, 64, 8)
    torch.testing.assert_close(Global(8, 2)(tokens), tokens)


def test_braggphase_survives_its_file(tmp_path):
    network = Braggphase(**SMALL).eval()
    save(tmp_path / "n.safetensors", network, {"note": 1})
    assert card(tmp_path / "n.safetensors")["network"] == "braggphase"
    x = torch.rand(1, 32, 32, 32)
    torch.testing.assert_close(load(tmp_path / "n.safetensors").predict(x, x > 2), network.predict(x, x > 2))
    with pytest.raises(BraggfillError, match="braggphase"):
        build("braggphase", heads=5)


# Its patterns -------------------------------------------------------------------------------------------------------


def test_a_stream_goes_on_where_it_was_interrupted():
    options = {"batch": 4, "exposures": 2, "pool": 6}
    stream = iter(phase_data.Stream(3, **options))
    first = [next(stream) for _ in range(4)]
    later = iter(phase_data.Stream(3, 2, **options))
    for one in first[2:]:
        other = next(later)
        for name, values in vars(one).items():
            np.testing.assert_array_equal(values, vars(other)[name], err_msg=name)
    assert not np.array_equal(first[0].phase, first[1].phase)
    assert not np.array_equal(first[0].phase, next(iter(phase_data.Stream(4, **options))).phase)


def test_the_patterns_are_what_they_are_said_to_be():
    batch = next(iter(phase_data.Stream(1, batch=12, pool=12, exposures=12)))
    assert batch.log_intensity.shape == batch.mask.shape == batch.phase.shape == (12, 32, 32, 32)
    assert (batch.log_intensity[batch.mask] == 0).all()
    assert batch.mask.any()
    assert not batch.mask.all(axis=(1, 2, 3)).any()
    bright = (batch.intensity > 100) & ~batch.mask
    ratio = np.expm1(batch.log_intensity[bright]) / batch.intensity[bright]
    assert np.median(ratio) == pytest.approx(1, abs=0.1)
    middle = batch.intensity.reshape(12, -1).argmax(axis=1)
    places = np.stack(np.unravel_index(middle, (32, 32, 32)), -1)
    assert np.abs(places - 16).max() <= 12


def test_phase_and_intensity_of_a_pattern_belong_together():
    """Their transform lies within the body: 32 voxels at an oversampling of 2 or more are half empty."""
    batch, _ = phase_data.validation(6)
    made = np.sqrt(batch.intensity) * np.exp(1j * batch.phase)
    objects = np.abs(np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(made, axes=(1, 2, 3)), axes=(1, 2, 3)), (1, 2, 3)))
    objects **= 2
    inner = objects[:, 6:27, 6:27, 6:27].sum(axis=(1, 2, 3)) / objects.sum(axis=(1, 2, 3))
    assert inner.min() > 0.9


def test_the_validation_set_is_always_the_same_and_has_every_kind():
    batch, drawn = phase_data.validation(3)
    again, _ = phase_data.validation(4)
    np.testing.assert_array_equal(batch.log_intensity, again.log_intensity[:3])
    assert {one["kind"] for one in drawn} == {"correlated", "gaussians", "cosines"}
    assert not batch.mask.any()
