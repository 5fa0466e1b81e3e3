"""Normalisation comes back to photons, and sees nothing of the gap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from braggfill.errors import BraggfillError
from braggfill.patterns import normalise
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6)


@st.composite
def patterns(draw):
    """A pattern of counts and a mask that leaves something."""
    shape = draw(SHAPES)
    counts = draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1e9)))
    mask = draw(hnp.arrays(bool, shape))
    mask.reshape(-1)[draw(st.integers(0, mask.size - 1))] = False
    return counts, mask


@given(patterns())
@settings(deadline=None)
def test_the_inverse_gives_the_photons_back(case):
    counts, mask = case
    scale = normalise.fit(counts, mask)
    assert np.allclose(scale.invert(scale.apply(counts)), counts, rtol=1e-9, atol=1e-9)


@given(patterns())
@settings(deadline=None)
def test_measured_voxels_fill_zero_to_one(case):
    counts, mask = case
    seen = normalise.fit(counts, mask).apply(counts)[~mask]
    assert seen.min() == pytest.approx(0, abs=1e-12)
    if np.ptp(np.log1p(counts[~mask])) > normalise.EVEN:
        assert seen.max() == pytest.approx(1)
    else:
        assert seen.max() <= normalise.EVEN


@given(patterns(), st.floats(0, 1e12), st.booleans())
@settings(deadline=None)
def test_nothing_leaks_out_of_the_gap(case, value, hostile):
    counts, mask = case
    other = np.where(mask, np.nan if hostile else value, counts)
    assert normalise.fit(counts, mask) == normalise.fit(other, mask)


@given(patterns())
@settings(deadline=None)
def test_torch_numpy_and_batches_agree(case):
    counts, mask = case
    one = normalise.fit(counts, mask)
    many = normalise.fit(np.stack([counts, counts]), np.stack([mask, mask]))
    assert many.low.shape == (2, 1, 1, 1)
    assert np.all(many.low == one.low)
    assert np.all(many.span == one.span)
    tensors = torch.from_numpy(counts)[None], torch.from_numpy(mask)[None]
    torched = normalise.fit(*tensors)
    assert torched.low.shape == (1, 1, 1, 1)
    assert np.allclose(torched.apply(tensors[0])[0].numpy(), one.apply(counts), atol=1e-12)
    back = torched.invert(torched.apply(tensors[0]))[0].numpy()
    assert np.allclose(back, counts, rtol=1e-9, atol=1e-9)


@given(patterns())
@settings(deadline=None)
def test_the_scale_is_the_same_from_logarithms(case):
    counts, mask = case
    one, other = normalise.fit(counts, mask), normalise.fit_log(np.log1p(counts), mask)
    assert other.low == pytest.approx(one.low, abs=1e-12)
    assert other.span == pytest.approx(one.span, abs=1e-12)


def test_next_to_nothing_is_no_scale():
    """A span too small to divide by would send the gap's voxels to infinity and not get them back."""
    counts, mask = np.array([[[1e-308, 7.0, 0.0]]]), np.array([[[False, True, False]]])
    scale = normalise.fit(counts, mask)
    assert scale.span == 1
    assert np.allclose(scale.invert(scale.apply(counts)), counts, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("level", [0.0, 7.0])
def test_an_even_patch_becomes_zero_and_comes_back(level):
    counts = np.full((4, 4, 4), level)
    mask = np.zeros(counts.shape, bool)
    mask[2] = True
    scale = normalise.fit(counts, mask)
    assert np.all(scale.apply(counts) == 0)
    assert np.allclose(scale.invert(np.zeros(counts.shape)), level)


def test_integer_counts_are_taken_as_they_are():
    counts = np.arange(27, dtype=np.uint32).reshape(3, 3, 3)
    scale = normalise.fit(counts, counts > 20)
    assert scale.low == 0
    assert scale.span == pytest.approx(np.log1p(20))


def test_a_pattern_with_nothing_measured_is_told():
    mask = np.zeros((2, 3, 3, 3), bool)
    mask[1] = True
    for counts, hidden in ((np.ones(mask.shape), mask), (torch.ones(mask.shape), torch.from_numpy(mask))):
        with pytest.raises(BraggfillError, match="everything is missing"):
            normalise.fit(counts, hidden)
