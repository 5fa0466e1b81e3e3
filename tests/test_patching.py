"""Patches: cut then merged is what it was, and everything is covered."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.patterns import gaps, patching
from hypothesis import given, settings
from hypothesis import strategies as st
from patterns import dead_pixels


@given(
    shape=st.tuples(*[st.integers(6, 20)] * 3),
    size=st.tuples(*[st.integers(1, 6)] * 3),
    step=st.integers(1, 8),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=50)
def test_split_then_merge_is_the_identity(shape, size, step, seed):
    array = np.random.default_rng(seed).random(shape)
    lines = [patching.line_origins(n, s, min(step, *size)) for n, s in zip(shape, size, strict=True)]
    origins = np.array(list(itertools.product(*lines)))
    assert np.allclose(patching.merge(patching.cut(array, origins, size), origins, shape), array)


def test_merging_averages_with_the_weights():
    patches = np.stack([np.full((2, 2, 2), 1.0), np.full((2, 2, 2), 3.0)])
    origins = np.array([[0, 0, 0], [0, 0, 1]])
    merged = patching.merge(patches, origins, (2, 2, 4), np.ones((2, 2, 2)))
    assert np.array_equal(merged[0, 0, :3], [1, 2, 3])
    assert np.isnan(merged[..., 3]).all()


def test_the_middle_of_a_patch_weighs_most_and_nothing_weighs_nothing():
    weights = patching.taper((32, 16, 7))
    assert weights.min() > 0
    assert np.unravel_index(weights.argmax(), weights.shape) in {(15, 7, 3), (16, 8, 3), (15, 8, 3), (16, 7, 3)}
    assert np.allclose(weights, weights[::-1, ::-1, ::-1])


def test_random_origins_reach_every_place_and_none_outside():
    origins = patching.random_origins(np.random.default_rng(0), (10, 8, 6), 3000, (4, 8, 5))
    assert [set(column) for column in origins.T] == [set(range(7)), {0}, {0, 1}]


@given(length=st.integers(1, 60), data=st.data())
@settings(deadline=None)
def test_a_line_is_covered_from_end_to_end(length, data):
    size = data.draw(st.integers(1, length))
    step = data.draw(st.integers(1, size))
    origins = patching.line_origins(length, size, step)
    covered = np.zeros(length, bool)
    for origin in origins:
        assert 0 <= origin <= length - size
        covered[origin : origin + size] = True
    assert covered.all()


@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["plane", "cross", "dead", "scattered", "box"]),
    step=st.sampled_from([3, 8, 16]),
)
@settings(deadline=None, max_examples=60)
def test_every_missing_voxel_is_covered(seed, kind, step):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(16, 50, 3))
    if kind == "plane":
        axis = int(rng.integers(0, 3))
        mask = gaps.plane(shape, int(rng.integers(1, shape[axis])), axis=axis, start=0)
    elif kind == "cross":
        mask = gaps.cross(shape, (int(rng.integers(1, 9)), int(rng.integers(1, 9))))
    elif kind == "dead":
        mask = dead_pixels(shape, rng.integers(0, 50, (6, 2)), size=2)
    elif kind == "scattered":
        mask = gaps.scattered(rng, shape, 0.002)
    else:
        mask = np.zeros(shape, bool)
        mask[3:15, 2:12, 5:] = True
    origins = patching.covering_origins(mask, 16, step)
    covered = np.zeros(shape, bool)
    for origin in origins:
        part = patching.window(origin, 16)
        assert mask[part].any(), "a patch with nothing to fill"
        assert covered[part].shape == (16, 16, 16)
        covered[part] = True
    assert not (mask & ~covered).any()
    assert len(np.unique(origins, axis=0)) == len(origins)


def test_patches_are_centred_on_a_detectors_gap():
    mask = gaps.cross((40, 64, 64), 6, (20, 30))
    origins = patching.covering_origins(mask, 32, 8)
    assert all(origin[1] == 20 + 3 - 16 or origin[2] == 30 + 3 - 16 for origin in origins)


def test_dead_pixels_take_fewer_patches_than_a_beamstop_and_lie_well_inside():
    """Alone in the frame, a pixel lies at least an eighth of a patch from the rim of some patch."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(4, 92, (60, 2))
    mask = dead_pixels((48, 96, 96), pixels)
    origins = patching.covering_origins(mask, 32, 9)
    assert len(origins) <= 2 * 4 * 4
    for place in pixels:
        rim = np.minimum(place - origins[:, 1:], origins[:, 1:] + 31 - place).min(axis=1)
        assert rim.max() >= 4
    stop = np.zeros((48, 96, 96), bool)
    stop[:, 10:60, 20:70] = True
    assert not patching._thin(stop).any()
    np.testing.assert_array_equal(patching._thin(mask), mask)


def test_a_gap_at_the_border_keeps_its_patches_inside():
    mask = gaps.plane((32, 40, 50), 4, start=0)
    origins = patching.covering_origins(mask, 32, 8)
    assert set(origins[:, 2]) == {0}
    assert set(origins[:, 0]) == {0}


def test_nothing_missing_needs_no_patches():
    assert patching.covering_origins(np.zeros((32, 32, 32), bool)).shape == (0, 3)


def test_an_array_smaller_than_a_patch_is_told():
    for call in (
        lambda: patching.random_origins(np.random.default_rng(0), (31, 32, 32), 1),
        lambda: patching.covering_origins(np.ones((8, 8, 8), bool)),
        lambda: patching.line_origins(10, 4, 0),
    ):
        with pytest.raises(BraggfillError, match="do not fit"):
            call()
