"""What perturb computes faster than the textbook does is what the textbook computes."""

import numpy as np
from braggfill.physics import fourier
from braggfill.stages import perturb
from hypothesis import given, settings
from hypothesis import strategies as st
from patterns import ellipsoid as pattern
from scipy.ndimage import gaussian_filter

few = settings(max_examples=15, deadline=None)
numbers = st.integers(0, 2**32 - 1)
shapes = st.tuples(*[st.integers(16, 33)] * 3)


@given(shapes, numbers, st.floats(0.0, 6.0), st.floats(0.05, 0.5))
@few
def test_smoothing_in_a_box_is_smoothing_of_the_whole_array(shape, seed, sigma, threshold):
    ideal = fourier.inverse(pattern(shape, seed))
    whole = gaussian_filter(np.abs(ideal), sigma, mode="wrap")
    whole[whole < threshold * whole.max()] = 0
    found = np.abs(perturb.smooth(ideal, sigma, threshold))
    # A voxel at the threshold itself may fall on either side of it.
    same = np.abs(
        np.where((whole == 0) != (found == 0), threshold * whole.max() - np.maximum(whole, found), found - whole)
    )
    assert same.max() < 1e-5 * whole.max()


@given(st.tuples(*[st.integers(3, 140)] * 3), numbers, st.tuples(*[st.floats(0.0, 3.0)] * 3))
@few
def test_the_blur_is_a_gaussian_filter(shape, seed, sigmas):
    values = np.random.default_rng(seed).random(shape, np.float32) ** 8
    expected = gaussian_filter(values.astype(np.float64), sigmas, mode="nearest")
    np.testing.assert_allclose(perturb.blur(values, sigmas), expected, rtol=1e-5, atol=1e-6)


@given(shapes, numbers, st.data())
@few
def test_the_intensity_does_not_see_where_the_box_lies(shape, seed, data):
    rng = np.random.default_rng(seed)
    starts = [data.draw(st.integers(0, n - 1)) for n in shape]
    box = tuple(slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, shape, strict=True))
    whole = np.zeros(shape, np.complex64)
    whole[box] = rng.standard_normal(whole[box].shape) + 1j * rng.standard_normal(whole[box].shape)
    expected = np.abs(fourier.forward(whole)) ** 2
    np.testing.assert_allclose(perturb.intensity_of(whole[box], shape), expected, atol=1e-5 * expected.max())
