"""Interpolation: exact where it should be, blind to what lies in the gap, finite whatever is missing."""

from __future__ import annotations

import time

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.patterns.interpolate import METHODS, interpolate
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

WEIGHTS = ("linear", "cubic", "nearest")
"""Those whose result is a weighted sum along lines: nothing along an axis that the mask does not change on enters."""


def plane(shape, axis, start, width):
    mask = np.zeros(shape, bool)
    mask[(slice(None),) * axis + (slice(start, start + width),)] = True
    return mask


def polynomial(shape, axis, coefficients, rng):
    """exp(polynomial along one axis) - 1, with other coefficients on every line."""
    x = np.linspace(0, 1, shape[axis])
    lines = sum(
        c
        * rng.uniform(0.5, 1.5, [n if a != axis else 1 for a, n in enumerate(shape)])
        * (x**p).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        for p, c in enumerate(coefficients)
    )
    return np.expm1(lines)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("width", [1, 3, 6])
@pytest.mark.parametrize(("method", "coefficients"), [("linear", (1, 5)), ("cubic", (1, 4)), ("cubic", (3, 2, 5, 1))])
def test_exact_on_what_it_is_made_for(axis, width, method, coefficients):
    shape = (10, 11, 12)
    truth = polynomial(shape, axis, coefficients, np.random.default_rng(width))
    mask = plane(shape, axis, 2, width)
    filled = interpolate(np.where(mask, 7e5, truth), mask, method)
    np.testing.assert_allclose(filled, truth, rtol=1e-9)


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_a_cross_on_a_log_plane_is_exact_to_its_centre(method):
    y, x = np.mgrid[:20, :24]
    truth = np.expm1(0.1 * y + 0.2 * x)
    mask = plane(truth.shape, 0, 8, 4) | plane(truth.shape, 1, 5, 6)
    np.testing.assert_allclose(interpolate(np.where(mask, 0, truth), mask, method), truth, rtol=1e-9)


def test_cubic_falls_back_to_linear_with_one_voxel_on_a_side():
    rng = np.random.default_rng(0)
    counts = rng.poisson(50, (6, 7))
    mask = plane(counts.shape, 1, 1, 3)
    np.testing.assert_allclose(interpolate(counts, mask, "cubic"), interpolate(counts, mask, "linear"), rtol=1e-12)


def test_cubic_differs_from_linear_where_it_can():
    counts = np.random.default_rng(0).poisson(50, (6, 9))
    mask = plane(counts.shape, 1, 3, 3)
    assert not np.allclose(interpolate(counts, mask, "cubic"), interpolate(counts, mask, "linear"), rtol=1e-3)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=1, max_dims=3, max_side=8)), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_nearest_copies_the_nearest_measured_value(mask, seed):
    mask.flat[0] = False
    values = np.random.default_rng(seed).permutation(mask.size).reshape(mask.shape) * 0.7
    filled = interpolate(values, mask, "nearest")
    places = np.argwhere(~mask)
    for voxel in np.argwhere(mask):
        distances = np.linalg.norm(places - voxel, axis=1)
        best = [values[tuple(p)] for p in places[distances <= distances.min() + 1e-9]]
        assert filled[tuple(voxel)] in best


@given(
    hnp.arrays(bool, hnp.array_shapes(min_dims=1, max_dims=3, max_side=9)),
    st.sampled_from(METHODS),
    st.integers(0, 2**31),
)
@settings(max_examples=150, deadline=None)
def test_finite_for_any_mask_and_measured_voxels_as_they_were(mask, method, seed):
    rng = np.random.default_rng(seed)
    mask.flat[rng.integers(mask.size)] = False
    counts = np.floor(np.exp(rng.uniform(0, 14, mask.shape)))
    filled = interpolate(np.where(mask, np.nan, counts), mask, method)
    assert np.isfinite(filled).all()
    assert (filled >= 0).all()
    assert (filled[~mask] == counts[~mask]).all()
    if method != "cubic":
        assert filled.max() <= counts[~mask].max() * (1 + 1e-9)
        assert filled.min() >= counts[~mask].min() * (1 - 1e-9) - 1e-9


@given(st.sampled_from(METHODS), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_what_lies_in_the_gap_never_matters(method, seed):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(20, (7, 8, 9)).astype(float)
    mask = rng.random(counts.shape) < 0.4
    mask[0, 0, 0] = False
    one, two = counts.copy(), counts.copy()
    one[mask], two[mask] = 1e9, np.nan
    np.testing.assert_array_equal(interpolate(one, mask, method), interpolate(two, mask, method))


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_its_members_and_a_constant_axis_changes_nothing(method):
    rng = np.random.default_rng(3)
    counts = rng.poisson(30, (2, 4, 6, 10, 11))
    mask = np.broadcast_to(plane((10, 11), 0, 4, 3) | plane((10, 11), 1, 7, 2), (6, 10, 11)).copy()
    mask[:, 1, 1] = True
    whole = interpolate(counts, mask, method)
    for i in np.ndindex(2, 4):
        np.testing.assert_allclose(interpolate(counts[i], mask, method), whole[i], rtol=1e-12)
        if method not in WEIGHTS:
            continue
        frames = np.stack([interpolate(frame, mask[0], method) for frame in counts[i]])
        np.testing.assert_allclose(frames, whole[i], rtol=1e-12)


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_turning_the_array_turns_the_result(method):
    rng = np.random.default_rng(5)
    counts = rng.poisson(30, (8, 9, 10))
    mask = plane(counts.shape, 1, 3, 3)
    mask[4, 6:8, 2] = True
    turned = interpolate(counts.transpose(2, 0, 1), mask.transpose(2, 0, 1), method)
    straight = interpolate(counts, mask, method).transpose(2, 0, 1)
    np.testing.assert_allclose(turned, straight, rtol=1e-9)


def test_at_the_border_the_measured_edge_is_copied():
    counts = np.random.default_rng(1).poisson(40, (5, 9))
    mask = plane(counts.shape, 1, 0, 3)
    for method in WEIGHTS:
        filled = interpolate(counts, mask, method)
        np.testing.assert_allclose(filled[:, :3], np.repeat(counts[:, 3:4], 3, axis=1), rtol=1e-12)


def test_a_plane_takes_nothing_from_along_itself():
    counts = np.ones((6, 7, 12))
    mask = plane(counts.shape, 2, 5, 3)
    counts[..., :4] = counts[..., 9:] = 1e6
    filled = interpolate(counts, mask, "linear")
    np.testing.assert_allclose(filled[mask], 1.0, rtol=1e-12)


def test_nothing_missing_gives_a_copy():
    counts = np.arange(6).reshape(2, 3)
    filled = interpolate(counts, np.zeros((2, 3), bool))
    np.testing.assert_array_equal(filled, counts)
    assert filled is not counts


def test_single_precision_stays_single():
    counts = np.ones((4, 5), np.float32)
    assert interpolate(counts, plane((4, 5), 1, 2, 1)).dtype == np.float32
    assert interpolate(counts.astype(np.int32), plane((4, 5), 1, 2, 1)).dtype == np.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.ones((4, 5), bool)}, "everything is missing"),
        ({"mask": np.zeros((4, 6), bool)}, "shape"),
        ({"mask": np.zeros((2, 4, 5), bool)}, "shape"),
        ({"method": "spline"}, "spline"),
        ({"intensity": np.full((4, 5), -1.0)}, "negative"),
        ({"intensity": np.full((4, 5), np.nan)}, "not a number"),
    ],
)
def test_bad_input_is_told_in_one_line(change, message):
    given_ = {"intensity": np.ones((4, 5)), "mask": plane((4, 5), 1, 2, 1), "method": "linear"} | change
    with pytest.raises(BraggfillError, match=message) as error:
        interpolate(**given_)
    assert "\n" not in str(error.value)


def test_a_cross_in_a_large_pattern_is_quick():
    counts = np.random.default_rng(0).poisson(3, (128, 128, 128)).astype(np.int32)
    mask = plane(counts.shape, 2, 70, 6) | plane(counts.shape, 1, 40, 6)
    start = time.process_time()
    interpolate(counts, mask, "linear")
    assert time.process_time() - start < 1.0


def test_hundreds_of_patches_a_second():
    counts = np.random.default_rng(0).poisson(3, (200, 32, 32, 32)).astype(np.int32)
    mask = plane(counts.shape[1:], 2, 13, 6)
    start = time.process_time()
    interpolate(counts, mask, "cubic")
    assert time.process_time() - start < 1.0
