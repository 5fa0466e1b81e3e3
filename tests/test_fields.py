"""Laws of random fields: variance, correlation, range."""

import math

import numpy as np
import pytest
from braggfill.physics import fields
from hypothesis import given, settings
from hypothesis import strategies as st

few = settings(max_examples=15, deadline=None)
numbers = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("shape", [(24, 24, 24), (15, 20, 17), (16, 18, 25)])
def test_a_random_field_has_its_variance_and_correlation(shape):
    rng, sigmas, number = np.random.default_rng(1), (1.0, 1.5, 2.0), 80
    total, products = 0.0, {(axis, lag): 0.0 for axis in range(3) for lag in (0, 1, 2, 4)}
    for _ in range(number):
        field = fields.random_field(rng, shape, sigmas)
        assert field.shape == shape
        assert field.dtype == np.float32
        total += field.mean() / number
        for axis, lag in products:
            products[axis, lag] += np.mean(field * np.roll(field, lag, axis)) / number
    assert abs(total) < 0.05
    for (axis, lag), value in products.items():
        assert value == pytest.approx(math.exp(-((lag / sigmas[axis]) ** 2) / 4), abs=0.06)


def test_a_field_without_correlation_is_white():
    """All of its modes have the same power, also those on the planes that are their own mirror image."""
    rng = np.random.default_rng(2)
    power = np.mean([np.abs(np.fft.fftn(fields.random_field(rng, (6, 5, 8), 0.0))) ** 2 for _ in range(3000)], axis=0)
    np.testing.assert_allclose(power / 240, 1, atol=0.15)


@given(numbers, st.floats(-3, 3), st.floats(0.1, 5))
@few
def test_spanning_spans(seed, lowest, width):
    field = np.random.default_rng(seed).standard_normal((5, 6, 7)).astype(np.float32)
    spanned = fields.spanning(field, lowest, lowest + width)
    assert spanned.min() == pytest.approx(lowest, abs=1e-5)
    assert spanned.max() == pytest.approx(lowest + width, abs=1e-5)
    assert np.array_equal(np.argsort(spanned.ravel())[[0, -1]], np.argsort(field.ravel())[[0, -1]])
