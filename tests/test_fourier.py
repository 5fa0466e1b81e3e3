"""Laws of the centred Fourier transform, for even and odd sizes."""

import numpy as np
import pytest
from braggfill.physics import fourier
from hypothesis import given, settings
from hypothesis import strategies as st

shapes = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)
seeds = st.integers(0, 2**32 - 1)


def noise(shape, seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


@given(shapes, seeds)
@settings(max_examples=60, deadline=None)
def test_inverse_undoes_forward(shape, seed):
    obj = noise(shape, seed)
    np.testing.assert_allclose(fourier.inverse(fourier.forward(obj)), obj, atol=1e-12)
    np.testing.assert_allclose(fourier.forward(fourier.inverse(obj)), obj, atol=1e-12)


@given(shapes, seeds)
@settings(max_examples=60, deadline=None)
def test_parseval(shape, seed):
    obj = noise(shape, seed)
    assert np.sum(np.abs(fourier.forward(obj)) ** 2) == pytest.approx(np.sum(np.abs(obj) ** 2), rel=1e-12)


@given(shapes, seeds)
@settings(max_examples=40, deadline=None)
def test_forward_is_the_sum_of_its_equation(shape, seed):
    obj = noise(shape, seed)
    r = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"), -1).reshape(-1, len(shape))
    phases = np.exp(-2j * np.pi * (r / np.array(shape)) @ r.T)
    expected = (phases @ obj.ravel()).reshape(shape) / np.sqrt(obj.size)
    np.testing.assert_allclose(fourier.forward(obj), expected, atol=1e-10)


@given(shapes, seeds, st.data())
@settings(max_examples=60, deadline=None)
def test_shift_theorem(shape, seed, data):
    obj = noise(shape, seed)
    shift = tuple(data.draw(st.integers(-n, n)) for n in shape)
    ramp = sum(s * k / n for s, k, n in zip(shift, fourier.grid(shape), shape, strict=True))
    moved = fourier.forward(np.roll(obj, shift, axis=tuple(range(len(shape)))))
    np.testing.assert_allclose(moved, fourier.forward(obj) * np.exp(-2j * np.pi * ramp), atol=1e-10)


@pytest.mark.parametrize("shape", [(8,), (7,), (6, 9), (5, 4, 7)])
def test_the_origin_is_at_half_the_size(shape):
    delta = np.zeros(shape)
    delta[tuple(n // 2 for n in shape)] = 1
    flat = fourier.forward(delta)
    np.testing.assert_allclose(flat, np.full(shape, 1 / np.sqrt(delta.size)), atol=1e-14)
    np.testing.assert_allclose(fourier.forward(np.ones(shape)), delta * np.sqrt(delta.size), atol=1e-12)
    assert all(line.ravel()[n // 2] == 0 for line, n in zip(fourier.grid(shape), shape, strict=True))


@given(st.integers(1, 9), st.integers(1, 9), seeds)
@settings(max_examples=30, deadline=None)
def test_a_real_object_has_friedel_symmetry(rows, columns, seed):
    amplitude = fourier.forward(np.random.default_rng(seed).standard_normal((2 * rows + 1, 2 * columns + 1)))
    np.testing.assert_allclose(amplitude, amplitude[::-1, ::-1].conj(), atol=1e-12)


def test_single_precision_stays_single_and_threads_change_nothing():
    obj = noise((12, 15, 10), 1).astype(np.complex64)
    one = fourier.forward(obj)
    assert one.dtype == np.complex64
    assert np.array_equal(one, fourier.forward(obj, workers=2))
    np.testing.assert_allclose(one, fourier.forward(obj.astype(np.complex128)), atol=1e-5)


def test_axes_transform_frame_by_frame():
    obj = noise((3, 8, 5), 2)
    frames = np.stack([fourier.forward(frame) for frame in obj])
    np.testing.assert_allclose(fourier.forward(obj, axes=(1, 2)), frames, atol=1e-12)
