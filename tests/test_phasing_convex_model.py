"""The convex engine's shape, model and losses: gradients, memory, Parseval's amplitude, laws."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from braggfill.phasing import convex_fit, convex_losses, convex_model, convex_shape
from braggfill.physics import fourier
from convex_helpers import counted, crystal, level, places, planes

# The shape.


def test_the_shape_is_the_exponential_of_the_sum_of_logarithms_of_sigmoids():
    n, d = planes(9, 3.0, starts=2)
    x = places((7, 8, 9))
    expected = torch.exp(torch.nn.functional.logsigmoid((d[:, :, None] - n @ x.T) / 0.5).sum(1))
    torch.testing.assert_close(convex_shape.HalfSpaces.apply(n, d, x, 0.5), expected, rtol=1e-12, atol=1e-300)


def test_its_gradients_are_those_of_finite_differences(monkeypatch):
    n, d = planes(5, 2.0, starts=2)
    monkeypatch.setitem(convex_shape.BLOCK, "cpu", 170)  # several blocks, the last one shorter
    x = places((5, 4, 3))
    inputs = (n.requires_grad_(), d.requires_grad_())
    assert torch.autograd.gradcheck(lambda n, d: convex_shape.HalfSpaces.apply(n, d, x, 0.7), inputs)


def test_its_gradients_are_those_of_automatic_differentiation():
    n, d = planes(24, 4.0, starts=2)
    x, weight = places((9, 10, 11)), torch.randn(2, 990, dtype=torch.float64, generator=torch.manual_seed(0))

    def gradients(make):
        own = [t.clone().requires_grad_() for t in (n, d)]
        (make(*own) * weight).sum().backward()
        return [t.grad for t in own]

    plain = gradients(lambda n, d: torch.nn.functional.logsigmoid((d[:, :, None] - n @ x.T) / 0.5).sum(1).exp())
    own = gradients(lambda n, d: convex_shape.HalfSpaces.apply(n, d, x, 0.5))
    for a, b in zip(own, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_a_far_voxel_is_outside_without_overflow():
    n, d = planes(64, 3.0, dtype=torch.float32)
    x = torch.tensor([[0.0, 0.0, 0.0], [1e4, -1e4, 1e4]])
    n, d = n.requires_grad_(), d.requires_grad_()
    shape = convex_shape.HalfSpaces.apply(n, d, x, 0.4)
    shape.sum().backward()
    assert shape[0, 1] == 0
    assert shape[0, 0] > 0.5
    assert torch.isfinite(n.grad).all()
    assert torch.isfinite(d.grad).all()


def test_what_is_kept_for_the_gradient_does_not_grow_with_the_half_spaces():
    x = places((24, 24, 24), torch.float32)
    kept = {}
    for count in (8, 512):
        sizes = []
        n, d = planes(count, 6.0, dtype=torch.float32)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):  # noqa: B023
            convex_shape.HalfSpaces.apply(n.requires_grad_(), d.requires_grad_(), x, 0.5)
        kept[count] = sum(sizes) - 4 * count
    assert kept[8] == kept[512] == 4 * len(x)


def test_memory_does_not_grow_with_voxels_times_half_spaces():
    program = """
import resource, sys, torch
from braggfill.phasing import convex_shape
torch.set_num_threads(1)
grid = torch.arange(64.0) - 32
x = torch.cartesian_prod(grid, grid, grid)
count = int(sys.argv[1])
n = convex_shape.retract(torch.randn(1, count, 3)).requires_grad_()
d = torch.full((1, count), 20.0).requires_grad_()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
convex_shape.HalfSpaces.apply(n, d, x, 0.5).sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    few, many = (
        int(subprocess.run([sys.executable, "-c", program, n], capture_output=True, text=True, check=True).stdout)
        for n in ("4", "256")
    )
    held = 64**3 * 256 * 4 / 1024  # kB that voxels times half-spaces would take: 262 MB
    assert many - few < 0.1 * held


@pytest.mark.parametrize("seed", range(3))
def test_normals_stay_on_the_sphere_and_move_along_it(seed):
    n, _ = planes(30, 1.0, seed=seed)
    gradient = convex_shape.tangent(torch.randn(n.shape, dtype=n.dtype, generator=torch.manual_seed(seed)), n)
    assert (gradient * n).sum(-1).abs().max() < 1e-12
    torch.testing.assert_close(convex_shape.retract(n - 0.3 * gradient).norm(dim=-1), torch.ones(1, 30).double())
    again = convex_shape.tangent(gradient, n)
    torch.testing.assert_close(again, gradient)


# The model.


@pytest.mark.parametrize("shape", [(12, 12, 12), (11, 13, 9), (10, 15, 8)])
def test_the_intensity_is_that_of_the_padded_object_and_the_amplitude_is_parsevals(shape):
    rng = np.random.default_rng(0)
    counts = rng.poisson(30.0, shape).astype(float)
    whole = level(counts)
    n, d = planes(12, 2.5)
    parameters = convex_model.Parameters(n, d, torch.as_tensor(rng.uniform(-1, 1, (1, 1, 3, 3, 3))))
    support, phasor = whole.support(parameters), whole.phasor(parameters.phase)
    amplitude = whole.amplitude(support, phasor)
    parseval = np.sqrt(counts.sum() / (support**2).sum().item())
    assert amplitude.item() == pytest.approx(parseval, rel=1e-12)
    padded = np.zeros(shape, complex)
    part = tuple(slice(n // 2 - h // 2, n // 2 - h // 2 + h) for n, h in zip(shape, whole.half, strict=True))
    padded[part] = (amplitude * support * phasor)[0].numpy()
    expected = np.fft.ifftshift(np.abs(fourier.forward(padded)) ** 2)
    np.testing.assert_allclose(whole.intensity(support, phasor)[0].numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", convex_model.KINDS)
@pytest.mark.parametrize("name", convex_losses.DISTANCES)
def test_the_gradients_of_the_whole_model_are_those_of_finite_differences(kind, name):
    rng = np.random.default_rng(1)
    counts = rng.poisson(20.0, (8, 9, 8)).astype(float)
    weight = rng.uniform(size=counts.shape)
    whole = level(counts, weight, kind, modulus=2.7)
    n, d = planes(4, 2.0)
    phase = torch.as_tensor(rng.normal(size=(1, 2 if kind == "phasor" else 1, 2, 3, 2)))
    descent = convex_fit.Descent(0.05, 0.05, 0.05, (0.9, 0.98), 0.9, 500, 0.3, 0.0, 0.2)

    def loss(n, d, phase):
        return convex_fit.objective(whole, convex_model.Parameters(n, d, phase), {name: [0]}, descent)

    # The weight of the total variation has no gradient by design, so the term is constant in the shape's parameters.
    fixed = n.clone(), d.clone()
    plain = convex_fit.Descent(0.05, 0.05, 0.05, (0.9, 0.98), 0.9, 500, 0.3, 0.0, 0.0)
    assert torch.autograd.gradcheck(lambda phase: loss(*fixed, phase), (phase.requires_grad_(),), atol=1e-6)
    descent = plain
    assert torch.autograd.gradcheck(loss, (n.requires_grad_(), d.requires_grad_(), phase), atol=1e-6)


def test_the_kinds_of_phase_say_the_same():
    counts = counted(crystal(16, 3.0))
    angle = torch.as_tensor(np.random.default_rng(0).uniform(-1, 1, (2, 1, 8, 8, 8)))
    made = level(counts).phasor(angle)
    torch.testing.assert_close(level(counts, kind="phasor").phasor(torch.cat([angle.cos(), angle.sin()], 1) * 3), made)
    torch.testing.assert_close(level(counts, kind="displacement", modulus=2.5).phasor(-angle / 2.5), made)


def test_a_lower_resolution_is_the_same_crystal():
    n, d = planes(20, 8.0)
    parameters = convex_model.Parameters(n, d, torch.zeros(1, 1, 2, 2, 2).double())
    counts = np.ones((48, 48, 48))
    fine, coarse = level(counts, softness=0.6), level(counts, edge=24, softness=0.3)  # one softness of the object
    assert coarse.shape == (24, 24, 24)
    volumes = [s.support(parameters).sum().item() * s.voxel**3 for s in (fine, coarse)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.05)


def test_recentring_moves_shape_and_phase_together():
    n, d = planes(30, 4.0)
    whole = level(np.ones((32, 30, 28)), softness=0.6)
    d = d + (n * torch.tensor([1.5, -2.0, 1.0]).double()).sum(-1)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, h) for h in whole.half), indexing="ij")
    parameters = convex_model.Parameters(n, d, torch.as_tensor(2 * x - y + z**2)[None, None])
    moved = convex_model.recentred(whole, parameters)
    before, after = (whole.intensity(whole.support(p), whole.phasor(p.phase)) for p in (parameters, moved))
    assert ((before - after).abs().sum() / before.sum()).item() < 0.02
    flat = whole.support(moved).flatten(1)
    assert (flat @ whole.places / flat.sum()).abs().max().item() < 0.02


def test_linear_interpolation_is_exact_for_linear_values_and_transposed_by_autograd():
    grid = torch.arange(5.0).double()
    linear = (grid[:, None, None] + 2 * grid[None, :, None] - grid[None, None, :])[None, None]
    fine = convex_model.resample(linear, (9, 9, 9))
    half = torch.arange(9.0).double() / 2
    torch.testing.assert_close(fine[0, 0], half[:, None, None] + 2 * half[None, :, None] - half[None, None, :])
    torch.testing.assert_close(convex_model.resample(fine, (5, 5, 5)), linear)


# The losses.


@pytest.mark.parametrize("name", convex_losses.DISTANCES)
def test_laws_of_a_loss(name):
    rng = np.random.default_rng(2)
    seen = torch.as_tensor(rng.poisson(9.0, (6, 5, 4)).astype(float)) + 50
    model = seen * torch.as_tensor(rng.uniform(0.5, 1.5, (2, 6, 5, 4)))
    weight = torch.as_tensor(rng.uniform(size=(6, 5, 4)))
    distance = convex_losses.DISTANCES[name]
    assert distance(seen, seen[None], weight).item() == pytest.approx(0, abs=1e-9)
    assert (distance(seen, model, weight) > 0).all()
    # Exposure and a common factor of the weights change nothing.
    torch.testing.assert_close(distance(7 * seen, 7 * model, weight), distance(seen, model, weight), rtol=1e-3, atol=0)
    torch.testing.assert_close(distance(seen, model, weight / 3), distance(seen, model, weight))
    # Each start is judged by itself, voxels add up, and those of weight 0 do not.
    torch.testing.assert_close(distance(seen, model[1:], weight)[0], distance(seen, model, weight)[1])
    split = torch.where(torch.arange(4) < 2, weight, 0)
    parts = [(w * seen).sum() * distance(seen, model, w) for w in (split, weight - split)]
    torch.testing.assert_close(sum(parts), (weight * seen).sum() * distance(seen, model, weight))
    wrong = model.clone()
    wrong[..., 2:] = 1e3
    torch.testing.assert_close(distance(seen, wrong, split), distance(seen, model, split), rtol=0, atol=0)
    # It falls on the straight way to the truth.
    ways = torch.stack([distance(seen, seen + t * (model - seen), weight) for t in (1.0, 0.6, 0.3, 0.0)])
    assert (ways.diff(dim=0) < 0).all()


def test_laws_of_the_total_variation():
    rng = np.random.default_rng(3)
    shape = torch.ones(1, 6, 6, 6).double()
    angle = torch.as_tensor(rng.uniform(-3, 3, (1, 6, 6, 6)))
    phasor = torch.polar(torch.ones_like(angle), angle)
    variation = convex_losses.total_variation
    assert variation(torch.ones_like(phasor), shape).item() == 0
    torch.testing.assert_close(variation(phasor * np.exp(0.7j), shape), variation(phasor, shape))
    turned = torch.polar(torch.ones_like(angle), angle + 2 * np.pi * torch.randint(0, 3, angle.shape))
    torch.testing.assert_close(variation(turned, shape), variation(phasor, shape))
    ramp = torch.polar(torch.ones_like(angle), 0.01 * torch.arange(6.0).double().expand_as(angle))
    assert variation(ramp, shape).item() == pytest.approx(0.01, rel=0.02)
    hidden = shape.clone()
    hidden[:, 3:] = 0
    other = torch.where(torch.arange(6)[:, None, None] > 3, torch.ones_like(phasor), phasor)
    torch.testing.assert_close(variation(other, hidden), variation(phasor, hidden))
