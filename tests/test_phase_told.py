"""Laws of the network for outer patches that is told expected phasors, and of what is stitched of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from braggfill.learning import phase_losses, phase_patches, phase_told
from braggfill.learning.phase_patches import PatchOptions
from braggfill.networks.phase.braggphase import Braggphase
from braggfill.networks.phase.told import Told, expected
from braggfill.phasing import stitching
from braggfill.stages.phase import patches
from scipy import special

CUT = PatchOptions(box=64, step=10, shells=2)
SMALL = {"channels": (4, 6, 8), "blocks": 1, "heads": 2}


def test_what_is_told_is_what_stitching_tells():
    """Known voxels of a shell's patches in training are those that all farther in patches reach."""
    options = PatchOptions(box=96, step=8, shells=3)
    places = stitching.shells(96, 8, 3, 400)
    brought = patches._brought(96, places)
    for shell in range(3):
        known = phase_told.reached(options, shell)
        reached = (brought >= 0) & (brought <= shell)
        assert not (reached & ~known).any()
        assert reached.sum() > 0.95 * known.sum()
    middle = phase_told.reached(options, 0)
    assert middle[32:64, 32:64, 32:64].all()
    assert middle.sum() == 32**3


def test_a_network_that_is_told_begins_as_the_one_for_the_middle():
    torch.manual_seed(0)
    central = Braggphase(**SMALL)
    for weights in central.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    outer = Told.of(central)
    log_intensity = torch.rand(2, 32, 32, 32) * 5
    nothing = torch.zeros_like(log_intensity)
    told = torch.polar(torch.rand(2, 32, 32, 32) + 0.1, 6 * torch.rand(2, 32, 32, 32))
    found = central(log_intensity, nothing.bool())
    torch.testing.assert_close(outer(log_intensity, told.to(torch.complex64)), found)
    phasors = expected(central, log_intensity, nothing.bool())
    assert (phasors.abs() < 1).all()
    torch.testing.assert_close(torch.angle(phasors), torch.atan2(found[0][:, 1], found[0][:, 0]), atol=1e-4, rtol=0)


def test_phasors_that_are_told_keep_constant_and_sign():
    """Right about a pattern's middle, with any constant and as the twin: known voxels and truth go together."""
    one = phase_patches.whole(3, "test", 0, CUT)
    said = 0.5 * np.exp(-1j * phase_patches.cut(one.phase, np.array([32] * 3)) + 2j)
    truth = phase_told.suited(one, said)
    inside = phase_patches.cut(truth, np.array([32] * 3))
    assert np.abs(np.angle(said * np.exp(-1j * inside))).max() < 1e-3

    class Right(torch.nn.Module):
        """Expects the truth with a constant of its own, fairly sure."""

        def forward(self, log_intensity, mask):
            phase = torch.from_numpy(self.phase)[None]
            return phase_losses.phasor(0.7 - phase), torch.full_like(phase, 2.0)

    right = Right()
    known = [phase_told.reached(CUT, shell) for shell in range(CUT.shells)]
    one = phase_patches.whole(1, "told/x", 0, CUT)
    right.phase = phase_patches.cut(one.phase, np.array([32] * 3))
    for photons, told, phase in phase_told._patches(1, "x", 0, CUT, right, 6, known):
        there = told != 0
        assert 0.1 < there.mean() < 1
        assert np.abs(np.angle(told[there] * np.exp(-1j * phase[there]))).max() < 1e-2
        assert (np.abs(told) < 1.001).all()
        assert photons.shape == (32, 32, 32)


def test_expected_phasors_are_the_amplitude_that_errs_least():
    """Where it is known how sure a phase is, shorter phasors give a better object than their angles alone."""
    one = phase_patches.whole(1, "test", 0, CUT)
    rng = np.random.default_rng(0)
    wrong = np.where(rng.random(one.phase.shape) < 0.4, rng.uniform(0, 6, one.phase.shape), one.phase)
    unsure = np.where(wrong == one.phase, 0.9, 0.2)
    hedged, sure = (patches._judged(one, length * np.exp(1j * wrong)) for length in (unsure, np.ones_like(unsure)))
    assert hedged["accuracy"] > sure["accuracy"] + 0.01
    assert hedged["wca"] == pytest.approx(sure["wca"])


class Middle(torch.nn.Module):
    """Knows the phase of a pattern's middle, with a constant, and is as sure as its concentration says."""

    def __init__(self, one, concentration):
        super().__init__()
        self.phase = torch.from_numpy(phase_patches.cut(one.phase, np.array([32] * 3)) + 1.0)[None]
        self.sure = torch.full_like(self.phase, concentration).log()

    def forward(self, log_intensity, mask):
        return phase_losses.phasor(self.phase), self.sure


class Others(torch.nn.Module):
    """Knows the phases of all other patches, recognised by their intensity, with the constant that it is told; each
    of them wrong by an angle of its own."""

    def __init__(self, one, places, concentration, wrong):
        super().__init__()
        self.one, self.places, self.sure, self.wrong = one, places, concentration, wrong
        self.logs = [torch.log1p(torch.from_numpy(phase_patches.cut(one.counts, c))) for c in places]

    def forward(self, log_intensity, told):
        said = []
        for seen, known in zip(log_intensity, told, strict=True):
            place = next(c for c, log in zip(self.places, self.logs, strict=True) if torch.equal(log, seen))
            truth = torch.from_numpy(phase_patches.cut(self.one.phase, place).copy())
            constant = torch.angle((known * torch.polar(torch.ones_like(truth), -truth)).sum())
            said.append(truth + constant + self.wrong * np.random.default_rng(list(place)).normal())
        phase = torch.stack(said)
        return phase_losses.phasor(phase), torch.full_like(phase, self.sure).log()


def test_right_patches_give_right_phasors_and_those_that_disagree_shorter_ones():
    one = phase_patches.whole(1, "test", 0, CUT)
    places = stitching.shells(64, 10, 2, 20)
    every = [c for shell in places for c in shell]

    def lengths(wrong):
        field = stitching.expected(Middle(one, 3.0), Others(one, every, 8.0, wrong), one.counts, places)
        return field, phase_told.reached(CUT, 0), field != 0

    mean = {kappa: special.ive(1, kappa) / special.ive(0, kappa) for kappa in (3.0, 8.0)}
    field, middle, there = lengths(0.0)
    turn = field[there] * np.exp(-1j * (one.phase[there] + 1.0))
    assert np.abs(np.angle(turn)).max() < 1e-2
    np.testing.assert_allclose(np.abs(field[middle]), mean[3.0], rtol=1e-4)
    np.testing.assert_allclose(np.abs(field[there & ~middle]), mean[8.0], rtol=1e-3)
    alone = patches._judged(one, np.where(middle, field, 0))["accuracy"]
    assert patches._judged(one, field)["accuracy"] > alone
    field, middle, there = lengths(0.8)
    np.testing.assert_allclose(np.abs(field[middle]), mean[3.0], rtol=1e-4)
    assert np.abs(field[there & ~middle]).mean() < 0.9 * mean[8.0]


def test_it_learns_what_it_is_told_and_to_be_sure():
    """A few steps on few patches lower the loss, from the same seed to the same bits."""
    central = Braggphase(**SMALL)
    shared = {"batch": 4, "rate": 3e-3, "validating": 4, "each": 4}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = [phase_told.train(1, CUT, 8, 2, central, **shared) for _ in range(2)]
    (one, curve), (two, again) = made
    assert curve == again
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert [row["epoch"] for row in curve] == [1, 2]
    places = stitching.shells(64, 10, 2, 12)
    field = stitching.expected(central, one, phase_patches.whole(1, "test", 0, CUT).counts, places)
    assert field.dtype == np.complex64
    assert 0.3 < (field != 0).mean() < 1
    assert np.abs(field).max() <= 1


@pytest.mark.parametrize("sure", [1.0, 50.0])
def test_certainty_is_trained_by_the_error(sure):
    """A network that is right should be surer than it is, one that is wrong less sure; what is known counts not."""

    class Says(torch.nn.Module):
        def __init__(self, phase):
            super().__init__()
            self.direction = phase_losses.phasor(phase)
            self.concentration = torch.full_like(phase, sure).log().requires_grad_()

        def forward(self, log_intensity, told):
            return self.direction, self.concentration

    phase = 6 * torch.rand(2, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    told = torch.zeros(2, 32, 32, 32, dtype=torch.complex64)
    told[:, :16] = 1
    for said, sign in ((phase, -1), (phase + torch.pi, 1)):
        network = Says(said)
        total, wrong = phase_told.loss(network, torch.ones_like(phase), told, phase)
        total.backward()
        assert (sign * network.concentration.grad[:, 16:] > 0).all()
        assert (network.concentration.grad[:, :16] == 0).all()
        torch.testing.assert_close(wrong, torch.full((2,), 1.0 + sign), atol=1e-5, rtol=0)
