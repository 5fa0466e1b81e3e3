"""Laws of the studies of phases in two dimensions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from braggfill.learning import phase_losses, planar_phase, planar_sets
from braggfill.networks.planar import PHASE
from braggfill.networks.unets import UNet, scaled
from torch import nn

SMALL = planar_sets.SetOptions(side=32, oversampling=(2.2, 3.0))


class Fixed(nn.Module):
    """Gives the phases that it holds."""

    def __init__(self, phases):
        super().__init__()
        self.phases = phases

    def forward(self, x):
        return self.phases[:, None]


def test_a_pattern_depends_on_its_own_number_alone():
    whole, later = planar_sets.patterns(4, SMALL), planar_sets.patterns(2, SMALL, first=2)
    torch.testing.assert_close(whole.phase[2:], later.phase)
    torch.testing.assert_close(whole.intensity[2:], later.intensity)
    assert not torch.equal(whole.phase, planar_sets.patterns(4, SMALL, seed=2).phase)
    inputs = whole.inputs(slice(None))
    assert inputs.shape == (4, 1, 32, 32)
    torch.testing.assert_close(inputs.flatten(1).amax(1), torch.ones(4))


def test_noise_is_there_where_it_is_asked_for():
    noisy = planar_sets.SetOptions(side=32, photons_exponent=(3, 3))
    assert torch.equal(planar_sets.patterns(2, noisy).intensity.frac(), torch.zeros(2, 32, 32))
    assert planar_sets.patterns(2, SMALL).intensity.frac().abs().max() > 0


@pytest.mark.parametrize("sign", [1, -1])
def test_truth_and_twin_score_best_and_their_mixture_is_seen(sign):
    test = planar_sets.patterns(5, SMALL)
    found = planar_phase.scores(Fixed(sign * test.phase + 1), test)
    assert float(found["accuracy"].min()) > 0.995
    assert float(found["broken"].min()) > 0.97
    assert float(found["wca"].max()) < 1e-4
    # The phase of truth and twin in turn, in a checkerboard of patches: the published failure.
    board = torch.from_numpy((np.indices((32, 32)) // 4).sum(0) % 2 * 2.0 - 1).float()
    mixed = planar_phase.scores(Fixed(board * test.phase), test)
    assert float(mixed["broken"].mean()) < float(found["broken"].mean()) - 0.2
    assert float(mixed["accuracy"].mean()) < 0.97


@pytest.mark.parametrize("name", planar_phase.LOSSES)
def test_each_loss_is_less_for_the_truth_and_can_be_learnt(name):
    learning = planar_sets.patterns(4, SMALL)
    loss = planar_phase.LOSSES[name]
    truth = learning.phase
    if name == "real_space_broken":
        at = tuple(16 + d for d in planar_phase.BROKEN_AT)
        truth = phase_losses.symmetry_broken(truth, at)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    values = [loss(truth + a * noise, learning.intensity, learning.phase).mean() for a in (0, 0.5, 3)]
    assert values[0] < values[1] < values[2]
    torch.manual_seed(0)
    layout = scaled(PHASE, 0.3)
    small = UNet(type(layout)(2, layout.down[:5], layout.bottom, layout.up[1:], layout.head, first_skip=True))
    curve = planar_phase.train(small, name, learning, 25, batch=4, rate=1e-3)
    assert np.mean(curve[-3:]) < np.mean(curve[:3])


def test_the_same_seed_learns_the_same():
    learning = planar_sets.patterns(6, SMALL)
    curves = []
    for _ in range(2):
        torch.manual_seed(0)
        network = nn.Conv2d(1, 1, 3, padding=1)
        curves.append(planar_phase.train(network, "wca_log", learning, 5, batch=2))
    assert curves[0] == curves[1]
