"""Inverse distances, biharmonic slices and the bound on cubics: known answers."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.patterns import gaps
from braggfill.patterns.interpolate import BEYOND, distance, interpolate


def _by_hand(counts, mask, voxel, reach=8):
    """The definition, voxel by voxel."""
    places = np.argwhere(~mask)
    square = ((places - voxel) ** 2).sum(axis=1)
    near = square <= reach**2
    weights = square[near] ** -2.0
    return (weights * counts[tuple(places[near].T)]).sum() / weights.sum()


@pytest.mark.parametrize("block", [7, 64])
def test_inverse_distances_are_summed_as_defined(block, monkeypatch):
    monkeypatch.setattr(distance, "BLOCK", block)
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(rng.uniform(0, 12, (18, 20, 22)))).astype(float)
    mask = gaps.cross(counts.shape, (3, 5), (2, 17)) | gaps.scattered(rng, counts.shape, 0.05)
    filled = interpolate(counts, mask, "idw")
    for voxel in np.argwhere(mask)[::97]:
        assert filled[tuple(voxel)] == pytest.approx(_by_hand(counts, mask, voxel), rel=1e-9)


def test_beyond_the_reach_what_was_filled_before_counts():
    counts = np.full((1, 1, 60), 7.0)
    counts[..., 39:] = 90.0
    mask = gaps.plane(counts.shape, 38, start=1)
    filled = interpolate(counts, mask, "idw")[0, 0]
    assert np.allclose(filled[:10], 7)
    assert np.allclose(filled[31:39], 90)
    assert (np.diff(filled) >= -1e-9).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_biharmonic_continues_a_slope_across_planes_of_every_axis(axis):
    """A slope in y = log(1 + I) is the smoothest there is; at a border the slope is taken to end."""
    y = sum(0.1 * (a + 1) * g for a, g in enumerate(np.ogrid[:30, :34, :40]))
    mask = gaps.plane(y.shape, 4, axis=axis)
    found = np.log1p(interpolate(np.expm1(np.where(mask, 0, y)), mask, "biharmonic"))
    assert np.abs(found - y)[8:-8, 8:-8, 8:-8].max() < 2e-3
    assert np.abs(found - y).max() < 0.2


@pytest.mark.parametrize("axes", [(1, 2), (0, 2), (0, 1)])
def test_biharmonic_continues_a_slope_across_crosses_unequal_and_at_odd_places(axes):
    y = 0.2 * sum(np.ogrid[:36, :34, :30])
    mask = gaps.cross(y.shape, (2, 4), (14, 19), axes)
    mask[15, 12, 12] = mask[:, 10, 10] = True
    found = np.log1p(interpolate(np.expm1(np.where(mask, 0, y)), mask, "biharmonic"))
    assert np.abs(found - y)[9:-9, 9:-9, 9:-9].max() < 4e-3


def test_biharmonic_bends_where_linear_does_not():
    y = 8 - 0.05 * (np.arange(41.0) - 20) ** 2 + np.zeros((3, 41, 1)).transpose(0, 2, 1) + np.zeros((3, 9, 41))
    mask = gaps.plane(y.shape, 5, start=24)
    truth = np.expm1(np.clip(y, 0, None))
    found = {m: np.log1p(interpolate(truth, mask, m))[mask] for m in ("linear", "biharmonic")}
    error = {m: np.abs(v - np.log1p(truth)[mask]).max() for m, v in found.items()}
    assert error["biharmonic"] < 0.3 * error["linear"]


def test_where_three_gaps_cross_everything_is_filled():
    counts = np.random.default_rng(0).poisson(50, (14, 14, 14))
    mask = gaps.cross(counts.shape, 3) | gaps.plane(counts.shape, 3, axis=0)
    for method in ("idw", "biharmonic"):
        filled = interpolate(counts, mask, method)
        assert filled.min() >= counts[~mask].min() - 1e-9
        assert filled.max() <= counts[~mask].max() + 1e-9


def test_without_scikit_image_biharmonic_says_so(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("skimage"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    counts = np.ones((5, 5, 5))
    with pytest.raises(BraggfillError, match="pip install scikit-image"):
        interpolate(counts, gaps.plane(counts.shape, 2), "biharmonic")


@pytest.mark.parametrize("width", [3, 9, 12, 38])
def test_a_cubic_does_not_explode(width):
    """Beside a peak the slope of two noisy neighbours, carried across a wide gap, would be photons by the million."""
    rng = np.random.default_rng(width)
    grids = np.ogrid[-8:8, -40:40, -40:40]
    counts = rng.poisson(1e5 / (1 + sum((g / 2.0) ** 2 for g in grids)) ** 2)
    mask = gaps.cross(counts.shape, width, (41, 40))
    filled = interpolate(np.where(mask, 0, counts), mask, "cubic")
    most = counts[~mask].max()
    assert filled.max() <= (1 + most) * np.exp(2 * BEYOND[1])
    line = np.array([[1.0, 100.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100.0, 1.0]])
    hole = np.zeros(line.shape, bool)
    hole[:, 2:12] = True
    peak = interpolate(line, hole, "cubic")[hole].max()
    assert 100 < peak <= 2 * 101 - 1 + 1e-9


def test_a_cubic_finds_a_maximum_that_is_missing():
    y = 12 - 0.05 * (np.arange(31.0) - 15) ** 2
    hole = (np.arange(31) >= 14) & (np.arange(31) <= 16)
    truth = np.expm1(y)
    assert np.allclose(interpolate(truth, hole, "cubic"), truth, rtol=0.15)
    assert interpolate(truth, hole, "cubic")[15] > truth[~hole].max()
