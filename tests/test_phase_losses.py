"""Laws of the losses of phase retrieval by networks, and of gaps filled in two dimensions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from braggfill.learning import phase_losses as losses
from braggfill.learning import planar_losses as planar
from braggfill.physics import crystals, diffraction, fourier
from hypothesis import given, settings
from hypothesis import strategies as st

few = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**31)
shapes = st.sampled_from([(3, 8, 9), (2, 6, 5, 7)])
WEIGHTINGS = pytest.mark.parametrize("weighting", [losses.amplitude_weights, losses.log_weights])


def random_case(seed, shape):
    made = torch.Generator().manual_seed(seed)
    intensity = torch.rand(shape, generator=made, dtype=torch.float64) ** 4 * 1e3
    phase = (torch.rand(shape, generator=made, dtype=torch.float64) - 0.5) * 6
    return intensity, phase, made


def drawn(seed, shape=(32, 32), number=3):
    """Intensities, phases and objects of real crystals, double precision."""
    rng = np.random.default_rng(seed)
    made = np.stack([crystals.draw_object(rng, shape, oversampling=2.2) for _ in range(number)]).astype(complex)
    found = np.stack([fourier.forward(one) for one in made])
    return torch.from_numpy(abs(found) ** 2), torch.from_numpy(np.angle(found)), torch.from_numpy(made)


# WCA ----------------------------------------------------------------------------------------------------------------


@WEIGHTINGS
def test_weights_add_up_to_one(weighting):
    intensity, _, _ = random_case(0, (4, 5, 6))
    torch.testing.assert_close(weighting(intensity).flatten(1).sum(1), torch.ones(4, dtype=torch.float64))
    assert torch.isfinite(weighting(torch.zeros(1, 3, 3))).all()


def test_the_weights_are_those_of_their_names():
    intensity = torch.tensor([[[0.0, 4.0, 16.0]]])
    torch.testing.assert_close(losses.amplitude_weights(intensity)[0, 0], torch.tensor([0, 2, 4]) / 6)
    expected = torch.log1p(intensity) / torch.log1p(intensity).sum()
    torch.testing.assert_close(losses.log_weights(intensity), expected)


@WEIGHTINGS
@given(seed=seeds, shape=shapes, offset=st.floats(-10, 10))
@few
def test_wca_is_zero_for_an_offset_for_the_twin_and_for_turns(weighting, seed, shape, offset):
    intensity, phase, made = random_case(seed, shape)
    weights = weighting(intensity)
    turns = 2 * np.pi * torch.randint(-3, 4, shape, generator=made)
    for prediction in (phase + offset, -phase + offset, phase + turns, turns - phase - offset):
        torch.testing.assert_close(
            losses.wca(losses.phasor(prediction), phase, weights), torch.zeros(shape[0]).double(), atol=1e-9, rtol=0
        )
    alone = losses.wca(losses.phasor(-phase), phase, weights, twin=False)
    assert (alone > 1e-3).all()


@WEIGHTINGS
@given(seed=seeds, shape=shapes)
@few
def test_wca_agrees_with_the_equation(weighting, seed, shape):
    intensity, phase, made = random_case(seed, shape)
    prediction = torch.rand(shape, generator=made, dtype=torch.float64) * 20
    weights = weighting(intensity)
    found = losses.wca(losses.phasor(prediction), phase, weights)
    for b in range(shape[0]):
        both = [abs((weights[b] * torch.exp(1j * (sign * phase[b] - prediction[b]))).sum()) for sign in (1, -1)]
        assert float(found[b]) == pytest.approx(1 - float(max(both)), abs=1e-9)


@given(seed=seeds, twin=st.booleans())
@few
def test_the_gradient_of_wca_agrees_with_finite_differences(seed, twin):
    intensity, phase, made = random_case(seed, (2, 4, 3))
    prediction = (torch.rand(phase.shape, generator=made, dtype=torch.float64) * 6).requires_grad_()
    weights = losses.amplitude_weights(intensity)
    assert torch.autograd.gradcheck(lambda x: losses.wca(losses.phasor(x), phase, weights, twin=twin), prediction)


def test_the_minimum_is_taken_pattern_by_pattern():
    intensity, phase, _ = random_case(4, (2, 6, 6))
    mixed = torch.stack([phase[0], -phase[1]])
    weights = losses.amplitude_weights(intensity)
    assert losses.wca(losses.phasor(mixed), phase, weights).max() < 1e-9


def test_random_phases_score_about_one():
    intensity, phase, made = random_case(5, (8, 32, 32))
    noise = torch.rand(phase.shape, generator=made, dtype=torch.float64) * 2 * np.pi
    assert losses.wca(losses.phasor(noise), phase, losses.log_weights(intensity)).min() > 0.9


# Real space ---------------------------------------------------------------------------------------------------------


def test_objects_are_those_of_the_one_transform():
    intensity, phase, made = drawn(1)
    torch.testing.assert_close(losses.objects(intensity, phase), made, atol=1e-9, rtol=0)


def test_the_real_space_loss_is_zero_for_the_truth_alone_and_has_a_finite_gradient():
    intensity, phase, made = drawn(2)
    same = losses.real_space(losses.objects(intensity, phase), losses.objects(intensity, phase))
    assert same.max() == 0
    twin = losses.real_space(losses.objects(intensity, -phase), made)
    assert twin.min() > 1e-3
    prediction = (phase + 0.3).requires_grad_()
    losses.real_space(losses.objects(intensity, prediction), made).sum().backward()
    assert torch.isfinite(prediction.grad).all()
    assert prediction.grad.abs().max() > 0


@given(seed=seeds)
@few
def test_the_gradient_of_the_real_space_loss_agrees_with_finite_differences(seed):
    intensity, phase, made = random_case(seed, (1, 4, 4))
    truth = losses.objects(intensity, phase)
    prediction = (phase + 0.1 * torch.rand(phase.shape, generator=made, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: losses.real_space(losses.objects(intensity, x), truth), prediction)


@given(seed=seeds, offset=st.floats(-4, 4), sign=st.sampled_from([-1, 1]))
@few
def test_a_broken_symmetry_gives_one_phase_for_all(seed, offset, sign):
    _, phase, _ = random_case(seed, (3, 8, 9))
    at = (2, 3)
    one = losses.symmetry_broken(phase, at)
    other = losses.symmetry_broken(sign * phase + offset, at)
    torch.testing.assert_close(torch.exp(1j * one), torch.exp(1j * other), atol=1e-6, rtol=0)
    assert (one[:, 2, 3] >= 0).all()
    assert (one[:, 4, 4] == 0).all()


@given(seed=seeds, offset=st.floats(-4, 4))
@few
def test_accuracy_is_one_for_the_truth_and_for_its_twin(seed, offset):
    intensity, phase, made = drawn(seed, (16, 17), 2)
    for sign in (1, -1):
        found = losses.accuracy(losses.objects(intensity, sign * phase + offset), made)
        torch.testing.assert_close(found, torch.ones(2).double(), atol=1e-4, rtol=0)
    turned = losses.twin_of(losses.objects(intensity, phase))
    torch.testing.assert_close(losses.objects(intensity, -phase), turned, atol=1e-8, rtol=0)


def test_accuracy_falls_with_the_error():
    intensity, phase, made = drawn(3)
    noise = torch.randn(phase.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = [losses.accuracy(losses.objects(intensity, phase + a * noise), made).mean() for a in (0, 0.2, 0.6, 3)]
    assert sorted(found, reverse=True) == found
    assert found[-1] < 0.6


def test_the_window_of_a_pattern_has_the_phase_of_the_losses():
    made = crystals.draw_object(np.random.default_rng(1), (24, 24), oversampling=2)
    pattern = diffraction.expose(diffraction.amplitude(made, (24, 24), 24), 1e6, None)
    intensity, phase = (torch.from_numpy(x[None].astype(float)) for x in (pattern.expectation, pattern.phase))
    assert losses.accuracy(losses.objects(intensity, phase), torch.from_numpy(made[None]).to(torch.complex128)) > 0.999


# Two dimensions -----------------------------------------------------------------------------------------------------


def planar_case(seed=0, number=3):
    made = torch.Generator().manual_seed(seed)
    truth, guess = (torch.rand(number, 24, 26, generator=made, dtype=torch.float64) for _ in range(2))
    mask = torch.zeros(truth.shape, dtype=torch.bool)
    mask[:, :, 10:16] = True
    mask[0, 5:8] = True
    return guess, truth, mask


@pytest.mark.parametrize("name", planar.LOSSES)
def test_a_planar_loss_is_zero_for_the_truth_and_looks_into_the_gap_alone(name):
    guess, truth, mask = planar_case()
    loss = planar.LOSSES[name]
    assert float(loss(truth, truth, mask)) == pytest.approx(0, abs=1e-9)
    assert float(loss(guess, truth, mask)) > 0.01
    elsewhere = torch.where(mask, guess, guess + 7)
    assert float(loss(elsewhere, truth, mask)) == pytest.approx(float(loss(guess, truth, mask)))


def test_the_planar_gradients_are_those_of_the_equation():
    guess, truth, mask = planar_case()
    filled = torch.where(mask, guess, truth)
    expected = []
    for axis in (1, 2):
        error = (filled.diff(dim=axis) - truth.diff(dim=axis)).square()
        n = mask.shape[axis]
        touched = mask.narrow(axis, 0, n - 1) | mask.narrow(axis, 1, n - 1)
        expected.append(torch.stack([error[b][touched[b]].mean() for b in range(3)]).mean())
    torch.testing.assert_close(planar.gradients(guess, truth, mask), torch.stack(expected).mean())


def test_planar_ssim_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    guess, truth, mask = planar_case(number=1)
    filled = torch.where(mask, guess, truth)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    _, image = metrics.structural_similarity(filled[0].numpy(), truth[0].numpy(), full=True, **options)
    inner = image[5:-5, 5:-5].mean()
    assert float(planar.ssim(guess, truth, mask)) == pytest.approx(1 - inner, abs=0.02)


@pytest.mark.parametrize("name", planar.LOSSES)
def test_the_gradient_of_a_planar_loss_agrees_with_finite_differences(name):
    made = torch.Generator().manual_seed(1)
    truth, guess = (torch.rand(1, 12, 12, generator=made, dtype=torch.float64) for _ in range(2))
    mask = torch.zeros(truth.shape, dtype=torch.bool)
    mask[:, :, 4:6] = True
    guess.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: planar.LOSSES[name](x, truth, mask), guess, eps=1e-6, atol=1e-5)
