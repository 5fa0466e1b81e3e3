"""Training of the network for patches away from the centre that is told expected phasors, its own among them.

The published outer network is told angles, the true ones, and meets its own at inference (Masto, thesis, section 4.7,
which names that as the likely cause of its failure).  Here the middle is always what the shipped network expects of it,
farther shells are the truth made shorter at random, and voxels nothing is known of are 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from braggfill.learning import muon, phase_patches
from braggfill.learning import phase_losses as losses
from braggfill.learning.phase_patches import SIDE, PatchOptions, Whole
from braggfill.networks.phase.braggphase import Braggphase
from braggfill.networks.phase.told import Told, of_middle
from braggfill.runs import seeds

FIRST_AND_LAST = ("enter", "leave", "place")
WARM_UP = 50
"""Steps until the learning rate is at its height."""
NEAR = 0.4
"""Share of the patches that lie on the first shell, which has most of the photons; the other shells share the rest."""
SHORTEST = 0.5
"""A true phasor farther inside is told this long at the least."""
NLL_WEIGHT = 0.1
FEW = 20.0
"""A patch whose unknown voxels have log(1 + photons) of so much in all counts half."""
ROUNDED = math.sqrt(3) / 2
"""Voxels that a patch's centre may lie farther out than its shell."""
CLIP = 1.0
"""Longest gradient."""


def train(
    seed: int,
    options: PatchOptions,
    number: int,
    epochs: int,
    central: Braggphase,
    *,
    batch: int,
    rate: float,
    validating: int,
    each: int,
) -> tuple[Told, list[dict[str, float]]]:
    """The network, begun with the weights of the central one, and its learning curve, a row an epoch.

    Parameters
    ----------
    number : patches an epoch, ``each`` of every pattern.  central : what is told of the middle.
    batch : patches a step.  rate : learning rate of Muon; the others' is half of it.
    validating : patches of a fixed set.
    """
    central.eval()
    network = Told.of(central)
    inner, others = muon.split(network, FIRST_AND_LAST)
    optimisers: list[torch.optim.Optimizer] = [
        muon.Muon(inner, lr=rate), torch.optim.AdamW(others, lr=rate / 2, weight_decay=0.0)
    ]  # fmt: skip
    heights = [rate, rate / 2]
    fixed = list(_batches(seed, "validation", 0, validating, options, central, batch, each))
    steps, step, curve = -(-number // batch) * epochs, 0, []
    for epoch in range(epochs):
        network.train()
        learned = []
        for some in _batches(seed, "train", epoch * number, (epoch + 1) * number, options, central, batch, each):
            factor = min(1.0, (step + 1) / min(WARM_UP, steps)) * max(0.0, 1 - step / steps)
            for optimiser, height in zip(optimisers, heights, strict=True):
                optimiser.param_groups[0]["lr"] = factor * height
                optimiser.zero_grad(set_to_none=True)
            total, wrong = loss(network, *some)
            total.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            for optimiser in optimisers:
                optimiser.step()
            learned.append(float(wrong.detach().mean()))
            step += 1
        network.eval()
        with torch.no_grad():
            seen = [float(value) for some in fixed for value in loss(network, *some)[1]]
        curve.append({"epoch": epoch + 1, "train_loss": float(np.mean(learned)), "val_loss": float(np.mean(seen))})
    return network, curve


def loss(network: Told, photons: Tensor, told: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
    r"""Loss of a batch, and :math:`1 - \sum w \cos\Delta` with √I weights of each patch, (B,), of unknown voxels.

    .. math:: L_b = 1 - \tfrac12 \sum (w^{\sqrt I} + w^{\log I}) \cos\Delta
              + \lambda \sum w^{\log I} (\log I_0(\kappa) - \kappa \cos\Delta)

    averaged over patches with weights :math:`s / (s + 20)`, :math:`s = \sum \log(1 + I)`: a patch with a handful of
    photons is chance, and one photon that was predicted wrongly with certainty would outweigh all others.  Constant and
    sign are those that are told, so that neither is free.  The second term trains the concentration alone.

    Parameters
    ----------
    photons, phase : (B, n...).  told : expected phasors, complex, (B, n...), 0 where unknown.
    """
    direction, concentration = network(torch.log1p(photons), told)
    new = photons.masked_fill(told != 0, 0.0)
    by_amplitude, by_logarithm = losses.amplitude_weights(new), losses.log_weights(new)
    cosine = direction[:, 0] * torch.cos(phase) + direction[:, 1] * torch.sin(phase)
    agreed = [(w * cosine).flatten(1).sum(1) for w in (by_amplitude, by_logarithm)]
    error = torch.atan2(direction[:, 1], direction[:, 0]).detach() - phase
    kappa = concentration.exp()
    unlikely = torch.special.i0e(kappa).log() + kappa * (1 - torch.cos(error))
    each = 1 - (agreed[0] + agreed[1]) / 2 + NLL_WEIGHT * (by_logarithm * unlikely).flatten(1).sum(1)
    seen = torch.log1p(new).flatten(1).sum(1)
    share = seen / (seen + FEW)
    return (share * each).sum() / share.sum().clamp(min=losses.TINY), 1 - agreed[0]


def reached(options: PatchOptions, shell: int) -> np.ndarray:
    """Voxels of a pattern that patches of all shells up to one reach, boolean (box, box, box).

    A patch's centre lies within ``shell * step`` of the middle, but for rounding, and its voxels within half a side of
    that along each axis.
    """
    line = np.arange(options.box) - options.box // 2
    outside = np.maximum(np.maximum(-line - SIDE // 2, line - SIDE // 2 + 1), 0).astype(np.float32) ** 2
    far = outside[:, None, None] + outside[:, None] + outside
    return far <= (shell * options.step + (ROUNDED if shell else 0)) ** 2


def suited(one: Whole, said: np.ndarray) -> np.ndarray:
    """The true phase of a pattern with the sign and the constant that what is said of its middle has."""
    centre = np.array([n // 2 for n in one.counts.shape])
    weights, truth = np.sqrt(phase_patches.cut(one.counts, centre)), phase_patches.cut(one.phase, centre)
    turns = {sign: complex((weights * said * np.exp(-1j * sign * truth)).sum()) for sign in (1, -1)}
    sign = max(turns, key=lambda each: abs(turns[each]))
    return (sign * one.phase + np.angle(turns[sign])).astype(np.float32)


def _batches(
    seed: int, purpose: str, first: int, last: int, options: PatchOptions, central: Braggphase, batch: int, each: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Photons, what is told and the true phase of patches ``first`` to ``last``; those of several patterns mixed."""
    known = [reached(options, shell) for shell in range(options.shells)]
    patterns = range(first // each, -(-last // each))
    together = max(1, 2 * batch // each)
    for start in range(patterns.start, patterns.stop, together):
        some = [
            patch
            for index in range(start, min(start + together, patterns.stop))
            for patch in _patches(seed, purpose, index, options, central, each, known)
        ]
        order = seeds.generator(seed, f"phase/told/{purpose}/order", start).permutation(len(some))
        for begin in range(0, len(some), batch):
            picked = [some[i] for i in order[begin : begin + batch]]
            photons, told, phase = (torch.from_numpy(np.stack(part)) for part in zip(*picked, strict=True))
            yield photons, told, phase


def _patches(
    seed: int,
    purpose: str,
    index: int,
    options: PatchOptions,
    central: Braggphase,
    each: int,
    known: list[np.ndarray],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """``each`` patches of one pattern, from shells at random, with a constant and a sign (the twin) at random."""
    one = phase_patches.whole(seed, f"told/{purpose}", index, options)
    said = of_middle(central, one.counts)
    truth = suited(one, said)
    rng = seeds.generator(seed, f"phase/told/{purpose}/shell", index)
    field = np.exp(1j * truth).astype(np.complex64)
    inside = np.zeros_like(field)
    phase_patches.cut(inside, np.array([options.box // 2] * 3))[...] = said
    for _ in range(each):
        near = options.shells == 1 or rng.random() < NEAR
        shell = 1 if near else int(rng.integers(2, options.shells + 1))
        direction = rng.normal(size=3)
        place = phase_patches.place(options, direction / np.linalg.norm(direction), shell)
        told = phase_patches.cut(known[shell - 1], place) * phase_patches.cut(field, place) * rng.uniform(SHORTEST, 1)
        told = np.where(phase_patches.cut(known[0], place), phase_patches.cut(inside, place), told)
        turn, twin = rng.uniform(0, 2 * math.pi), rng.random() < 0.5
        told, phase = told * np.exp(1j * turn), phase_patches.cut(truth, place) + turn
        if twin:
            told, phase = told.conj(), -phase
        yield phase_patches.cut(one.counts, place), told.astype(np.complex64), phase.astype(np.float32)
