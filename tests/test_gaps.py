"""Gaps are where they were asked for, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from braggfill.errors import BraggfillError
from braggfill.patterns import gaps
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPE = (10, 12, 14)


@given(axis=st.integers(0, 2), width=st.integers(1, 9), data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_plane_hides_whole_neighbouring_planes_of_one_axis(axis, width, data):
    start = data.draw(st.integers(0, SHAPE[axis] - width))
    mask = gaps.plane(SHAPE, width, axis=axis, start=start)
    along = mask.all(axis=tuple(a for a in range(3) if a != axis))
    assert np.flatnonzero(along).tolist() == list(range(start, start + width))
    assert mask.sum() == width * mask.size // SHAPE[axis]


@pytest.mark.parametrize("width", [1, 2, 5, 6])
def test_by_default_a_plane_lies_in_the_middle(width):
    mask = gaps.plane((32, 32, 32), width)
    hidden = np.flatnonzero(mask[0, 0])
    assert mask.sum() == width * 32 * 32
    assert abs((hidden[0] + hidden[-1]) / 2 - 15.5) <= 0.5


def test_a_cross_is_the_union_of_its_arms():
    mask = gaps.cross(SHAPE, (2, 5), (0, 9))
    rows, columns = np.arange(12) < 2, np.arange(14) >= 9
    expected = np.broadcast_to(rows[:, None] | columns[None, :], SHAPE)
    assert np.array_equal(mask, expected)
    assert np.array_equal(gaps.cross(SHAPE, 3), gaps.plane(SHAPE, 3, axis=1) | gaps.plane(SHAPE, 3, axis=2))


@pytest.mark.parametrize(
    ("width", "start"), [(0, None), (14, None), (20, 0), (3, -1), (3, 12), (-2, 0)], ids=lambda value: str(value)
)
def test_a_gap_that_does_not_fit_is_told(width, start):
    with pytest.raises(BraggfillError, match="gap"):
        gaps.plane(SHAPE, width, start=start)


def test_a_cross_needs_two_different_axes():
    with pytest.raises(BraggfillError, match="different axes"):
        gaps.cross(SHAPE, 3, axes=(1, 1))


def test_scattered_voxels_come_in_their_share():
    mask = gaps.scattered(np.random.default_rng(0), (40, 40, 40), 0.2)
    assert abs(mask.mean() - 0.2) < 5 * np.sqrt(0.2 * 0.8 / mask.size)


def _lines(mask: np.ndarray, axis: int) -> np.ndarray:
    """Planes that are wholly missing along an axis."""
    return np.flatnonzero(mask.all(axis=tuple(a for a in range(3) if a != axis)))


def test_the_papers_gaps_are_vertical_in_the_middle_and_one_in_five_is_crossed():
    drawn = gaps.draw(np.random.default_rng(1), 2000, style="paper", widths=(6, 6))
    masks = drawn.masks()
    crossed, heights = 0, set()
    for mask in masks:
        assert _lines(mask, 2).tolist() == list(range(13, 19))
        rows = _lines(mask, 1)
        assert len(_lines(mask, 0)) == 0
        if len(rows):
            crossed += 1
            heights.add(int(rows[0]))
            assert rows.tolist() == list(range(rows[0], rows[0] + 6))
            assert np.array_equal(mask, gaps.cross(mask.shape, 6, (rows[0], 13)))
        else:
            assert np.array_equal(mask, gaps.plane(mask.shape, 6))
    assert abs(crossed / 2000 - 0.2) < 5 * np.sqrt(0.16 / 2000)
    assert heights == set(range(27))


def test_the_default_gaps_have_every_width_place_and_axis():
    drawn = gaps.draw(np.random.default_rng(2), 4000, widths=(1, 16), dead_fraction=0.0)
    widths = drawn.width[drawn.width > 0]
    assert set(widths) == set(range(1, 17))
    single = (drawn.width > 0).sum(axis=1)
    assert set(single) == {1, 2}
    assert abs((single == 2).mean() - 0.2) < 5 * np.sqrt(0.16 / 4000)
    assert (drawn.width[:, 0] == 0).all()
    for axis in (1, 2):
        here = drawn.width[:, axis] > 0
        first, last = drawn.start[here, axis], drawn.start[here, axis] + drawn.width[here, axis]
        assert first.min() == 0
        assert last.max() == 32
        assert (first >= 0).all()
        assert (last <= 32).all()
    both = single == 2
    assert (drawn.width[both, 1] != drawn.width[both, 2]).mean() > 0.8
    turned = gaps.draw(np.random.default_rng(2), 500, turned=True, dead_fraction=0.0)
    assert (turned.width > 0).any(axis=0).all()


def test_dead_pixels_come_in_their_share_and_run_along_the_rocking_axis():
    drawn = gaps.draw(np.random.default_rng(3), 1000, dead_fraction=0.3)
    some = (drawn.dead[..., 2] > 0).any(axis=1)
    assert abs(some.mean() - 0.3) < 5 * np.sqrt(0.21 / 1000)
    masks = drawn.masks(slice(0, 100))
    assert (masks == masks[:, :1]).all()


@given(
    shape=st.tuples(*[st.integers(2, 20)] * 3),
    low=st.integers(1, 16),
    more=st.integers(0, 8),
    style=st.sampled_from(["any", "paper"]),
    turned=st.booleans(),
    seed=st.integers(0, 2**20),
)
@settings(deadline=None, max_examples=80)
def test_a_random_gap_always_hides_something_and_leaves_something(shape, low, more, style, turned, seed):
    rng = np.random.default_rng(seed)
    drawn = gaps.draw(rng, 1, shape, style=style, widths=(low, low + more), turned=turned, dead_fraction=0.0)
    mask = drawn.masks()[0]
    assert mask.shape == shape
    assert mask.any()
    assert not mask.all()


def test_masks_of_a_part_are_the_same_masks():
    drawn = gaps.draw(np.random.default_rng(4), 20, turned=True)
    whole = drawn.masks()
    assert np.array_equal(drawn.masks(slice(5, 9)), whole[5:9])
    assert np.array_equal(drawn.masks(np.array([3, 3, 0])), whole[[3, 3, 0]])


def test_an_unknown_style_is_told():
    with pytest.raises(BraggfillError, match="style"):
        gaps.draw(np.random.default_rng(0), 1, style="round")


def _maxipix() -> np.ndarray:
    detector = np.zeros((516, 516), bool)
    detector[255:261] = True
    detector[:, 255:261] = True
    detector[40, 77] = True
    return detector


def test_a_detectors_cross_is_found_and_placed():
    detector = _maxipix()
    assert gaps.detector_centre(detector) == (257.5, 257.5)
    mask = gaps.place_detector(detector, (5, 100, 120), (200, 170))
    assert np.array_equal(mask, np.broadcast_to(detector[200:300, 170:290], (5, 100, 120)))
    assert _lines(mask, 1).tolist() == list(range(55, 61))
    assert _lines(mask, 2).tolist() == list(range(85, 91))


@pytest.mark.parametrize("origin", [(-1, 0), (0, -1), (417, 0), (0, 397)])
def test_frames_that_reach_beyond_the_detector_are_told(origin):
    with pytest.raises(BraggfillError, match="beyond the detector"):
        gaps.place_detector(_maxipix(), (5, 100, 120), origin)


def test_a_detector_without_a_cross_is_told():
    with pytest.raises(BraggfillError, match="no cross"):
        gaps.detector_centre(np.zeros((10, 10), bool))


@pytest.mark.data
def test_the_real_maxipix_mask_has_its_six_pixel_cross(measured):
    with np.load(measured / "detector_masks.npz", allow_pickle=False) as file:
        detector = file["id01_maxipix_mask"] > 0
    assert gaps.detector_centre(detector) == (257.5, 257.5)
    assert detector.all(axis=0).sum() == detector.all(axis=1).sum() == 6
