"""Laws of the way from a pattern of any size to the network and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from braggfill.errors import BraggfillError
from braggfill.networks.phase.braggphase import Braggphase
from braggfill.phasing import predicted
from braggfill.physics import crystals, fourier
from hypothesis import given, settings
from hypothesis import strategies as st


class Knows:
    """A network that is told the phase, of the pattern's middle without binning."""

    size = 32

    def __init__(self, phase):
        self.phase = phase

    def predict(self, log_intensity, mask):
        return torch.from_numpy(self.phase)[None], torch.full((1, 32, 32, 32), 1e3)


def drawn(seed, shape, oversampling, span=4.0):
    made = crystals.draw_object(np.random.default_rng(seed), shape, oversampling=oversampling, range=span)
    return made, fourier.forward(made)


def agreement(one, other):
    return abs(np.vdot(one, other)) / np.linalg.norm(one) / np.linalg.norm(other)


@given(st.integers(0, 1000), st.sampled_from([(32, 32, 32), (40, 33, 47)]), st.tuples(*[st.integers(-2, 2)] * 3))
@settings(max_examples=10, deadline=None)
def test_the_right_phase_gives_the_object_back(seed, shape, shift):
    """Without binning the way there and back is exact, but for what lies outside the middle."""
    _, amplitude = drawn(seed, shape, 2.3)
    amplitude = np.roll(amplitude, shift, (0, 1, 2))
    counts = np.abs(amplitude) ** 2 * 1e6
    seen = predicted.canonical(counts, np.zeros(shape, bool), (2.3,) * 3)
    assert seen.factors == (1, 1, 1)
    around = [c - n // 2 for c, n in zip(seen.centre, shape, strict=True)]
    assert np.abs(np.subtract(around, shift)).max() <= 1
    centred = np.roll(np.angle(amplitude), [-a for a in around], (0, 1, 2))
    middle = tuple(slice(n // 2 - 16, n // 2 + 16) for n in shape)
    found = predicted.predict(Knows(centred[middle].astype(np.float32)), counts, oversampling=(2.3,) * 3, turns=1)
    assert found.obj.shape == shape
    assert agreement(found.obj, fourier.inverse(amplitude)) > 0.97


@pytest.mark.parametrize("factor", [2, 3])
def test_a_finer_pattern_is_binned_and_taken_back(factor):
    """The phase at the middle of each bin, told to the network, gives the object on the fine grid."""
    shape, side = (32 * factor,) * 3, 32
    made, amplitude = drawn(3, shape, 2.6 * factor, span=2.0)
    counts = (np.abs(amplitude) ** 2 * 1e6).astype(np.float32)
    seen = predicted.canonical(counts, np.zeros(shape, bool), (2.6 * factor,) * 3)
    assert seen.factors == (factor,) * 3
    # Moduli and phases at the bins' middles, by a transform to these places.
    q = [c - n // 2 + (np.arange(side) - side // 2) * factor + (factor - 1) / 2 - factor // 2
         for c, n in zip(seen.centre, shape, strict=True)]  # fmt: skip
    value = made
    for places in q:
        turns = np.outer(places, np.arange(shape[0]) - shape[0] // 2) / shape[0]
        value = np.moveaxis(np.tensordot(np.exp(-2j * np.pi * turns), value, (1, 0)), 0, -1)
    knows = Knows(np.angle(value).astype(np.float32))
    found = predicted.predict(knows, counts, oversampling=(2.6 * factor,) * 3, turns=1)
    assert agreement(found.obj, made) > 0.95
    exact = predicted.Canonical(np.abs(value).astype(np.float32) ** 2, seen.missing, seen.factors, seen.centre)
    restored = predicted.Prediction(np.exp(1j * np.angle(value)), exact, shape).obj
    assert agreement(restored, made) > 0.985
    moduli = [np.abs(x) / np.linalg.norm(x) for x in (restored, made)]
    np.testing.assert_allclose(*[crystals.centre_of_mass(m**2) for m in moduli], atol=0.05)


def test_missing_voxels_are_missing_in_a_bin_and_do_not_darken_it():
    counts = np.full((64, 64, 64), 3.0, np.float32)
    counts[32, 32, 32] = 1e4
    missing = np.zeros(counts.shape, bool)
    missing[:, 40:42] = True
    missing[:, 45] = True
    seen = predicted.canonical(np.where(missing, 0, counts), missing, (5.0, 5.0, 5.0))
    assert seen.factors == (2, 2, 2)
    dark = seen.counts[20:30, :, 20:30]
    assert set(np.unique(dark)) == {0.0, 24.0}
    first = seen.centre[1] - 16 * 2 - 1
    gone = {int(v) for v in np.flatnonzero(missing[0, :, 0])} | {v for v in range(-40, 100) if not 0 <= v < 64}
    expected = [j for j in range(32) if {first + 2 * j, first + 2 * j + 1} <= gone]
    assert expected
    np.testing.assert_array_equal(np.flatnonzero(seen.missing[25, :, 25]), expected)


def test_a_small_pattern_is_padded_with_missing_voxels():
    _, amplitude = drawn(1, (24, 32, 28), 2.5)
    counts = np.abs(amplitude) ** 2 * 1e5
    seen = predicted.canonical(counts, np.zeros(counts.shape, bool), (2.5,) * 3)
    assert seen.missing[:3].all()
    assert not seen.missing[16, 16, 16]
    found = predicted.predict(Braggphase(channels=(4, 6, 8), blocks=1, heads=2), counts)
    assert found.obj.shape == counts.shape
    assert np.isfinite(found.obj).all()


def test_bad_input_is_told():
    network = Knows(np.zeros((32, 32, 32), np.float32))
    with pytest.raises(BraggfillError, match="2 axes"):
        predicted.predict(network, np.ones((8, 8)))
    with pytest.raises(BraggfillError, match="no photons"):
        predicted.predict(network, np.zeros((32, 32, 32)))
    with pytest.raises(BraggfillError, match="no photons"):
        predicted.predict(network, np.full((32, 32, 32), np.nan))
