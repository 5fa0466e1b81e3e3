"""Training the default network of phase retrieval: loss, optimiser, and what becomes of it when it is disturbed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from braggfill.errors import BraggfillError
from braggfill.learning import muon, phase_data, phase_training
from braggfill.networks import build, card, load, save
from braggfill.networks.phase.braggphase import CONCENTRATION, SHORT, Braggphase
from safetensors import safe_open
from safetensors.torch import save as pack

SMALL = {"channels": (4, 6, 8), "blocks": 1, "heads": 2}


# Its training -------------------------------------------------------------------------------------------------------


def test_the_loss_is_least_for_the_truth_and_its_twin():
    batch, _ = phase_data.validation(2)
    phase, intensity = torch.from_numpy(batch.phase), torch.from_numpy(batch.intensity)
    sure = torch.full(phase.shape, 5.0)

    def value(guess):
        return float(phase_training.loss(torch.stack([guess.cos(), guess.sin()], 1), sure, phase, intensity))

    assert value(phase) == pytest.approx(value(1 - phase), abs=1e-4)
    assert value(phase) < value(phase + 0.3 * torch.randn(phase.shape)) < value(3 * torch.randn(phase.shape))


def test_the_likelihood_is_that_of_von_mises():
    """The best concentration for errors drawn with one is that one."""
    made = torch.Generator().manual_seed(0)
    phase = torch.zeros(1, 20000)
    truth = np.random.default_rng(0).vonmises(0, 4.0, phase.shape)
    direction = torch.stack([torch.from_numpy(np.cos(truth)), torch.from_numpy(np.sin(truth))], 1).float()
    intensity = torch.ones(phase.shape) + 0 * torch.rand(phase.shape, generator=made)
    grid = torch.linspace(0.5, 2.3, 40)
    values = [float(phase_training.loss(direction, torch.full(phase.shape, float(g)), phase, intensity)) for g in grid]
    assert float(grid[int(np.argmin(values))].exp()) == pytest.approx(4, rel=0.08)


def options(**more):
    return phase_training.TrainingOptions(
        **({"patterns": 24, "batch": 4, "validation": 3, "warm_up": 2, "pool": 5} | more)
    )


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path):
    whole = phase_training.train(tmp_path / "whole", options(), **SMALL)
    phase_training.train(tmp_path / "halves", options(), steps=2, **SMALL)
    phase_training.train(tmp_path / "halves", options(), steps=1, **SMALL)
    later = phase_training.train(tmp_path / "halves", options(), **SMALL)
    assert whole.step == later.step == 6
    for one, other in zip(whole.tensors().values(), later.tensors().values(), strict=True):
        torch.testing.assert_close(one, other)
    assert len(later.curve) == 3
    assert (tmp_path / "halves" / "curve.csv").read_text().splitlines()[0] == ",".join(phase_training.COLUMNS)
    network = load(tmp_path / "halves" / "braggphase.safetensors")
    assert network.card["training"]["step"] == 6
    assert json.dumps(network.card)


def test_learning_lowers_the_loss():
    torch.manual_seed(0)
    training = phase_training.Training(None, options(rate=3e-3, patterns=10**6), **SMALL)
    batch = next(iter(phase_data.Stream(1, batch=4, pool=4, exposures=4)))
    losses = [float(training.learn(batch)) for _ in range(25)]
    assert losses[-1] < losses[0] - 0.05


def test_a_gradient_without_measure_does_not_upset_it():
    """Muon's steps have one size whatever the gradient; one that is huge would drown the others in its momentum."""
    training = phase_training.Training(None, options(), **SMALL)
    stream = iter(phase_data.Stream(1, batch=4, pool=4, exposures=4))
    training.learn(next(stream))
    training.network.down[0].value.weight.register_hook(lambda grad: 1e4 * grad)  # one of those that Muon trains
    held = training.optimisers[0].state
    before = max(float(state["momentum"].norm()) for state in held.values())
    training.learn(next(stream))
    assert max(float(state["momentum"].norm()) for state in held.values()) < before + training.options.clip


@pytest.mark.parametrize("far", [-60.0, 60.0])
def test_a_concentration_at_its_limit_still_learns(far):
    """However far the output went, what it states is within the limits; and it is not stuck there."""
    network = Braggphase(**SMALL)
    with torch.no_grad():
        network.leave.weight.mul_(0.1)
        network.leave.bias[16:] = far / 10
    _, found = network(torch.rand(1, 32, 32, 32) * 5, torch.zeros(1, 32, 32, 32, dtype=torch.bool))
    low, high = np.log(CONCENTRATION)
    assert low - 1e-3 <= float(found.detach().min()) <= float(found.detach().max()) <= high + 1e-3
    found.mean().backward()
    assert float(network.leave.bias.grad[16:].min()) > 0.01
    with torch.no_grad():
        network.leave.bias[16:] = far
    _, found = network(torch.rand(1, 32, 32, 32) * 5, torch.zeros(1, 32, 32, 32, dtype=torch.bool))
    assert low - 1e-3 <= float(found.detach().min()) <= float(found.detach().max()) <= high + 1e-3


def test_directions_that_vanish_have_gradients_with_a_bound():
    network = Braggphase(**SMALL)
    with torch.no_grad():
        network.leave.weight.mul_(1e-9)
        network.leave.bias.mul_(1e-9)
    direction, _ = network(torch.rand(1, 32, 32, 32) * 5, torch.zeros(1, 32, 32, 32, dtype=torch.bool))
    direction[:, 0].mean().backward()
    assert 0 < float(network.leave.bias.grad.abs().max()) <= 1 / SHORT


def test_a_training_begins_with_a_network_that_was_trained(tmp_path, capsys):
    first = phase_training.train(tmp_path / "first", options(), steps=1, **SMALL)
    network = tmp_path / "first" / "braggphase.safetensors"
    again = phase_training.Training(None, options(seed=5), **SMALL)
    again.begin_with(network)
    for one, other in zip(first.average.parameters(), again.network.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    phase_training.train(tmp_path / "again", options(), steps=1, start=network, **SMALL)
    later = phase_training.train(tmp_path / "again", options(), steps=1, **SMALL)
    assert card(tmp_path / "again" / "braggphase.safetensors")["patterns"] == 4 * (1 + 2) == 4 * (1 + later.step)
    assert phase_training.main([str(tmp_path / "second"), "--start", str(network)]) == 2
    assert f"{network}: a network braggphase with" in capsys.readouterr().err
    assert phase_training.main([str(tmp_path / "second"), "--start", str(tmp_path / "none.safetensors")]) == 2
    assert "none.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ["--batch", "0"], ["--patterns", "3"], ["--rate", "nan"], ["--range", "nan"], ["--seconds", "0"],
        ["--average", "1"], ["--minutes", "-1"], ["--workers", "0"], ["--threads", "0"], ["--device", "banana"],
        ["--device", "cuda:99"],
    ],
)  # fmt: skip
def test_options_out_of_bounds_are_told(wrong, tmp_path, capsys):
    assert phase_training.main([str(tmp_path / "new"), *wrong]) == 2
    told = capsys.readouterr().err
    assert wrong[0] in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_training_that_diverges_goes_back(tmp_path, monkeypatch, capsys):
    """One step of those below is no longer that of the network; what was good before is what goes on."""
    learn, calls = phase_training.Training.learn, []

    def upset(self, batch):
        found = learn(self, batch)
        calls.append(self.step)
        if len(calls) == 3:
            for weights in self.network.parameters():
                weights.data.normal_()
            return found + float("nan")
        return found

    monkeypatch.setattr(phase_training.Training, "learn", upset)
    training = phase_training.train(tmp_path, options(minutes=0.0), **SMALL)
    assert calls == [1, 2, 3, 3, 4, 5, 6]
    assert training.share == 0.5
    assert "diverged, loss inf: back to step 2" in capsys.readouterr().out
    assert [row["step"] for row in training.curve] == [1, 2, 3, 4, 5, 6]
    again = phase_training.Training(tmp_path, options(), **SMALL)
    again.load()
    assert again.share == 0.5

    monkeypatch.setattr(phase_training.Training, "learn", lambda self, batch: learn(self, batch) * float("inf"))
    with pytest.raises(BraggfillError, match="diverges again and again"):
        phase_training.train(tmp_path, options(minutes=0.0, patterns=40), **SMALL)
    again.load()
    assert again.step == 6


@pytest.mark.parametrize(("wild", "back"), [((8,), False), ((7, 8, 9, 10), True)])
def test_a_single_wild_batch_is_no_divergence(tmp_path, monkeypatch, capsys, wild, back):
    """As a patch can make it whose prediction is far off; most of the batches being wild is another matter."""
    learn, calls = phase_training.Training.learn, []

    def upset(self, batch):
        calls.append(self.step)
        return learn(self, batch) + (1e7 if len(calls) in wild else 0)

    monkeypatch.setattr(phase_training.Training, "learn", upset)
    training = phase_training.train(tmp_path, options(minutes=0.0, least=20, patterns=60), **SMALL)
    assert (len(calls) > 15) == back
    assert training.share == (0.5 if back else 1.0)
    assert ("diverged" in capsys.readouterr().out) == back
    assert all(row["loss"] < 100 for row in training.curve)


def test_what_goes_on_after_diverging_is_the_average_without_momentum(tmp_path):
    """Weights and momentum of the last checkpoint may have been about to diverge."""
    training = phase_training.train(tmp_path, options(minutes=0.0, patterns=16), **SMALL)
    average = {name: weight.clone() for name, weight in training.average.state_dict().items()}
    assert any(not torch.equal(weight, average[name]) for name, weight in training.network.state_dict().items())
    training.back()
    for name, weight in training.network.state_dict().items():
        torch.testing.assert_close(weight, average[name], rtol=0, atol=0)
    assert training.step == 4
    assert not any(optimiser.state for optimiser in training.optimisers)


def test_the_clock_ends_a_training(tmp_path):
    training = phase_training.train(tmp_path, options(seconds=0.01, warm_up=0, patterns=4000), **SMALL)
    assert training.step == 1
    assert training.rate() == pytest.approx(options().last_rate)


@pytest.mark.parametrize("seen", ["many", -3, None, [1]])
def test_what_a_stranger_s_network_says_that_it_saw_is_not_believed(seen, tmp_path):
    save(tmp_path / "theirs.safetensors", build("braggphase", **SMALL), {"patterns": seen})
    training = phase_training.Training(None, options(), **SMALL)
    training.begin_with(tmp_path / "theirs.safetensors")
    assert training.before == 0


def test_a_damaged_state_is_told(tmp_path):
    phase_training.train(tmp_path, options(), steps=1, **SMALL)
    with pytest.raises(BraggfillError, match="damaged, or of another network"):
        phase_training.train(tmp_path, options(), steps=1, channels=(4, 6, 10), blocks=1, heads=2)
    state = tmp_path / "state.safetensors"
    with safe_open(str(state), framework="pt") as file:
        about = json.loads(file.metadata()["training"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    for share in ("nan", -1.0, 2.0):
        state.write_bytes(pack(tensors, metadata={"training": json.dumps(about | {"share": share})}))
        with pytest.raises(BraggfillError, match="damaged"):
            phase_training.train(tmp_path, options(), steps=1, **SMALL)
    weight = next(name for name in tensors if name.startswith("average.") and tensors[name].ndim > 1)
    momentum, number = (next(name for name in tensors if name.startswith(key)) for key in ("momentum.", "step."))
    for name in (weight, momentum, number):
        for wrong in (tensors[name] * torch.nan, tensors[name].flatten()[:1].repeat(2)):
            state.write_bytes(pack(tensors | {name: wrong}, metadata={"training": json.dumps(about)}))
            before = {path: path.read_bytes() for path in tmp_path.iterdir()}
            with pytest.raises(BraggfillError, match="damaged"):
                phase_training.train(tmp_path, options(), steps=1, **SMALL)
            assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    state.write_bytes(b"nothing")
    assert phase_training.main([str(tmp_path)]) == 2


# Its optimiser ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (12, 12)])
def test_a_step_of_muon_is_about_orthogonal(shape):
    generator = torch.Generator().manual_seed(1)
    values = torch.linalg.svdvals(muon.orthogonal(torch.randn(shape, generator=generator)))
    assert 0.6 < values.min() <= values.max() < 1.3


def test_muon_takes_steps_of_the_size_of_adamw_s_whatever_the_gradient_s():
    weight = torch.nn.Parameter(torch.zeros(8, 4, 3, 3, 3))
    for scale in (1e-6, 1e3):
        optimiser = muon.Muon([weight], 0.01)
        weight.data.zero_()
        weight.grad = scale * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2))
        optimiser.step()
        assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.2 * 0.01, rel=0.25)
        assert (weight.detach() * weight.grad).sum() < 0


def test_muon_treats_matrices_of_one_shape_together_as_each_alone():
    generator = torch.Generator().manual_seed(3)
    together, alone = ([torch.nn.Parameter(torch.ones(5, 3)) for _ in range(3)] for _ in range(2))
    gradients = [torch.randn(5, 3, generator=generator) for _ in together]
    for weights in (together, alone):
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.clone()
    muon.Muon(together, 0.1).step()
    for weight in alone:
        muon.Muon([weight], 0.1).step()
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other)


def test_muon_is_given_the_inner_matrices_alone():
    network = Braggphase(**SMALL)
    matrices, others = muon.split(network, phase_training.AT_THE_ENDS)
    assert len(matrices) + len(others) == len(list(network.parameters()))
    assert all(weight.ndim >= 2 for weight in matrices)
    assert any(weight is network.enter.weight for weight in others)
    assert any(weight is network.place for weight in others)
