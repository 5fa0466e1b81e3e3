"""What the network starts from: the gap bridged linearly, and the mean of what was measured around."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from braggfill.networks.gap.bridge import DEEP, WIDTHS, averaged, bridge
from braggfill.networks.gap.unet import joined
from braggfill.patterns import gaps
from braggfill.patterns.interpolate import interpolate
from hypothesis import given, settings
from hypothesis import strategies as st


@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    share=st.floats(0, 0.95),
    frames=st.booleans(),
)
@settings(deadline=None, max_examples=80)
def test_the_bridge_is_linear_interpolation(seed, shape, share, frames):
    rng = np.random.default_rng(seed)
    masks = rng.random((2, *shape)) < share
    masks = np.repeat(masks[:, :1], shape[0], axis=1) if frames else masks
    masks[:, 0, 0, 0] = False
    if frames:
        masks[:, :, 0, 0] = False
    counts = rng.uniform(0, 1e4, (2, *shape))
    found = bridge(torch.from_numpy(np.log1p(counts)), torch.from_numpy(masks)).numpy()
    for one, mask, bridged in zip(counts, masks, found, strict=True):
        assert np.allclose(bridged, np.log1p(interpolate(one, mask, "linear")), atol=1e-9)
        assert np.array_equal(bridged[~mask], np.log1p(one)[~mask])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_bridge_is_exact_where_the_logarithm_is_linear(axis):
    logs = torch.arange(12.0).reshape([-1 if a == axis else 1 for a in range(3)]).expand(12, 12, 12)[None]
    mask = torch.from_numpy(gaps.plane((12, 12, 12), 5, axis=axis))[None]
    assert torch.allclose(bridge(logs, mask), logs, atol=1e-5)


def test_the_bridge_of_nothing_measured_is_zero():
    assert torch.equal(
        bridge(torch.rand(1, 3, 3, 3), torch.ones(1, 3, 3, 3, dtype=torch.bool)), torch.zeros(1, 3, 3, 3)
    )


def test_the_average_is_that_of_its_equation():
    logs = torch.from_numpy(np.random.default_rng(0).uniform(0, 8, (7, 9, 8))).float()
    mask = torch.from_numpy(gaps.plane(logs.shape, 3))
    linear = bridge(logs[None], mask[None])[0]
    photons, known = np.expm1(linear.numpy().astype(float)), ~mask.numpy()
    place = np.stack(np.meshgrid(*map(np.arange, photons.shape), indexing="ij")).reshape(3, -1)
    squared = ((place[:, :, None] - place[:, None]) ** 2).sum(0)
    weights = sum(np.exp(-squared / (2 * s**2)) / s**4 for s in WIDTHS) * known.ravel()
    wanted = (weights @ photons.ravel() + DEEP * photons.ravel()) / (weights.sum(1) + DEEP)
    found = averaged(linear[None], mask[None])[0].numpy()
    np.testing.assert_allclose(found.ravel(), np.log1p(wanted), rtol=1e-4)


def test_the_average_of_noise_is_not_lowered_by_it():
    """A mean of logarithms would be: of counts with an expectation of 1 it is 0.57, not log(2) = 0.69."""
    counts = torch.from_numpy(np.random.default_rng(0).poisson(1.0, (4, 24, 24, 24))).float()
    mask = torch.zeros(counts.shape, dtype=torch.bool)
    mask[..., 10:16] = True
    linear = bridge(torch.log1p(counts), mask)
    assert linear[mask].mean() < 0.6
    assert averaged(linear, mask)[mask].mean() == pytest.approx(np.log(2), abs=0.06)


def test_where_it_is_bright_the_network_starts_from_the_interpolation():
    dark, light = torch.tensor([0.1, np.log1p(1e5)])
    mask = torch.tensor([True, True, False])
    around, linear = torch.stack([dark, light, dark]), torch.stack([dark + 1, light + 1, light])
    found = joined(linear, around, mask)
    assert found[0] == pytest.approx(0.1, abs=0.01)
    assert found[1] == pytest.approx(float(light) + 1, abs=0.01)
    assert found[2] == linear[2]


def test_deep_in_a_gap_the_average_is_what_it_was_given():
    logs = torch.rand(1, 8, 8, 96) * 9
    mask = torch.zeros(logs.shape, dtype=torch.bool)
    mask[..., 20:76] = True
    given = torch.where(mask, 3.0, logs)
    assert (averaged(given, mask)[..., 40:56] - 3).abs().max() < 1e-3
