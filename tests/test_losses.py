"""The terms of the loss: least where they should be, blind where they should be."""

from __future__ import annotations

import inspect
import math
import subprocess
import sys

import pytest
import torch
from braggfill.learning.gap import losses, scores
from braggfill.learning.gap.losses.amplitude import WILD, amplitude
from braggfill.learning.gap.losses.gradient import gradient
from braggfill.learning.gap.losses.mae import mae
from braggfill.learning.gap.losses.mse import mse
from braggfill.learning.gap.losses.nll import nll
from braggfill.learning.gap.losses.ssim import ssim
from braggfill.patterns import gaps
from braggfill.patterns.normalise import fit_log

TERMS = (mse, mae, amplitude, ssim, gradient)


def _case(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(2, 16, 16, 16, generator=generator)
    mask = torch.from_numpy(gaps.plane((16, 16, 16), 4))[None].repeat(2, 1, 1, 1)
    return truth, mask, generator


@pytest.mark.parametrize("term", TERMS)
def test_a_perfect_prediction_costs_nothing_and_another_something(term):
    truth, mask, generator = _case()
    assert float(term(truth, truth, mask)) == pytest.approx(0, abs=1e-5)
    worse = truth + 0.1 * torch.rand(truth.shape, generator=generator)
    assert float(term(worse, truth, mask)) > 1e-4


@pytest.mark.parametrize("term", TERMS)
def test_only_the_gap_counts(term):
    truth, mask, generator = _case()
    prediction = truth + 0.1 * torch.rand(truth.shape, generator=generator)
    outside = torch.where(mask, prediction, 7.0)
    assert torch.allclose(term(prediction, truth, mask), term(outside, truth, mask), rtol=1e-5)


@pytest.mark.parametrize("term", TERMS)
def test_every_term_pulls_towards_the_truth(term):
    truth, mask, generator = _case()
    prediction = truth + 0.2 * torch.rand(truth.shape, generator=generator)
    prediction.requires_grad_()
    start = term(prediction, truth, mask)
    start.backward()
    assert torch.isfinite(prediction.grad).all()
    step = 0.02 / prediction.grad.abs().max()
    assert term(prediction.detach() - step * prediction.grad, truth, mask) < start


def test_a_wild_prediction_costs_no_more_amplitude_than_one_that_is_e3_times_too_bright():
    truth, mask, _ = _case()
    bright, wild = truth + WILD, truth + 30.0
    assert torch.equal(amplitude(wild, truth, mask), amplitude(bright, truth, mask))
    assert amplitude(bright, truth, mask) > amplitude(truth + 1, truth, mask)


def test_squared_and_absolute_errors_are_those():
    truth, mask, _ = _case()
    assert float(mse(truth + 0.5, truth, mask)) == pytest.approx(0.25, rel=1e-5)
    assert float(mae(truth - 0.5, truth, mask)) == pytest.approx(0.5, rel=1e-5)


def test_narrow_gaps_count_as_much_as_wide_ones():
    truth, mask, _ = _case()
    mask[1] = False
    mask[1, :, :, 0] = True
    error = torch.zeros_like(truth)
    error[0] = 1.0
    assert float(mse(truth + error, truth, mask)) == pytest.approx(0.5, rel=1e-5)


def test_the_squared_error_asks_for_the_mean_and_the_absolute_one_for_the_median():
    samples = torch.tensor([0.0, 0.0, 1.0]).repeat(100)[:, None, None, None]
    mask = torch.ones_like(samples, dtype=torch.bool)
    guesses = torch.linspace(0, 1, 101)
    squared = [float(mse(torch.full_like(samples, g), samples, mask)) for g in guesses]
    absolute = [float(mae(torch.full_like(samples, g), samples, mask)) for g in guesses]
    assert guesses[squared.index(min(squared))] == pytest.approx(1 / 3, abs=0.01)
    assert guesses[absolute.index(min(absolute))] == pytest.approx(0.0, abs=0.01)


def test_the_amplitude_term_is_the_relative_error_of_the_square_root():
    intensity = torch.tensor([100.0, 4.0, 0.0]).reshape(1, 1, 1, 3)
    guess = torch.tensor([81.0, 9.0, 1.0]).reshape(1, 1, 1, 3)
    mask = torch.tensor([True, True, False]).reshape(1, 1, 1, 3)
    root = lambda x: math.sqrt(x + 0.375)  # noqa: E731
    expected = ((root(81) - root(100)) ** 2 + (root(9) - root(4)) ** 2) / (100 + 4 + 0.75)
    found = amplitude(torch.log1p(guess), torch.log1p(intensity), mask)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_a_huge_prediction_costs_much_but_stays_a_number():
    truth, mask, _ = _case()
    prediction = torch.full_like(truth, 500.0).requires_grad_()
    loss = amplitude(prediction, truth, mask)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(prediction.grad).all()


def test_the_likelihood_trains_the_variance_alone_and_to_the_mean_squared_error():
    torch.manual_seed(0)
    counted = torch.randn(1, 20, 20, 20) * 0.7
    mask = torch.ones_like(counted, dtype=torch.bool)
    prediction = torch.zeros_like(counted, requires_grad=True)
    log_variance = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([log_variance], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        nll(prediction, log_variance.expand(counted.shape), counted, mask).backward()
        optimizer.step()
    assert prediction.grad is None
    assert float(log_variance.detach().exp()) == pytest.approx(float(counted.square().mean()), rel=0.01)


def test_ssim_of_the_slices_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    truth, mask, generator = _case()
    prediction = truth + 0.3 * torch.rand(truth.shape, generator=generator)
    filled = torch.where(mask, prediction, truth)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    total = 0.0
    for one, other in zip(filled.numpy(), truth.numpy(), strict=True):
        for a, b in zip(one, other, strict=True):
            total += 1 - metrics.structural_similarity(a, b, **options)
    assert float(ssim(prediction, truth, mask)) == pytest.approx(total / len(truth), rel=1e-4)


def test_the_gradient_term_is_blind_to_a_shift_within_the_gap_but_not_at_its_rim():
    truth, mask, _ = _case()
    shifted = truth + 1.0
    # Only the two rims along axis 2 change: 2 of 15 differences by 1 each, in one of three axes.
    assert float(gradient(shifted, truth, mask)) == pytest.approx(2 / 15 / 3, rel=1e-5)


def test_the_correlation_is_that_of_numpy():
    numpy = pytest.importorskip("numpy")
    truth, mask, generator = _case()
    prediction = truth + torch.rand(truth.shape, generator=generator)
    found = scores.pcc(prediction, truth, mask)
    for r, p, t, m in zip(found, prediction, truth, mask, strict=True):
        assert float(r) == pytest.approx(numpy.corrcoef(p[m].numpy(), t[m].numpy())[0, 1], abs=1e-6)
    assert math.isnan(float(scores.pcc(torch.ones_like(truth), truth, mask)[0]))


def test_a_batch_with_no_gap_costs_nothing():
    truth, mask, _ = _case()
    assert float(mse(truth + 1, truth, torch.zeros_like(mask))) == 0


WEIGHTS = ({}, {"mse": 0, "amplitude": 0, "nll": 0, "mae": 1, "ssim": 1, "gradient": 1}, {"amplitude": 8, "mae": 0.3})


@pytest.mark.parametrize("uncertain", [True, False])
@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_the_total_is_the_weighed_sum_in_the_registrys_order(weights, uncertain):
    """To the last bit, gradient included: the published losses see both sides normalised."""
    truth, mask, generator = _case()
    counted = truth + torch.rand(truth.shape, generator=generator)
    prediction = (truth + torch.rand(truth.shape, generator=generator)).requires_grad_()
    log_variance = torch.randn(truth.shape, generator=generator) if uncertain else None
    weights = losses.DEFAULT | weights
    found = losses.total(weights, prediction, log_variance, truth, counted, counted, mask)
    expected = torch.zeros(())
    for term in (mse, amplitude):
        if weights[term.__name__]:
            expected = expected + weights[term.__name__] * term(prediction, truth, mask)
    if weights["nll"] and uncertain:
        expected = expected + weights["nll"] * nll(prediction, log_variance, counted, mask)
    scale = fit_log(counted, mask)
    if published := [term for term in (mae, ssim, gradient) if weights.get(term.__name__)]:
        guess, true = scale.apply_log(prediction), scale.apply_log(truth)
        for term in published:
            expected = expected + weights[term.__name__] * term(guess, true, mask)
    assert torch.equal(found, expected)
    assert torch.equal(*(torch.autograd.grad(value, prediction)[0] for value in (found, expected)))


def test_what_trains_the_variance_alone_is_named():
    names = {name for name in losses.REGISTRY if "log_variance" in inspect.signature(losses.function(name)).parameters}
    assert names == losses.VARIANCE


def test_the_registry_loads_no_torch():
    """Settings are checked against it, at the start of every command."""
    ask = "import sys; from braggfill.learning.gap import losses, options; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
